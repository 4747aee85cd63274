"""Where random programs get their choices from: a seed, or hypothesis, behind one interface."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np


class Draw:
    """Choices by `integer`, which subclasses supply, and weights from one numpy generator."""

    # Weights are whole numbers and halves if `exact`: see materials.py, which sets both.
    exact = False
    dtype: Any = np.float64
    # The number of the program; a seed draws it in turn, so that nothing rare is left out.
    turn = 0

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

    def in_turn(self, options: Sequence[Any]) -> Any:
        """An option that programs one after another take one after another."""
        return options[self.turn % len(options)]

    def weights(self, *shape: int, scale: float | None = None):
        """Generic weights; the default scale keeps the size of what they multiply."""
        if self.exact:
            halves = self.numbers.choice([-2, -1, -1, 0, 1, 1, 2, 0.5], size=shape)
            return np.asarray(halves, self.dtype)
        fan_in = max(1, int(np.prod(shape[:-1])))
        scale = fan_in**-0.5 if scale is None else scale
        return np.asarray(scale * self.numbers.normal(size=shape), self.dtype)


class SeededDraw(Draw):
    def __init__(self, seed: int) -> None:
        self.choices = random.Random(seed)
        super().__init__()
        self.turn = seed

    def integer(self, low: int, high: int) -> int:
        return self.choices.randint(low, high)


class HypothesisDraw(Draw):
    """Wraps the `draw` of a composite strategy, so that failing programs shrink."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        super().__init__()
        self.turn = self.integer(0, 10_000)

    def integer(self, low: int, high: int) -> int:
        from hypothesis import strategies as st

        return self.draw(st.integers(low, high))
