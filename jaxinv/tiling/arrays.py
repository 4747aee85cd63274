"""A function tile by tile on arrays of JAX, as one program."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinv.symmetry.processor_convolution import quick_in_loops
from jaxinv.tiling.call import Call
from jaxinv.tiling.cuts import Cut, parts
from jaxinv.tiling.plan import Tiles


def evaluated(call: Call, tiles: Tiles) -> Any:
    """The outputs of a call. Derivatives compute each tile again: memory is that of one."""
    starts = [
        [cut.starts[i] for cut, i in zip(tiles.cuts, part, strict=True)]
        for part in parts(tiles.cuts)
    ]

    @jax.checkpoint
    @quick_in_loops
    def of_tile(start):
        windows = [
            _window(leaf, dims, tiles.cuts, start)
            for leaf, dims in zip(call.leaves, call.dims, strict=True)
        ]
        return jax.tree.leaves(call.fun(*call.with_leaves(windows), **call.kwargs))

    made = lax.map(of_tile, np.array(starts, np.uint32))
    outs = [_joined(out, maps, tiles.cuts) for out, maps in zip(made, tiles.maps, strict=True)]
    return jax.tree.unflatten(tiles.out_tree, outs)


def _window(array: jax.Array, dims: Sequence[int], cuts: Sequence[Cut], start: jax.Array):
    """A tile of an array."""
    # Unsigned: what may be negative is checked for it.
    at, sizes = [jnp.zeros((), jnp.uint32)] * array.ndim, list(array.shape)
    for axis, (dim, cut) in enumerate(zip(dims, cuts, strict=True)):
        at[dim], sizes[dim] = start[axis], cut.size
    # XLA must not merge this slice with one of the function, see docs/method.md.
    return lax.optimization_barrier(lax.dynamic_slice(array, at, sizes))


def _joined(out: jax.Array, maps, cuts: Sequence[Cut]) -> jax.Array:
    """What is kept of the outputs of all tiles, put together."""
    if not maps:  # The image is one tile.
        return lax.index_in_dim(out, 0, 0, keepdims=False)
    # (tiles, ...) -> (*tiles along each axis, ...)
    out = out.reshape(*(len(cut.starts) for cut in cuts), *out.shape[1:])
    for axis in reversed(range(len(cuts))):
        along, cut = maps[axis], cuts[axis]
        # The new dimensions of the axes before it come first.
        dim = axis + along.dim
        rows = [
            lax.slice_in_dim(lax.index_in_dim(out, i, axis, keepdims=False), lo, hi, axis=dim)
            for i, (lo, hi) in enumerate(cut.kept(along.scale, along.size))
        ]
        out = lax.concatenate(rows, dim)
    return out
