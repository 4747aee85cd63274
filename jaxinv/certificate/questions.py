"""What a certificate is asked for later: the work of all shifts, receptive fields, remedies."""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxinv.borders.rewriting import apart_at_seams
from jaxinv.certificate.remedies import ADAPTIVE, remedied
from jaxinv.certificate.steps import States, Step, equation_steps, rows_of
from jaxinv.orbit.cost import work_of_circular_shifts
from jaxinv.symmetry.cost import Work
from jaxinv.symmetry.fields import ReceptiveField, far_walk, field_of
from jaxinv.symmetry.program import Program
from jaxinv.symmetry.state import BROKEN, State
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import is_broken
from jaxinv.symmetry.walk import Walked, line_of, torus_of, walk


@dataclass(frozen=True)
class Remedy:
    """What a network commutes with, with other borders or other sampling.

    Attributes:
      changes: what is other: `"circular padding"`, `"adaptive sampling"`.
      states: of each output, for circular shifts.
      end: where the symmetry of the changed network ends along some axis, or None.
      assumptions: conditions under which this holds.
      program: the changed program, which can be run.
    """

    changes: tuple[str, ...]
    states: tuple[State, ...]
    end: Step | None
    assumptions: tuple[str, ...]
    program: Program | None = field(default=None, repr=False, compare=False)

    @property
    def is_broken(self) -> bool:
        """Whether some output commutes with no shift."""
        return any(state.kind == BROKEN for state in self.states)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"program": None}

    def to_dict(self) -> dict[str, Any]:
        """The remedy as JSON can hold it."""
        end = None if self.end is None else f"{self.end.place}: {self.end.reason}"
        verdicts = [str(state) for state in self.states]
        return {"changes": list(self.changes), "verdicts": verdicts, "ends": end}


@dataclass(frozen=True)
class Questions:
    """The program of a certificate, as it was traced and as it was walked over.

    Attributes:
      traced: as it was traced.
      original: the walk over that.
      names: for each record of that walk the name of its layer.
      walked: the program in pieces that the certificate speaks of, where it is finer.
      axes: the spatial axes, as the caller gave them.
      verdicts: of the outputs.
    """

    traced: Traced
    original: Walked
    names: tuple[str, ...]
    walked: Traced
    axes: tuple[int, ...]
    verdicts: tuple[State, ...]

    def work(self) -> Work:
        """What `jaxinv.orbit` computes for all circular shifts."""
        records = zip(self.original.records, self.names, strict=True)
        layers = {record.equation.source: name for record, name in records if name}
        return work_of_circular_shifts(self.traced, layers)

    def with_fields(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Steps that know how far their results see."""
        return tuple(dataclasses.replace(s, fields=self._fields(s.results)) for s in steps)

    def _fields(self, numbers: Sequence[int]) -> tuple[ReceptiveField | None, ...]:
        """Per axis how far some values see, the furthest of them."""
        along = []
        dims = next(dims for dims in self.walked.dims if dims is not None)
        for axis, size in enumerate(self.walked.sizes):
            values = (self._fields_walk.values[number] for number in numbers)
            found = [field_of(value, axis, size, dims[axis]) for value in values]
            known = [field for field in found if field is not None]
            everything = len(known) < len(found) or not known
            along.append(None if everything else max(known, key=lambda field: field.size))
        return tuple(along)

    @functools.cached_property
    def _fields_walk(self) -> Walked:
        return far_walk(self.walked)

    def remedies(self) -> tuple[Remedy, ...]:
        """What circular padding would give, and what adaptive sampling as well."""
        if all(state.is_invariant for state in self.verdicts):
            return ()
        values = walk(self.traced, line_of(self.traced.sizes, bordered=False)).values
        found: list[Remedy] = []
        for adaptive in (False, True):
            changed = remedied(self.traced, values, adaptive=adaptive)
            if changed.changes and (not adaptive or ADAPTIVE in changed.changes):
                found.append(self._remedy(changed.traced, changed.changes))
        return tuple(found)

    def _remedy(self, changed: Traced, changes: tuple[str, ...]) -> Remedy:
        traced, walked = finest(changed, walk(changed, torus_of(changed.sizes)))
        states = States(traced, walked, None, self.axes)
        rows = rows_of(self.original, self.names, walked)
        steps = equation_steps(self.traced.program, rows, states)
        return Remedy(
            changes,
            tuple(states[number] for number in traced.program.outputs),
            next((step for step in steps if step.ends), None),
            walked.assumptions,
            changed.program,
        )


def finest(traced: Traced, walked: Walked) -> tuple[Traced, Walked]:
    """A program and its walk on the torus, cut at its seams where that keeps more symmetries."""
    apart = apart_at_seams(traced, walked.values, differentiated=False)
    if apart is not None:
        in_pieces = walk(apart, walked.torus)
        if is_finer(apart, in_pieces, traced, walked):
            return apart, in_pieces
    return traced, walked


def is_finer(traced: Traced, walked: Walked, other: Traced, of_other: Walked) -> bool:
    """Whether the outputs of a program keep symmetries that those of its equal lose."""
    pairs = [
        (
            is_broken(walked.torus, walked.values[one], axis),
            is_broken(walked.torus, of_other.values[two], axis),
        )
        for one, two in zip(traced.program.outputs, other.program.outputs, strict=True)
        for axis in range(len(traced.sizes))
    ]
    return (False, True) in pairs and (True, False) not in pairs
