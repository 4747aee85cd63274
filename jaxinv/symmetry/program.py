"""A jaxpr as one flat list of equations, with calls walked into and layers named.

Only public API is used, and what differs between jax releases is read in one place each:
`open_jaxpr` (`ClosedJaxpr` and `Jaxpr` are one class since jax 0.11) and `Equation.bind`.
Inner jaxprs are shared between call sites, so their variables are renamed at every call.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend.core import Jaxpr, Literal, Primitive, primitives

from jaxinv.declarations import MODULE
from jaxinv.symmetry.batched import with_batched_lookups
from jaxinv.symmetry.constant_folding import evaluated, has_numbers
from jaxinv.symmetry.cropping import ranges_read
from jaxinv.symmetry.folding import with_folds
from jaxinv.symmetry.fourier import Filter, with_filters
from jaxinv.symmetry.source_lines import calling_line, model_line

# Calls that mean nothing but their body, with the parameter that holds it.
INLINED = {primitives.jit_p: "jaxpr", primitives.closed_call_p: "call_jaxpr"}
# Calls that mean more than their body: what is differentiated, and what is stored.
MEANINGFUL_CALLS = {
    primitives.remat_p: "jaxpr",
    primitives.custom_jvp_call_p: "call_jaxpr",
    primitives.custom_vjp_call_p: "call_jaxpr",
}
# What computes the same as another primitive of the same operands and parameters: that other one.
ORIGINAL_OF: dict[Primitive, Primitive] = {}

_CALL_INTO_BODY = re.compile(r"[/\\]jax[/\\]_src[/\\]pjit\.py$")


@dataclass(frozen=True, eq=False)
class Source:
    """Where an equation comes from.

    Attributes:
      module: the module path, if the framework writes one.
      info: jax's own record.
      caller: the call whose body the equation stands in.
      is_call: whether it is itself a call.
      function: the name of the function that it calls, or "".
      called_from: the line that had the program read, for networks without a line of their own.
    """

    module: str
    info: Any
    caller: "Source | None"
    is_call: bool
    function: str = ""
    called_from: str = ""

    @functools.cached_property
    def line(self) -> str:
        """`file.py:12` of the model, not of the framework beneath it; "" where there is none."""
        frames = getattr(self.info.traceback, "frames", ())
        if self.caller and not self.is_call:
            # Bodies of library functions are traced once, wherever they were called first.
            frames = itertools.takewhile(
                lambda frame: not _CALL_INTO_BODY.search(frame.file_name), frames
            )
        found = model_line(frames)
        if found:
            return found
        if self.caller:
            return self.caller.line
        # A module made of the framework's own alone has no line.
        return "" if MODULE in self.module else self.called_from


@dataclass(frozen=True, eq=False)
class Equation:
    """One primitive applied to numbered values; `ins` and `outs` index the program's values.

    `whole` is the filter that it ends, if it does; the operands are those of the filter then.
    `piece` says which piece of a map it makes, by its place in the grid, where borders are cut.
    """

    primitive: Any
    params: dict[str, Any]
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    in_avals: tuple[Any, ...]
    out_avals: tuple[Any, ...]
    source: Source
    whole: Filter | None = None
    piece: tuple[int, ...] | None = None

    @functools.cached_property
    def has_own_backward(self) -> bool:
        """Whether a `custom_vjp` is called here or in a body: its backward need not be linear."""
        return _holds_custom_vjp(self.primitive, self.params)

    def bind(self, *operands) -> list[Any]:
        """Applies the primitive to arrays and returns the list of its results."""
        if self.whole is not None:
            return self.whole(*operands)
        params = self.primitive.get_bind_params(self.params)
        results = self.primitive.bind(*operands, **params)
        return list(results) if self.primitive.multiple_results else [results]


def _holds_custom_vjp(primitive, params: dict[str, Any]) -> bool:
    return primitive is primitives.custom_vjp_call_p or any(
        _holds_custom_vjp(eqn.primitive, eqn.params)
        for body in inner_jaxprs(params)
        for eqn in body.eqns
    )


@dataclass
class Program:
    """A flat program: `constants` and `inputs` are known first, `equations` follow in order.

    `outside` says of inputs of a body, a loop's say, which value of what program they always are;
    `is_body` that it is one.
    """

    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)
    avals: dict[int, Any] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    outside: dict[int, tuple["Program", int]] = field(default_factory=dict)
    is_body: bool = False

    @functools.cached_property
    def producers(self) -> dict[int, Equation]:
        """The equation that computes each value."""
        return {out: equation for equation in self.equations for out in equation.outs}

    @functools.cached_property
    def parameters(self) -> dict[int, frozenset[str]]:
        """The names behind each value that is computed from known and named arrays alone."""
        found = dict.fromkeys(self.constants, frozenset[str]())
        found |= {number: frozenset([name]) for number, name in self.names.items()}
        for equation in self.equations:
            if all(number in found for number in equation.ins):
                names = frozenset[str]().union(*(found[number] for number in equation.ins))
                found |= dict.fromkeys(equation.outs, names)
        return found

    @functools.cached_property
    def _cropped(self) -> dict[int, list[tuple[int, int]]]:
        return ranges_read(self.equations, self.outputs)

    @functools.cached_property
    def read(self) -> frozenset[int]:
        """The values that an equation or the caller reads."""
        return frozenset(itertools.chain(self.outputs, *(e.ins for e in self.equations)))

    @functools.cached_property
    def passing_derivatives(self) -> frozenset[int]:
        """The values through which derivatives of the outputs pass; none does at a stopped one."""
        passing = set(self.outputs)
        for equation in reversed(self.equations):
            stops = equation.primitive is primitives.stop_gradient_p
            if not stops and not passing.isdisjoint(equation.outs):
                passing.update(equation.ins)
        return frozenset(passing)

    def positions_read(self, number: int, dim: int) -> tuple[int, int]:
        """The positions of a dimension of a value that anything reads: first, one past the last."""
        if number in self._cropped:
            return self._cropped[number][dim]
        return 0, self.avals[number].shape[dim]

    def is_needed(self, number: int) -> bool:
        """Whether any position of a value is read."""
        return all(start < stop for start, stop in self._cropped.get(number, ()))

    def known_value(self, number: int) -> Any:
        """The value of a small constant expression (indices, say); None if it depends on data.

        An array of numpy, or of jax where it holds random keys.
        """
        before = set(self._known)
        asked = [number] if number not in before else []
        while asked:  # no recursion: programs are deeper than Python's stack
            expression = self._expression(asked[-1])
            operands = expression.ins if expression else ()
            lacking = [i for i in operands if i not in self._known]
            asked += lacking
            if lacking:
                continue
            found = asked.pop()
            self._known[found] = self._evaluated(found)
            # Large ones are kept where they are asked for, not where they are on the way.
            for other in set(operands) - before:
                if getattr(self._known[other], "size", 0) > _LARGEST_HELD:
                    del self._known[other]
        return self._known[number]

    @functools.cached_property
    def _known(self) -> dict[int, Any]:
        return {}

    @functools.cached_property
    def _of_constants(self) -> frozenset[int]:
        found = {*self.constants, *self.outside}
        for equation in self.equations:
            if found.issuperset(equation.ins):
                found.update(equation.outs)
        return frozenset(found)

    def _expression(self, number: int) -> Equation | None:
        """The equation by which a value that depends on constants alone can be evaluated."""
        if number not in self._of_constants or number not in self.producers:
            return None
        equation = self.producers[number]
        small = all(aval.size <= _LARGEST_COMPUTED for aval in equation.out_avals)
        return equation if small else None

    def _evaluated(self, number: int) -> Any:
        if number in self.outside:
            program, same = self.outside[number]
            return program.known_value(same)
        if number in self.constants:
            value, aval = self.constants[number], self.avals[number]
            if isinstance(value, jax.core.Tracer) or getattr(aval, "size", 0) > _LARGEST_KNOWN:
                return None
            if not has_numbers(aval):
                return value if isinstance(value, jax.Array) else None
            concrete = hasattr(value, "__array__") or np.isscalar(value)
            return np.asarray(value, aval.dtype) if concrete else None
        expression = self._expression(number)
        operands = [self._known[i] for i in expression.ins] if expression else []
        if expression is None or any(operand is None for operand in operands):
            return None
        return evaluated(expression, operands, number)


# Of constants, of what is computed from them (the weights that resize 2,048 positions to 4,096 are
# so many), and of what is held that only led to that.
_LARGEST_KNOWN, _LARGEST_COMPUTED, _LARGEST_HELD = 1 << 20, 1 << 24, 1 << 20


def open_jaxpr(jaxpr) -> tuple[Any, Sequence[Any]]:
    """The jaxpr with its equations, and the values of its constant variables."""
    return getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())


def inner_jaxprs(params: dict[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an equation, alone or in tuples."""
    jaxprs = []
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item, _ = open_jaxpr(item)
            if isinstance(item, Jaxpr):
                jaxprs.append(item)
    return jaxprs


