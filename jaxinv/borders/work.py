"""What a program costs with its borders cut, estimated from where its interiors end."""

import math

from jaxinv.borders import sums
from jaxinv.symmetry.analysis import Record, Traced, Walked
from jaxinv.symmetry.cost import flops
from jaxinv.symmetry.values import LINE_LENGTH, Torus, Value

# A piece is gathered from others, and many small operations are slower than a large one.
_OVERHEAD = 1.25


def pays_until(traced: Traced, line: Walked, torus: Torus, count: int) -> int:
    """After how many equations of a program its borders should be cut no more.

    Args:
      traced: the program.
      line: its walk on the line.
      torus: the torus on which it will be evaluated.
      count: the number of shifts.

    Returns:
      0 if cutting saves nothing.
    """
    records = {id(record.equation): record for record in line.records}
    # What cutting up to an equation costs beyond running all of them at each shift.
    balance = [0.0]
    for equation in traced.program.equations:
        cost = 0.0
        if record := records.get(id(equation)):
            copies = min(_copies(torus, value) for value in _determining(record))
            cost = flops(equation) * (_OVERHEAD * copies - count)
        balance.append(balance[-1] + cost)
    return min(range(len(balance)), key=lambda k: (balance[k], k))


def _determining(record: Record) -> tuple[Value, ...]:
    """What an equation is as often computed for: its result, or the pieces that it sums over."""
    if record.equation.primitive in sums.OPERATIONS:
        return (*record.results, *record.operands)
    return record.results


def _copies(torus: Torus, value: Value) -> float:
    """How often a value is computed for all shifts, in times its own size."""
    return math.prod(_copies_along(torus, value, axis) for axis in range(value.n_axes))


def _copies_along(torus: Torus, value: Value, axis: int) -> float:
    period, length = value.period[axis], torus.lengths[axis]
    shifts = len(torus.residues(axis, length))
    windows = [window for _, window in value.windows(axis)]
    if not windows:
        return shifts if period == LINE_LENGTH else min(period, shifts)
    cosets = len(torus.residues(axis, period)) if length % period == 0 else min(period, shifts)
    copies = 0.0
    for window in windows:
        lo, hi = window.interior
        border = window.size - max(0, hi - lo)
        inside = cosets * length * float(window.pace) / period if lo < hi else 0
        copies = max(copies, (inside + border * shifts) / window.size)
    return min(copies, shifts)
