"""What a random program is made of: steps, each a function from one array to one array.

A value's *layout* is a string with one letter a dimension, in order. N is the batch, C the
channels, any other capital (H and W at first) a dimension along which positions lie, a small
letter one that holds polyphase components or attention heads. A *maker* looks at a value and
its layout and draws a step that is valid for them, or None where it has nothing to offer.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    name: str
    fun: Callable[[Any], Any]
    layout: str


class Family(NamedTuple):
    """A maker, how often it is drawn, and whether its steps consist of others."""

    name: str
    weight: int
    make: Callable[..., Step | None]
    nests: bool = False


FAMILIES: list[Family] = []
# Makers of steps that few programs hold; programs one after another take one after another.
RARE: list[Callable[..., Step | None]] = []


def family(weight: int):
    """Registers a maker under its own name; `weight` is how often it is drawn."""

    def register(make):
        nests = "depth" in inspect.signature(make).parameters
        FAMILIES.append(Family(make.__name__, weight, make, nests))
        return make

    return register


def rare(make):
    """Registers a maker among the rare ones."""
    RARE.append(make)
    return make


def has_rare(d) -> bool:
    """Whether a program is to have a rare step: one of three."""
    return d.turn % 3 == 1


def next_rare(d, value, layout) -> Step | None:
    """A step of the rare kind whose turn it is."""
    return RARE[d.turn // 3 % len(RARE)](d, value, layout)


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


def is_clear(d, difference, *, gap: float = 1e-6) -> bool:
    """Whether no comparison of two values is so close that rounding could turn it."""
    array = np.abs(np.asarray(difference))
    return bool(d.exact or array.size == 0 or array.min() > gap)
