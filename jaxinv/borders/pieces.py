"""An array held in pieces: a grid of boxes."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jaxinv.symmetry.kernels import Range
from jaxinv.symmetry.values import Factor, Value, Window


class NotABox(Exception):
    """The positions asked for are no box of an array, so that it has to be joined."""


@dataclass(frozen=True)
class Layout:
    """Where an array is cut.

    Attributes:
      dims: of each dimension the factors whose product it is, in order, each as the positions at
        which its pieces begin and, last, its size. A dimension that one cut along its leading
        factor describes has one factor; flattened maps have several.
    """

    dims: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def bounds(self) -> tuple[tuple[int, ...], ...]:
        """The bounds of all factors, in order."""
        return tuple(bounds for dim in self.dims for bounds in dim)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of all factors, in order."""
        return tuple(bounds[-1] for bounds in self.bounds)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the program sees."""
        return tuple(math.prod(bounds[-1] for bounds in dim) for dim in self.dims)

    @property
    def is_cut(self) -> bool:
        """Whether there is more than one piece."""
        return any(len(bounds) > 2 for bounds in self.bounds)

    def boxes(self) -> list[tuple[tuple[int, ...], tuple[Range, ...]]]:
        """Each piece: its index in the grid, and its range along each factor."""
        rows = [list(enumerate(itertools.pairwise(bounds))) for bounds in self.bounds]
        return [
            (tuple(i for i, _ in cell), tuple(r for _, r in cell))
            for cell in itertools.product(*rows)
        ]


def uncut(shape: Sequence[int]) -> Layout:
    """The layout of an array in one piece."""
    return Layout(tuple(((0, n),) for n in shape))


def layout_of(value: Value) -> Layout:
    """Each dimension of a value cut at the ends of its interior, as the walk on the line finds it.

    Example:
      >>> from jaxinv.symmetry.values import Plain
      >>> rows = (Window(0, 0, 8, valid=(2, 7)),)
      >>> layout_of(Value((1,), ((Plain(3),), rows), None, None, (None,))).dims
      (((0, 3),), ((0, 2, 7, 8),))
    """
    return Layout(tuple(_merged([_bounds(factor) for factor in dim]) for dim in value.dims))


def _bounds(factor: Factor) -> tuple[int, ...]:
    lo, hi = factor.interior if isinstance(factor, Window) else (0, factor.size)
    inner = {lo, hi} if 0 <= lo < hi <= factor.size else set()
    return tuple(sorted({0, factor.size} | inner))


def _merged(rows: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Factors in one piece go with the one before them."""
    merged: list[tuple[int, ...]] = []
    for bounds in rows:
        if merged and (len(bounds) == 2 or merged[-1][-1] == 1):
            before = merged.pop()
            bounds = bounds if before[-1] == 1 else tuple(b * bounds[-1] for b in before)
        merged.append(bounds)
    return tuple(merged) or ((0, 1),)


@dataclass(frozen=True)
class Pieces:
    """An array in pieces.

    Attributes:
      layout: where it is cut.
      parts: the pieces by their index in the grid, each with one dimension for each factor.
    """

    layout: Layout
    parts: dict[tuple[int, ...], Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the program sees."""
        return self.layout.shape

    def read(self, sizes: Sequence[int], box: Sequence[Range]) -> Any:
        """Some positions, gathered from the pieces that they lie in.

        Args:
          sizes: the factors, in order, that the array is seen with.
          box: the range along each of them.

        Raises:
          NotABox: if these positions are no box in the array's own factors.
        """
        if not self.layout.is_cut:
            (array,) = self.parts.values()
            return _sliced(reshaped(array, sizes), box)
        array = self._gathered(as_factors(sizes, box, self.layout.sizes), ())
        return reshaped(array, [stop - start for start, stop in box])

    def whole(self) -> Any:
        """The array in one piece."""
        return self.read(self.shape, [(0, n) for n in self.shape])

    def _gathered(self, box: Sequence[Range], chosen: tuple[tuple[int, Range], ...]) -> Any:
        """The pieces along the factors from `len(chosen)` on, one after the other."""
        dim = len(chosen)
        if dim == len(box):
            return _sliced(self.parts[tuple(i for i, _ in chosen)], [r for _, r in chosen])
        start, stop = box[dim]
        parts = []
        for i, (lo, hi) in enumerate(itertools.pairwise(self.layout.bounds[dim])):
            inside = max(start, lo) - lo, min(stop, hi) - lo
            if inside[0] < inside[1]:
                parts.append(self._gathered(box, (*chosen, (i, inside))))
        return parts[0] if len(parts) == 1 else lax.concatenate(parts, dim)


def in_one_piece(array) -> Pieces:
    """An array as it is."""
    layout = uncut(np.shape(array))
    return Pieces(layout, {(0,) * len(layout.dims): array})


def reshaped(array, shape: Sequence[int]) -> Any:
    """The array with another shape; constants of numpy stay such."""
    if np.shape(array) == tuple(shape):
        return array
    return array.reshape(shape) if isinstance(array, np.ndarray) else lax.reshape(array, shape)


def _sliced(array, box: Sequence[Range]) -> Any:
    if all((start, stop) == (0, n) for (start, stop), n in zip(box, np.shape(array), strict=True)):
        return array
    if isinstance(array, np.ndarray):
        return array[tuple(slice(*r) for r in box)]
    return lax.slice(array, [start for start, _ in box], [stop for _, stop in box])


def as_factors(sizes: Sequence[int], box: Sequence[Range], to: Sequence[int]) -> tuple[Range, ...]:
    """A box along some factors as one along others with the same positions in the same order.

    Example:
      >>> as_factors((6, 4), ((1, 3), (0, 4)), (24,)), as_factors((24,), ((4, 12),), (6, 4))
      (((4, 12),), ((1, 3), (0, 4)))

    Raises:
      NotABox: if there is none.
    """
    if tuple(sizes) == tuple(to):
        return tuple(box)
    factors = [(n, r) for n, r in zip(sizes, box, strict=True) if n != 1]
    wanted = [n for n in to if n != 1]
    ranges: list[Range] = []
    while wanted:
        # The shortest rows of factors that hold the same positions.
        row, new = [factors.pop(0)], [wanted.pop(0)]
        while (held := math.prod(n for n, _ in row)) != math.prod(new):
            if held < math.prod(new):
                row.append(factors.pop(0))
            else:
                new.append(wanted.pop(0))
        if [n for n, _ in row] == new:
            ranges += [r for _, r in row]
        else:
            ranges += _unfolded(_folded(row), new)
    left = iter(ranges)
    return tuple((0, 1) if n == 1 else next(left) for n in to)


def _folded(row: Sequence[tuple[int, Range]]) -> Range:
    """Ranges of neighbouring factors as one of their product."""
    first, count = 0, 1
    for n, (start, stop) in row:
        if count > 1 and (start, stop) != (0, n):
            raise NotABox
        # Row-major: position p of the factors before and s of this one are position p * n + s.
        first, count = first * n + start, count * (stop - start)
    return first, first + count


def _unfolded(positions: Range, sizes: Sequence[int]) -> list[Range]:
    """The opposite."""
    start, stop = positions
    ranges: list[Range] = []
    for at in range(len(sizes)):
        inner = math.prod(sizes[at + 1 :])
        if start % inner == 0 and stop % inner == 0:
            return [*ranges, (start // inner, stop // inner), *((0, m) for m in sizes[at + 1 :])]
        lead = start // inner
        if (stop - 1) // inner != lead:
            raise NotABox
        ranges.append((lead, lead + 1))
        start, stop = start - lead * inner, stop - lead * inner
    return ranges
