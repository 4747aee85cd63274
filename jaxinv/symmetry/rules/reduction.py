"""Reductions: over a whole period the window goes; over part of it one sum a shift remains."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.align import align
from jaxinv.symmetry.factoring import as_plain
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import (
    Context,
    expand,
    periodic_slice,
    replace_factor,
)
from jaxinv.symmetry.rules.per_position import in_any_order, results_of
from jaxinv.symmetry.signs import has_one_zero
from jaxinv.symmetry.unread import without_unread
from jaxinv.symmetry.values import Plain, Uniform, Value, Window, constant, positions

# Repeating an element does not change these.
_IDEMPOTENT = {
    primitives.reduce_max_p,
    primitives.reduce_min_p,
    primitives.reduce_and_p,
    primitives.reduce_or_p,
}


@rule("reduce_sum", layer="reduce_sum")
@rule("reduce_max", layer="reduce_max")
@rule("reduce_min reduce_prod reduce_and reduce_or reduce_xor")
def reduce(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Sums, products and extrema over dimensions, all at once: ties share their gradient."""
    axes = tuple(equation.params["axes"])
    value = without_unread(ctx, operand) if ctx.differentiated else operand
    for dim in axes:
        value = _windows_reducible(ctx, equation, value, dim)
        if equation.primitive not in _IDEMPOTENT and any(
            isinstance(f, Uniform) for f in value.dims[dim]
        ):
            value = _without_uniform(value, dim)
        # The derivative of a maximum of one number is not that of the number where it is NaN.
        value = value.storing(dim) if ctx.differentiated else value
    places = tuple(value.place(dim, i) for dim in axes for i in range(len(value.dims[dim])))
    dims = tuple(d for i, d in enumerate(value.dims) if i not in axes)
    params = equation.params | {"axes": places}
    return [
        value.on_base(
            lambda base: equation.primitive.bind(base, **params) if places else base, dims=dims
        )
    ]


