"""Seams: where what moves is joined to what does not, a class token to the tokens of an image.

The joined array follows no shift as a whole, but its parts do. Held in pieces that begin at the
seams, each moves as it did before, and so do the pieces of what is made of them: attention over all
tokens is a sum over the class token and over the image.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jax import lax
from jax.extend.core import primitives

from jaxinv.borders.pieces import Layout, uncut
from jaxinv.borders.sums import REDUCTIONS
from jaxinv.symmetry.program import Equation, Program
from jaxinv.symmetry.registry import REGISTERED, rule_of
from jaxinv.symmetry.rules.pointwise import pointwise
from jaxinv.symmetry.values import Value

# The positions at which the pieces of a dimension begin and, last, its size.
Bounds = tuple[int, ...]


@dataclass(frozen=True)
class Seams:
    """Cuts at seams.

    Attributes:
      joining: the concatenations at which pieces meet.
    """

    joining: frozenset[Equation]

    def layouts(self, equation: Equation, operands: Sequence[Layout]) -> list[Layout]:
        """Where the results of an equation are cut, from where its operands are."""
        rows = [[_bounds(dim) for dim in operand.dims] for operand in operands]
        if equation in self.joining:
            return [_laid_out(_joined(equation, rows, seam=True))]
        follow = _FOLLOW.get(equation.primitive)
        if follow is None or not any(operand.is_cut for operand in operands):
            return [uncut(aval.shape) for aval in equation.out_avals]
        return [_laid_out(follow(equation, rows, out)) for out in range(len(equation.outs))]

    def states(self, equation: Equation) -> list[None]:
        """Operands say themselves where they are cut; nothing else has to be known of them."""
        return [None] * len(equation.ins)

    def of_body(self, body: Program, states: Sequence[None]) -> tuple["Seams", list[None]]:
        """The cuts in a body: what its operands bring along."""
        return Seams(frozenset()), [None] * len(body.outputs)

    def sliced(self, state: None) -> None:
        """Of a slice, too."""


def seams_of(program: Program, values: Mapping[int, Value]) -> Seams | None:
    """The seams of a program; None if there are none.

    Args:
      program: the program.
      values: the states of those of its values that all shifts share. A concatenation is a seam if
        some of its operands move along its dimension, others do not, and the result no longer does.
    """
    joining = set()
    for equation in program.equations:
        if equation.primitive is not primitives.concatenate_p:
            continue
        dim, (out,) = equation.params["dimension"], equation.outs
        ends = out not in values or not values[out].moves_in(dim)
        if ends and len({values[i].moves_in(dim) for i in equation.ins if i in values}) == 2:
            joining.add(equation)
    return Seams(frozenset(joining)) if joining else None


def _bounds(dim: Sequence[Bounds]) -> Bounds:
    """Those of a dimension; one of several factors is never made here."""
    (bounds,) = dim
    return bounds


def _laid_out(rows: Iterable[Bounds]) -> Layout:
    return Layout(tuple((bounds,) for bounds in rows))


def _all_of(*rows: Bounds) -> Bounds:
    return tuple(sorted({position for row in rows for position in row}))


def _joined(equation: Equation, rows: Sequence[Sequence[Bounds]], seam: bool = False):
    """Side by side along one dimension; a seam is cut between them, too."""
    dim = equation.params["dimension"]
    ends = [0, *itertools.accumulate(row[dim][-1] for row in rows)]
    inside = [start + b for start, row in zip(ends, rows, strict=False) for b in row[dim][1:-1]]
    along = _all_of((0, ends[-1]), tuple(inside), tuple(ends) if seam else ())
    return [along if d == dim else _all_of(*(row[d] for row in rows)) for d in range(len(rows[0]))]


def _alike(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    """Position by position."""
    shape = equation.out_avals[out].shape
    return [
        _all_of((0, n), *(row[d] for row in rows if len(row) == len(shape) and row[d][-1] == n))
        for d, n in enumerate(shape)
    ]


def _broadcast(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    layout: list[Bounds] = [(0, n) for n in equation.out_avals[0].shape]
    for bounds, to in zip(rows[0], equation.params["broadcast_dimensions"], strict=True):
        if bounds[-1] == layout[to][-1]:
            layout[to] = bounds
    return layout


def _regrouped(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    """A dimension that is one before and after, with as many positions in front of it."""
    shape = equation.out_avals[0].shape
    known = {
        (math.prod(bounds[-1] for bounds in rows[0][:d]), bounds[-1]): bounds
        for d, bounds in enumerate(rows[0])
    }
    return [known.get((math.prod(shape[:d]), n), (0, n)) for d, n in enumerate(shape)]


def _transposed(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    return [rows[0][d] for d in equation.params["permutation"]]


def _sliced(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    params = equation.params
    steps = params["strides"] or (1,) * len(rows[0])
    return [
        _all_of((0, n), tuple(c for b in bounds if 0 < (c := -(-(b - start) // step)) < n))
        for bounds, start, step, n in zip(
            rows[0], params["start_indices"], steps, equation.out_avals[0].shape, strict=True
        )
    ]


def _split(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    axis, sizes = equation.params["axis"], [int(n) for n in equation.params["sizes"]]
    start, n, layout = sum(sizes[:out]), sizes[out], list(rows[0])
    layout[axis] = _all_of((0, n), tuple(b - start for b in layout[axis] if 0 < b - start < n))
    return layout


def _reversed(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    turned = equation.params["dimensions"]
    return [
        tuple(bounds[-1] - b for b in reversed(bounds)) if d in turned else bounds
        for d, bounds in enumerate(rows[0])
    ]


def _reduced(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    return [bounds for d, bounds in enumerate(rows[0]) if d not in equation.params["axes"]]


def _contracted(equation: Equation, rows: Sequence[Sequence[Bounds]], out: int):
    contracted, batch = equation.params["dimension_numbers"]
    pairs = zip(*batch, strict=True)
    alike = [_all_of(rows[0][a], rows[1][b]) for a, b in pairs]
    free = [
        bounds
        for row, used in zip(rows, zip(contracted, batch, strict=True), strict=True)
        for d, bounds in enumerate(row)
        if d not in {*used[0], *used[1]}
    ]
    return [*alike, *free]


# From an equation and the bounds of its operands to those of one of its results.
_FOLLOW: dict[Any, Callable[..., Sequence[Bounds]]] = {
    primitive: _alike for primitive in REGISTERED if rule_of(primitive) is pointwise
}
_FOLLOW |= dict.fromkeys(REDUCTIONS, _reduced)
_FOLLOW |= {
    primitives.broadcast_in_dim_p: _broadcast,
    primitives.concatenate_p: lambda equation, rows, out: _joined(equation, rows),
    primitives.custom_jvp_call_p: _alike,
    primitives.dot_general_p: _contracted,
    primitives.reshape_p: _regrouped,
    primitives.rev_p: _reversed,
    primitives.slice_p: _sliced,
    primitives.squeeze_p: _regrouped,
    primitives.transpose_p: _transposed,
    lax.split_p: _split,
}
