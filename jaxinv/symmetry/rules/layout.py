"""Primitives that move positions: windows shift, grow and join; a regrouped dimension splits."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.align import align, decisions_of, met
from jaxinv.symmetry.moves import (
    Context,
    as_plain,
    as_single,
    expand,
    expand_windows,
    normal,
    period_of,
    replace_factor,
    resample,
    split,
)
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.rules.fallback import at_each_shift
from jaxinv.symmetry.values import Dimension, Plain, Uniform, Value, Window, positions


def transpose(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """The factors of each dimension go with it."""
    order = equation.params["permutation"]
    base = operand.base
    if base is not None:
        places = [
            operand.place(dim, i) for dim in order for i in range(len(operand.dims[dim]))
        ]
        base = jnp.transpose(base, (*range(operand.n_axes), *places))
    origin = ("transposed", operand.origin, tuple(order))
    return [operand.with_base(base, origin=origin, dims=tuple(operand.dims[d] for d in order))]


def squeeze(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """A dimension of one position goes; if that position moves, its axis ends."""
    gone = set(equation.params["dimensions"])
    for dim in gone:
        (operand,) = expand_windows(ctx, [operand], [dim], "a single position is read")
    dims = tuple(d for i, d in enumerate(operand.dims) if i not in gone)
    return [dataclasses.replace(operand, dims=dims)]


def reshape(ctx: Context, equation: Equation, operand: Value, *_: Value) -> list[Value]:
    """Factors are regrouped; one that straddles two dimensions splits."""
    if equation.params.get("dimensions") is not None:
        return at_each_shift(ctx, equation, operand)
    shape = tuple(equation.params["new_sizes"])
    if shape == operand.shape:
        return [operand]
    lone = [f.axis for f in operand.factors if isinstance(f, Window) and f.size == 1]
    for axis in lone:
        (operand,) = expand(ctx, [operand], axis, "a single position is read")
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
    sizes = np.cumprod(value.shape)
    cuts = set(np.cumprod(shape).tolist())
    last = next(i for i in range(dim, len(sizes)) if i > dim - 1 and int(sizes[i]) in cuts)
    first = next(
        (i for i in range(dim, 0, -1) if int(sizes[i - 1]) in cuts), 0
    )
    for d in range(first, last + 1):
        value = as_plain(ctx, value, d, "a reshape cuts through positions that move")
    middle = math.prod(value.shape[first : last + 1])
    base = value.base
    if base is not None:
        lead = base.shape[: value.place(first)]
        rest = base.shape[value.place(last, len(value.dims[last])) :]
        base = jnp.reshape(base, lead + (middle,) + rest)
    merged: tuple[Dimension, ...] = ((Plain(middle),), *((),) * (last - first))
    return value.with_base(base, dims=value.dims[:first] + merged + value.dims[last + 1 :])


def slice_(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """A window starts later and ends earlier; a stride subsamples it."""
    starts = equation.params["start_indices"]
    limits = equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(starts)
    for dim, (start, limit, step) in enumerate(zip(starts, limits, steps, strict=True)):
        operand = sliced(ctx, operand, dim, start, limit, step)
    return [operand]


def sliced(ctx: Context, value: Value, dim: int, start: int, limit: int, step: int = 1) -> Value:
    """Positions `start : limit : step` of one dimension."""
    size = value.shape[dim]
    if (start, limit, step) == (0, size, 1):
        return value
    count = max(0, -(-(limit - start) // step))
    row = value.dims[dim]
    inner = math.prod(f.size for f in row[1:])
    if len(row) > 1 and step == 1 and start % inner == 0 and count % inner == 0:
        start, count, limit = start // inner, count // inner, limit // inner
    elif all(isinstance(f, Uniform) for f in row):
        place = value.place(dim)
        base = value.base
        if base is not None and len(row) != 1:
            base = jnp.reshape(base, base.shape[:place] + (1,) + base.shape[place + len(row) :])
        new = (Uniform(count),)
        dims = value.dims[:dim] + (new,) + value.dims[dim + 1 :]
        return normal(ctx, value.with_base(base, dims=dims))
    else:
        value = as_single(ctx, value, dim, "a slice cuts through positions that move")
    factor, place = value.dims[dim][0], value.place(dim)
    if isinstance(factor, Window):
        return _sliced_window(ctx, value, dim, start, count, step)
    base = value.base
    if base is not None and isinstance(factor, Plain):
        base = jax.lax.slice_in_dim(base, start, limit, step, axis=place)
    return normal(ctx, replace_factor(value, place, type(factor)(count), base))


def _sliced_window(ctx, value, dim, start, count, step):
    window, place = value.dims[dim][0], value.place(dim)
    valid = window.valid
    if valid is not None:
        valid = tuple(min(max(v - start, 0), (count - 1) * step + 1) for v in valid)
    seen = dataclasses.replace(
        window, offset=window.offset + start, size=(count - 1) * step + 1, valid=valid
    )
    # The base is untouched, so the origin stays: slices of one base can join again.
    origin = value.origin
    value = dataclasses.replace(replace_factor(value, place, seen, value.base), origin=origin)
    return strided(ctx, value, dim, step)


def strided(ctx: Context, value: Value, dim: int, step: int) -> Value:
    """Every `step`-th position of the window that is all of a dimension, from its first on."""
    window = value.dims[dim][0]
    assert isinstance(window, Window)
    if step == 1:
        return value
    axis = window.axis
    if value.decisions[axis] is not None:
        return expand(ctx, [value], axis, "the phase of a rolled value is not known")[0]
    growth = step // math.gcd(step, window.rate)
    length, d = ctx.torus.lengths[axis], value.period[axis]
    if length % (d * growth):
        reason = f"{length * window.rate // d} positions are not divisible by stride {step}"
        (value,) = expand(ctx, [value], axis, reason)
        value = as_plain(ctx, value, dim, reason)
        return sliced(ctx, value, dim, 0, window.size, step)
    if growth > 1:
        ctx.note(axis, _thinning(step, d * growth))
    return resample(ctx, value, axis, growth, {value.place(dim): step})


def _thinning(step: int, period: int) -> str:
    if period == step == 2:
        return "stride 2: even shifts only"
    return f"stride {step}: multiples of {period} only"


def split_(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Neighbouring slices."""
    axis, start, outs = int(equation.params["axis"]), 0, []
    for size in equation.params["sizes"]:
        outs.append(sliced(ctx, operand, axis, start, start + int(size)))
        start += int(size)
    return outs


