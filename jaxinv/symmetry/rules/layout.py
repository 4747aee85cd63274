"""Primitives that move positions: windows shift and thin; a regrouped dimension splits."""

import dataclasses
import functools
import math
from collections.abc import Collection, Hashable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.factoring import as_plain, as_single, split
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import (
    Context,
    expand,
    expand_windows,
    normal,
    replace_factor,
    resample,
)
from jaxinv.symmetry.values import Dimension, Plain, Uniform, Value, Window, constant, positions


@rule("device_put optimization_barrier", moves_only=True)
def unchanged(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """What says something of arrays to the compiler alone."""
    return list(operands)


@rule("transpose", moves_only=True)
def transpose(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """The factors of each dimension go with it."""
    return [transposed(operand, equation.params["permutation"])]


def transposed(value: Value, order: Sequence[int]) -> Value:
    """The value with its dimensions in another order."""
    places = [value.place(dim, i) for dim in order for i in range(len(value.dims[dim]))]
    return value.on_base(
        lambda base: jnp.transpose(base, (*range(value.n_axes), *places)),
        origin=("transposed", value.origin, tuple(places)),
        dims=tuple(value.dims[d] for d in order),
    )


@rule("squeeze", moves_only=True)
def squeeze(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """A dimension of one position goes; if that position moves, its axis ends."""
    return [squeezed(ctx, operand, equation.params["dimensions"])]


def squeezed(ctx: Context, value: Value, gone: Collection[int]) -> Value:
    """The value without these dimensions of one position."""
    for dim in gone:
        (value,) = expand_windows(ctx, [value], [dim], Cause.SINGLE_POSITION())
    dims = tuple(d for i, d in enumerate(value.dims) if i not in gone)
    return dataclasses.replace(value, dims=dims)


@rule("reshape", moves_only=True)
def reshape(ctx: Context, equation: Equation, operand: Value, *_: Value) -> list[Value]:
    """Factors are regrouped; one that straddles two dimensions splits."""
    if equation.params.get("dimensions") is not None:
        operand = transposed(operand, equation.params["dimensions"])
    shape = tuple(equation.params["new_sizes"])
    if shape == operand.shape:
        return [operand]
    lone = [f.axis for f in operand.factors if isinstance(f, Window) and f.size == 1]
    for axis in lone:
        (operand,) = expand(ctx, [operand], axis, Cause.SINGLE_POSITION())
    while True:
        grouped = _regroup(operand, shape)
        if isinstance(grouped, list):
            return [dataclasses.replace(operand, dims=tuple(grouped))]
        dim, index, inner = grouped
        if inner:
            operand = split(ctx, operand, dim, index, inner)
        else:
            operand = _collapse(ctx, operand, dim, shape)


def _regroup(value: Value, shape) -> list[Dimension] | tuple[int, int, int]:
    """The factors grouped into the new dimensions, or the factor that must split, and how."""
    pending = [(dim, i, f) for dim, row in enumerate(value.dims) for i, f in enumerate(row)]
    dims: list[Dimension] = []
    for size in shape:
        need, row = size, []
        while need > 1:
            dim, index, factor = pending[0]
            if need % factor.size == 0:
                row.append(factor)
                need //= factor.size
                pending.pop(0)
            elif factor.size % need == 0:
                return dim, index, factor.size // need
            else:
                return dim, index, 0
        dims.append(tuple(row))
    return dims


def _collapse(ctx: Context, value: Value, dim: int, shape) -> Value:
    """Merges dimensions from `dim` on that the new shape cuts where no factor can be cut."""
    # Both shapes have a cut where so many positions lie before it: where these products agree.
    sizes = np.cumprod(value.shape)
    cuts = set(np.cumprod(shape).tolist())
    last = next(i for i in range(dim, len(sizes)) if int(sizes[i]) in cuts)
    first = next((i for i in range(dim, 0, -1) if int(sizes[i - 1]) in cuts), 0)
    for d in range(first, last + 1):
        value = as_plain(ctx, value, d, Cause.RESHAPE_CUTS())
    middle = math.prod(value.shape[first : last + 1])
    start, stop = value.place(first), value.place(last + 1)
    merged: tuple[Dimension, ...] = ((Plain(middle),), *((),) * (last - first))
    # (..., *plain dimensions, ...) -> (..., their product, ...)
    return value.on_base(
        lambda base: jnp.reshape(base, (*base.shape[:start], middle, *base.shape[stop:])),
        dims=value.dims_with(first, *merged, instead=len(merged)),
    )


@rule("slice", moves_only=True)
def slice_(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """A window starts later and ends earlier; a stride subsamples it."""
    starts = equation.params["start_indices"]
    limits = equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(starts)
    for dim, (start, limit, step) in enumerate(zip(starts, limits, steps, strict=True)):
        operand = sliced(ctx, operand, dim, int(start), int(limit), int(step))
    return [operand]


def sliced(ctx: Context, value: Value, dim: int, start: int, limit: int, step: int = 1) -> Value:
    """Positions `start : limit : step` of one dimension."""
    size = value.shape[dim]
    count = max(0, -(-(limit - start) // step))
    if count == size:
        return value
    if count == 0:
        shape = tuple(0 if i == dim else n for i, n in enumerate(value.shape))
        empty = None if value.base is None else jnp.zeros(shape, value.base.dtype)
        return constant(empty, shape, value.n_axes, known=empty is not None)
    row = value.dims[dim]
    inner = math.prod(f.size for f in row[1:])
    if len(row) > 1 and step == 1 and start % inner == 0 and count % inner == 0:
        start, count, limit = start // inner, count // inner, limit // inner
    else:
        value = as_single(ctx, value, dim, Cause.SLICE_CUTS())
    factor, place = value.dims[dim][0], value.place(dim)
    if isinstance(factor, Window):
        return _sliced_window(ctx, value, dim, start, count, step)

    if isinstance(factor, Uniform):
        return _sliced_uniform(ctx, value, dim, count)

    def cut(base):
        return jax.lax.slice_in_dim(base, start, limit, step, axis=place)

    return normal(ctx, replace_factor(value, place, Plain(count), cut))


def _sliced_uniform(ctx: Context, value: Value, dim: int, count: int) -> Value:
    """Some of equal positions: the base is untouched, so that they can be joined again."""
    place = value.place(dim)
    origin = value.origin if count > 1 else one_of(value.origin, place)
    value = normal(ctx, replace_factor(value, place, Uniform(count)))
    return dataclasses.replace(value, origin=origin)


def one_of(origin: Hashable, place: int) -> Hashable:
    """The origin of a base without the dimension of equal positions that it had at a place."""
    return ("one of equal positions", origin, place)


def _sliced_window(ctx, value, dim, start, count, step):
    window, place = value.dims[dim][0], value.place(dim)
    valid = window.valid
    if valid is not None:
        seen_size = (count - 1) * step + 1
        valid = (valid[0] - start, valid[1] - start)
        if ctx.torus.bordered:
            # What is cut off is the border of what is left.
            valid = tuple(min(max(v, 0), seen_size) for v in valid)
        if valid == (0, seen_size) and not ctx.torus.endless:
            # What met the border is cut off.
            valid = None
    seen = dataclasses.replace(
        window, offset=window.offset + start, size=(count - 1) * step + 1, valid=valid
    )
    # The base is untouched, so the origin stays: slices of one base can join again.
    origin = value.origin
    value = dataclasses.replace(replace_factor(value, place, seen), origin=origin)
    return strided(ctx, value, dim, step)


def strided(ctx: Context, value: Value, dim: int, step: int) -> Value:
    """Every `step`-th position of a dimension, from its first on."""
    row = value.dims[dim]
    window = row[0] if row else None
    if step == 1:
        return value
    if len(row) != 1 or not isinstance(window, Window):
        return sliced(ctx, value, dim, 0, value.shape[dim], step)
    axis = window.axis
    if value.decisions[axis] is not None:
        reason = Cause.PHASE_UNKNOWN()
        (value,) = expand(ctx, [value], axis, reason)
        value = as_plain(ctx, value, dim, reason)
        return sliced(ctx, value, dim, 0, window.size, step)
    # The least growth for which step divides rate * growth: each move keeps the phase.
    growth = step // math.gcd(step, int(window.rate))
    length, d = ctx.torus.lengths[axis], value.period[axis]
    if length % (d * growth):
        reason = Cause.STRIDE_DOES_NOT_DIVIDE(positions=int(length * window.pace // d), stride=step)
        (value,) = expand(ctx, [value], axis, reason)
        value = as_plain(ctx, value, dim, reason)
        return sliced(ctx, value, dim, 0, window.size, step)
    if growth > 1:
        ctx.note(axis, Cause.STRIDE(stride=step, period=d * growth))
    return resample(ctx, value, axis, growth, {value.place(dim): step})


@rule("split", moves_only=True)
def split_(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Neighbouring slices."""
    axis, start, outs = int(equation.params["axis"]), 0, []
    for size in equation.params["sizes"]:
        outs.append(sliced(ctx, operand, axis, start, start + int(size)))
        start += int(size)
    return outs


@rule("unstack")
def unstack(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Each position of a dimension by itself."""
    dim = int(equation.params["axis"])
    return [
        squeezed(ctx, sliced(ctx, operand, dim, i, i + 1), [dim]) for i in range(operand.shape[dim])
    ]


@rule("rev", moves_only=True)
def rev(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Reversed positions move the other way: a window of the reversed base, with negative rate."""
    for dim in equation.params["dimensions"]:
        operand = reversed_along(ctx, operand, dim)
    return [operand]


def reversed_along(ctx: Context, value: Value, dim: int) -> Value:
    """The value with the positions of a dimension in reverse order."""
    for index, factor in enumerate(value.dims[dim]):
        place, same = value.place(dim, index), isinstance(factor, Uniform)
        if isinstance(factor, Window):
            ends = factor.valid
            m = positions(ctx.torus, value, factor)
            # Counted from the end, base[offset + size - 1 - j - rate * q] is at position
            # (m - offset - size) + j + rate * q.
            factor = dataclasses.replace(
                factor,
                offset=m - factor.offset - factor.size,
                rate=-factor.rate,
                valid=ends and (factor.size - ends[1], factor.size - ends[0]),
            )
        turned = None if same else functools.partial(jax.lax.rev, dimensions=[place])
        value = replace_factor(value, place, factor, turned)
    return value
