"""What the certificate says, in the words of the report."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxinv.orbit import OrbitMode
from jaxinv.symmetry import certify

# The verdict on a network that no shift changes.
EVERY_SHIFT = "invariant to every shift"


def proof_of(
    fun: Callable, images: Shaped[np.ndarray, "n h w c"], *, mode: OrbitMode = "wrap"
) -> dict[str, Any]:
    """Certifies a network.

    Args:
      fun: from images to outputs.
      images: for their shape; no value is read.
      mode: what enters at the border.

    Returns:
      `Certificate.to_dict()` with the keys `verdict`, `first_break` (where the symmetry ends, or
      where it is first thinned) and `text` in words.

    Example:
      >>> import jax.numpy as jnp
      >>> proof_of(lambda x: jnp.mean(x, (1, 2)), np.zeros((1, 4, 4, 1)))["verdict"]
      'invariant to every shift'
    """
    certificate = certify(fun, _shape(images), mode=mode)
    end = certificate.first_end or next(iter(certificate.breaks), None)
    return certificate.to_dict() | {
        "verdict": in_words(certificate.only),
        "first_break": place_of(end) if end else "",
        "text": str(certificate),
    }


def layer_states(fun: Callable, images: Shaped[np.ndarray, "n h w c"]) -> list[str]:
    """The proved state of each of a function's outputs, in words.

    Args:
      fun: from images to a tuple of arrays.
      images: for their shape.

    Returns:
      A sentence for each.

    Example:
      >>> layer_states(lambda x: (x, x[:, ::2, ::2]), np.zeros((1, 4, 4, 1)))
      ['equivariant to every shift', 'equivariant to multiples of (2, 2)']
    """
    return [in_words(output) for output in certify(fun, _shape(images)).outputs]


def in_words(verdict: Any) -> str:
    """The state of an output, in words: kind and lattice of shifts."""
    if verdict.kind == "broken":
        return f"broken: commutes with {verdict.state.commutes_with}"
    kind = "invariant" if verdict.kind == "invariant" else "equivariant"
    return f"{kind} to {verdict.state.commutes_with}"


def place_of(step: Any) -> str:
    """Where a break is and why, in one line."""
    return f"{step.layer} ({step.where}): {step.reason}"


def _shape(images: Shaped[np.ndarray, "n h w c"]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(images.shape, np.float32)
