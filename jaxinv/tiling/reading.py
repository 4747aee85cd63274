"""A function at one size, and how some positions of its outputs are made."""

import functools
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from jaxinv.borders.operations import Wanted
from jaxinv.borders.pieces import Layout, NotABox, Range, as_factors
from jaxinv.symmetry.constant_folding import has_numbers
from jaxinv.symmetry.layer_names import LIBRARY, layer_names, library_call, operation
from jaxinv.symmetry.program import Equation, open_jaxpr
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.rules.resampling import Band, band
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import Window
from jaxinv.symmetry.walk import Walked
from jaxinv.tiling.operations import operation_of

Box = tuple[Range, ...]
ADDRESS = re.compile(r"0x[0-9a-f]+")
_NUMBERED = re.compile(r"equation=(\d+)")


@dataclass(frozen=True)
class Sized:
    """A function at one size: its program, and the walk over it on the line."""

    traced: Traced
    walked: Walked

    @functools.cached_property
    def equations(self) -> list[Equation]:
        """Those that the outputs depend on."""
        return [record.equation for record in self.walked.records]

    @functools.cached_property
    def _bands(self) -> dict[Equation, Band | None]:
        return {}

    def band(self, equation: Equation) -> Band | None:
        """The known matrix of a product that resamples its operand, if it is one."""
        if equation not in self._bands:
            operands = [self.walked.values[i] for i in equation.ins]
            ctx = Context(self.walked.torus, self.traced.program)
            self._bands[equation] = band(ctx, equation, operands)
        return self._bands[equation]

    @functools.cached_property
    def _names(self) -> dict[Equation, str]:
        records = self.walked.records
        names = layer_names(self.traced.program, records)
        return {record.equation: name for record, name in zip(records, names, strict=True)}

    def layer(self, equation: Equation) -> Any:
        """What equations of one layer have in common."""
        return self._names[equation] or library_call(equation) or equation

    def name(self, equation: Equation) -> str:
        """The layer of an equation, or its operation where nothing names one."""
        call = library_call(equation)
        return self._names[equation] or (LIBRARY[call.function] if call else operation(equation))

    def layout(self, number: int) -> Layout:
        """The factors of a value, those that move as if they were cut."""
        return Layout(tuple(_bounds(row) for row in self.walked.values[number].dims))

    def is_computed(self, number: int) -> bool:
        """Whether a value has to be traced back: what it holds is not known."""
        if number not in self.traced.program.producers:
            return False
        return self.walked.values[number].touched or self.traced.program.known_value(number) is None

    def constant(self, number: int) -> Any:
        """What a value that is not computed holds: its array, or the place of an argument."""
        program = self.traced.program
        if number in program.inputs:
            return program.inputs.index(number)
        if number in program.constants:
            return program.constants[number]
        return program.known_value(number)

    def part(self, number: int, box: Box) -> np.ndarray:
        """Some positions of a constant."""
        array = self.constant(number)
        if not has_numbers(self.traced.program.avals[number]):
            return np.asarray(jax.random.key_data(array))
        # (*dimensions) -> (*factors)
        factors = np.reshape(np.asarray(array), self.layout(number).sizes)
        return factors[tuple(slice(*r) for r in box)]


def _bounds(row) -> tuple[tuple[int, ...], ...]:
    sizes = [(f.size, isinstance(f, Window)) for f in row] or [(1, False)]
    return tuple((0, 1, n) if moves and n > 1 else (0, n) for n, moves in sizes)


@dataclass
class Reading:
    """How some positions of the outputs of a function are made.

    Attributes:
      sized: the function.
      boxes: for each value that is computed or cut into tiles the box of it that is read.
      reads: for each equation and each of its results what it reads of each operand.
      made: for each equation the operations that it becomes when it makes no more than that.
      undivided: the equations of which no part can be made by itself.
    """

    sized: Sized
    boxes: dict[int, Box] = field(default_factory=dict)
    reads: dict[tuple[int, int], list[list[Box]]] = field(default_factory=dict)
    made: dict[int, list[Any]] = field(default_factory=dict)
    undivided: set[int] = field(default_factory=set)

    def widen(self, number: int, box: Box) -> None:
        """Notes that some positions of a value are read."""
        hull = self.boxes.get(number, box)
        self.boxes[number] = tuple(
            (min(a, c), max(b, d)) for (a, b), (c, d) in zip(hull, box, strict=True)
        )

    def keeps(self, number: int) -> bool:
        """Whether a value has a box: all but constants."""
        if self.sized.is_computed(number):
            return True
        program, dims = self.sized.traced.program, self.sized.traced.dims
        return number in program.inputs and dims[program.inputs.index(number)] is not None

    def from_box(self, number: int, box: Box) -> list[int]:
        """Where a box starts, counted from the box of the value that is read in all."""
        return [a - b for (a, _), (b, _) in zip(box, self.boxes[number], strict=True)]


