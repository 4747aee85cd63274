"""What the numbers among a module's options may be."""

import dataclasses
import types
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin

import flax.linen as nn
import jax
import numpy as np

from jaxinv.arguments import LARGEST_FLOAT
from jaxinv.layers.spatial import LARGEST, naming

# Checked where the number of axes is known.
_PER_AXIS = int | Sequence[int]
# Options that may be 0: there are networks without blocks, and without downsampling.
_FROM_ZERO = frozenset({"blocks", "depth", "downsamplings"})
# Options of which not every number of their type has a meaning.
_LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "dropout": (lambda share: bool(0 <= np.float32(share) < 1), "numbers from 0 to below 1"),
    "temperature": (lambda value: bool(np.float32(value) > 0), "values above 0, and finite"),
}


def check_options(module: nn.Module) -> None:
    """Refuses a module with numbers that are not of their field's type, and names the module.

    Numbers, truth values and sequences of them are checked.

    Example:
      >>> class Dropped(nn.Module):
      ...     dropout: float = 0.0
      >>> check_options(Dropped(dropout=2))
      Traceback (most recent call last):
      ValueError: Dropped: dropout is 2; allowed are numbers from 0 to below 1
    """
    with naming(module):
        for field in dataclasses.fields(module):
            _check(field.name, getattr(module, field.name), field.type)


def _check(name: str, value: Any, kind: Any) -> None:
    least = 0 if name in _FROM_ZERO else 1
    allowed = _allowed(kind, least)
    if allowed is None:
        return
    within, allowed = _LIMITS.get(name, (lambda _: True, allowed))
    if not _fits(value, kind, least) or not within(value):
        raise ValueError(f"{name} is {value!r}; allowed are {allowed}")


def _allowed(kind: Any, least: int) -> str | None:
    """What fits a field's type, in words; None if the type is not one of numbers."""
    if kind == _PER_AXIS:
        return None
    if get_origin(kind) in (Union, types.UnionType):
        each = [_allowed(one, least) for one in get_args(kind)]
        return None if None in each else " or ".join(map(str, each))
    if get_origin(kind) is Sequence:
        inner = _allowed(get_args(kind)[0], least)
        return None if inner is None else f"sequences of {inner}"
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    return {
        int: f"whole numbers from {least} to {LARGEST}",
        float: "finite numbers",
        bool: "True and False",
        types.NoneType: "None",
    }.get(kind)


def _fits(value: Any, kind: Any, least: int) -> bool:
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = value.tolist()
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(value, one, least) for one in get_args(kind))
    if get_origin(kind) is Sequence:
        (inner,) = get_args(kind)
        if not isinstance(value, tuple | list) or not all(_fits(v, inner, least) for v in value):
            return False
        return get_origin(inner) is not Sequence or all(value)  # a stage without layers is none
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):
        return kind is bool
    if kind is int:
        return isinstance(value, Integral) and least <= int(value) <= LARGEST
    if kind is float:
        return isinstance(value, Real) and abs(float(value)) <= LARGEST_FLOAT
    return kind is types.NoneType and value is None
