"""Where random programs get their choices from: a seed, or hypothesis, behind one interface."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np


class Draw:
    """Choices by `integer`, which subclasses supply, and weights from one numpy generator."""

    def __init__(self) -> None:
        self.numbers = np.random.default_rng(self.integer(0, 2**31 - 1))

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        raise NotImplementedError

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """True in `percent` of the draws; hypothesis shrinks towards False."""
        return self.integer(0, 99) >= 100 - percent

    def some_of(self, options: Sequence[Any]) -> list[Any]:
        """A non-empty part of the options, in their order."""
        first = self.integer(0, len(options) - 1)
        return [o for i, o in enumerate(options) if i == first or self.chance(35)]

    def shuffled(self, options: Sequence[Any]) -> list[Any]:
        rest, out = list(options), []
        while rest:
            out.append(rest.pop(self.integer(0, len(rest) - 1)))
        return out

    def weights(self, *shape: int, scale: float | None = None):
        """Generic weights; the default scale keeps the size of what they multiply."""
        fan_in = max(1, int(np.prod(shape[:-1])))
        scale = fan_in**-0.5 if scale is None else scale
        return scale * self.numbers.normal(size=shape)


class SeededDraw(Draw):
    def __init__(self, seed: int) -> None:
        self.choices = random.Random(seed)
        super().__init__()

    def integer(self, low: int, high: int) -> int:
        return self.choices.randint(low, high)


class HypothesisDraw(Draw):
    """Wraps the `draw` of a composite strategy, so that failing programs shrink."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        super().__init__()

    def integer(self, low: int, high: int) -> int:
        from hypothesis import strategies as st

        return self.draw(st.integers(low, high))
