"""How a dimension of the program is made up of factors: merged into one, or split in two."""

import dataclasses
import math
from fractions import Fraction

import jax.numpy as jnp

from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.relayout import (
    Context,
    at_offset,
    expand,
    expand_windows,
    normal,
    resample,
)
from jaxinv.symmetry.values import Dimension, Factor, Plain, Uniform, Value, Window, positions


def as_plain(ctx: Context, value: Value, dim: int, reason: Reason) -> Value:
    """The value with one plain factor (none for one position) along a dimension."""
    (value,) = expand_windows(ctx, [value], [dim], reason)
    return _merged(value, dim, Plain(value.shape[dim]))


def all_plain(ctx: Context, value: Value, reason: Reason) -> Value:
    """The value with `as_plain` dimensions only."""
    for dim in range(len(value.dims)):
        value = as_plain(ctx, value, dim, reason)
    return value


def as_single(ctx: Context, value: Value, dim: int, reason: Reason) -> Value:
    """The value with at most one factor along a dimension, no more plain than it has to be."""
    factors = value.dims[dim]
    if len(factors) <= 1:
        return value
    if all(isinstance(f, Uniform) for f in factors):
        return _merged(value, dim, Uniform(value.shape[dim]))
    head, rest = factors[0], factors[1:]
    if isinstance(head, Window) and not any(isinstance(f, Window) for f in rest):
        # (window, c still positions) is a window of finer steps: by q places it moves c * q.
        c = math.prod(f.size for f in rest)
        finer = dataclasses.replace(
            head,
            offset=head.offset * c,
            size=head.size * c,
            rate=head.rate * c,
            valid=head.valid and (math.ceil(head.valid[0]) * c, math.floor(head.valid[1]) * c),
        )
        return _merged(value, dim, finer)
    return as_plain(ctx, value, dim, reason)


def _merged(value: Value, dim: int, factor: Factor) -> Value:
    old = value.dims[dim]
    new: Dimension = () if factor.size == 1 and not isinstance(factor, Window) else (factor,)
    if old == new:
        return value
    start, stop = value.place(dim), value.place(dim + 1)

    def together(base):
        shape = list(base.shape)
        for place, f in enumerate(old, start):
            if isinstance(f, Uniform) and not isinstance(factor, Uniform):
                shape[place] = f.size
        # (..., *factors, ...) -> (..., their product, ...)
        middle = [math.prod(shape[start:stop])] if new else []
        return jnp.reshape(jnp.broadcast_to(base, shape), shape[:start] + middle + shape[stop:])

    # What is seen of a window does not change its base.
    sizes = tuple(None if isinstance(f, Window) else f.size for f in old)
    origin = ("merged", value.origin, start, sizes)
    return value.on_base(together, origin=origin, dims=value.dims_with(dim, new))


def split(ctx: Context, value: Value, dim: int, index: int, inner: int) -> Value:
    """Splits a factor into an outer one and `inner` plain positions: its polyphase components."""
    place = value.place(dim, index)
    factor = value.dims[dim][index]
    if isinstance(factor, Window):
        if value.decisions[factor.axis] is not None:
            reason = Cause.PHASE_UNKNOWN()
            return expand(ctx, [value], factor.axis, reason)[0]
        # The outer factor moves by whole places only if `inner` divides what the window moves by.
        growth = inner // math.gcd(inner, int(factor.rate))
        length, d = ctx.torus.lengths[factor.axis], value.period[factor.axis]
        if length % (d * growth):
            reason = Cause.GROUPS_DO_NOT_DIVIDE(positions=length // d, size=inner)
            (value,) = expand(ctx, [value], factor.axis, reason)
            return value
        axis = factor.axis
        value = resample(ctx, value, axis, growth)
        if growth > 1:
            ctx.note(axis, Cause.GROUPS(size=inner, period=d * growth))
        if not isinstance(value.dims[dim][index], Window):
            return value
        value = at_offset(ctx, value, place, 0)
        # From offset 0 on, position j of the base is tap j % inner of place j // inner.
        factor = value.dims[dim][index]
        assert isinstance(factor, Window)
        stored = positions(ctx.torus, value, factor)
        valid = factor.valid and (
            factor.valid[0] / Fraction(inner),
            factor.valid[1] / Fraction(inner),
        )
        pair: Dimension = (
            Window(factor.axis, 0, factor.size // inner, factor.rate // inner, valid),
            Plain(inner),
        )
        shape = (stored // inner, inner)
    else:
        outer = factor.size // inner
        same = isinstance(factor, Uniform)
        pair = (type(factor)(outer), type(factor)(inner))
        shape = (1, 1) if same else (outer, inner)
    # (..., stored, ...) -> (..., outer, inner, ...)
    factors = value.dims[dim]
    parts = value.on_base(
        lambda base: jnp.reshape(base, base.shape[:place] + shape + base.shape[place + 1 :]),
        dims=value.dims_with(dim, factors[:index] + pair + factors[index + 1 :]),
    )
    return normal(ctx, parts)
