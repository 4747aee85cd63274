"""A function tile by tile on whatever can be sliced, written to whatever can be assigned to."""

import contextlib
import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.tiling import journal
from jaxinv.tiling.call import Call, dtype_in_jax, in_words
from jaxinv.tiling.cuts import boxes, parts
from jaxinv.tiling.plan import Tiles
from jaxinv.tiling.together import Together


def evaluated(
    call: Call,
    tiles: Tiles,
    run: Callable,
    *,
    out: Any,
    resume: Path | None,
    progress: bool,
) -> Any:
    """The outputs of a call; as many tiles at once as there are devices.

    Args:
      call: the call; what is cut has a shape and a dtype, and can be sliced.
      tiles: its tiles.
      run: what `jaxinv.tiling.together.for_several` makes of the function.
      out: what the outputs are written to, in their structure; None for new arrays of numpy.
      resume: the file of finished tiles; None for none.
      progress: whether to show a bar.

    Raises:
      ValueError: if `out` does not fit the outputs, has one array for two of them or shares memory
        with what is cut, that changes its size or cannot be sliced, or the file of finished tiles
        is that of another run.
    """
    from jaxinv.progress import counting, progress_bar  # rich is not needed by what has no bar

    outputs = _Outputs(_written_to(out, tiles, readable=resume is not None), tiles)
    if any(_share_memory(target, leaf) for target in outputs.arrays for leaf in call.leaves):
        raise ValueError(
            "out shares memory or a file with the image, which is read while out is written"
        )
    if any(_is_part_of(one, two) for one, two in itertools.combinations(outputs.arrays, 2)):
        raise ValueError("out has one array for two outputs, of which the last would stand there")
    every = parts(tiles.cuts)
    args = call.with_sizes([cut.size for cut in tiles.cuts])
    bar = progress_bar() if progress else None
    with contextlib.ExitStack() as entered:
        finished: Any = None
        if resume is not None:
            run_of_it = journal.run_of(call, tiles, args)
            finished = entered.enter_context(journal.opened(resume, run_of_it))
        left = [part for part in every if finished is None or not finished.has(part, outputs)]
        entered.enter_context(bar or contextlib.nullcontext())
        advance = entered.enter_context(counting(bar, "tiles", len(every), unit="tiles"))
        advance(len(every) - len(left))
        together = Together(run, args, call.kwargs, tiles=len(left))
        for first in range(0, len(left), together.count):
            group = left[first : first + together.count]
            made = together([_read(call, tiles, part) for part in group])
            for part, arrays in zip(group, made, strict=True):
                outputs.write(part, arrays)
                if finished is not None:
                    finished.add(part, outputs)
                advance(1)
    return jax.tree.unflatten(tiles.out_tree, outputs.arrays)


@dataclass(frozen=True)
class _Outputs:
    """What the outputs are written to, and which part of it each tile makes."""

    arrays: list[Any]
    tiles: Tiles

    def _boxes(self, part: Sequence[int]):
        program = self.tiles.program
        for number, maps in zip(program.outputs, self.tiles.maps, strict=True):
            yield boxes(self.tiles.cuts, part, maps, program.avals[number].shape)

    def write(self, part: Sequence[int], made: Sequence[np.ndarray]) -> None:
        """Writes what is kept of a tile."""
        for target, array, (kept, put) in zip(self.arrays, made, self._boxes(part), strict=True):
            target[put] = _held(array[kept], target.dtype)

    def checksum(self, part: Sequence[int]) -> int:
        """That of what stands there where a tile is written."""
        found = 0
        for target, (_, put) in zip(self.arrays, self._boxes(part), strict=True):
            found = zlib.crc32(np.asarray(target[put]).tobytes(), found)
        return found

    def flush(self) -> None:
        """Brings what was written to where it lasts."""
        for target in self.arrays:
            if callable(getattr(target, "flush", None)):
                target.flush()


def _held(made: np.ndarray, dtype: Any) -> np.ndarray:
    """Numbers in the dtype of what they are written to.

    Raises:
      ValueError: if it does not hold a whole number, or is too small for another.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        held = made.astype(getattr(dtype, "numpy_dtype", dtype), copy=False)
    whole = jnp.issubdtype(made.dtype, np.integer)
    lost = held != made if whole else np.isfinite(made) & ~np.isfinite(held)
    if lost.any():
        raise ValueError(f"out holds {held.dtype}, and an output is {made[lost][0]}; cast it")
    return held


def _is_part_of(one: Any, two: Any) -> bool:
    """Whether two arrays are one, or have parts in common."""
    if not (isinstance(one, np.ndarray) and isinstance(two, np.ndarray)):
        return one is two
    return np.shares_memory(one, two)


def _share_memory(one: Any, two: Any) -> bool:
    """Whether two arrays are one, or have parts in common, or are maps of the same file."""
    file, other = getattr(one, "filename", None), getattr(two, "filename", None)
    return _is_part_of(one, two) or (file is not None and file == other)


def _written_to(out: Any, tiles: Tiles, *, readable: bool) -> list[Any]:
    """What each output is written to."""
    if out is None:
        return [np.empty(wanted.shape, wanted.dtype) for wanted in tiles.shapes]
    leaves, tree = jax.tree.flatten(out)
    if tree != tiles.out_tree:
        raise ValueError(f"out has the structure {tree}; the outputs have {tiles.out_tree}")
    needed = ["__setitem__", "__getitem__"] if readable else ["__setitem__"]
    for leaf, wanted in zip(leaves, tiles.shapes, strict=True):
        if isinstance(leaf, jax.Array) or not all(hasattr(leaf, name) for name in needed):
            raise ValueError(
                f"out holds a {type(leaf).__name__}, which cannot be assigned to"
                f"{' and read' if readable else ''}; allowed are arrays of numpy, memory maps, "
                "zarr, h5py and their like"
            )
        if tuple(np.shape(leaf)) != wanted.shape:
            raise ValueError(f"out has shape {np.shape(leaf)}; the output has {wanted.shape}")
        lossy = "biu" if jnp.issubdtype(wanted.dtype, np.inexact) else ""
        lossy += "f" if jnp.issubdtype(wanted.dtype, np.complexfloating) else ""
        if dtype_in_jax(leaf.dtype).kind in lossy:
            raise ValueError(f"out holds {leaf.dtype}, and the output is {wanted.dtype}; cast it")
    return leaves


def _read(call: Call, tiles: Tiles, part: Sequence[int]) -> list[np.ndarray]:
    """A tile of each array that is cut."""
    sizes = [cut.starts[-1] + cut.size for cut in tiles.cuts]
    windows = []
    for leaf, dims in zip(call.leaves, call.dims, strict=True):
        box, shape = [slice(None)] * len(leaf.shape), list(leaf.shape)
        now = [shape[dim] for dim in dims]
        for dim, cut, index in zip(dims, tiles.cuts, part, strict=True):
            start = cut.starts[index]
            box[dim], shape[dim] = slice(start, start + cut.size), cut.size
        found = np.asarray(leaf[tuple(box)]).astype(dtype_in_jax(leaf.dtype), copy=False)
        if found.shape != tuple(shape) or now != sizes:
            what = f"a tile of shape {found.shape} in place of {tuple(shape)}"
            if now != sizes:
                what = f"{in_words(now)} positions in place of {in_words(sizes)}"
            raise ValueError(f"the image has {what}; it must not change its size while it is read")
        windows.append(found)
    return windows
