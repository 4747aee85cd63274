"""A function tile by tile on whatever can be sliced, written to whatever can be assigned to."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxinv.tiling.call import Call
from jaxinv.tiling.cuts import boxes, parts
from jaxinv.tiling.plan import Tiles


def evaluated(
    call: Call, tiles: Tiles, run: Callable[..., Any], *, out: Any, progress: bool
) -> Any:
    """The outputs of a call.

    Args:
      call: the call; what is cut has a shape and a dtype, and can be sliced.
      tiles: its tiles.
      run: the function, compiled.
      out: what the outputs are written to, in their structure; None for new arrays of numpy.
      progress: whether to show a bar.

    Raises:
      ValueError: if `out` does not fit the outputs, or what is cut gives slices of another shape.
    """
    from jaxinv.progress import counting, progress_bar  # rich is not needed by what has no bar

    written = _written_to(out, tiles)
    every = parts(tiles.cuts)
    bar = progress_bar() if progress else None
    with (
        bar or contextlib.nullcontext(),
        counting(bar, "tiles", len(every), unit="tiles") as advance,
    ):
        for part in every:
            windows = [
                _read(leaf, dims, tiles, part)
                for leaf, dims in zip(call.leaves, call.dims, strict=True)
            ]
            made = jax.tree.leaves(run(*call.with_leaves(windows), **call.kwargs))
            for target, array, maps in zip(written, made, tiles.maps, strict=True):
                kept, put = boxes(tiles.cuts, part, maps, array.shape)
                target[put] = np.asarray(array)[kept]
            advance(1)
    return jax.tree.unflatten(tiles.out_tree, written)


def _written_to(out: Any, tiles: Tiles) -> list[Any]:
    """What each output is written to."""
    if out is None:
        return [np.empty(wanted.shape, wanted.dtype) for wanted in tiles.shapes]
    leaves, tree = jax.tree.flatten(out)
    if tree != tiles.out_tree:
        raise ValueError(f"out has the structure {tree}; the outputs have {tiles.out_tree}")
    for leaf, wanted in zip(leaves, tiles.shapes, strict=True):
        if isinstance(leaf, jax.Array) or not hasattr(leaf, "__setitem__"):
            raise ValueError(
                f"out holds a {type(leaf).__name__}, which cannot be assigned to; allowed are "
                "arrays of numpy, memory maps, zarr, h5py and their like"
            )
        if tuple(np.shape(leaf)) != wanted.shape:
            raise ValueError(f"out has shape {np.shape(leaf)}; the output has {wanted.shape}")
    return leaves


def _read(leaf: Any, dims: Sequence[int], tiles: Tiles, part: Sequence[int]) -> np.ndarray:
    """A tile of an array."""
    box, shape = [slice(None)] * len(leaf.shape), list(leaf.shape)
    for dim, cut, index in zip(dims, tiles.cuts, part, strict=True):
        start = cut.starts[index]
        box[dim], shape[dim] = slice(start, start + cut.size), cut.size
    found = np.asarray(leaf[tuple(box)])
    if found.shape != tuple(shape):
        raise ValueError(
            f"the image gave a tile of shape {found.shape} in place of {tuple(shape)}; "
            "it must not change its size while it is read"
        )
    return found
