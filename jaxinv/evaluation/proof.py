"""What the certificate says, in the words of the report."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxinv.orbit import OrbitMode
from jaxinv.symmetry import certify


def proof_of(
    fun: Callable, images: Shaped[np.ndarray, "n h w c"], *, mode: OrbitMode = "wrap"
) -> dict[str, Any]:
    """Certifies a network.

    Args:
      fun: from images to outputs.
      images: for their shape; no value is read.
      mode: what enters at the border.

    Returns:
      `Certificate.to_dict()` with the keys `verdict`, `first_break` and `text` in words.

    Example:
      >>> import jax.numpy as jnp
      >>> proof_of(lambda x: jnp.mean(x, (1, 2)), np.zeros((1, 4, 4, 1)))["verdict"]
      'invariant to every shift'
    """
    certificate = certify(fun, _shape(images), mode=mode)
    breaks = certificate.breaks
    return certificate.to_dict() | {
        "verdict": in_words(certificate),
        "first_break": place_of(breaks[0]) if breaks else "",
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
    """Kind and period of a certificate or of one of its outputs, in words."""
    if verdict.kind == "broken":
        return "broken: no shift but the trivial one"
    period = tuple(verdict.period)
    what = "every shift" if set(period) == {1} else f"multiples of {period}"
    return f"{verdict.kind} to {what}"


def place_of(step: Any) -> str:
    """Where a break is and why, in one line."""
    return f"{step.layer} ({step.where}): {step.reason}"


def _shape(images: Shaped[np.ndarray, "n h w c"]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(images.shape, np.float32)
