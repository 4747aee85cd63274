"""How a kernel slides along a dimension, by the parameters of its primitive."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# First position and one past the last.
Range = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves along one dimension."""

    extent: int
    stride: int
    low: int
    high: int
    dilation: int
    base_dilation: int = 1

    @property
    def span(self) -> int:
        """Positions from the first to the last that one output reads."""
        return (self.extent - 1) * self.dilation + 1

    @property
    def slack(self) -> int:
        """How many positions of padding stand between dilated positions anyway."""
        return self.base_dilation - 1

    @property
    def is_identity(self) -> bool:
        """Whether each output reads the position it stands at, and no other."""
        return (self.span, self.stride, self.low, self.high, self.base_dilation) == (1, 1, 0, 0, 1)

    @property
    def reads_inside(self) -> bool:
        """Whether no padding is read, at the ends or in between."""
        return max(self.low, self.high) <= 0 and self.base_dilation == 1

    def count(self, size: int) -> int:
        """The number of outputs for an input of `size` positions."""
        dilated = (size - 1) * self.base_dilation + 1
        return max(0, (dilated + self.low + self.high - self.span) // self.stride + 1)

    def on_circle(self, size: int) -> "Geometry":
        """The same on a circle of `size` dilated positions, with one tap for each position read.

        Tap j reads position `j * dilation` modulo `size`. Those are multiples of the greatest
        common divisor of both.
        """
        step = math.gcd(self.dilation, size)
        if self.extent <= size // step:
            return self
        return dataclasses.replace(self, extent=size // step, dilation=step)

    def read(self, outputs: Range) -> Range:
        """The dilated positions that some outputs read, before the first and after the last too."""
        start, stop = (at * self.stride - self.low for at in (outputs[0], outputs[1] - 1))
        return start, stop + self.span


def geometries_of_convolution(params: Mapping[str, Any], kernel: Sequence[int]) -> list[Geometry]:
    """How a kernel of some shape moves along each spatial dimension of a convolution."""
    extents = [kernel[dim] for dim in params["dimension_numbers"].rhs_spec[2:]]
    return _geometries(params, extents, "window_strides", "rhs_dilation", "lhs_dilation")


def geometries_of_pool(params: Mapping[str, Any]) -> list[Geometry]:
    """How the window of a pool moves along each dimension."""
    extents = params["window_dimensions"]
    return _geometries(params, extents, "window_strides", "window_dilation", "base_dilation")


def _geometries(params, extents, strides: str, dilation: str, base: str) -> list[Geometry]:
    rows = zip(
        extents, params[strides], params["padding"], params[dilation], params[base], strict=True
    )
    return [Geometry(*map(int, (k, s, low, high, d, b))) for k, s, (low, high), d, b in rows]
