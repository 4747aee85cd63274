"""The rows of a certificate: what each equation, and each layer, does to the symmetry."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxinv.symmetry.layer_names import (
    LIBRARY,
    in_words_of,
    is_structural,
    library_call,
    operation,
    pooling,
)
from jaxinv.symmetry.program import Program
from jaxinv.symmetry.reasons import Cause, Reason, in_words
from jaxinv.symmetry.state import BROKEN, INVARIANT, State, describe
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.walk import Record, Walked


@dataclass(frozen=True)
class Step:
    """One row of a certificate: a layer, or a single equation.

    Attributes:
      layer: the path of the layer, or the operation where nothing names one.
      where: `file.py:12`.
      primitive: the operation.
      shape: shape of the result.
      before: how the operands move.
      after: how the result moves.
      copies: how many distinct copies of the result there are over all shifts.
      reasons: why the symmetry was thinned or ended here.
      ended: the axes along which it ended here.
      pooled: the axes along which all positions were read: what moved is invariant from here.
      mirrored: the axes along which the direction of the movement turns here.
      pooling: how: `"mean"`, `"maximum"`, or the operation.
    """

    layer: str
    where: str
    primitive: str
    shape: tuple[int, ...]
    before: State
    after: State
    copies: int
    reasons: tuple[Reason, ...] = ()
    ended: tuple[int, ...] = ()
    pooled: tuple[int, ...] = ()
    mirrored: tuple[int, ...] = ()
    pooling: str = ""

    @property
    def reason(self) -> str:
        """Why the symmetry was thinned or ended here, in plain words, or ""."""
        return in_words(self.reasons)

    @property
    def ends(self) -> bool:
        """Whether the symmetry ended here, along some axis."""
        return bool(self.ended)

    @property
    def has_consequence(self) -> bool:
        """Whether the result moves differently than what it is made of."""
        return bool(self.reasons or self.pooled or self.mirrored)

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON can hold it."""
        return {
            "layer": self.layer,
            "where": self.where,
            "primitive": self.primitive,
            "shape": list(self.shape),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "copies": self.copies,
            "reason": self.reason,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "ends": self.ends,
            "ended": list(self.ended),
            "pooled": list(self.pooled),
            "mirrored": list(self.mirrored),
        }


class States:
    """The states of a program's values, each described once."""

    def __init__(self, traced: Traced, main: Walked, line: Walked, axes: Sequence[int]):
        moved = {dims for dims in traced.dims if dims is not None}
        # Arrays of several ranks, with axes that count from the end: there is no other name.
        self.names = moved.pop() if len(moved) == 1 else tuple(axes)
        self._axes = tuple(zip(self.names, axes, strict=True))
        self._sizes, self._main, self._line = traced.sizes, main, line
        self._known: dict[int, State] = {}

    def __getitem__(self, number: int) -> State:
        if number not in self._known:
            value, line = self._main.values[number], self._line.values[number]
            self._known[number] = describe(self._main.torus, self._sizes, self._axes, value, line)
        return self._known[number]

    def least(self, numbers: Sequence[int]) -> State:
        """For each axis the state of the value that follows the fewest shifts along it."""
        states = [self[number] for number in numbers]
        per_axis = tuple(
            max(column, key=lambda s: (s.kind == BROKEN, s.period, s.kind != INVARIANT))
            for column in zip(*(state.per_axis for state in states), strict=True)
        )
        return State(per_axis, states[0].layout)


def equation_steps(
    program: Program, main: Walked, states: States, names: Sequence[str]
) -> Iterator[Step]:
    """One step for each equation of a walk, given the names of their layers."""
    for record, name in zip(main.records, names, strict=True):
        equation = record.equation
        primitive = operation(equation)
        call = library_call(equation)
        label = LIBRARY[call.function] if call else primitive
        moving = [i for i in equation.ins if not main.values[i].is_constant] or equation.ins[:1]
        if not moving:
            continue
        before, after = states.least(moving), states[equation.outs[0]]
        pooled = _pooled(before, after)
        ended = tuple(
            new.axis
            for old, new in zip(before.per_axis, after.per_axis, strict=True)
            if new.kind == BROKEN != old.kind
        )
        yield Step(
            layer=name or label,
            where=equation.source.line,
            primitive=primitive,
            shape=equation.out_avals[0].shape,
            before=before,
            after=after,
            copies=math.prod(after.period),
            reasons=tuple(_reasons(program, record, states.names, ended)),
            ended=ended,
            pooled=pooled,
            mirrored=_mirrored(before, after),
            pooling=pooling(program, equation) if pooled else "",
        )


def _reasons(
    program: Program, record: Record, names: Sequence[int], ended: Sequence[int]
) -> Iterator[Reason]:
    """Why the symmetry thins or ends at an equation, along which dimensions of the input."""
    call = library_call(record.equation)
    for axis, name in enumerate(names):
        for reason in record.notes.get(axis, ()):
            if call is not None:
                reason = in_words_of(program, call, reason)
            yield dataclasses.replace(reason, axis=name)
        if name in ended and axis not in record.notes:
            # On the line a rule goes on with what has not met the border.
            yield dataclasses.replace(Cause.BEYOND_BORDER(), axis=name)


def layer_steps(
    equations: Sequence[Step], records: Sequence[Record], names: Sequence[str]
) -> Iterator[Step]:
    """Neighbouring equations of one layer as one row."""
    rows: list[list[Step]] = []
    last = None
    shown = [
        (record, name) for record, name in zip(records, names, strict=True) if record.equation.ins
    ]
    for step, (record, name) in zip(equations, shown, strict=True):
        if not any(v.touched for v in record.results):
            # What is done to parameters alone is no layer.
            continue
        part_of = name or library_call(record.equation)
        if part_of and part_of == last:
            rows[-1].append(step)
        elif name or step.has_consequence or is_structural(record.equation):
            rows.append([step])
            last = part_of
        # What has no name and no consequence (an activation) belongs to no row.
    for row in rows:
        reasons = tuple(reason for step in row for reason in step.reasons)
        head = next((step for step in row if step.reasons), row[0])
        yield dataclasses.replace(
            row[-1],
            layer=head.layer,
            where=head.where,
            primitive=head.primitive,
            before=row[0].before,
            reasons=tuple(dict.fromkeys(reasons)),
            ended=tuple(sorted({axis for step in row for axis in step.ended})),
            pooled=_pooled(row[0].before, row[-1].after),
            mirrored=_mirrored(row[0].before, row[-1].after),
            pooling=next((step.pooling for step in row if step.pooled), ""),
        )


def _pooled(before: State, after: State) -> tuple[int, ...]:
    """The axes along which something moved before, and nothing needs to move after."""
    return tuple(
        new.axis
        for old, new in zip(before.per_axis, after.per_axis, strict=True)
        if new.kind == INVARIANT and old.dims is not None
    )


def _mirrored(before: State, after: State) -> tuple[int, ...]:
    """The axes whose direction turns."""
    return tuple(
        new.axis
        for old, new in zip(before.per_axis, after.per_axis, strict=True)
        if new.dims is not None and old.dims is not None and new.mirrored != old.mirrored
    )
