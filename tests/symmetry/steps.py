"""What a random program is made of: steps, each a function from one array to one array.

A value's *layout* is a string with one letter a dimension, in order. N is the batch, C the
channels, any other capital (H and W at first) a dimension along which positions lie, a small
letter one that holds polyphase components or attention heads. A *maker* looks at a value and
its layout and draws a step that is valid for them, or None where it has nothing to offer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    name: str
    fun: Callable[[Any], Any]
    layout: str


class Family(NamedTuple):
    name: str
    weight: int
    make: Callable[..., Step | None]


FAMILIES: list[Family] = []


def family(weight: int):
    """Registers a maker under its own name; `weight` is how often it is drawn."""

    def register(make):
        FAMILIES.append(Family(make.__name__, weight, make))
        return make

    return register


def positions(layout: str) -> list[int]:
    """The dimensions along which positions lie."""
    return [i for i, letter in enumerate(layout) if letter.isupper() and letter not in "NC"]


def is_map(layout: str) -> bool:
    """Whether convolution and pooling apply: batch, channels and one to three dimensions more."""
    return "N" in layout and "C" in layout and 3 <= len(layout) <= 5 and layout.isupper()


def without(layout: str, dims) -> str:
    return "".join(letter for i, letter in enumerate(layout) if i not in set(dims))


def fresh(layout: str, *, small: bool) -> str:
    """A letter that the layout does not use yet."""
    return next(c for c in ("abcdefgh" if small else "TUVXYZ") if c not in layout)


def is_generic(value) -> bool:
    """Whether a value still tells its inputs apart: finite, not saturated, without many ties.

    A chain of relus that has become zero is invariant to everything, which no proof from shapes
    can see and no test should count.
    """
    array = np.asarray(value)
    if array.size == 0 or array.size > 4000:
        return False
    assert array.dtype == np.float64, array.dtype
    scale = np.abs(array).max()
    if not np.isfinite(array).all() or not 1e-3 < scale < 1e3:
        return False
    distinct = np.unique(np.round(array / scale, 9)).size
    return distinct >= max(1 if array.size < 4 else 2, array.size // 16)


def is_clear(difference, *, gap: float = 1e-6) -> bool:
    """Whether no comparison of two generic values is so close that rounding could turn it."""
    array = np.abs(np.asarray(difference))
    return bool(array.size == 0 or array.min() > gap)
