"""What a program costs with its borders cut, estimated from where its interiors end."""

import math

import numpy as np

from jaxinv.borders import sums
from jaxinv.borders.pieces import layout_of
from jaxinv.symmetry.cost import flops
from jaxinv.symmetry.program import Equation, Program
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import LINE_LENGTH, Torus, Value
from jaxinv.symmetry.walk import Record, Walked

# A piece is gathered from others, and many small operations are slower than a large one.
_OVERHEAD = 1.25
# To read and write a position is as slow as so many operations of a convolution.
_MOVED = 100
# And to start an operation, however small.
_STARTED = 10_000
# Many pieces take long to compile: they are joined as soon as that costs no more than this.
_TOLERANCE = 1.05


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
    equations = traced.program.equations
    records = {id(record.equation): record for record in line.records}
    # What each equation costs in pieces, and whole at each shift.
    cut, whole = np.zeros(len(equations)), np.zeros(len(equations))
    for at, equation in enumerate(equations):
        if record := records.get(id(equation)):
            whole[at] = count * _time(equation)
            copies = min(_copies(torus, value) for value in _determining(record))
            pieces = len(layout_of(record.results[0]).boxes())
            cut[at] = _OVERHEAD * copies * _time(equation) + _STARTED * pieces
    joined = count * _MOVED * _pieces_alive(traced.program, line)
    totals = np.concatenate([[0], np.cumsum(cut)]) + joined
    totals += np.concatenate([np.cumsum(whole[::-1])[::-1], [0]])
    return int(np.flatnonzero(totals <= _TOLERANCE * totals.min())[0])


def _time(equation: Equation) -> int:
    """Of an equation at one shift, in operations of a convolution."""
    once = flops(equation)
    return once and once + _MOVED * max(aval.size for aval in equation.out_avals)


def _pieces_alive(program: Program, line: Walked) -> np.ndarray:
    """After each number of equations the positions of maps in pieces that are read later."""
    equations = program.equations
    last = {number: len(equations) for number in program.outputs}
    for at, equation in reversed(list(enumerate(equations))):
        for number in equation.ins:
            last.setdefault(number, at)
    changes = np.zeros(len(equations) + 2)
    for at, equation in enumerate(equations):
        for number in equation.outs:
            if number in last and layout_of(line.values[number]).is_cut:
                size = program.avals[number].size
                changes[at + 1] += size
                changes[last[number] + 1] -= size
    return np.cumsum(changes)[:-1]


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
