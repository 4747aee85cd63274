"""What a value's state says to a person: along each axis, which shifts it follows, and how."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxinv.symmetry.values import Torus, Value, Window, is_broken, positions

EQUIVARIANT = "equivariant"
UP_TO_A_ROLL = "equivariant up to a roll"
INVARIANT = "invariant"
BROKEN = "broken"
_NO_SHIFT = "no shift but 0"


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
        thinned = f", multiples of {self.period}" if self.period > 1 else ""
        return f"{self.start}:{self.stop} of {self.size}{thinned}"


@dataclass(frozen=True)
class AxisState:
    """How one value of the program moves with the shifts along one axis of the input.

    Attributes:
      axis: the dimension of the input.
      kind: `"equivariant"`, `"invariant"` or `"broken"`; `"equivariant up to a roll"` after a
        layer that chooses its phase from the data.
      period: the shifts for which this holds are its multiples. If broken, all positions of the
        axis: a shift by that many is none.
      dims: the dimension that moves (a tuple of several), or None.
      moves: by how many positions of that dimension, for a shift by one period; None where
        several dimensions move, or only a part of one (flattened tokens): see `State.layout`.
      whole: whether the value moves as `jnp.roll` along that one dimension. If not, it is a
        window, at whose border content enters, or moves as `State.layout` says.
      movement: in words, how it moves; "" if it moves by `shift / stride` along the dimension
        `axis`, with `stride` a whole number.
      mirrored: whether it moves the other way.
      interior: the positions on which equivariance holds, or None if there are none.
    """

    axis: int
    kind: str
    period: int
    dims: int | tuple[int, ...] | None
    moves: int | None
    whole: bool
    movement: str
    mirrored: bool
    interior: Interior | None

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON can hold it."""
        interior = None if self.interior is None else vars(self.interior).copy()
        return vars(self) | {"interior": interior}


