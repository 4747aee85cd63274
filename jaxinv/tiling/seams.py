"""How wrong tiles with smaller overlaps are: measured."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxinv.arguments import per_axis, split_arguments
from jaxinv.shift_options import whole_axes
from jaxinv.tiling.call import Call
from jaxinv.tiling.geometry import geometry_of
from jaxinv.tiling.plan import halos_given, proven_smallest, smallest_tiles
from jaxinv.tiling.transform import tiled


def seam_error(
    fun: Callable,
    *args: Any,
    overlaps: Sequence[int | Sequence[int]],
    tile: int | Sequence[int] | None = None,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
) -> Float[np.ndarray, "overlaps"]:
    """The largest difference between a function of an image and of its tiles, for each overlap.

    Args:
      fun: a function of images that has a tiling.
      *args: its arguments, arrays.
      overlaps: positions that are lost at each end of a tile; each is one number, or one per axis.
      tile: positions of a tile, as for `jaxinv.tiled`; None for the smallest that has something
        left, or the image.
      argnums: which arguments are cut, together.
      axes: their spatial dimensions.

    Returns:
      For each overlap the largest absolute difference over all outputs, in their units; 1 where
      they are booleans that differ.

    Raises:
      ValueError: as `jaxinv.tiled` does, or if an argument is a shape and no array.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.tiling import seam_error
      >>> def blurred(x):
      ...     return jnp.convolve(x, jnp.ones(5) / 5, mode="same")
      >>> x = jnp.arange(40.0) ** 2
      >>> errors = seam_error(blurred, x, overlaps=[0, 1, 2], tile=10, axes=(0,))
      >>> [bool(error > 1e-3) for error in errors]
      [True, True, False]
    """
    if not isinstance(overlaps, Sequence | np.ndarray) or isinstance(overlaps, str):
        raise ValueError(f"overlaps is {overlaps!r}; allowed is a sequence of them")
    call = Call(fun, args, {}, argnums, whole_axes(axes))
    return np.array([error_of(call, overlap, tile=tile) for overlap in overlaps])


def error_of(call: Call, overlap: int | Sequence[int], *, tile: Any) -> float:
    """The largest difference for one overlap."""
    halo = per_axis(overlap, len(call.axes), "overlap", least=0)
    arrays, _ = split_arguments(call.args, {})
    if any(isinstance(array, jax.ShapeDtypeStruct) for array in arrays):
        raise ValueError("the error is measured on an image; give arrays, not shapes")
    if tile is None:
        tile = _smallest(call, overlap)
    args = jax.tree.map(jnp.asarray, call.leaves)
    given = call.with_leaves(args)
    by_tile = tiled(
        call.fun, argnums=call.argnums, axes=call.axes, tile=tile, halo=halo, exact=False
    )(*given)
    whole = jax.jit(call.fun)(*given)
    pairs = zip(jax.tree.leaves(by_tile), jax.tree.leaves(whole), strict=True)
    return max(_largest_difference(np.asarray(a), np.asarray(b)) for a, b in pairs)


def _largest_difference(one: np.ndarray, two: np.ndarray) -> float:
    """The largest absolute difference; none between the same infinities, or NaN and NaN."""
    wide = np.complex128 if np.iscomplexobj(one) else np.float64
    one, two = one.astype(wide), two.astype(wide)
    differs = ~((one == two) | (np.isnan(one) & np.isnan(two)))
    return float(np.abs(one[differs] - two[differs]).max(initial=0.0))


def _smallest(call: Call, overlap: int | Sequence[int]) -> tuple[int, ...]:
    """The smallest tile, or the image where it is smaller."""
    image = call.at(call.sizes)
    geometry = geometry_of(image, call.axes)
    proven = proven_smallest(call, geometry, image)
    wider = smallest_tiles(geometry, halos_given(overlap, len(call.axes)))
    return tuple(map(min, map(max, proven, wider), call.sizes))
