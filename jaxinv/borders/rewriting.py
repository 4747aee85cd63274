"""A program on pieces, equal to the original: cut where borders and interiors meet, or at seams."""

import contextlib
import dataclasses
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.borders import calls, operations, sums
from jaxinv.borders.operations import Operation, Wanted
from jaxinv.borders.pieces import Layout, NotABox, Pieces, in_one_piece, layout_of, uncut
from jaxinv.borders.seams import Seams, seams_of
from jaxinv.symmetry.constant_folding import has_numbers
from jaxinv.symmetry.program import Equation, Program, flatten
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.rules.loops import scan_counts
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import Value
from jaxinv.symmetry.walk import interpret, line_of

OPERATIONS = operations.OPERATIONS | sums.OPERATIONS | calls.OPERATIONS
_log = logging.getLogger(__name__)
_NUMBERED = re.compile(r"equation=(\d+)(?:/equation=\d+)*(?:/piece=([\d-]+))?")


@dataclasses.dataclass(frozen=True)
class Borders:
    """Cuts at the ends of interiors.

    Attributes:
      line: the state of each value on the line.
    """

    line: dict[int, Value]

    def layouts(self, equation: Equation, operands: Sequence[Layout]) -> list[Layout]:
        """Where the results of an equation are cut."""
        return [layout_of(self.line[i]) for i in equation.outs]

    def states(self, equation: Equation) -> list[Value]:
        """What is known of the operands of an equation."""
        return [self.line[i] for i in equation.ins]

    def of_body(self, body: Program, states: Sequence[Value]) -> tuple["Borders", list[Value]]:
        """The cuts in a body that is entered in some states, and the states of its results."""
        ctx = Context(line_of(range(states[0].n_axes)), body, believes=True)
        line = interpret(ctx, body, dict(zip(body.inputs, states, strict=True)))
        return Borders(line), [line[number] for number in body.outputs]

    def sliced(self, state: Value) -> Value:
        """The state of a slice along the first dimension.

        Raises:
          NotABox: if positions move along it.
        """
        if state.moves_in(0):
            raise NotABox
        return dataclasses.replace(state, dims=state.dims[1:])


def on_pieces(
    traced: Traced, cuts: Borders | Seams, *, end: int | None = None, differentiated: bool
) -> Traced:
    """The program with its arrays in pieces.

    Args:
      traced: the program.
      cuts: where they are cut.
      end: from this equation on they are joined again; None for none.
      differentiated: whether derivatives, too, have to be those of the original.

    Returns:
      A program of the same inputs and outputs. An operation of `OPERATIONS` is made piece by
      piece; any other joins its operands.
    """
    program = traced.program
    end = len(program.equations) if end is None else end

    def rewritten(*arrays):
        outputs = _rewritten(program, cuts, arrays, end=end, differentiated=differentiated)
        with jax.named_scope(f"equation={len(program.equations) - 1}"):
            return list(map(_whole, outputs))

    closed = jax.make_jaxpr(rewritten)(*(program.avals[i] for i in program.inputs))
    translated = [dims is not None for dims in traced.dims]
    cut = flatten(closed, enter=not differentiated, translated=translated)
    cut.equations = [of_original(e, program.equations) for e in cut.equations]
    return dataclasses.replace(traced, program=cut)


def apart_at_seams(
    traced: Traced, values: Mapping[int, Value], *, differentiated: bool
) -> Traced | None:
    """The program with what moves and what is joined to it apart; None if there is no seam.

    Args:
      traced: the program.
      values: the states of those of its values that all shifts share.
      differentiated: whether derivatives, too, have to be those of the original.
    """
    seams = seams_of(traced.program, values)
    if seams is None:
        return None
    try:
        return on_pieces(traced, seams, differentiated=differentiated)
    except Exception:  # Joined is always right.
        _log.debug("a program is not cut at its seams", exc_info=True)
        return None


def _rewritten(
    program: Program,
    cuts: Borders | Seams,
    inputs: Sequence[Any],
    *,
    end: int | None,
    differentiated: bool,
) -> list[Any]:
    """The outputs of a program, in pieces where they are.

    Raises:
      NotABox: if a map has to be joined, and that is not allowed (`end` is None).
    """
    values = {i: literal(v, program.avals[i]) for i, v in program.constants.items()}
    values |= dict(zip(program.inputs, inputs, strict=True))
    joined: set[int] = set()
    for index, equation in enumerate(program.equations):
        with jax.named_scope(f"equation={index}"):
            operands = [values[i] for i in equation.ins]
            rows = cuts.layouts(equation, [_layout(v) for v in operands])
            results = _nothing(equation)
            if results is None and (end is None or index < end) and joined.isdisjoint(equation.ins):
                results = _in_pieces(program, equation, operands, cuts, rows, differentiated)
            if results is None:
                results = equation.bind(*map(_whole, operands))
                if any(row.is_cut for row in rows):
                    joined.update(equation.outs)
            if end is None and _joins(operands, results):
                raise NotABox
            values |= dict(zip(equation.outs, results, strict=True))
    return [values[i] for i in program.outputs]