def rev(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Reversed positions move the other way."""
    for dim in equation.params["dimensions"]:
        if not all(isinstance(f, Uniform) for f in operand.dims[dim]):
            operand = as_plain(ctx, operand, dim, "reversed positions move the other way")
            if operand.base is not None and operand.dims[dim]:
                base = jax.lax.rev(operand.base, [operand.place(dim)])
                operand = operand.with_base(base)
    return [operand]


def pad(ctx: Context, equation: Equation, operand: Value, fill: Value) -> list[Value]:
    """Positions of a constant at the ends: the border of a window, and the end of its symmetry."""
    config = equation.params["padding_config"]
    for dim, (low, high, interior) in enumerate(config):
        if interior == 0 and (low < 0 or high < 0):
            size = operand.shape[dim]
            operand = sliced(ctx, operand, dim, max(0, -low), size - max(0, -high))
            low, high = max(0, low), max(0, high)
        if (low, high, interior) == (0, 0, 0):
            continue
        row = operand.dims[dim]
        window = row[0] if len(row) == 1 and isinstance(row[0], Window) else None
        if window is not None and ctx.torus.endless and interior == 0:
            operand = _padded_line(operand, dim, window, low, high)
            continue
        reason = meets_border(max(low, high)) if not interior else "interior padding"
        operand = as_plain(ctx, operand, dim, reason)
        operand, fill = align(ctx, [operand, fill], [])
        operand = _padded(ctx, operand, dim, (low, high, interior), fill)
    return [normal(ctx, operand)]


def meets_border(width: int, kind: str = "zero padding") -> str:
    """The reason that padding ends a symmetry."""
    return f"{kind} of {width} meets the border"


def _padded_line(value: Value, dim: int, window: Window, low: int, high: int) -> Value:
    lo, hi = window.interior
    grown = Window(
        window.axis,
        window.offset - low,
        window.size + low + high,
        window.rate,
        (lo + low, hi + low),
    )
    return replace_factor(value, value.place(dim), grown, None)


def _padded(ctx: Context, value: Value, dim: int, config, fill: Value) -> Value:
    low, high, interior = config
    size = value.shape[dim]
    size = low + high + size + max(0, size - 1) * interior
    place = value.place(dim)
    base = value.base
    if base is not None:
        if not value.dims[dim]:
            base = jnp.expand_dims(base, place)
        widths = [(0, 0, 0)] * base.ndim
        widths[place] = (low, high, interior)
        if fill.base.size == 1:
            base = jax.lax.pad(base, fill.base.reshape(()), widths)
        else:
            padded = jax.lax.pad(base, jnp.zeros((), base.dtype), widths)
            inside = jax.lax.pad(jnp.ones(base.shape, bool), False, widths)
            filled = fill.base.reshape(fill.base.shape + (1,) * (base.ndim - value.n_axes))
            base = jnp.where(inside, padded, filled)
    dims = value.dims[:dim] + ((Plain(size),),) + value.dims[dim + 1 :]
    return value.with_base(base, dims=dims, period=period_of([value, fill]))


def concatenate(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """Neighbouring windows of one base are one window; nothing else that moves can be joined."""
    dim = equation.params["dimension"]
    return [concatenated(ctx, [v for v in operands if v.shape[dim] > 0], dim)]


def concatenated(ctx: Context, values: Sequence[Value], dim: int) -> Value:
    """Values one after the other along a dimension."""
    size = sum(v.shape[dim] for v in values)
    if len(values) == 1:
        return values[0]
    reason = "pieces that move differently are joined"
    if any(v.dims[dim] and isinstance(v.dims[dim][0], Window) for v in values):
        values = [as_single(ctx, v, dim, reason) for v in values]
        joined = _joined(ctx, values, dim, size)
        if joined is not None:
            return joined
        values = expand_windows(
            ctx, values, [dim] * len(values), "padding that does not wrap around meets the border"
        )
    others = [[d] * len(values) for d in range(len(values[0].dims)) if d != dim]
    values = align(ctx, values, others)
    values = [as_plain(ctx, v, dim, reason) for v in values]
    values = align(ctx, values, others)
    rows = [met(values, meeting) for meeting in others]
    dims = tuple(rows[:dim]) + ((Plain(size),),) + tuple(rows[dim:])
    base = None
    if all(v.base is not None for v in values):
        place = values[0].n_axes + sum(map(len, dims[:dim]))
        bases = [v.base if v.dims[dim] else jnp.expand_dims(v.base, place) for v in values]
        shape = [
            1 if i == place else n
            for i, n in enumerate(
                jnp.broadcast_shapes(*(b.shape[:place] + (1,) + b.shape[place + 1 :] for b in bases))
            )
        ]
        bases = [
            jnp.broadcast_to(b, shape[:place] + [b.shape[place]] + shape[place + 1 :])
            for b in bases
        ]
        base = jnp.concatenate(bases, axis=place)
    return normal(ctx, Value(period_of(values), dims, base, object(), decisions_of(values)))


def _joined(ctx: Context, values: list[Value], dim: int, size: int) -> Value | None:
    """The pieces as one window of the base that they share, if they are that."""
    runs: list[list[Value]] = []
    for value in values:
        if runs and _follows(ctx, runs[-1][-1], value, dim):
            runs[-1].append(value)
        else:
            runs.append([value])
    if len(runs) > 1 and not ctx.torus.endless:
        return None
    moving = [run for run in runs if run[0].dims[dim] and isinstance(run[0].dims[dim][0], Window)]
    if not moving:
        return None
    run = max(moving, key=lambda r: sum(v.shape[dim] for v in r))
    window = run[0].dims[dim][0]
    assert isinstance(window, Window)
    before = sum(v.shape[dim] for r in runs[: runs.index(run)] for v in r)
    valid = None
    if len(runs) > 1 or any(v.dims[dim][0].valid is not None for v in run):
        valid = _joined_interior(run, dim, before)
    whole = dataclasses.replace(window, offset=window.offset - before, size=size, valid=valid)
    value = replace_factor(run[0], run[0].place(dim), whole, run[0].base)
    return dataclasses.replace(value, origin=run[0].origin)


def _joined_interior(run: list[Value], dim: int, before: int) -> tuple[int, int]:
    """The longest stretch of valid positions in a run of joined pieces."""
    best, current, start = (0, 0), None, before
    for value in run:
        lo, hi = value.dims[dim][0].interior
        lo, hi, end = lo + start, hi + start, start + value.shape[dim]
        if lo < hi:
            current = (current[0], hi) if current and current[1] == lo else (lo, hi)
            best = max(best, current, key=lambda i: i[1] - i[0])
        if hi < end:
            current = None
        start = end
    return best


def _follows(ctx: Context, left: Value, right: Value, dim: int) -> bool:
    a = left.dims[dim][0] if left.dims[dim] else None
    b = right.dims[dim][0] if right.dims[dim] else None
    if not (isinstance(a, Window) and isinstance(b, Window)):
        return False
    if left.origin != right.origin or left.period != right.period:
        return False
    if (a.axis, a.rate) != (b.axis, b.rate):
        return False
    others = [i for i in range(len(left.dims)) if i != dim]
    if any(left.dims[i] != right.dims[i] for i in others):
        return False
    return (b.offset - a.offset - a.size) % positions(ctx.torus, left, a) == 0
