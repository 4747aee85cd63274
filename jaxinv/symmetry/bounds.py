"""Where the positions begin and end whose receptive field has met no border."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Number = int | Fraction


@dataclass(frozen=True)
class EachBorder:
    """A bound as it is for each place of the input's border: the same is done to all of them.

    Upsampling rounds a bound, so that one place does not tell what another would give.

    Example:
      >>> lost = EachBorder((0, 1, 2)) / Fraction(2)
      >>> math.ceil(lost - 1)
      EachBorder(places=(-1, 0, 0))
    """

    places: tuple[Number, ...]

    def each(self, fun: Callable[[Any], Number]) -> "EachBorder":
        """The bound with a function of it at each place."""
        return EachBorder(tuple(map(fun, self.places)))

    def __add__(self, other: Number) -> "EachBorder":
        return self.each(lambda n: n + other)

    def __sub__(self, other: Number) -> "EachBorder":
        return self.each(lambda n: n - other)

    def __rsub__(self, other: Number) -> "EachBorder":
        return self.each(lambda n: other - n)

    def __mul__(self, other: Number) -> "EachBorder":
        return self.each(lambda n: n * other)

    def __truediv__(self, other: Number) -> "EachBorder":
        return self.each(lambda n: n / Fraction(other))

    def __ceil__(self) -> "EachBorder":
        return self.each(math.ceil)

    def __floor__(self) -> "EachBorder":
        return self.each(math.floor)


# First valid position, and one past the last, before they are rounded to whole ones: a `Number`
# each, or an `EachBorder` each.
Valid = tuple[Any, Any]


def common(bounds: Sequence[Valid]) -> Valid | None:
    """What is valid where several are; None where all is."""
    if not bounds:
        return None
    return _each(max, [lo for lo, _ in bounds]), _each(min, [hi for _, hi in bounds])


def _each(choice: Callable, bounds: Sequence[Any]) -> Any:
    if isinstance(bounds[0], EachBorder):
        return EachBorder(tuple(map(choice, zip(*(b.places for b in bounds), strict=True))))
    return choice(bounds)
