"""The cheapest plan of an orbit: the torus that the input lies on, and whether borders are cut."""

import dataclasses
import logging

import numpy as np

from jaxinv.borders.rewriting import Borders, apart_at_seams, on_pieces
from jaxinv.borders.work import pays_until
from jaxinv.orbit.memory import free_bytes
from jaxinv.orbit.plan import Plan, make_plan
from jaxinv.orbit.shift_set import ShiftSet
from jaxinv.orbit.torus import Embedding, exact, longer
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.walk import Walked, line_of, walk

_log = logging.getLogger(__name__)

# Of the free memory, what a value held for all shifts may take.
_SHARE_OF_MEMORY = 0.25
# Pieces are many small operations: they have to save this part of the counted work.
LEAST_SAVED = 0.2


@dataclasses.dataclass(frozen=True)
class Asked:
    """What an orbit is asked for.

    Attributes:
      shifts: the shifts, and what enters at the border.
      differentiated: whether derivatives, too, have to be those of evaluating each shift.
      memory: bytes that a held value may take; None for a part of what is free.
    """

    shifts: ShiftSet
    differentiated: bool
    memory: float | None = None

    def plan(self, traced: Traced, embedding: Embedding) -> Plan:
        """The plan of a program on a torus; sharing stops where it costs more than it saves."""
        memory = free_bytes() * _SHARE_OF_MEMORY if self.memory is None else self.memory
        end = None
        while True:
            plan = make_plan(
                traced, embedding, differentiated=self.differentiated, memory=memory, end=end
            )
            if end is not None or plan.best_end == plan.equations:
                return plan
            end = plan.best_end


def best_plan(traced: Traced, asked: Asked) -> Plan:
    """The cheapest way to evaluate a program at every shift.

    Circular shifts of a size that the strides divide lie on the image itself. Other sizes, and
    other fills, need a longer torus; on it, programs that pad circularly are broken, so for
    circular shifts both are tried. On either, sharing stops where more would be computed on the
    cosets than at the shifts asked for. Where padding ends the sharing, the program is tried with
    its borders cut as well; where a class token joins the tokens of an image, with both apart.

    Args:
      traced: the program, traced on the window that it sees.
      asked: the shifts, and whether derivatives have to be theirs.
    """
    best = _best_of(traced, asked)
    if best.cost() < 2 * best.single_cost or best.traced is not traced:
        return best
    apart = apart_at_seams(traced, best.states, differentiated=asked.differentiated)
    if apart is None:
        return best
    return _cheaper(dataclasses.replace(_best_of(apart, asked), at_seams=True), best)


def _cheaper(pieces: Plan, best: Plan) -> Plan:
    """The plan of a program in pieces, if it saves enough."""
    if pieces.cost() > (1 - LEAST_SAVED) * best.cost():
        return best
    return dataclasses.replace(pieces, single_cost=best.single_cost)


def _best_of(traced: Traced, asked: Asked) -> Plan:
    plans = []
    if asked.shifts.mode == "wrap":
        plans.append(asked.plan(traced, exact(asked.shifts)))
        if not plans[0].deferred:
            return plans[0]
    line = walk(traced, line_of(traced.sizes))
    multiple = _strides(line)
    if not all(m * 2 <= n for m, n in zip(multiple, asked.shifts.sizes, strict=True)):
        multiple = (1,) * len(multiple)
    extended = longer(asked.shifts, multiple)
    plans.append(asked.plan(traced, extended))
    best = min(plans, key=Plan.cost)
    cut = _cut(traced, line, best, asked)
    if cut is None:
        return best
    pieces = min((asked.plan(cut, plan.embedding) for plan in plans), key=Plan.cost)
    return _cheaper(pieces, best)


def _cut(traced: Traced, line: Walked, best: Plan, asked: Asked) -> Traced | None:
    """The program with its borders cut, as far as that may pay."""
    end = pays_until(traced, line, best.embedding.torus, asked.shifts.count)
    if end == 0:
        return None
    try:
        return on_pieces(traced, Borders(line.values), end=end, differentiated=asked.differentiated)
    except Exception:  # Each shift by itself is always right.
        _log.debug("borders are not cut", exc_info=True)
        return None


def _strides(line: Walked) -> tuple[int, ...]:
    """Per axis the largest period that the strides alone lead to."""
    periods = [1] * len(line.torus.lengths)
    for record in line.records:
        for value in record.results:
            for axis in range(len(periods)):
                if value.moves_along(axis):
                    periods[axis] = int(np.lcm(periods[axis], value.period[axis]))
    return tuple(periods)