def reading(sized: Sized, boxes: Sequence[Box]) -> Reading:
    """How some positions of the outputs are made.

    Args:
      sized: the function.
      boxes: for each output a range along each dimension.
    """
    found = Reading(sized)
    for number, box in zip(sized.traced.program.outputs, boxes, strict=True):
        layout = sized.layout(number)
        found.widen(number, as_factors(layout.shape, box, layout.sizes))

    def backwards() -> list[Any]:
        results = []
        for index, equation in reversed(list(enumerate(sized.equations))):
            with jax.named_scope(f"equation={index}"):
                for out, number in enumerate(equation.outs):
                    if number in found.boxes:
                        result, rows = _applied(sized, equation, out, found.boxes[number])
                        results += result
                        found.reads[index, out] = rows
                        found.undivided |= set() if result else {index}
                        for operand, row in zip(equation.ins, rows, strict=True):
                            for box in row if found.keeps(operand) else ():
                                found.widen(operand, box)
        return results

    jaxpr, consts = open_jaxpr(jax.make_jaxpr(backwards)())
    values = dict(zip(jaxpr.constvars, consts, strict=True))
    names: dict[int, dict[Any, int]] = {}
    for eqn in jaxpr.eqns:
        at = _NUMBERED.search(str(eqn.source_info.name_stack))
        assert at is not None
        made_by = int(at[1])
        row = names.setdefault(made_by, {})
        operands = [
            ("literal", str(v.val), str(v.aval))
            if isinstance(v, Literal)
            else (row.setdefault(v, len(row)), str(v.aval), _held(values.get(v)))
            for v in eqn.invars
        ]
        results = [(row.setdefault(v, len(row)), str(v.aval)) for v in eqn.outvars]
        params = ADDRESS.sub("", str(sorted(eqn.params.items())))
        found.made.setdefault(made_by, []).append((eqn.primitive, params, operands, results))
    return found


def _held(constant) -> Any:
    """A constant that an operation made for itself; what it reads is compared elsewhere."""
    if constant is None or isinstance(constant, _Read):
        return None
    return np.asarray(constant).tobytes()


class _Read(np.ndarray):
    """What an operation read: zeros that take no memory."""


class _Operand:
    """An operand of an equation that remembers which positions of it are read."""

    def __init__(self, layout: Layout, dtype: Any):
        self.layout = layout
        self._dtype = dtype
        self.reads: list[Box] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    def read(self, sizes: Sequence[int], box: Sequence[Range]) -> Any:
        try:
            self.reads.append(as_factors(sizes, box, self.layout.sizes))
        except NotABox:
            self.reads.append(_around(self.layout, as_factors(sizes, box, self.shape)))
        zeros = np.zeros((), self._dtype)
        return np.broadcast_to(zeros, [stop - start for start, stop in box]).view(_Read)

    def whole(self) -> Any:
        return self.read(self.shape, [(0, n) for n in self.shape])


def _applied(
    sized: Sized, equation: Equation, out: int, box: Box
) -> tuple[list[Any], list[list[Box]]]:
    """A box of a result of an equation, and what it reads of each operand.

    An equation of which no part can be made by itself makes none, and reads all of its operands.
    """
    layouts = [sized.layout(i) for i in equation.ins]
    make = operation_of(equation, sized.walked.values, sized.band)
    if make is not None:
        result = sized.layout(equation.outs[out])
        program = sized.traced.program
        # Some make all channels or none.
        for asked in (box, _with_all_that_stays(result, box)):
            operands: Any = [
                _Operand(layout, aval.dtype)
                for layout, aval in zip(layouts, equation.in_avals, strict=True)
            ]
            try:
                made = make(Wanted(program, equation, operands, out, result, asked, False))
            except NotABox:
                continue
            return [made], [operand.reads for operand in operands]
    return [], [[tuple((0, n) for n in layout.sizes)] for layout in layouts]


def _around(layout: Layout, ranges: Sequence[Range]) -> Box:
    """The smallest box of the factors of each dimension that a range along it lies in."""
    box: list[Range] = []
    for row, (start, stop) in zip(layout.dims, ranges, strict=True):
        inner = math.prod(bounds[-1] for bounds in row)
        for bounds in row:
            # A position of this factor is `inner` positions of the dimension.
            inner //= bounds[-1]
            first, last = start // inner, (stop - 1) // inner
            box.append((first, last + 1))
            start, stop = (start % inner, (stop - 1) % inner + 1) if first == last else (0, inner)
    return tuple(box)


def _with_all_that_stays(layout: Layout, box: Box) -> Box:
    """A box with all positions along the factors that do not move."""
    rows = zip(itertools.chain(*layout.dims), box, strict=True)
    return tuple(asked if len(cuts) > 2 else (0, cuts[-1]) for cuts, asked in rows)
