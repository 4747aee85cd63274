"""The walk over a program: each equation by its rule, with shapes alone or with arrays."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import primitives

from jaxinv.symmetry.moves import Context
from jaxinv.symmetry.program import Equation, Program
from jaxinv.symmetry.rules import RULES, calls, loops
from jaxinv.symmetry.rules.fallback import at_each_shift
from jaxinv.symmetry.rules.filtering import filtered
from jaxinv.symmetry.values import Value, constant


def apply_rule(ctx: Context, equation: Equation, operands: Sequence[Value]) -> list[Value]:
    """The results of one equation at every shift."""
    if all(aval.size == 0 for aval in equation.out_avals):
        n_axes = len(ctx.torus.lengths)
        return [
            constant(jnp.zeros(a.shape, a.dtype), a.shape, n_axes, known=ctx.computes)
            for a in equation.out_avals
        ]
    if equation.whole is not None:
        results = filtered(ctx, equation, equation.whole, *operands)
    else:
        rule = _CALLS.get(equation.primitive) or RULES.get(equation.primitive, at_each_shift)
        results = rule(ctx, equation, *operands)
    if equation.primitive in _CALLS:
        # Functions of the same values may differ in their derivatives.
        results = [dataclasses.replace(r, origin=object()) for r in results]
    if any(operand.touched for operand in operands):
        return [r if r.touched else dataclasses.replace(r, touched=True) for r in results]
    return results


def constants(ctx: Context, program: Program) -> dict[int, Value]:
    """The program's constants as values."""
    n_axes = len(ctx.torus.lengths)
    values = {}
    for number, array in program.constants.items():
        aval = program.avals[number]
        value = constant(array, aval.shape, n_axes, known=ctx.computes)
        literal = program.known_value(number) if aval.shape == () else None
        if isinstance(literal, np.ndarray):
            made = ("literal", str(literal.dtype), literal.tobytes())
            value = dataclasses.replace(value, origin=ctx.origin(made))
        values[number] = value
    return values


def last_uses(program: Program) -> Iterator[list[int]]:
    """For each equation the values that nothing needs after it."""
    needed = set(program.outputs)
    rows = []
    for equation in reversed(program.equations):
        used = {*equation.ins, *equation.outs}
        rows.append([number for number in used if number not in needed])
        needed |= used
    return reversed(rows)


def evaluate(ctx: Context, program: Program, inputs: Sequence[Value]) -> list[Value]:
    """The outputs of a program at every shift; all findings go to one context."""
    ctx = dataclasses.replace(ctx, program=program)
    values = constants(ctx, program) | dict(zip(program.inputs, inputs, strict=True))
    for equation, done in zip(program.equations, last_uses(program), strict=True):
        results = apply_rule(ctx, equation, [values[i] for i in equation.ins])
        values |= dict(zip(equation.outs, results, strict=True))
        for number in done:
            values.pop(number, None)
    return [values[number] for number in program.outputs]


_CALLS: dict[Any, Callable[..., list[Value]]] = {
    primitives.cond_p: functools.partial(loops.cond, evaluate),
    primitives.custom_jvp_call_p: functools.partial(calls.custom_jvp, evaluate),
    primitives.custom_vjp_call_p: functools.partial(calls.custom_vjp, evaluate),
    primitives.remat_p: functools.partial(calls.remat, evaluate),
    primitives.scan_p: functools.partial(loops.scan, evaluate),
    primitives.while_p: functools.partial(loops.while_, evaluate),
}
