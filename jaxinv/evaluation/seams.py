"""How a network's tiles differ from the whole, where that depends on their overlap."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxinv.tiling import tiled, tiling

Halos = tuple[tuple[int, int], ...]


def seams_of(
    apply: Callable[[Array], Array], image: Float[Array, "1 h w c"]
) -> dict[str, Float[np.ndarray, "h w"]]:
    """The largest difference to the whole at each position, with half the proven halo and with it.

    Args:
      apply: the network, to maps.
      image: one image.

    Returns:
      A picture by its title; none where no halo suffices, or the image is no larger than a tile.

    Example:
      >>> def blurred(x):
      ...     return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 5, 5, 1), (1, 1, 1, 1), "SAME")
      >>> image = jax.random.normal(jax.random.key(0), (1, 16, 16, 1))
      >>> {title: bool(error.max() > 1e-3) for title, error in seams_of(blurred, image).items()}
      {'overlap 1': True, 'overlap 2, proven': False}
    """
    try:
        found = tiling(apply, image)
    except ValueError:  # it says why, in `jaxinv certify --tiling`
        return {}
    tile = tuple(min(size, n) for size, n in zip(found.smallest, image.shape[1:3], strict=True))
    if not np.max(found.halo) or tile == image.shape[1:3]:
        return {}
    whole = jax.jit(apply)(image)

    def error(halo: Halos) -> np.ndarray:
        by_tile = tiled(apply, tile=tile, halo=halo, exact=False)(jnp.asarray(image))
        return np.asarray(jnp.abs(by_tile - whole).max(-1)[0])

    half = tuple((before // 2, after // 2) for before, after in found.halo)
    return {
        f"overlap {_in_words(half)}": error(half),
        f"overlap {_in_words(found.halo)}, proven": error(found.halo),
    }


def _in_words(halos: Halos) -> str:
    """Positions at each end; once where all ends have the same."""
    ends = [" + ".join(map(str, dict.fromkeys(halo))) for halo in halos]
    return " and ".join(dict.fromkeys(ends))