@dataclass(frozen=True)
class State:
    """How one value of the program moves.

    Attributes:
      per_axis: how it moves with the shifts along each axis.
      layout: per dimension its factors, as `(size, axis, rate)`; axis None for what does not move.
      depends: whether the translated argument goes into the value at all.
    """

    per_axis: tuple[AxisState, ...]
    layout: tuple[tuple[tuple[int, int | None, float], ...], ...]
    depends: bool = True

    @property
    def kind(self) -> str:
        """What holds for the shifts of the lattice `period`: `"equivariant"` or `"invariant"`.

        Invariant if nothing moves along any axis, `"broken"` if the symmetry is broken along
        every axis: no shift but 0 is left.
        """
        kept = {state.kind for state in self.per_axis} - {BROKEN}
        order = (UP_TO_A_ROLL, EQUIVARIANT, INVARIANT)
        return next((kind for kind in order if kind in kept), BROKEN)

    @property
    def period(self) -> tuple[int, ...]:
        """Per axis the smallest lattice of shifts that the statement holds for."""
        return tuple(state.period for state in self.per_axis)

    @property
    def dims(self) -> tuple[int | tuple[int, ...] | None, ...]:
        """Per axis the dimension that moves (a tuple of several), or None."""
        return tuple(state.dims for state in self.per_axis)

    @property
    def moves(self) -> tuple[int | None, ...]:
        """Per axis by how many positions, for a shift by one period."""
        return tuple(state.moves for state in self.per_axis)

    @property
    def whole(self) -> tuple[bool, ...]:
        """Per axis whether the value moves as `jnp.roll` along one dimension."""
        return tuple(state.whole for state in self.per_axis)

    @property
    def interior(self) -> tuple[Interior | None, ...]:
        """Per axis the positions on which equivariance holds exactly, or None."""
        return tuple(state.interior for state in self.per_axis)

    @property
    def is_invariant(self) -> bool:
        """Whether no shift along any axis changes the value."""
        return all(state.kind == INVARIANT and state.period == 1 for state in self.per_axis)

    @property
    def commutes_with(self) -> str:
        """The shifts, in words."""
        kept = [state for state in self.per_axis if state.kind != BROKEN]
        if not kept:
            return _NO_SHIFT
        axes = "" if len(kept) == len(self.per_axis) else f"{_names(kept)}: "
        return f"{axes}{_shifts(kept)}{_roll(kept)}"

    @property
    def movement(self) -> str:
        """How it moves, in words; "" if it moves by `shift / stride` along each axis."""
        said = {state.movement for state in self.per_axis}
        if len(said) == 1:
            return said.pop()
        return "; ".join(
            f"axis {state.axis} {state.movement}" for state in self.per_axis if state.movement
        )

    @property
    def statement(self) -> str:
        """Kind and shifts, in words."""
        groups: dict[str, list[AxisState]] = {}
        for state in sorted(self.per_axis, key=lambda state: state.kind != BROKEN):
            groups.setdefault(state.kind.removesuffix(" up to a roll"), []).append(state)
        return "; ".join(_statement(kind, row, len(groups)) for kind, row in groups.items())

    def __str__(self) -> str:
        """The verdict: kind, shifts and movement."""
        apart = "" if self.depends else "it does not depend on the input"
        return "; ".join(filter(None, [self.statement, self.movement, apart]))

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON can hold it."""
        axes = [state.to_dict() for state in self.per_axis]
        whole = {
            name: [axis[name] for axis in axes]
            for name in ("period", "dims", "moves", "whole", "interior")
        }
        return {"kind": self.kind, "verdict": str(self), **whole, "per_axis": axes}


def axes_in_words(axes: Sequence[int]) -> str:
    """Axes by their dimension of the input: "axis 1", "axes 1, 3"."""
    return f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _names(states: Sequence[AxisState]) -> str:
    return axes_in_words([state.axis for state in states])


def _shifts(states: Sequence[AxisState]) -> str:
    periods = tuple(state.period for state in states)
    if max(periods) == 1:
        return "every shift"
    return f"multiples of {periods if len(periods) > 1 else periods[0]}"


def _roll(states: Sequence[AxisState]) -> str:
    return ", up to a roll" if any(state.kind == UP_TO_A_ROLL for state in states) else ""


def _statement(kind: str, states: Sequence[AxisState], groups: int) -> str:
    """What holds along some axes; it names them if not all axes are meant."""
    if kind == BROKEN:
        return (
            f"broken along {_names(states)}" if groups > 1 else f"broken: commutes with {_NO_SHIFT}"
        )
    along = f" along {_names(states)}" if groups > 1 else ""
    return f"{kind} to {_shifts(states)}{along}{_roll(states)}"


def describe(
    torus: Torus,
    sizes: tuple[int, ...],
    axes: Sequence[tuple[int, int]],
    value: Value,
    line: Value | None,
) -> State:
    """The state of a value from what is known of it on the torus, and on the line.

    Args:
      torus: the domain that the verdict speaks of.
      sizes: positions of the input along each axis.
      axes: the dimension of the input along each axis, and as the caller gave it: it may count
        from the end.
      value: the value on that domain.
      line: the same value on the endless line, for the interior.
    """
    per_axis = []
    for axis, (size, (name, given)) in enumerate(zip(sizes, axes, strict=True)):
        kind = _kind(torus, value, axis)
        dims, moves, whole = _moves(torus, value, axis)
        home = given if given >= 0 else given + len(value.dims)
        follows = kind in (EQUIVARIANT, UP_TO_A_ROLL)
        per_axis.append(
            AxisState(
                axis=name,
                kind=kind,
                period=size if kind == BROKEN else value.period[axis],
                dims=dims,
                moves=moves,
                whole=whole,
                movement=_movement(torus, value, axis, home) if follows else "",
                mirrored=any(window.rate < 0 for _, window in value.windows(axis)),
                interior=None if line is None else interior_of(line, axis),
            )
        )
    layout = tuple(
        tuple((f.size, *((f.axis, f.rate) if isinstance(f, Window) else (None, 0))) for f in dim)
        for dim in value.dims
    )
    return State(tuple(per_axis), layout, value.touched)


def _kind(torus: Torus, value: Value, axis: int) -> str:
    """Broken on a torus: every shift for itself. On the line: a border was met, or no window."""
    met = torus.endless and any(w.valid is not None for _, w in value.windows(axis))
    if met or is_broken(torus, value, axis):
        return BROKEN
    if not value.moves_along(axis):
        return INVARIANT
    return EQUIVARIANT if value.decisions[axis] is None else UP_TO_A_ROLL


def _windows(value: Value, axis: int) -> list[tuple[int, int, Window]]:
    """The windows along an axis, each with its dimension and its place among the factors there."""
    return [
        (dim, index, factor)
        for dim, row in enumerate(value.dims)
        for index, factor in enumerate(row)
        if isinstance(factor, Window) and factor.axis == axis
    ]


def _moves(
    torus: Torus, value: Value, axis: int
) -> tuple[int | tuple[int, ...] | None, int | None, bool]:
    """The dimensions that follow an axis, by how much, and whether they do it as `jnp.roll`."""
    windows = _windows(value, axis)
    if not windows:
        return None, None, True
    dims = tuple(dim for dim, _, _ in windows)
    dim, index, window = windows[0]
    if len(windows) > 1 or index > 0:
        return dims if len(dims) > 1 else dim, None, False
    row = value.dims[dim]
    moves = window.rate * math.prod(f.size for f in row[1:])
    alone = not any(isinstance(f, Window) for f in row[1:])
    whole = window.size % positions(torus, value, window) == 0 and window.valid is None
    return dim, int(moves) if alone and moves == int(moves) else None, whole and alone


def _movement(torus: Torus, value: Value, axis: int, home: int) -> str:
    """How a value follows an axis, where it does not by whole strides along the dimension `home`.

    Args:
      torus: the domain.
      value: a value that moves along the axis.
      axis: the axis.
      home: the dimension of the value that the axis should move along.
    """
    windows = _windows(value, axis)
    dims = sorted({dim for dim, _, _ in windows})
    if len(dims) > 1:
        return f"moves along dimensions {' and '.join(map(str, dims))}"
    dim, index, window = windows[0]
    row = value.dims[dim]
    inside = len(windows) > 1 or index > 0 or any(isinstance(f, Window) for f in row[1:])
    moves, period = window.pace * math.prod(f.size for f in row[1:]), value.period[axis]
    # The stride of an output is period / moves. After a roll by a choice, it is the choice's.
    fraction = not inside and value.decisions[axis] is None and period % moves > 0
    parts = [
        f"{moves} positions" if fraction else "",
        "the other way" if window.rate < 0 else "",
        f"inside dimension {dim} ({' x '.join(str(f.size) for f in row)})" if inside else "",
        f"along dimension {dim}" if not inside and dim != home else "",
        f"for a shift by {period}" if fraction else "",
    ]
    words = [" ".join(["moves", *filter(None, parts)])] if any(parts) else []
    if not torus.endless:
        m = positions(torus, value, window)
        if window.size < m:
            words.append(f"shows {window.size} of {m} positions")
        elif window.size % m:
            words.append(f"shows {m} positions as {window.size}")
    return ", ".join(words)


def interior_of(line: Value, axis: int) -> Interior | None:
    """The interior along an axis, from the state on the line.

    It is that of the dimension, where all of it moves as one; else that of the part that moves.
    """
    for dim, index, window in _windows(line, axis):
        rest = line.dims[dim][1:]
        whole = index == 0 and not any(isinstance(f, Window) for f in rest)
        inner = math.prod(f.size for f in rest) if whole else 1
        lo, hi, size = (n * inner for n in (*window.interior, window.size))
        return Interior(line.period[axis], lo, hi, size) if lo < hi else None
    return None
