"""The rule of a primitive that has none: it runs at each shift on operands written out."""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxinv.symmetry.factoring import all_plain
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.relayout import Context, common_period, expand, resample
from jaxinv.symmetry.rules.per_position import results_of
from jaxinv.symmetry.values import Value, constant, stored_shape


def at_each_shift(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """Ends every axis along which an operand moves; always right, never fast."""
    return at_each_coset(ctx, equation, operands, Cause.NO_RULE(primitive=str(equation.primitive)))


def at_every_shift(ctx: Context, equation: Equation, operands, reason: Reason) -> list[Value]:
    """Runs the primitive for every shift by itself, even where shifts share its operands.

    A backward pass that the caller wrote need not be linear (gradient clipping is not), so the
    cotangents of two shifts must not meet before it. What the translated argument does not go into
    is evaluated once, as under `jax.vmap`.
    """
    if not any(v.touched for v in operands):
        return _run(ctx, equation, operands, reason)
    ctx.findings.expanded = True
    values = [_one_each(ctx, v, reason) if v.touched else v for v in operands]
    return _run(ctx, equation, values, reason)


def _one_each(ctx: Context, value: Value, reason: Reason) -> Value:
    """The value with a copy for each shift."""
    for axis, length in enumerate(ctx.torus.lengths):
        (value,) = expand(ctx, [value], axis, reason)
        value = resample(ctx, value, axis, length // value.period[axis])
    if value.base is None:
        return value
    cosets = stored_shape(ctx.torus, value)[: value.n_axes]
    return value.with_base(jnp.broadcast_to(value.base, cosets + value.base.shape[value.n_axes :]))


def at_each_coset(ctx: Context, equation: Equation, operands, reason: Reason) -> list[Value]:
    """Runs the primitive as it is, on every distinct copy of its operands."""
    values = list(operands)
    if not values:
        avals, n_axes = equation.out_avals, len(ctx.torus.lengths)
        made = equation.bind() if ctx.computes else [None] * len(avals)
        rows = zip(made, avals, strict=True)
        return [constant(array, a.shape, n_axes, known=ctx.computes) for array, a in rows]
    if equation.has_own_backward and ctx.differentiated:
        return at_every_shift(ctx, equation, values, reason)
    for axis in range(values[0].n_axes):
        values = expand(ctx, values, axis, reason)
    return _run(ctx, equation, common_period(ctx, values), reason)


def _run(ctx: Context, equation: Equation, values: Sequence[Value], reason: Reason) -> list[Value]:
    """The primitive on values that do not move."""
    plain = [all_plain(ctx, v, reason) for v in values]
    return results_of(ctx, plain, [], equation.bind, [a.shape for a in equation.out_avals])
