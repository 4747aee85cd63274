"""The rows of a certificate: what each equation, and each layer, does to the symmetry."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxinv.symmetry.fields import EVERYTHING, ReceptiveField
from jaxinv.symmetry.layer_names import (
    LIBRARY,
    in_words_of,
    is_structural,
    library_call,
    operation,
    pooling,
    whole_path,
)
from jaxinv.symmetry.program import Equation, Program
from jaxinv.symmetry.reasons import Cause, Reason, in_words
from jaxinv.symmetry.state import BROKEN, INVARIANT, State, describe
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.walk import Record, Walked


@dataclass(frozen=True)
class Step:
    """One row of a certificate: a layer, or a single equation.

    Attributes:
      layer: the path of the layer, or the operation where nothing names one.
      where: `file.py:12`, or "" where a framework's own code runs all of it.
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
      inside: why, where the symmetry has ended, its interior thins or shrinks here.
      fields: per axis how far one position of the result sees; None where that is everything.
      results: the numbers of what the row makes, in the program.
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
    inside: tuple[Reason, ...] = ()
    fields: tuple[ReceptiveField | None, ...] = ()
    results: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @property
    def place(self) -> str:
        """`layer (file.py:12)`, without the line where there is none."""
        return f"{self.layer} ({self.where})" if self.where else self.layer

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
        return bool(self.reasons or self.inside or self.pooled or self.mirrored)

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
            "inside": [reason.to_dict() for reason in self.inside],
            "receptive_field": [f.to_dict() if f else EVERYTHING for f in self.fields],
        }


class States:
    """The states of a program's values, each described once."""

    def __init__(self, traced: Traced, main: Walked, line: Walked | None, axes: Sequence[int]):
        moved = {dims for dims in traced.dims if dims is not None}
        # Arrays of several ranks, with axes that count from the end: there is no other name.
        self.names = moved.pop() if len(moved) == 1 else tuple(axes)
        self._axes = tuple(zip(self.names, axes, strict=True))
        self._sizes, self._main, self._line = traced.sizes, main, line
        self._known: dict[int, State] = {}
        on_line = () if line is None or line is main else line.records
        self._on_line = {record.equation: record for record in on_line}

    def __getitem__(self, number: int) -> State:
        if number not in self._known:
            value = self._main.values[number]
            line = None if self._line is None else self._line.values[number]
            self._known[number] = describe(self._main.torus, self._sizes, self._axes, value, line)
        return self._known[number]

    def inside(self, record: Record, after: State) -> Iterator[Reason]:
        """Why the interior of a symmetry that has ended thins or shrinks at an equation."""
        found = self._on_line.get(record.equation)
        for axis, state in enumerate(after.per_axis):
            if found is not None and state.kind == BROKEN:
                for reason in (*found.borders.get(axis, ()), *found.notes.get(axis, ())):
                    yield dataclasses.replace(reason, axis=state.axis)

    def moving(self, numbers: Sequence[int]) -> Sequence[int]:
        """Those of some values that a shift changes; one of them if none is changed."""
        return [i for i in numbers if not self._main.values[i].is_constant] or numbers[:1]

    def least(self, numbers: Sequence[int]) -> State:
        """For each axis the state of the value that follows the fewest shifts along it."""
        states = [self[number] for number in numbers]
        per_axis = tuple(
            max(column, key=lambda s: (s.kind == BROKEN, s.period, s.kind != INVARIANT))
            for column in zip(*(state.per_axis for state in states), strict=True)
        )
        return State(per_axis, states[0].layout, any(state.depends for state in states))


@dataclass(frozen=True)
class Row:
    """An equation of the function with what was found of it, or of the pieces that it is made in.

    Attributes:
      equation: the equation.
      name: the name of its layer, or "".
      records: of the equation itself, or of those that make its pieces.
    """

    equation: Equation
    name: str
    records: tuple[Record, ...]

    @property
    def ins(self) -> list[int]:
        """The values that it is made of."""
        inside = {out for record in self.records for out in record.equation.outs}
        return [i for record in self.records for i in record.equation.ins if i not in inside]

    @property
    def results(self) -> list[int]:
        """Its first result, or the pieces of it."""
        last = {record.equation.piece: record.equation.outs[0] for record in self.records}
        return [out for piece, out in last.items() if piece is not None] or list(last.values())