@rule("reduce")
def reduce_by(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """A reduction by a function of the caller's, over dimensions that do not move."""
    count, gone = len(operands) // 2, equation.params["dimensions"]
    reason = Cause.OWN_REDUCTION()
    reduced = list(operands[:count])
    for dim in gone:
        reduced = [as_plain(ctx, v, dim, reason) for v in reduced]
    kept = [dim for dim in range(len(reduced[0].dims)) if dim not in gone]
    meetings = [[dim] * count + [None] * count for dim in kept]
    values = align(ctx, [*reduced, *operands[count:]], meetings)
    return results_of(ctx, values, meetings, equation.bind, [[(0, d) for d in kept]] * count)


def _without_uniform(value: Value, dim: int) -> Value:
    """Uniform factors of a dimension written out as plain ones."""
    for index, factor in enumerate(value.dims[dim]):
        if isinstance(factor, Uniform):
            value = _written_out(value, value.place(dim, index), factor.size)
    return value


def _written_out(value: Value, place: int, size: int) -> Value:
    def repeated(base):
        return jnp.broadcast_to(base, (*base.shape[:place], size, *base.shape[place + 1 :]))

    return replace_factor(value, place, Plain(size), repeated)


def _windows_reducible(ctx: Context, equation: Equation, value: Value, dim: int) -> Value:
    """The value without windows of a dimension that are not reduced over all their torus."""
    for index in range(len(value.dims[dim])):
        row = value.dims[dim]
        factor = row[index] if index < len(row) else None
        if not isinstance(factor, Window):
            continue
        m = positions(ctx.torus, value, factor)
        # What is seen twice counts twice where equal positions share a gradient.
        more = factor.size > m and equation.primitive in _IDEMPOTENT and not ctx.differentiated
        if factor.valid is None and (factor.size == m or more):
            continue
        if factor.valid is None and factor.size % m == 0:
            value = _in_rounds(value, dim, index, factor, m)
            continue
        if _can_be_partial(ctx, equation, value, factor):
            value = _partially_reduced(value, value.place(dim, index), m)
        reason = Cause.PART_REDUCED(size=factor.size, positions=m)
        if ctx.torus.endless:
            reason = Cause.BORDER_REDUCED()
        (value,) = expand(ctx, [value], factor.axis, reason)
        return _windows_reducible(ctx, equation, value, dim)
    return value


def _in_rounds(value: Value, dim: int, index: int, window: Window, m: int) -> Value:
    """A window that goes around the torus several times, as several equal ones."""
    place, row = value.place(dim, index), value.dims[dim]
    once = (Uniform(window.size // m), dataclasses.replace(window, size=m))
    dims = value.dims_with(dim, (*row[:index], *once, *row[index + 1 :]))
    return value.on_base(lambda base: jnp.expand_dims(base, place), dims=dims)


def _can_be_partial(ctx: Context, equation: Equation, value: Value, window: Window) -> bool:
    alone = sum(1 for _ in value.windows(window.axis)) == 1
    return (
        equation.primitive is primitives.reduce_sum_p
        and alone
        and window.size < positions(ctx.torus, value, window)
        and value.decisions[window.axis] is None
        and not ctx.torus.endless
    )


def _partially_reduced(value: Value, place: int, m: int) -> Value:
    """A window of one position: the sum of the program's window, at each place of the torus."""
    window = value.factors[place - value.n_axes]
    assert isinstance(window, Window)

    def box_filtered(base):
        base = periodic_slice(base, place, 0, m + window.size - 1)
        extents = [window.size if i == place else 1 for i in range(base.ndim)]
        zero = np.zeros((), base.dtype)
        return lax.reduce_window(base, zero, lax.add, extents, [1] * base.ndim, "VALID")

    return replace_factor(value, place, dataclasses.replace(window, size=1), box_filtered)


@rule("argmax argmin")
def argument(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """The position of an extremum: it names a place, so the reduced dimension must not move."""
    (dim,) = equation.params["axes"]
    dim = int(dim)
    if operand.shape[dim] == 1:
        out = equation.out_avals[0]
        rows = tuple((Uniform(n),) if n != 1 else () for n in out.shape)
        zero = constant(jnp.zeros((), out.dtype), (), operand.n_axes, known=ctx.computes)
        stored = (1,) * (operand.n_axes + sum(map(len, rows)))
        first = zero.on_base(lambda base: jnp.reshape(base, stored), dims=rows)
        return [dataclasses.replace(first, touched=operand.touched)]
    value = as_plain(ctx, operand, dim, Cause.EXTREMUM_POSITION())
    row = [(0, d) for d in range(len(value.dims)) if d != dim]
    return results_of(ctx, [value], [], equation.bind, [row])


@rule("sort")
def sort(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """All positions of a torus have one order, wherever they start; else as running sums.

    Zeros of both signs have none.
    """
    dim = int(equation.params["dimension"])
    if len(operands) == 1 and has_one_zero(ctx.program, equation.outs[0]):
        operands = (in_any_order(ctx, operands[0], dim),)
    return along_dimension("dimension")(ctx, equation, *operands)


@rule("fft")
def fft(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """A Fourier transform of the last dimensions, which must not move, for each of the others."""
    first = len(operand.dims) - len(equation.params["fft_lengths"])
    for dim in range(first, len(operand.dims)):
        operand = as_plain(ctx, operand, dim, Cause.FOURIER())
    if ctx.differentiated:
        operand = without_unread(ctx, operand)
    row = [(0, d) if d < first else n for d, n in enumerate(equation.out_avals[0].shape)]
    return results_of(ctx, [operand], [], equation.bind, [row])


def along_dimension(name: str):
    """A rule for primitives that work along one dimension and keep it: running sums, say."""

    def rule(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
        dim = int(equation.params[name])
        others = [[d] * len(operands) for d in range(len(operands[0].dims)) if d != dim]
        values = align(ctx, operands, others)
        reason = Cause.RUNS_ALONG(primitive=str(equation.primitive))
        values = align(ctx, [as_plain(ctx, v, dim, reason) for v in values], others)
        row = [n if d == dim else (0, d) for d, n in enumerate(operands[0].shape)]
        return results_of(ctx, values, others, equation.bind, [row] * len(equation.out_avals))

    return rule


rule("cumsum cumprod cummax cummin cumlogsumexp")(along_dimension("axis"))
