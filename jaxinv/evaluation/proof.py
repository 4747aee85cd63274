"""What the certificate says, in the words of the report."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxinv.orbit import OrbitMode
from jaxinv.symmetry import Certificate, certify


def certified(
    fun: Callable, images: Shaped[np.ndarray, "n h w c"], *, mode: OrbitMode = "wrap"
) -> Certificate:
    """Certifies a network.

    Args:
      fun: from images to outputs.
      images: for their shape; no value is read.
      mode: what enters at the border.

    Returns:
      The certificate.

    Example:
      >>> import jax.numpy as jnp
      >>> certified(lambda x: jnp.mean(x, (1, 2)), np.zeros((1, 4, 4, 1))).only.state.is_invariant
      True
    """
    return certify(fun, _shape(images), mode=mode)


def written(certificate: Certificate) -> dict[str, Any]:
    """A certificate as the report shows it.

    Args:
      certificate: of a function with one output.

    Returns:
      `Certificate.to_dict()` with the keys `verdict`, `first_break` (where the symmetry ends, or
      where it is first thinned) and `text` in words.

    Example:
      >>> import jax.numpy as jnp
      >>> mean = certified(lambda x: jnp.mean(x, (1, 2)), np.zeros((1, 4, 4, 1)))
      >>> written(mean)["verdict"]
      'invariant to every shift'
    """
    ends = dict.fromkeys(certificate.first_ends.values()) or certificate.breaks[:1]
    return certificate.to_dict() | {
        "verdict": str(certificate.only.state),
        "first_break": "; ".join(f"{end.layer} ({end.where}): {end.reason}" for end in ends),
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
    return [str(output.state) for output in certify(fun, _shape(images)).outputs]


def _shape(images: Shaped[np.ndarray, "n h w c"]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(images.shape, np.float32)