def rows_of(original: Walked, names: Sequence[str], walked: Walked) -> list[Row]:
    """The equations of a function in order.

    Args:
      original: the walk over it.
      names: for each record of that walk the name of its layer.
      walked: the same walk, or one over the function in pieces.
    """
    named = list(zip(original.records, names, strict=True))
    if walked is original:
        rows = [Row(record.equation, name, (record,)) for record, name in named]
    else:
        by_source = {record.equation.source: (record.equation, name) for record, name in named}
        rows = [
            Row(*by_source.get(source, (records[-1].equation, "")), records)
            for source, group in itertools.groupby(walked.records, lambda r: r.equation.source)
            if (records := tuple(group))
        ]
    return [row for row in rows if row.ins]


def equation_steps(program: Program, rows: Sequence[Row], states: States) -> Iterator[Step]:
    """One step for each equation."""
    for row in rows:
        equation = row.equation
        primitive = operation(equation)
        call = library_call(equation)
        label = LIBRARY[call.function] if call else primitive
        before, after = states.least(states.moving(row.ins)), states.least(row.results)
        pooled = _pooled(before, after)
        ended = tuple(
            new.axis
            for old, new in zip(before.per_axis, after.per_axis, strict=True)
            if new.kind == BROKEN != old.kind
        )
        reasons = dict.fromkeys(
            r for record in row.records for r in _reasons(program, record, states.names, ended)
        )
        inside = dict.fromkeys(r for record in row.records for r in states.inside(record, after))
        yield Step(
            layer=row.name or whole_path(equation) or label,
            where=equation.source.line,
            primitive=primitive,
            shape=equation.out_avals[0].shape,
            before=before,
            after=after,
            copies=math.prod(after.period),
            reasons=tuple(reasons),
            ended=ended,
            pooled=pooled,
            mirrored=_mirrored(before, after),
            pooling=pooling(program, equation) if pooled else "",
            inside=tuple(reason for reason in inside if reason not in reasons),
            results=tuple(row.results),
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


def layer_groups(equations: Sequence[Step], rows: Sequence[Row]) -> list[list[tuple[Step, Row]]]:
    """Neighbouring equations of one layer, each with its row."""
    groups: list[list[tuple[Step, Row]]] = []
    last = None
    for step, row in zip(equations, rows, strict=True):
        if not any(v.touched for record in row.records for v in record.results):
            # What is done to parameters alone is no layer.
            continue
        part_of = row.name or library_call(row.equation)
        if part_of and part_of == last:
            groups[-1].append((step, row))
        elif row.name or step.has_consequence or is_structural(row.equation):
            groups.append([(step, row)])
            last = part_of
        # What has no name and no consequence (an activation) belongs to no layer.
    return groups


def layer_steps(equations: Sequence[Step], rows: Sequence[Row]) -> Iterator[Step]:
    """Neighbouring equations of one layer as one step."""
    for pairs in layer_groups(equations, rows):
        group = [step for step, _ in pairs]
        reasons = dict.fromkeys(reason for step in group for reason in step.reasons)
        inside = dict.fromkeys(reason for step in group for reason in step.inside)
        head = head_of(group)
        yield dataclasses.replace(
            group[-1],
            layer=head.layer,
            where=head.where,
            primitive=head.primitive,
            before=group[0].before,
            reasons=tuple(reasons),
            inside=tuple(reason for reason in inside if reason not in reasons),
            ended=tuple(sorted({axis for step in group for axis in step.ended})),
            pooled=_pooled(group[0].before, group[-1].after),
            mirrored=_mirrored(group[0].before, group[-1].after),
            pooling=next((step.pooling for step in group if step.pooled), ""),
        )


def head_of(group: Sequence[Step]) -> Step:
    """The equation that a layer is named by."""
    return next((step for step in group if step.reasons), group[0])


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
