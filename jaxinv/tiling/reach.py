"""How far an output sees, from its interior and its period on the endless line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from jaxinv.symmetry.reasons import BORDERS, Cause, in_words
from jaxinv.symmetry.values import Value, Window
from jaxinv.symmetry.walk import Record, Walked

# With these, a larger image may have an interior.
_OF_SMALL_MAPS = BORDERS | {Cause.ONLY_BORDER}


@dataclass(frozen=True)
class Map:
    """How one dimension of a value follows the image along one axis.

    Attributes:
      dim: the dimension.
      scale: its positions for each position of the image.
      start: the first of its positions that sees no border.
      stop: one past the last.
      size: all of its positions.
    """

    dim: int
    scale: Fraction
    start: int
    stop: int
    size: int

    def halo(self, size: int) -> tuple[Fraction, Fraction]:
        """How much of an image of `size` positions is lost at its first and at its last end."""
        return self.start / self.scale, max(size - self.stop / self.scale, Fraction(0))


def map_of(value: Value, axis: int) -> Map | None:
    """How a value of the walk on the line follows the image; None if no halo makes it do so."""
    rows = [
        (dim, row)
        for dim, row in enumerate(value.dims)
        if any(isinstance(f, Window) and f.axis == axis for f in row)
    ]
    if len(rows) != 1 or value.decisions[axis] is not None:
        return None
    ((dim, (window, *rest)),) = rows
    if not isinstance(window, Window) or any(isinstance(f, Window) for f in rest):
        return None
    lo, hi = window.interior
    if window.axis != axis or window.rate <= 0 or lo >= hi:
        return None
    inner = math.prod(f.size for f in rest)
    scale = Fraction(window.rate) * inner / value.period[axis]
    return Map(dim, scale, lo * inner, hi * inner, window.size * inner)


def furthest(values: Sequence[Value], axis: int, size: int) -> tuple[Fraction, Fraction] | None:
    """The largest halo among values, before and after; None if none of them follows the image."""
    halos = [
        (lo / pace, max(size - hi / pace, Fraction(0)))
        for value in values
        for _, window in value.windows(axis)
        for (lo, hi), pace in [(window.interior, Fraction(window.pace) / value.period[axis])]
        if lo < hi
    ]
    if not halos:
        return None
    return max(before for before, _ in halos), max(after for _, after in halos)


class End(NamedTuple):
    """Where a value lost all positions that see no border.

    Attributes:
      record: the equation.
      why: in words.
      small: whether a larger image may have such positions.
    """

    record: Record
    why: str
    small: bool


def end_of_interior(walked: Walked, number: int, axis: int) -> End:
    """Where a value that the image goes into lost all positions that see no border."""
    made = {out: record for record in walked.records for out in record.equation.outs}
    record = made[number]
    while True:
        lost = [
            i
            for i, value in zip(record.equation.ins, record.operands, strict=True)
            if i in made and value.touched and furthest([value], axis, 0) is None
        ]
        if not lost:
            break
        record = made[lost[0]]
    reasons = record.notes.get(axis, [])
    if all(reason.cause in _OF_SMALL_MAPS for reason in reasons):
        return End(record, "every position sees the border of so small an image", True)
    return End(record, in_words(reasons), False)
