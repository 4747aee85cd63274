"""How far one position of a value sees: its receptive field, stride and halo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from jaxinv.symmetry.bounds import EachBorder
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import Factor, Value, Window
from jaxinv.symmetry.walk import Walked, line_of, walk

EVERYTHING = "everything"
# Positions of the input that a pattern of upsampled positions may repeat after.
_MOST_PLACES = 4096


@dataclass(frozen=True)
class ReceptiveField:
    """What one position of a value reads of the input along an axis, in positions of the input.

    Attributes:
      size: from the first position that it reads to the last.
      stride: from one position of the value to the next; a part of one after upsampling.
      halo: what it reads before and after the `stride` positions that are its own; less than
        none where it does not read all of these.

    After upsampling, positions read as far as their place among others; then each is the largest.
    """

    size: int
    stride: Fraction
    halo: tuple[Fraction, Fraction]

    def to_dict(self) -> dict[str, Any]:
        """The field as JSON can hold it; parts of positions as `"1/2"`."""
        return {
            "size": self.size,
            "stride": str(self.stride),
            "halo": [str(side) for side in self.halo],
        }


def far_walk(traced: Traced) -> Walked:
    """The walk over a program on the line without borders, of which `field_of` asks.

    After upsampling, what a position reads depends on its place between positions of the coarser
    map. So the border of the input is put at each place after which all repeats.
    """
    walked = walk(traced, line_of(traced.sizes, bordered=False))
    strides: set[Fraction] = set()
    parts = False
    for record in walked.records:
        for axis in range(len(traced.sizes)):
            before, after = _strides(record.operands, axis), _strides(record.results, axis)
            strides |= after
            parts |= any((s / t).denominator > 1 for s in after for t in before)
    places = math.lcm(2, *(stride.numerator for stride in strides))
    if not parts or places > _MOST_PLACES:
        return walked
    return walk(traced, line_of(traced.sizes, bordered=False, places=places))


def field_of(value: Value, axis: int, size: int, dim: int) -> ReceptiveField | None:
    """The receptive field along an axis of a value on the line without borders.

    Args:
      value: the value, of `far_walk`.
      axis: the axis.
      size: positions of the input along it.
      dim: the dimension of the input that it is. There, what a window holds are positions as well.

    Returns:
      The field, of several windows the largest; None where the value reads all of the axis, or
      nothing is known of what it reads.
    """
    fields: list[ReceptiveField] = []
    for at, row in enumerate(value.dims):
        for index, window in enumerate(row):
            if isinstance(window, Window) and window.axis == axis and window.valid is not None:
                inner = row[index + 1 :] if at == dim else ()
                fields += _fields_of_window(value, window, size, inner)
    return max(fields, key=lambda field: field.size, default=None)


def _fields_of_window(
    value: Value, window: Window, size: int, inner: Sequence[Factor]
) -> list[ReceptiveField]:
    stride = _stride(value, window)
    count = 1 if any(isinstance(f, Window) for f in inner) else math.prod(f.size for f in inner)
    # Of `count` positions that read the same, the last has most of it before its own.
    more = stride * (count - 1) / count
    return [
        ReceptiveField(field.size, stride / count, (field.halo[0] + more, field.halo[1] + more))
        for field in _fields_of_positions(window, stride, size)
    ]


def _strides(values: Sequence[Value], axis: int) -> set[Fraction]:
    return {_stride(value, window) for value in values for _, window in value.windows(axis)}


def _stride(value: Value, window: Window) -> Fraction:
    return Fraction(value.period[window.axis]) / Fraction(window.pace)


def _fields_of_positions(window: Window, stride: Fraction, size: int) -> list[ReceptiveField]:
    """The largest field, if there is one, of the positions of a window."""
    assert window.valid is not None
    lo, hi = window.valid
    if not isinstance(lo, EachBorder):
        before, after = lo * stride, size - hi * stride
        halo = (after, before) if window.rate < 0 else (before, after)
        return [ReceptiveField(math.ceil(before + stride + after), stride, halo)]
    origin = 0
    if window.rate < 0:  # position j is -1 - j of those counted from the end of the input
        lo, hi, origin = 0 - hi, 0 - lo, size
    # With the border before input position d, positions from starts[d] on see none of it; with
    # that at size + d, those before stops[d].
    starts, stops = math.ceil(lo).places, math.floor(hi).places
    places, period = len(starts), int(len(starts) / stride)
    fields = []
    for at in range(starts[0], starts[0] + period):
        first = max(d for d, start in enumerate(starts) if start <= at)
        turns, left = divmod(at - stops[0], period)
        last = next((d for d, stop in enumerate(stops) if stop > stops[0] + left), places)
        last += size - 1 + turns * places
        if first <= last:  # else it reads nothing, as between positions of a transposed convolution
            own = origin + at * stride
            halo = own - first, last + 1 - own - stride
            fields.append(ReceptiveField(last + 1 - first, stride, halo))
    if not fields:
        return []
    span = max(field.size for field in fields)
    before, after = (max(field.halo[side] for field in fields) for side in (0, 1))
    return [ReceptiveField(span, stride, (before, after))]
