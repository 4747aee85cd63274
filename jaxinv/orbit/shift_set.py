"""Which shifts an orbit holds, in which order, and how its outputs are shaped."""

import dataclasses
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxinv.arguments import per_axis
from jaxinv.shift_options import OrbitMode, check_mode

# The table of shifts is one of 32 bits.
_FARTHEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class ShiftSet:
    """A grid of shifts, one sorted row per spatial axis, or a list of shift tuples.

    Attributes:
      mode: what enters at the border.
      lengths: positions of the argument along each spatial axis.
      sizes: positions of the image that the function sees: fewer than `lengths` for
        `mode="crop"`, else the same.
      rows: the shifts along each axis, ascending. Of a grid, all combinations are meant; of a
        list, these are the values that occur in it.
      listed: the shift tuples in the order given, or None for a grid.

    Example:
      >>> grid = shift_set((28, 28), mode="edge", max_shift=(1, 0))
      >>> grid.shape, grid.table().tolist()
      ((3, 1), [[-1, 0], [0, 0], [1, 0]])
    """

    mode: OrbitMode
    lengths: tuple[int, ...]
    sizes: tuple[int, ...]
    rows: tuple[Sequence[int], ...]
    listed: tuple[tuple[int, ...], ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading axes of an orbit's outputs: one per spatial axis, or one for a list."""
        return (len(self.listed),) if self.listed is not None else tuple(map(len, self.rows))

    @property
    def count(self) -> int:
        """The number of shifts."""
        return math.prod(self.shape)

    @property
    def is_grid(self) -> bool:
        """Whether all combinations of the shifts along each axis are in the set."""
        return self.listed is None or len(set(self.listed)) == math.prod(map(len, self.rows))

    def table(self) -> Int[np.ndarray, "count axes"]:
        """All shifts in the order of the flattened leading axes, in pixels.

        Raises:
          ValueError: if a shift does not fit into 32 bits.
        """
        shifts = list(itertools.product(*self.rows) if self.listed is None else self.listed)
        for shift in shifts:
            if max(map(abs, shift)) > _FARTHEST:
                raise ValueError(
                    f"shift is {shift}; allowed are whole numbers from {-_FARTHEST} to {_FARTHEST}"
                )
        return np.array(shifts, np.int32).reshape(self.count, len(self.rows))

    def shift(self, index: Sequence[int]) -> tuple[int, ...]:
        """The shift at an index of the leading axes."""
        if self.listed is not None:
            (at,) = index
            return self.listed[at]
        return tuple(row[i] for row, i in zip(self.rows, index, strict=True))

    def index(self, shift: Sequence[int]) -> tuple[int, ...]:
        """The index of a shift in the leading axes.

        Raises:
          ValueError: if the set does not hold the shift.
        """
        shift = tuple(map(operator.index, shift))
        try:
            if self.listed is not None:
                return (self.listed.index(shift),)
            return tuple(row.index(t) for row, t in zip(self.rows, shift, strict=True))
        except ValueError:
            raise ValueError(f"shift {shift} is not in the set of {self.count} shifts") from None

    def moves(self, axis: int, shift: Any) -> Any:
        """How far shifts along one axis move the image: circular ones of -1 by `P - 1`.

        The numbers that the user gave are translated here, and nowhere else.
        """
        return shift % self.sizes[axis] if self.mode == "wrap" else shift

    def margins(self) -> tuple[tuple[int, int], ...]:
        """Positions beside the image that shifts read, per axis: before its start, past its end."""
        if self.mode == "crop":
            rests = [n - size for n, size in zip(self.lengths, self.sizes, strict=True)]
            return tuple((rest // 2, rest - rest // 2) for rest in rests)
        moves = [[self.moves(axis, t) for t in row] for axis, row in enumerate(self.rows)]
        return tuple((max(0, *row), max(0, *(-t for t in row))) for row in moves)


def shift_set(
    sizes: Sequence[int],
    *,
    mode: OrbitMode = "wrap",
    max_shift: int | Sequence[int] | None = None,
    shifts: Sequence[Sequence[int]] | None = None,
) -> ShiftSet:
    """The shifts of an image, by the conventions of `jaxinv.orbit`.

    Args:
      sizes: positions of the argument along each spatial axis; for `mode="crop"`, of the larger
        image from which windows are cut.
      mode: what enters at the border.
      max_shift: `m`, for the shifts `-m .. m` along each axis; one number, or one per axis.
        Needed for every mode but `"wrap"`, where None means all `P` shifts `0 .. P - 1`.
      shifts: only these shift tuples, in this order. With `mode="crop"`, `max_shift` still gives
        the window.

    Returns:
      The set; its `sizes` are those of the window for `mode="crop"`.

    Raises:
      ValueError: if the mode is unknown, `max_shift` is missing, negative or too large, or a
        listed shift has the wrong length or lies outside what the mode allows.

    Example:
      >>> shift_set((4,)).table().ravel().tolist()
      [0, 1, 2, 3]
      >>> shift_set((8,), mode="crop", max_shift=2).sizes
      (4,)
    """
    lengths = window = tuple(sizes)
    check_mode(mode, OrbitMode)
    if min(window) < 1:
        raise ValueError(f"an image of {window} positions has nothing to translate")
    limits = None if max_shift is None else per_axis(max_shift, len(window), "max_shift")
    if limits is not None and min(limits) < 0:
        raise ValueError(f"max_shift is {max_shift}; allowed are numbers from 0")
    if mode == "crop":
        window = _window(window, limits)
    if shifts is not None:
        rows, listed = _listed(window, mode, limits, shifts)
        return ShiftSet(mode, lengths, window, rows, listed)
    if limits is not None:
        _check_reach(window, mode, limits)
        return ShiftSet(mode, lengths, window, tuple(range(-m, m + 1) for m in limits))
    if mode != "wrap":
        raise ValueError(f"mode {mode!r} needs max_shift or shifts: only 'wrap' has a full set")
    return ShiftSet(mode, lengths, window, tuple(range(size) for size in window))


def _window(sizes, limits):
    if limits is None:
        raise ValueError("mode 'crop' needs max_shift: the window is 2 * max_shift smaller")
    window = tuple(size - 2 * m for size, m in zip(sizes, limits, strict=True))
    if min(window) < 1:
        largest = tuple((size - 1) // 2 for size in sizes)
        raise ValueError(
            f"max_shift {limits} leaves no window of an image of {sizes}; at most {largest}"
        )
    return window


def _listed(sizes, mode, limits, shifts):
    if limits is not None and mode != "crop":
        raise ValueError("give either max_shift or shifts, not both (but for mode 'crop')")
    try:
        listed = tuple(per_axis(tuple(shift), len(sizes), "shift") for shift in shifts)
    except TypeError:
        raise ValueError(f"shifts is {shifts!r}; allowed is a list of shift tuples") from None
    if not listed:
        raise ValueError("shifts is empty; it needs at least one shift")
    rows = tuple(tuple(sorted(set(column))) for column in zip(*listed, strict=True))
    reach = tuple(max(-row[0], row[-1]) for row in rows)
    if mode == "crop" and any(r > m for r, m in zip(reach, limits, strict=True)):
        raise ValueError(f"shifts reach {reach}, outside max_shift {limits} of the crop")
    _check_reach(sizes, mode, reach)
    return rows, listed


def _check_reach(sizes, mode, reach):
    if mode == "reflect" and any(r >= size for r, size in zip(reach, sizes, strict=True)):
        raise ValueError(
            f"a shift of {reach} is too large to reflect an image of {sizes}; "
            f"at most {tuple(size - 1 for size in sizes)}"
        )