def flatten(
    jaxpr,
    *,
    enter: bool = True,
    constant_names: dict[int, str] | None = None,
    translated: Sequence[bool] | None = None,
    outside: Sequence[tuple[Program, int]] = (),
) -> Program:
    """Flattens a jaxpr.

    Args:
      jaxpr: what `jax.make_jaxpr` returned.
      enter: whether the bodies of calls that mean more (`MEANINGFUL_CALLS`) take their place.
      constant_names: the paths of known arrays, keyed by `id`.
      translated: which inputs are translated; of the body of a call None, for any may depend on one
        that is.
      outside: of a body, the values that its first inputs always are.

    Returns:
      The program. A value that is captured from outside is one of its constants.
    """
    program = Program()
    numbers = itertools.count()
    constant_names = constant_names or {}
    entered = INLINED | (MEANINGFUL_CALLS if enter else {})
    called_from = calling_line()

    def number_of(aval) -> int:
        number = next(numbers)
        program.avals[number] = aval
        return number

    def constant(value, aval) -> int:
        number = number_of(aval)
        program.constants[number] = value
        if id(value) in constant_names:
            program.names[number] = constant_names[id(value)]
        return number

    def inline(closed, operands: list[int], source: Source | None) -> list[int]:
        body, consts = open_jaxpr(closed)
        scope: dict[Any, int] = {}
        for var, value in zip(body.constvars, consts, strict=True):
            scope[var] = constant(value, var.aval)
        scope.update(zip(body.invars, operands, strict=True))

        def read(atom) -> int:
            if isinstance(atom, Literal):
                return constant(atom.val, atom.aval)
            return scope[atom]

        for eqn in body.eqns:
            ins = [read(atom) for atom in eqn.invars]
            call = entered.get(eqn.primitive)
            here = _source(eqn, source, call is not None, called_from)
            if call is not None:
                outs = inline(eqn.params[call], ins, here)
            else:
                outs = [number_of(var.aval) for var in eqn.outvars]
                program.equations.append(
                    Equation(
                        primitive=ORIGINAL_OF.get(eqn.primitive, eqn.primitive),
                        params=eqn.params,
                        ins=tuple(ins),
                        outs=tuple(outs),
                        in_avals=tuple(program.avals[i] for i in ins),
                        out_avals=tuple(var.aval for var in eqn.outvars),
                        source=here,
                    )
                )
            scope.update(zip(eqn.outvars, outs, strict=True))
        return [read(atom) for atom in body.outvars]

    body, _ = open_jaxpr(jaxpr)
    program.inputs = [number_of(var.aval) for var in body.invars]
    program.outside = dict(zip(program.inputs, outside, strict=False))
    program.outputs = inline(jaxpr, program.inputs, None)
    program = dataclasses.replace(program, equations=with_filters(program))
    program = dataclasses.replace(program, equations=with_batched_lookups(program))
    translated = [True] * len(program.inputs) if translated is None else translated
    return dataclasses.replace(
        program, equations=with_folds(program, itertools.compress(program.inputs, translated))
    )


def _source(eqn, caller: Source | None, is_call: bool, called_from: str) -> Source:
    here = str(eqn.source_info.name_stack)
    module = "/".join(filter(None, [caller.module if caller else "", here]))
    function = str(eqn.params.get("name", "")) if is_call else ""
    return Source(module, eqn.source_info, caller, is_call, function, called_from)
