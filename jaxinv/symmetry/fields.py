"""How far one position of a value sees: its receptive field, stride and halo."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from jaxinv.symmetry.values import Value

EVERYTHING = "everything"


@dataclass(frozen=True)
class ReceptiveField:
    """What one position of a value reads of the input along an axis, in positions of the input.

    Attributes:
      size: from the first position that it reads to the last.
      stride: from one position of the value to the next; a part of one after upsampling.
      halo: what it reads before and after the `stride` positions that are its own; less than
        none where it does not read all of these.
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


def field_of(value: Value, axis: int, size: int) -> ReceptiveField | None:
    """The receptive field along an axis of a value on the line without borders.

    Args:
      value: the value.
      axis: the axis.
      size: positions of the input along it.

    Returns:
      The field, of several windows the largest; None where the value reads all of the axis, or
      nothing is known of what it reads.
    """
    fields = []
    for _, window in value.windows(axis):
        if window.valid is None:
            continue
        stride = Fraction(value.period[axis]) / Fraction(window.pace)
        before, after = window.valid[0] * stride, size - window.valid[1] * stride
        halo = (after, before) if window.rate < 0 else (before, after)
        fields.append(ReceptiveField(math.ceil(before + stride + after), stride, halo))
    return max(fields, key=lambda field: field.size, default=None)
