"""How wrong tiles with smaller overlaps are: measured."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxinv.arguments import per_axis, split_arguments
from jaxinv.tiling.call import Call
from jaxinv.tiling.transform import tiled


def seam_error(
    fun: Callable,
    *args: Any,
    overlaps: Sequence[int | Sequence[int]],
    tile: int | Sequence[int] | None = None,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
) -> Float[np.ndarray, "overlaps"]:
    """The largest difference between a function of an image and of its tiles, for each overlap."""
    call = Call(fun, args, {}, argnums, tuple(axes))
    return np.array([error_of(call, overlap, tile=tile) for overlap in overlaps])


def error_of(call: Call, overlap: int | Sequence[int], *, tile: Any) -> float:
    """The largest difference for one overlap."""
    halo = per_axis(overlap, len(call.axes), "overlap", least=0)
    options = {"argnums": call.argnums, "axes": call.axes}
    arrays, _ = split_arguments(call.args, {})
    if any(isinstance(array, jax.ShapeDtypeStruct) for array in arrays):
        raise ValueError("the error is measured on an image; give arrays, not shapes")
    args = jax.tree.map(jnp.asarray, call.leaves)
    given = call.with_leaves(args)
    by_tile = tiled(call.fun, tile=tile, halo=halo, exact=False, **options)(*given)
    whole = jax.jit(call.fun)(*given)
    pairs = zip(jax.tree.leaves(by_tile), jax.tree.leaves(whole), strict=True)
    return max(float(jnp.abs(a - b).max()) for a, b in pairs)
