"""What the numbers among a network's options may be, checked when the network is made."""

import dataclasses
import math
import types
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin

import flax.linen as nn
import numpy as np

from jaxinv.layers.spatial import LARGEST, naming

# Options that may be 0: there are networks without blocks, and without downsampling.
_FROM_ZERO = frozenset({"blocks", "depth", "downsamplings"})
_SHARES = frozenset({"dropout"})


class Network(nn.Module):
    """A linen module that refuses options whose numbers are not of the type of their field.

    Example:
      >>> class Dropped(Network):
      ...     dropout: float = 0.0
      >>> Dropped(dropout=2)
      Traceback (most recent call last):
      ValueError: Dropped: dropout is 2; allowed are numbers from 0 to below 1
    """

    def __post_init__(self) -> None:
        """Checks the fields that hold numbers, truth values, or sequences of them."""
        super().__post_init__()
        with naming(self):
            for field in dataclasses.fields(self):
                _check(field.name, getattr(self, field.name), field.type)


def _check(name: str, value: Any, kind: Any) -> None:
    least = 0 if name in _FROM_ZERO else 1
    allowed = "numbers from 0 to below 1" if name in _SHARES else _allowed(kind, least)
    if allowed is None:
        return
    if not _fits(value, kind, least) or (name in _SHARES and not 0 <= value < 1):
        raise ValueError(f"{name} is {value!r}; allowed are {allowed}")


def _allowed(kind: Any, least: int) -> str | None:
    """What fits a field's type, in words; None if the type is not one of numbers."""
    if get_origin(kind) in (Union, types.UnionType):
        each = [_allowed(one, least) for one in get_args(kind)]
        return None if None in each else " or ".join(map(str, each))
    if get_origin(kind) is Sequence:
        inner = _allowed(get_args(kind)[0], least)
        return None if inner is None else f"sequences of {inner}"
    return {
        int: f"integers from {least} to {LARGEST}",
        float: "finite numbers",
        bool: "True and False",
        types.NoneType: "None",
    }.get(kind)


def _fits(value: Any, kind: Any, least: int) -> bool:
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(value, one, least) for one in get_args(kind))
    if get_origin(kind) is Sequence:
        (inner,) = get_args(kind)
        if not isinstance(value, tuple | list) or not all(_fits(v, inner, least) for v in value):
            return False
        return get_origin(inner) is not Sequence or all(value)  # a stage without layers is none
    if isinstance(value, bool | np.bool_):
        return kind is bool
    if kind is int:
        return isinstance(value, Integral) and least <= value <= LARGEST
    if kind is float:
        return isinstance(value, Real) and math.isfinite(value)
    return kind is types.NoneType and value is None