def _joins(operands: Sequence[Any], results: Sequence[Any]) -> bool:
    """Whether pieces became a map in one piece; a sum of all of them is none."""
    pieces = [v for v in operands if _is_cut(v)]
    if not pieces:
        return False
    largest = max(math.prod(v.shape) for v in pieces)
    return any(not _is_cut(v) and math.prod(v.shape) >= largest for v in results)


def _layout(value) -> Layout:
    return value.layout if isinstance(value, Pieces) else uncut(np.shape(value))


def _is_cut(value) -> bool:
    return isinstance(value, Pieces) and value.layout.is_cut


def _nothing(equation: Equation) -> list[Any] | None:
    """The results of an operation that makes no positions at all; what padding by 0 leaves."""
    if any(aval.size or not has_numbers(aval) for aval in equation.out_avals):
        return None
    return [np.zeros(aval.shape, aval.dtype) for aval in equation.out_avals]


def _in_pieces(
    program: Program,
    equation: Equation,
    operands: Sequence[Any],
    cuts: Borders | Seams,
    rows: Sequence[Layout],
    differentiated: bool,
) -> list[Any] | None:
    """The results of an operation in pieces; None if it has to be applied to whole arrays."""
    if not any(isinstance(v, Pieces) for v in operands) and not any(row.is_cut for row in rows):
        return None
    body = _BODIES.get(equation.primitive)
    if body is not None:
        try:
            return body(equation, operands, cuts, differentiated)
        except NotABox:
            return None
    operation = OPERATIONS.get(equation.primitive)
    if operation is None or equation.whole is not None:
        return None
    pieces = [v if isinstance(v, Pieces) else in_one_piece(v) for v in operands]
    try:
        return [
            _result(Wanted(program, equation, pieces, out, row, (), differentiated), operation)
            for out, row in enumerate(rows)
        ]
    except NotABox:
        return None


def _body_in_place(
    jaxpr: Any,
    operands: Sequence[Any],
    cuts: Borders | Seams,
    states: Sequence[Any],
    differentiated: bool,
) -> tuple[list[Any], Sequence[Any]]:
    """The results of the body of a call, all of it in pieces, and their states.

    Raises:
      NotABox: if some of it does not go in pieces.
    """
    body = flatten(jaxpr, enter=not differentiated)
    inside, results = cuts.of_body(body, states)
    outs = _rewritten(body, inside, operands, end=None, differentiated=differentiated)
    return outs, results


def _remat(
    equation: Equation, operands: Sequence[Any], cuts: Borders | Seams, differentiated: bool
) -> list[Any]:
    """What is then stored and not computed again is little: pieces, and what all shifts share."""
    states = cuts.states(equation)
    return _body_in_place(equation.params["jaxpr"], operands, cuts, states, differentiated)[0]


def _scan(
    equation: Equation, operands: Sequence[Any], cuts: Borders | Seams, differentiated: bool
) -> list[Any]:
    """A scan over layers, round after round; a border grows in each."""
    length, jaxpr = equation.params["length"], equation.params["jaxpr"]
    consts, carried = scan_counts(equation)
    first = consts + carried
    states: Sequence[Any] = cuts.states(equation)
    if length > _LONGEST_SCAN or len(equation.outs) > carried:
        raise NotABox
    slices = [cuts.sliced(state) for state in states[first:]]
    carry, carry_states = list(operands[consts:first]), list(states[consts:first])
    for at in reversed(range(length)) if equation.params["reverse"] else range(length):
        rows = [lax.index_in_dim(_whole(x), at, keepdims=False) for x in operands[first:]]
        entering = [*operands[:consts], *carry, *rows]
        known = [*states[:consts], *carry_states, *slices]
        carry, after = _body_in_place(jaxpr, entering, cuts, known, differentiated)
        carry_states = list(after)
    return carry


# Calls whose bodies stand in their place.
_BODIES: dict[Any, Callable[..., list[Any]]] = {
    primitives.remat_p: _remat,
    primitives.scan_p: _scan,
}
# Each round is compiled by itself.
_LONGEST_SCAN = 16


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


def literal(value, aval) -> Any:
    """A constant as an array of numpy where it is a number, so that it stays a literal."""
    return np.asarray(value, aval.dtype) if np.isscalar(value) else value


def of_original(equation: Equation, originals: Sequence[Equation]) -> Equation:
    """An equation of the rewritten program with the source of the one that it is a piece of."""
    match = _NUMBERED.search(equation.source.module)
    if match is None:
        return equation
    piece = tuple(map(int, match[2].split("-"))) if match[2] else None
    return dataclasses.replace(equation, source=originals[int(match[1])].source, piece=piece)
