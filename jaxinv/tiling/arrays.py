"""A function tile by tile on arrays of JAX, as one program."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxinv.tiling.call import Call
from jaxinv.tiling.cuts import Cut
from jaxinv.tiling.plan import Tiles


def evaluated(call: Call, tiles: Tiles) -> Any:
    """The outputs of a call. Derivatives compute each tile again: memory is that of one."""
    windows = [
        _windows(leaf, dims, tiles.cuts) for leaf, dims in zip(call.leaves, call.dims, strict=True)
    ]

    @jax.checkpoint
    def of_tile(window):
        return jax.tree.leaves(call.fun(*call.with_leaves(window), **call.kwargs))

    made = lax.map(of_tile, windows)
    outs = [_joined(out, maps, tiles.cuts) for out, maps in zip(made, tiles.maps, strict=True)]
    return jax.tree.unflatten(tiles.out_tree, outs)


def _windows(array: jax.Array, dims: Sequence[int], cuts: Sequence[Cut]) -> jax.Array:
    """The tiles of an array, one after the other along a new first dimension."""
    for done, (dim, cut) in enumerate(zip(dims, cuts, strict=True)):
        rows = [lax.slice_in_dim(array, s, s + cut.size, axis=dim + done) for s in cut.starts]
        array = jnp.stack(rows, axis=done)
    return array.reshape(-1, *array.shape[len(cuts) :])


def _joined(out: jax.Array, maps, cuts: Sequence[Cut]) -> jax.Array:
    """What is kept of the outputs of all tiles, put together."""
    counts = [len(cut.starts) for cut in cuts]
    out = out.reshape(*counts, *out.shape[1:])
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
