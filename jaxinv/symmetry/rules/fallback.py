"""The rule of a primitive that has none: it runs at each shift on operands written out."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxinv.symmetry.align import decisions_of
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.relayout import (
    Context,
    common_period,
    expand,
    period_of,
    program_shaped,
    resample,
)
from jaxinv.symmetry.values import Plain, Value, stored_shape


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
        return _run(ctx, equation, list(operands))
    ctx.findings.expanded = True
    values = [_one_each(ctx, v, reason) if v.touched else v for v in operands]
    return _run(ctx, equation, values)


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
        return plain_results(ctx, equation, None, None)
    if equation.has_own_backward and ctx.differentiated:
        return at_every_shift(ctx, equation, values, reason)
    for axis in range(values[0].n_axes):
        values = expand(ctx, values, axis, reason)
    return _run(ctx, equation, common_period(ctx, values))


def _run(ctx: Context, equation: Equation, values: list[Value]) -> list[Value]:
    """The primitive on the arrays of values that do not move."""
    results = None
    if all(v.base is not None for v in values):
        arrays = [program_shaped(v) for v in values]
        results = on_each_coset(equation.bind, arrays, values[0].n_axes)
    return plain_results(ctx, equation, values, results)


def on_each_coset(fun: Callable[..., Sequence], arrays: Sequence, n_axes: int) -> list:
    """The results of a function of arrays without cosets, on arrays whose first dimensions are."""
    cosets = jnp.broadcast_shapes(*(a.shape[:n_axes] for a in arrays))
    for axis in reversed(range(n_axes)):
        mapped = [0 if a.shape[axis] > 1 else None for a in arrays]
        if any(m == 0 for m in mapped):
            fun = _mapped(fun, mapped)
    arrays = [jax.lax.squeeze(a, [i for i in range(n_axes) if a.shape[i] == 1]) for a in arrays]
    # (*cosets but for 1, ...) -> (*cosets, ...)
    mapped_axes = sum(n > 1 for n in cosets)
    return [jnp.reshape(r, cosets + r.shape[mapped_axes:]) for r in fun(*arrays)]


def _mapped(fun: Callable, in_axes: Sequence[int | None]) -> Callable:
    """`jax.vmap`, or one call after the other for a primitive that it does not take."""

    def mapped(*arrays):
        try:
            return jax.vmap(fun, in_axes=tuple(in_axes))(*arrays)
        except NotImplementedError:
            rows = [a for a, axis in zip(arrays, in_axes, strict=True) if axis == 0]

            def one(row):
                own = iter(row)
                pairs = zip(arrays, in_axes, strict=True)
                return fun(*(a if axis is None else next(own) for a, axis in pairs))

            return jax.lax.map(one, rows)

    return mapped


def plain_results(ctx: Context, equation: Equation, values, results) -> list[Value]:
    """Values of plain positions at the period of the operands, from arrays in program shape."""
    n_axes = len(ctx.torus.lengths)
    period = period_of(values) if values else (1,) * n_axes
    decisions = decisions_of(values) if values else (None,) * n_axes
    if results is None and not values and ctx.computes:
        results = [jnp.reshape(r, (1,) * n_axes + r.shape) for r in equation.bind()]
    return [
        _plain(period, decisions, aval.shape, None if results is None else results[i])
        for i, aval in enumerate(equation.out_avals)
    ]


def _plain(period, decisions, shape, result) -> Value:
    dims = tuple((Plain(n),) if n != 1 else () for n in shape)
    if result is not None:
        # (*cosets, *shape) -> (*cosets, *shape but for 1)
        lead = result.shape[: len(period)]
        result = jnp.reshape(result, lead + tuple(n for n in shape if n != 1))
    return Value(period, dims, result, object(), decisions)
