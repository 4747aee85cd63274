"""The walk over a program: each equation by its rule, with shapes alone or with arrays."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxinv.declarations import declare_p
from jaxinv.symmetry.batches import Batches
from jaxinv.symmetry.program import Equation, Program, inner_jaxprs
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import REGISTERED
from jaxinv.symmetry.relayout import Context, Findings
from jaxinv.symmetry.rules.fallback import at_each_coset, at_each_shift
from jaxinv.symmetry.rules.filtering import filtered
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import LINE_LENGTH, Torus, Value, constant, tracked_input


def apply_rule(ctx: Context, equation: Equation, operands: Sequence[Value]) -> list[Value]:
    """The results of one equation at every shift."""
    if all(aval.size == 0 for aval in equation.out_avals):
        n_axes = len(ctx.torus.lengths)
        return [
            constant(jnp.zeros(a.shape, a.dtype), a.shape, n_axes, known=ctx.computes)
            for a in equation.out_avals
        ]
    known = REGISTERED.get(equation.primitive)
    if equation.whole is not None:
        results = filtered(ctx, equation, equation.whole, *operands)
    elif known is not None:
        results = known.rule(ctx, equation, *operands)
    else:
        results = at_each_shift(ctx, equation, *operands)
    if inner_jaxprs(equation.params):
        # Functions of the same values may differ in their derivatives.
        results = [dataclasses.replace(r, origin=object()) for r in results]
    if any(operand.touched for operand in operands):
        return [r if r.touched else dataclasses.replace(r, touched=True) for r in results]
    return results


def interpret(
    ctx: Context,
    program: Program,
    inputs: Mapping[int, Value],
    on_equation: Callable[..., Sequence[Value] | None] = apply_rule,
    equations: Sequence[Equation] | None = None,
) -> dict[int, Value]:
    """The value of each number of a program.

    Args:
      ctx: the context of the program.
      program: the program.
      inputs: the values of its inputs.
      on_equation: from the context, an equation and its operands to its results, or to None where
        they shall not be known. Operands are None where one of them is not known.
      equations: those to go through; None for all.
    """
    values = _constants(ctx, program) | dict(inputs)
    for equation in program.equations if equations is None else equations:
        known = all(number in values for number in equation.ins)
        operands = [values[number] for number in equation.ins] if known else None
        results = on_equation(ctx, equation, operands)
        if results is not None:
            values |= dict(zip(equation.outs, results, strict=True))
    return values


def _constants(ctx: Context, program: Program) -> dict[int, Value]:
    """The program's constants as values."""
    n_axes = len(ctx.torus.lengths)
    values = {}
    for number, array in program.constants.items():
        aval = program.avals[number]
        value = constant(array, aval.shape, n_axes, known=ctx.computes)
        literal = program.known_value(number) if aval.shape == () else None
        if isinstance(literal, np.ndarray):
            recipe = ("literal", str(literal.dtype), literal.tobytes())
            value = dataclasses.replace(value, origin=ctx.origin(recipe))
        values[number] = value
    return values


def evaluate(ctx: Context, program: Program, inputs: Sequence[Value]) -> list[Value]:
    """The outputs of a program at every shift; all findings go to one context."""
    ctx = dataclasses.replace(ctx, program=program)
    values = interpret(ctx, program, dict(zip(program.inputs, inputs, strict=True)))
    return [values[number] for number in program.outputs]


def inputs_of(
    traced: Traced, torus: Torus, offsets: Sequence[int] | None = None, arrays: Sequence = ()
) -> dict[int, Value]:
    """The values of a function's inputs.

    Args:
      traced: the function.
      torus: the domain of the shifts.
      offsets: where the window that it sees starts on the torus, one per axis; None for 0.
      arrays: the inputs, those that are translated laid out on the torus; none for states alone.
    """
    program, n_axes = traced.program, len(torus.lengths)
    values = {}
    for i, (number, dims) in enumerate(zip(program.inputs, traced.dims, strict=True)):
        shape = program.avals[number].shape
        array = arrays[i] if arrays else None
        if dims is None:
            values[number] = constant(array, shape, n_axes, known=array is not None)
        else:
            values[number] = tracked_input(array, shape, dims, offsets or (0,) * n_axes, torus)
    return values


@dataclass(frozen=True)
class Record:
    """One equation that an output depends on, with the states around it."""

    equation: Equation
    operands: tuple[Value, ...]
    results: tuple[Value, ...]
    notes: dict[int, list[Reason]]
    borders: dict[int, list[Reason]]


@dataclass(frozen=True)
class Walked:
    """The walk over a program on one domain."""

    torus: Torus
    values: dict[int, Value]
    records: tuple[Record, ...]
    assumptions: tuple[str, ...] = ()


def line_of(sizes: Sequence[int], *, bordered: bool = True, places: int = 1) -> Torus:
    """The infinite line, on which signals have borders or, to ask how far they see, none."""
    lengths = (LINE_LENGTH,) * len(sizes)
    return Torus(lengths, (None,) * len(sizes), endless=True, bordered=bordered, places=places)


def torus_of(sizes: Sequence[int]) -> Torus:
    """The torus of all circular shifts."""
    return Torus(tuple(sizes), (None,) * len(sizes))


def walk(traced: Traced, torus: Torus) -> Walked:
    """The state of every value of the program on a domain, and what each rule reported."""
    records: list[Record] = []
    assumptions: dict[str, None] = {}
    batches = Batches(apply_rule)

    def recorded(ctx: Context, equation: Equation, operands: Sequence[Value]) -> list[Value]:
        findings = Findings()
        here = dataclasses.replace(ctx, findings=findings)
        results = apply_rule(here, equation, operands)
        if batches.meet(here, equation, operands, results):
            results = _ended(here, equation, operands)
        records.append(
            Record(equation, tuple(operands), tuple(results), findings.notes, findings.borders)
        )
        if _is_believed(records[-1]) and equation.params["assumption"]:
            assumptions[equation.params["assumption"]] = None
        return results

    ctx = Context(torus, traced.program, believes=True)
    values = interpret(ctx, traced.program, inputs_of(traced, torus), recorded)
    return Walked(torus, values, tuple(_live(traced.program, records)), tuple(assumptions))


def _ended(ctx: Context, equation: Equation, operands: Sequence[Value]) -> list[Value]:
    """The results where images meet that are rolled by choices of their own."""
    if equation.primitive is declare_p:
        return [operands[1]]
    results = at_each_coset(ctx, equation, operands, Cause.DECISIONS_DIFFER())
    return [dataclasses.replace(r, touched=True) for r in results]


def both_walks(traced: Traced) -> tuple[Walked, Walked]:
    """The walk with circular shifts, and the one on the line."""
    return walk(traced, torus_of(traced.sizes)), walk(traced, line_of(traced.sizes))


def _is_believed(record: Record) -> bool:
    """Whether a declaration stands for what was found."""
    declares = record.equation.primitive is declare_p
    return declares and record.results[0] is not record.operands[1]


def _live(program: Program, records: Sequence[Record]) -> list[Record]:
    """The records that the outputs depend on; a declaration stands for what it replaces."""
    needed = set(program.outputs)
    kept = []
    for record in reversed(records):
        equation = record.equation
        if needed.isdisjoint(equation.outs):
            continue
        kept.append(record)
        operands = equation.ins[:1] if _is_believed(record) else equation.ins
        needed.update(i for i in operands if program.is_needed(i))
    return kept[::-1]
