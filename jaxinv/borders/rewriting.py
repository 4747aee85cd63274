"""A program on pieces: equal to the original, with its borders cut from its interiors."""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxinv.borders import calls, operations, sums
from jaxinv.borders.operations import Operation, Wanted
from jaxinv.borders.pieces import Layout, NotABox, Pieces, in_one_piece, layout_of
from jaxinv.symmetry.constant_folding import has_numbers
from jaxinv.symmetry.program import Equation, Program, flatten
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import Value

OPERATIONS = operations.OPERATIONS | sums.OPERATIONS | calls.OPERATIONS
_NUMBERED = re.compile(r"equation=(\d+)(?:/piece=([\d-]+))?")


def on_pieces(traced: Traced, line: dict[int, Value], *, end: int, differentiated: bool) -> Traced:
    """The program with every map cut at the ends of its interior.

    Args:
      traced: the program.
      line: the state of each of its values on the line, which says where interiors end.
      end: from this equation on maps are joined again.
      differentiated: whether derivatives, too, have to be those of the original.

    Returns:
      A program of the same inputs and outputs. An operation of `OPERATIONS` is made piece by
      piece; any other joins its operands.
    """
    program = traced.program
    layouts = {number: layout_of(value) for number, value in line.items()}

    def rewritten(*arrays):
        values = {i: _literal(v, program.avals[i]) for i, v in program.constants.items()}
        values |= dict(zip(program.inputs, arrays, strict=True))
        joined: set[int] = set()
        for index, equation in enumerate(program.equations):
            with jax.named_scope(f"equation={index}"):
                operands = [values[i] for i in equation.ins]
                made = _nothing(equation)
                if made is None and index < end and joined.isdisjoint(equation.ins):
                    made = _in_pieces(program, equation, operands, layouts, differentiated)
                if made is None:
                    made = equation.bind(*map(_whole, operands))
                    if any(layouts[i].is_cut for i in equation.outs):
                        joined.update(equation.outs)
                values |= dict(zip(equation.outs, made, strict=True))
        with jax.named_scope(f"equation={len(program.equations) - 1}"):
            return [_whole(values[i]) for i in program.outputs]

    closed = jax.make_jaxpr(rewritten)(*(program.avals[i] for i in program.inputs))
    cut = flatten(closed, enter=lambda primitive: not differentiated)
    cut.equations = [_of_original(e, program.equations) for e in cut.equations]
    return dataclasses.replace(traced, program=cut)


def _nothing(equation: Equation) -> list[Any] | None:
    """The results of an operation that makes no positions at all; what padding by 0 leaves."""
    if any(aval.size or not has_numbers(aval) for aval in equation.out_avals):
        return None
    return [np.zeros(aval.shape, aval.dtype) for aval in equation.out_avals]


def _in_pieces(
    program: Program,
    equation: Equation,
    operands: Sequence[Any],
    layouts: dict[int, Layout],
    differentiated: bool,
) -> list[Any] | None:
    """The results of an operation in pieces; None if it has to be applied to whole arrays."""
    rows = [layouts[i] for i in equation.outs]
    if not any(isinstance(v, Pieces) for v in operands) and not any(row.is_cut for row in rows):
        return None
    operation = OPERATIONS.get(equation.primitive)
    if operation is None or equation.whole is not None:
        return None
    given = [v if isinstance(v, Pieces) else in_one_piece(v) for v in operands]
    try:
        return [
            _result(Wanted(program, equation, given, out, row, (), differentiated), operation)
            for out, row in enumerate(rows)
        ]
    except NotABox:
        return None


def _result(wanted: Wanted, operation: Operation) -> Pieces:
    aval, layout = wanted.equation.out_avals[wanted.out], wanted.layout
    parts = {}
    for index, box in layout.boxes():
        piece = dataclasses.replace(wanted, box=box)
        # Of a result in one piece there is nothing to tell apart.
        name = f"piece={'-'.join(map(str, index))}" if layout.is_cut else ""
        with jax.named_scope(name) if name else contextlib.nullcontext():
            parts[index] = operation(piece)
        assert np.shape(parts[index]) == tuple(piece.shape)
        assert parts[index].dtype == aval.dtype
    return Pieces(layout, parts)


def _whole(value) -> Any:
    return value.whole() if isinstance(value, Pieces) else value


def _literal(value, aval) -> Any:
    """A constant as an array of numpy where it is a number, so that it stays a literal."""
    return np.asarray(value, aval.dtype) if np.isscalar(value) else value


def _of_original(equation: Equation, originals: Sequence[Equation]) -> Equation:
    """An equation of the rewritten program with the source of the one that it is a piece of."""
    found = _NUMBERED.search(equation.source.module)
    if found is None:
        return equation
    piece = tuple(map(int, found[2].split("-"))) if found[2] else None
    return dataclasses.replace(equation, source=originals[int(found[1])].source, piece=piece)
