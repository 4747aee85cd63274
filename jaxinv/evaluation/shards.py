"""Some images and what a network says of them: computed once, kept in a file, found again."""

import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from jaxinv.data import Source
from jaxinv.data.source import groups_of
from jaxinv.digest import content_digest
from jaxinv.files import read_arrays, write_arrays


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some images: `number` counts shards, `start` the images before it."""

    number: int
    start: int
    images: UInt8[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, "n *positions"]

    @property
    def file(self) -> str:
        """The name of the file that its results are kept in."""
        return f"{self.number:05}-{content_digest(self.images, self.labels)[:16]}.npz"


def shard_sizes(source: Source, batch: int) -> tuple[int, int]:
    """How many shards there are, and how many images the first of them has."""
    if not len(source):
        raise ValueError("there are 0 images; needed are images, a label each")
    if batch < 1:
        raise ValueError(f"batch is {batch}; allowed are numbers from 1")
    return math.ceil(len(source) / batch), min(batch, len(source))


def shards_of(source: Source, batch: int, numbers: range) -> Generator[Shard, None, None]:
    """Shards of `batch` images, those of the numbers given, read one after the other."""
    groups = groups_of(source, batch)[numbers.start : numbers.stop]
    for number, rows, read in zip(numbers, groups, source.batches(groups), strict=True):
        yield Shard(number, rows.start, *read)


def evaluated(
    shards: Iterator[Shard],
    evaluate: Callable,
    at_once: int,
    last: int,
    folder: Path | None = None,
    names: Sequence[str] = (),
) -> Iterator[tuple[Shard, dict[str, np.ndarray]]]:
    """Shards with their arrays: those found in the folder, the others as they are computed.

    Args:
      shards: all of them.
      evaluate: computes the arrays of `at_once` shards, or fewer.
      at_once: how many.
      last: the number of the last shard.
      folder: where arrays are kept; None keeps none.
      names: of the arrays.
    """
    waiting = []
    for shard in shards:
        arrays = _read(folder and folder / shard.file, names)
        if arrays is None:
            waiting.append(shard)
        else:
            yield shard, arrays
        if len(waiting) == at_once or (shard.number == last and waiting):
            for one, arrays in zip(waiting, evaluate(waiting), strict=True):
                if folder is not None:
                    write_arrays(folder / one.file, arrays)
                yield one, arrays
            waiting = []


def filled(array: np.ndarray, length: int) -> np.ndarray:
    """An array of images, the last of them repeated until there are `length`."""
    missing = length - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _read(path: Path | None, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """A finished shard; None if there is none, or if the file is damaged and has to be redone."""
    if path is None or not path.exists():
        return None
    try:
        stored = read_arrays(path)
        return {name: stored[name] for name in names}
    except Exception:  # a damaged archive fails in a dozen ways
        return None


def joined(shards: Sequence[dict[str, np.ndarray]], dims: Mapping[str, int]) -> dict[str, Any]:
    """The arrays of shards one after the other, along the dimension of each that counts images."""
    return {name: np.concatenate([s[name] for s in shards], axis=dim) for name, dim in dims.items()}


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished shard: its file, if there is one, and its arrays, unless they are left there."""

    path: Path | None
    held: dict[str, np.ndarray] | None

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays, from the file if they are not in memory."""
        if self.held is not None:
            return self.held
        assert self.path is not None
        return read_arrays(self.path)
