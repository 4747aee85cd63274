"""Where tiles are cut from an image, and what is kept of them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from jaxinv.tiling.geometry import Halo
from jaxinv.tiling.reach import Map


@dataclass(frozen=True)
class Cut:
    """The tiles along one axis.

    Attributes:
      size: positions of a tile.
      starts: the first position of each of them in the image.
      before: the positions that are lost at the first end of each but the first.
    """

    size: int
    starts: tuple[int, ...]
    before: int

    def kept(self, scale: Fraction, size: int) -> list[tuple[int, int]]:
        """Of an output with some positions a tile: those that are kept of each tile."""
        seams = [int(start * scale) for start in self.starts]
        first = [0, *(math.floor(self.before * scale) for _ in seams[1:])]
        ends = [b + f - a for a, b, f in zip(seams, seams[1:], first[1:], strict=False)]
        return list(zip(first, [*ends, size], strict=True))


def cut_into(size: int, tile: int, grid: int, halo: Halo) -> Cut:
    """Tiles of an axis; the last one moves back to the end of the image.

    Args:
      size: positions of the image.
      tile: positions of a tile: a multiple of the grid and the remainder of the image's size.
      grid: the multiples that tiles start at.
      halo: what is lost at both ends of a tile.

    Example:
      >>> cut_into(100, 36, 4, (8, 8)).starts
      (0, 20, 40, 60, 64)
    """
    if tile >= size:
        return Cut(size, (0,), halo[0])
    step = (tile - sum(halo)) // grid * grid
    starts = [*range(0, size - tile, step), size - tile]
    return Cut(tile, tuple(starts), halo[0])


def parts(cuts: Sequence[Cut]) -> list[tuple[int, ...]]:
    """The tiles of an image by their index along each axis, the last axis changing first."""
    return list(itertools.product(*(range(len(cut.starts)) for cut in cuts)))


def boxes(
    cuts: Sequence[Cut], part: Sequence[int], maps: Sequence[Map], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What is kept of a tile's output, and where it stands in the image's.

    Args:
      cuts: the tiles along each axis.
      part: which tile.
      maps: how the output of a tile follows each axis; none if the image is one tile.
      shape: its shape.
    """
    kept, put = [slice(0, n) for n in shape], [slice(0, n) for n in shape]
    for cut, index, along in zip(cuts, part, maps, strict=bool(maps)):
        lo, hi = cut.kept(along.scale, along.size)[index]
        by = int(cut.starts[index] * along.scale)
        kept[along.dim], put[along.dim] = slice(lo, hi), slice(lo + by, hi + by)
    return tuple(kept), tuple(put)
