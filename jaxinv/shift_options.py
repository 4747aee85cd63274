"""The options of a translation: along which axes, with which fill, how far."""

import operator
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import numpy as np
from jaxtyping import PyTree

from jaxinv.arguments import per_axis, real_per_axis

Mode = Literal["wrap", "constant", "edge", "reflect"]
OrbitMode = Literal[Mode, "crop"]


def check_axes(axes: Sequence[int], rank: int, what: str = "an array") -> tuple[int, ...]:
    """Returns the spatial axes of an array of `rank` dimensions as distinct whole numbers from 0.

    Args:
      axes: dimensions, negative ones counted from the last.
      rank: number of dimensions of the array.
      what: what the array is, for the message.

    Raises:
      ValueError: if there are no axes, one is out of range, or one occurs twice.

    Example:
      >>> check_axes((1, -2), 4)
      (1, 2)
    """
    whole = whole_axes(axes)
    if not whole:
        raise ValueError("axes is empty; a translation needs at least one spatial axis")
    if rank == 0:
        raise ValueError(
            f"{what} is a scalar and has no spatial axes to translate; give arrays, for a list "
            "counts as its numbers"
        )
    for axis in whole:
        if not -rank <= axis < rank:
            raise ValueError(
                f"axis {axis} of axes {whole} is out of range for {what} with {rank} dimensions; "
                f"allowed are {-rank} to {rank - 1}"
            )
    positive = tuple(a % rank for a in whole)
    if len(set(positive)) < len(positive):
        raise ValueError(f"axes {whole} names a dimension twice")
    return positive


def whole_axes(axes: Sequence[int]) -> tuple[int, ...]:
    """Returns the axes as given; raises ValueError unless they are whole numbers."""
    try:
        return tuple(operator.index(a) for a in axes)
    except TypeError:
        raise ValueError(f"axes is {axes!r}; allowed is a sequence of whole numbers") from None


def common_sizes(arrays: PyTree[Any], axes: Sequence[int], what: str) -> tuple[int, ...]:
    """The positions along the spatial axes that arrays have in common, which move together.

    Args:
      arrays: a pytree of arrays, or of anything that has a shape.
      axes: the spatial axes of each.
      what: what the arrays are, for the message.

    Raises:
      ValueError: if there are no arrays, one lacks an axis, or they differ in size.

    Example:
      >>> common_sizes([np.ones((1, 8, 6)), np.ones((8, 6))], (-2, -1), "the images")
      (8, 6)
    """
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(arrays)]
    if not shapes:
        raise ValueError(f"{what} holds no arrays")
    sizes = {tuple(shape[d] for d in check_axes(axes, len(shape), what)) for shape in shapes}
    if len(sizes) > 1:
        raise ValueError(
            f"the arrays of {what} differ in size along axes {tuple(axes)}: "
            f"{' and '.join(map(str, sorted(sizes)))}; they must move together"
        )
    return sizes.pop()


def check_mode(mode: Any, allowed: Any) -> None:
    """Raises ValueError unless a mode is among those of `Mode` or `OrbitMode`."""
    if mode not in get_args(allowed):
        names = ", ".join(map(repr, get_args(allowed)))
        raise ValueError(f"mode is {mode!r}; allowed are {names}")


def check_fill(mode):
    """Raises ValueError unless a mode is a fill, one of `Mode`."""
    if mode == "crop":
        raise ValueError(
            "mode 'crop' needs the size of the window: use crop_translate; "
            f"translate allows {', '.join(map(repr, get_args(Mode)))}"
        )
    check_mode(mode, Mode)


def check_max_shift(
    max_shift: Any, count: int = 2, *, mode: str, subpixel: bool = False, name: str = "max_shift"
) -> tuple[float, ...] | None:
    """Returns up to how many pixels a random translation goes along each axis.

    Args:
      max_shift: a number that is not negative, or one per axis; None for every circular shift.
      count: the number of axes.
      mode: the fill at the border.
      subpixel: whether fractions of a pixel are meant.
      name: the option's name, for the message.

    Returns:
      `count` numbers, whole ones unless `subpixel`; None for every circular shift.

    Raises:
      ValueError: if a number is negative, not finite, or a fraction without `subpixel`; if there
        are not `count`; if None comes with a mode other than "wrap", or `subpixel` with None or a
        mode other than "constant".
    """
    check_fill(mode)
    if subpixel and (mode != "constant" or max_shift is None):
        raise ValueError(
            f"subpixel shifts need a {name} and mode 'constant', zeros at the border; "
            f"{name} is {max_shift!r} and mode {mode!r}"
        )
    if max_shift is None:
        if mode != "wrap":
            raise ValueError(f"{name} None, every circular shift, needs mode 'wrap', not {mode!r}")
        return None
    entries = (
        real_per_axis(max_shift, count, name) if subpixel else per_axis(max_shift, count, name)
    )
    if min(entries) < 0:
        raise ValueError(f"{name} is {max_shift!r}; allowed are numbers from 0")
    return entries
