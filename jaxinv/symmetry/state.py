"""What a value's state says to a person: which shifts it commutes with, and where it still does."""

import math
from dataclasses import dataclass
from typing import Any

from jaxinv.symmetry.values import Torus, Value, Window, positions

EQUIVARIANT = "equivariant"
UP_TO_A_ROLL = "equivariant up to a roll"
INVARIANT = "invariant"
BROKEN = "broken"


@dataclass(frozen=True)
class Interior:
    """Positions along one axis of the shifts on which equivariance holds exactly.

    Attributes:
      period: for which multiples.
      start: first position whose receptive field has not met a border.
      stop: one past the last.
      size: all positions.
    """

    period: int
    start: int
    stop: int
    size: int

    def __str__(self) -> str:
        return f"{self.start}:{self.stop} of {self.size}"


@dataclass(frozen=True)
class State:
    """How one value of the program moves.

    Attributes:
      kind: `"equivariant"`, `"invariant"` or `"broken"`; `"equivariant up to a roll"` after a
        layer that chooses its phase from the data.
      period: per axis the smallest lattice of shifts that the statement holds for.
      dims: per axis the dimension that moves (a tuple of several), or None.
      moves: per axis by how many positions of that dimension, for a shift by one period; None
        where several dimensions move, or only a part of one (flattened tokens): see `layout`.
      whole: per axis whether the output moves as `jnp.roll` along that one dimension. If not, it
        is a window, at whose border content enters, or moves as `layout` says.
      interior: per axis the positions on which equivariance holds, or None if there are none.
      layout: per dimension its factors, as `(size, axis, rate)`; axis None for what does not move.
    """

    kind: str
    period: tuple[int, ...]
    dims: tuple[int | tuple[int, ...] | None, ...]
    moves: tuple[int | None, ...]
    whole: tuple[bool, ...]
    interior: tuple[Interior | None, ...]
    layout: tuple[tuple[tuple[int, int | None, int], ...], ...]

    @property
    def commutes_with(self) -> str:
        """The shifts, in words."""
        if self.kind == BROKEN:
            return "no shift but 0"
        roll = ", up to a roll" if self.kind == UP_TO_A_ROLL else ""
        if all(d == 1 for d in self.period):
            return f"every shift{roll}"
        text = str(self.period[0]) if len(self.period) == 1 else str(self.period)
        return f"multiples of {text}{roll}"

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON can hold it."""
        return {
            "kind": self.kind,
            "period": list(self.period),
            "dims": list(self.dims),
            "moves": list(self.moves),
            "whole": list(self.whole),
            "interior": [None if i is None else vars(i).copy() for i in self.interior],
        }


def describe(torus: Torus, sizes: tuple[int, ...], value: Value, line: Value | None) -> State:
    """The state of a value from what is known of it on the torus, and on the line.

    Args:
      torus: the domain that the verdict speaks of.
      sizes: positions of the input along each axis.
      value: the value on that domain.
      line: the same value on the endless line, for the interior.
    """
    axes = range(len(sizes))
    broken = [_is_broken(torus, value, axis) for axis in axes]
    dims, moves, whole = zip(*(_movement(torus, value, axis) for axis in axes), strict=True)
    rolled = any(d is not None for d in value.decisions)
    if any(broken):
        kind = BROKEN
    elif all(d is None for d in dims):
        kind = INVARIANT
    else:
        kind = UP_TO_A_ROLL if rolled else EQUIVARIANT
    period = tuple(
        size if gone else d for size, gone, d in zip(sizes, broken, value.period, strict=True)
    )
    interior = tuple(None if line is None else interior_of(line, axis) for axis in axes)
    layout = tuple(
        tuple(
            (f.size, f.axis, int(f.rate)) if isinstance(f, Window) else (f.size, None, 0)
            for f in dim
        )
        for dim in value.dims
    )
    return State(kind, period, dims, moves, whole, interior, layout)


def _is_broken(torus: Torus, value: Value, axis: int) -> bool:
    """Broken on a torus: every shift for itself. On the line: a border was met, or no window."""
    if torus.endless:
        met = any(w.valid is not None for _, w in value.windows(axis))
        return met or (not value.moves_along(axis) and value.period[axis] == torus.lengths[axis])
    return not value.moves_along(axis) and value.period[axis] == torus.lengths[axis]


def _movement(
    torus: Torus, value: Value, axis: int
) -> tuple[int | tuple[int, ...] | None, int | None, bool]:
    """The dimensions that follow an axis, by how much, and whether they do it as `jnp.roll`."""
    found = [
        (dim, index, factor)
        for dim, row in enumerate(value.dims)
        for index, factor in enumerate(row)
        if isinstance(factor, Window) and factor.axis == axis
    ]
    if not found:
        return None, None, True
    dims = tuple(dim for dim, _, _ in found)
    dim, index, window = found[0]
    if len(found) > 1 or index > 0:
        return dims if len(dims) > 1 else dim, None, False
    row = value.dims[dim]
    inner = math.prod(f.size for f in row[1:])
    alone = not any(isinstance(f, Window) for f in row[1:])
    whole = window.size == positions(torus, value, window) and window.valid is None
    return dim, int(window.rate * inner) if alone else None, whole and alone


def interior_of(line: Value, axis: int) -> Interior | None:
    """The interior along an axis, from the state on the line."""
    for _, window in line.windows(axis):
        lo, hi = window.interior
        return Interior(line.period[axis], lo, hi, window.size)
    return None
