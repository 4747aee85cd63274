"""What is known of a value at every shift, and the one array from which all shifts can be read.

A spatial axis `a` of the input has `P` positions on a torus. Of each value of the program we keep,
for each axis, a period `d`: at shift `t = r + d * q` the value is determined by the coset
representative `r` and moves with `q`. How it moves is written into its layout. Each dimension of
the program's value is an ordered product of factors:

* `Plain(n)`: positions that do not follow the shift (channels, classes, the batch);
* `Uniform(n)`: the same along all its positions, stored once (a broadcast bias);
* `Window(axis, offset, n, rate)`: positions `offset .. offset + n - 1` of a torus with
  `m = P * |rate| / d` positions, seen while its content moves by `rate` positions for each `q`:

      value[t][j] = base[r][(offset + j - rate * q) mod m]

With `d = P` and no window every shift has a value of its own: the symmetry along that axis is
broken. With no window and `d = 1` the value is invariant.

`base` is one array. Its leading dimensions are the cosets, one per axis (or 1 where all cosets
agree); then follow the factors, a window with all its `m` positions. It is None while only states
are computed.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.bounds import EachBorder, Valid


@dataclass(frozen=True)
class Plain:
    """Positions that do not follow the shift."""

    size: int


@dataclass(frozen=True)
class Uniform:
    """Positions that all hold the same; stored once."""

    size: int


@dataclass(frozen=True)
class Window:
    """Positions that follow the shift along `axis`, `rate` at a time.

    The rate is whole, except after a declared layer that subsamples without thinning the shifts,
    and negative where positions are reversed.

    `valid` is the range of its positions whose receptive field has not met a border, before it is
    rounded to whole positions: a stride of 2 after 3 positions leaves 3/2. None stands for all of
    them: on a torus, which has no border, and where none was met.
    """

    axis: int
    offset: int
    size: int
    rate: int | Fraction = 1
    valid: Valid | None = None

    @property
    def pace(self) -> int | Fraction:
        """The rate without its direction."""
        return max(self.rate, -self.rate)

    @property
    def interior(self) -> tuple[int, int]:
        """First valid position, and one past the last."""
        if self.valid is None:
            return 0, self.size
        return max(0, math.ceil(self.valid[0])), min(self.size, math.floor(self.valid[1]))


Factor = Plain | Uniform | Window
Dimension = tuple[Factor, ...]


@dataclass(frozen=True)
class Torus:
    """The domain of the shifts.

    Attributes:
      lengths: positions along each axis.
      shifts: the shifts that will be read along each axis, as residues in ascending order; cosets
        that none of them meets are not computed. None stands for all.
      endless: the torus stands for the infinite line, on which signals have borders and every
        stride divides.
      bordered: whether receptive fields end at the border of what is seen. Without, `valid` says
        of every position how far it sees.
      places: of the input's border without one, see `EachBorder`; 1 for numbers as they are.
    """

    lengths: tuple[int, ...]
    shifts: tuple[tuple[int, ...] | None, ...]
    endless: bool = False
    bordered: bool = True
    places: int = 1

    @functools.cached_property
    def _residue_rows(self) -> dict[tuple[int, int], tuple[int, ...]]:
        return {}

    def residues(self, axis: int, period: int) -> Sequence[int]:
        """The coset representatives of a period that the shifts meet, ascending."""
        shifts = self.shifts[axis]
        if shifts is None:
            return range(period)
        key = (axis, period)
        if key not in self._residue_rows:
            self._residue_rows[key] = tuple(sorted({t % period for t in shifts}))
        return self._residue_rows[key]


# On the line nothing wraps; a length that every stride divides stands for it.
LINE_LENGTH = math.lcm(*range(1, 65)) ** 2


@dataclass(frozen=True)
class Value:
    """One value of the program at all shifts: periods, layout, and the array behind them.

    Attributes:
      period: one period per axis.
      dims: the factors of each dimension of the program's value.
      base: the stored array, or None.
      origin: equal for two values whose bases are the same array; windows of one base can join.
      decisions: per axis, None, or what decided by how much this value is rolled (a declared
        layer's choice): it then follows the shift up to a roll that depends on the data.
      touched: whether the translated argument goes into it, even if no shift changes it.
    """

    period: tuple[int, ...]
    dims: tuple[Dimension, ...]
    base: Any
    origin: Hashable
    decisions: tuple[Hashable, ...]
    touched: bool = False

    @functools.cached_property
    def factors(self) -> tuple[Factor, ...]:
        """All factors in storage order."""
        return tuple(factor for dim in self.dims for factor in dim)

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape that the program sees."""
        return tuple(math.prod(f.size for f in dim) for dim in self.dims)

    @property
    def n_axes(self) -> int:
        """The number of spatial axes."""
        return len(self.period)

    def place(self, dim: int, index: int = 0) -> int:
        """The dimension of `base` that stores factor `index` of dimension `dim`."""
        return self.n_axes + sum(len(d) for d in self.dims[:dim]) + index

    def windows(self, axis: int | None = None) -> Iterator[tuple[int, Window]]:
        """The windows (along one axis, or all) with their dimension of `base`."""
        for place, factor in enumerate(self.factors, self.n_axes):
            if isinstance(factor, Window) and axis in (None, factor.axis):
                yield place, factor

    def moves_along(self, axis: int) -> bool:
        """Whether some dimension follows the shift along this axis."""
        return any(True for _ in self.windows(axis))

    def moves_in(self, dim: int) -> bool:
        """Whether positions of this dimension follow the shift along some axis."""
        return any(isinstance(factor, Window) for factor in self.dims[dim])

    @property
    def moves(self) -> bool:
        """Whether some dimension follows the shift along some axis."""
        return any(True for _ in self.windows())

    @property
    def is_constant(self) -> bool:
        """Whether the value is the same at every shift."""
        return all(d == 1 for d in self.period) and not self.moves

    def with_base(self, base, *, origin: Hashable = None, **changes) -> "Value":
        """This value on another array: of its own origin unless one is given."""
        return dataclasses.replace(self, base=base, origin=origin or object(), **changes)

    def on_base(self, fun: Callable[[Any], Any], *, origin: Hashable = None, **changes) -> "Value":
        """This value on a function of its array, if it has one: rules treat both alike."""
        base = None if self.base is None else fun(self.base)
        return self.with_base(base, origin=origin, **changes)

    def dims_with(self, dim: int, *rows: Dimension, instead: int = 1) -> tuple[Dimension, ...]:
        """The dimensions with others in place of one, or of several from it on."""
        return (*self.dims[:dim], *rows, *self.dims[dim + instead :])

    def storing(self, dim: int) -> "Value":
        """This value with a factor for a dimension of one position, which needs none."""
        if self.dims[dim]:
            return self
        place = self.place(dim)
        dims = self.dims_with(dim, (Plain(1),))
        return self.on_base(lambda base: jnp.expand_dims(base, place), dims=dims)


def positions(torus: Torus, value: Value, window: Window) -> int:
    """The number of positions `m` of a window's torus."""
    return int(torus.lengths[window.axis] * window.pace // value.period[window.axis])


def is_whole(torus: Torus, value: Value, window: Window) -> bool:
    """Whether a window shows each position of its torus once, and none of them met a border."""
    return window.valid is None and window.size == positions(torus, value, window)


def is_broken(torus: Torus, value: Value, axis: int) -> bool:
    """Whether every shift along the axis has a value of its own."""
    return (
        value.period[axis] == torus.lengths[axis]
        and torus.lengths[axis] > 1
        and not value.moves_along(axis)
    )


def stored_shape(torus: Torus, value: Value) -> tuple[int, ...]:
    """The shape of `base` when no two cosets agree."""
    cosets = tuple(len(torus.residues(axis, d)) for axis, d in enumerate(value.period))
    return cosets + tuple(_stored_size(torus, value, f) for f in value.factors)


def _stored_size(torus: Torus, value: Value, factor: Factor) -> int:
    match factor:
        case Plain(size):
            return size
        case Uniform():
            return 1
        case Window():
            return positions(torus, value, factor)


def constant(array, shape: Sequence[int], n_axes: int, *, known: bool) -> Value:
    """A value that is the same at every shift; `array` is None-like unless `known`."""
    dims = tuple((Plain(n),) if n != 1 else () for n in shape)
    stored = (1,) * n_axes + tuple(n for n in shape if n != 1)
    base = jnp.reshape(array, stored) if known else None
    return Value((1,) * n_axes, dims, base, object(), (None,) * n_axes)


def tracked_input(
    array, shape: Sequence[int], axes: Sequence[int], offsets: Sequence[int], torus: Torus
) -> Value:
    """The shifted argument: its windows start at `offsets` of the array laid on the torus.

    Args:
      array: the base with `torus.lengths` positions along `axes`, or None.
      shape: the shape that the program sees.
      axes: the spatial dimensions.
      offsets: where the program's window starts on the torus, one per axis.
      torus: the domain.
    """
    dims: list[Dimension] = [(Plain(n),) if n != 1 else () for n in shape]
    for axis, (dim, offset) in enumerate(zip(axes, offsets, strict=True)):
        size, valid = shape[dim], None
        if not torus.bordered:
            lost = EachBorder(tuple(range(torus.places))) if torus.places > 1 else 0
            valid = (lost, lost + size)
        dims[dim] = (Window(axis, offset, size, valid=valid),)
    if array is not None:
        kept = [n for dim, n in enumerate(array.shape) if n != 1 or dim in axes]
        array = jnp.reshape(array, (1,) * len(axes) + tuple(kept))
    return Value((1,) * len(axes), tuple(dims), array, object(), (None,) * len(axes), True)


def coset_indices(torus: Torus, axis: int, coarse: int, fine: int) -> np.ndarray:
    """For each stored coset of the period `fine`, the stored coset of `coarse` that holds it."""
    index = {r: i for i, r in enumerate(torus.residues(axis, coarse))}
    return np.array([index[r % coarse] for r in torus.residues(axis, fine)], np.int32)
