"""What puts positions beside one another: padding, zeros in between, and concatenation."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from jaxinv.symmetry.align import align, met
from jaxinv.symmetry.bounds import Valid, common
from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, expand_windows, normal, period_of, replace_factor
from jaxinv.symmetry.rules.layout import one_of, sliced
from jaxinv.symmetry.rules.per_position import results_of
from jaxinv.symmetry.rules.periodic import followed
from jaxinv.symmetry.rules.windowed import seen, window_of
from jaxinv.symmetry.values import Plain, Uniform, Value, Window, positions


@rule("pad")
def pad(ctx: Context, equation: Equation, operand: Value, fill: Value) -> list[Value]:
    """A constant between positions dilates a window; at the ends it is a border, and its end."""
    zeros = ctx.program.known_value(equation.ins[1]) == 0
    padding = Cause.ZERO_PADDING if zeros else Cause.CONSTANT_PADDING
    for dim, (low, high, interior) in enumerate(equation.params["padding_config"]):
        low, high, interior = int(low), int(high), int(interior)
        if interior == 0 and (low < 0 or high < 0):
            size = operand.shape[dim]
            operand = sliced(ctx, operand, dim, max(0, -low), size - max(0, -high))
            low, high = max(0, low), max(0, high)
        if (low, high, interior) == (0, 0, 0):
            continue
        operand, fill = align(ctx, [operand, fill], [])
        window = window_of(operand, dim)
        first, stop = ctx.program.positions_read(equation.outs[0], dim)
        if interior == 0 and low <= first and stop <= low + operand.shape[dim]:
            continued = _continued(ctx, operand, dim, low, high)
            if continued is not None:
                operand = continued
                continue
        if window is not None and (max(low, high) <= interior or ctx.torus.endless):
            if ctx.torus.bordered and max(low, high) > interior:
                ctx.note_border(window.axis, padding(width=max(low, high)))
            operand = _dilated_window(ctx, operand, dim, window, (low, high, interior), fill)
            continue
        operand = as_plain(ctx, operand, dim, padding(width=max(low, high)))
        operand, fill = align(ctx, [operand, fill], [])
        operand = _padded(operand, dim, (low, high, interior), fill)
    return [normal(ctx, operand)]


def _continued(ctx: Context, value: Value, dim: int, before: int, after: int) -> Value | None:
    """A window with more of its torus at its ends, in place of positions that nothing reads."""
    window = window_of(value, dim)
    if window is None or window.valid is not None or ctx.torus.endless:
        return None
    size = before + window.size + after
    longer = dataclasses.replace(window, offset=window.offset - before, size=size)
    return replace_factor(value, value.place(dim), longer)


def _dilated_window(
    ctx: Context, value: Value, dim: int, window: Window, config, fill: Value
) -> Value:
    """A window of the base with the fill between its positions, and on the line beyond its ends."""
    low, high, interior = config
    c = interior + 1
    size = low + (window.size - 1) * c + 1 + high
    valid = None
    if window.valid is not None or max(low, high) > interior:
        lo, hi = seen(ctx, window)
        if interior:
            lo, hi = math.ceil(lo), math.floor(hi)
        # Between where lo - 1 and hi come to stand: the fill beside valid positions is valid.
        valid = ((lo - 1) * c + 1 + low, hi * c + low)
    place = value.place(dim)
    # Position i comes to stand at low + i * c.
    grown = Window(window.axis, window.offset * c - low, size, window.rate * c, valid)
    value = replace_factor(
        value, place, grown, lambda base: _filled(value, base, place, (0, interior, interior), fill)
    )
    return dataclasses.replace(value, period=period_of([value, fill]))


def _padded(value: Value, dim: int, config, fill: Value) -> Value:
    low, high, interior = config
    size = value.shape[dim]
    size = low + high + size + max(0, size - 1) * interior
    value = value.storing(dim)
    return value.on_base(
        lambda base: _filled(value, base, value.place(dim), config, fill),
        dims=value.dims_with(dim, (Plain(size),)),
        period=period_of([value, fill]),
    )


def _filled(value: Value, base, place: int, config, fill: Value):
    """The base padded along a dimension by a scalar, which may differ between cosets."""
    widths = [(0, 0, 0)] * base.ndim
    widths[place] = config
    if fill.base.size == 1:
        return lax.pad(base, fill.base.reshape(()), widths)
    padded = lax.pad(base, jnp.zeros((), base.dtype), widths)
    inside = lax.pad(jnp.ones(base.shape, bool), False, widths)
    # (*cosets) -> (*cosets, 1, ..., 1)
    filled = fill.base.reshape(fill.base.shape + (1,) * (base.ndim - value.n_axes))
    return jnp.where(inside, padded, filled)


@rule("stack")
def stack(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """Pieces of one position along a new dimension, joined."""
    dim = equation.params["axis"]
    pieces = [dataclasses.replace(v, dims=v.dims_with(dim, (), instead=0)) for v in operands]
    return [concatenated(ctx, pieces, dim)]


@rule("tile")
def tile(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """A whole torus goes around several times; all else is repeated as it is."""
    for dim, count in enumerate(map(int, equation.params["reps"])):
        window = window_of(operand, dim)
        if count == 1:
            continue
        if window is not None and window.size == positions(ctx.torus, operand, window):
            operand = concatenated(ctx, [operand] * count, dim)
            continue
        if operand.shape[dim] == 1:
            (operand,) = expand_windows(ctx, [operand], [dim], Cause.SINGLE_POSITION())
        operand = _repeated(operand, dim, count)
    return [operand]


def _repeated(value: Value, dim: int, count: int) -> Value:
    """All of a dimension several times, one after the other."""
    place, dims = value.place(dim), value.dims_with(dim, (Uniform(count), *value.dims[dim]))
    return value.on_base(lambda base: jnp.expand_dims(base, place), dims=dims)


@rule("concatenate", moves_only=True)
def concatenate(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """Neighbouring windows of one base are one window; nothing else that moves can be joined."""
    dim = equation.params["dimension"]
    values = followed(ctx, equation, operands, but=dim)
    values = [v for v in values if v.shape[dim] > 0]
    ends = [0, *itertools.accumulate(v.shape[dim] for v in values)]
    first, stop = ctx.program.positions_read(equation.outs[0], dim)
    read = [i for i in range(len(values)) if ends[i] < stop and first < ends[i + 1]]
    if 0 < len(read) < len(values):
        start, end = ends[read[0]], ends[read[-1] + 1]
        core = concatenated(ctx, [values[i] for i in read], dim)
        continued = _continued(ctx, core, dim, start, ends[-1] - end)
        if continued is not None:
            return [continued]
    return [concatenated(ctx, values, dim)]


def concatenated(
    ctx: Context, values: Sequence[Value], dim: int, border: Reason | None = None
) -> Value:
    """Values one after the other along a dimension.

    Args:
      ctx: the context.
      values: the pieces.
      dim: the dimension.
      border: the reason why what moves ends, where the pieces are not one window; None for what
        the pieces themselves say.
    """
    size = sum(v.shape[dim] for v in values)
    if len(values) == 1:
        return values[0]
    if len({v.dims[dim][1:] for v in values}) == 1 < len(values[0].dims[dim]):
        # Neighbours in the outermost factor, each with the same factors inside.
        apart = concatenated(ctx, [_apart(v, dim) for v in values], dim, border)
        row = (*apart.dims[dim], *apart.dims[dim + 1])
        return dataclasses.replace(apart, dims=apart.dims_with(dim, row, instead=2))
    joined = _joined_uniform(values, dim, size)
    if joined is not None:
        return joined
    reason = Cause.JOINED_DIFFERENTLY()
    if any(v.dims[dim] and isinstance(v.dims[dim][0], Window) for v in values):
        values = [as_single(ctx, v, dim, reason) for v in values]
        joined = _joined(ctx, values, dim, size)
        if joined is not None:
            return joined
        reason_of_pieces = border or _unlike(ctx, values, dim)
        values = expand_windows(ctx, values, [dim] * len(values), reason_of_pieces)
    others = [[d] * len(values) for d in range(len(values[0].dims)) if d != dim]
    values = align(ctx, values, others)
    values = align(ctx, [as_plain(ctx, v, dim, reason) for v in values], others)
    sources = [size if d == dim else (0, d) for d in range(len(values[0].dims))]
    (whole,) = results_of(ctx, values, others, lambda *a: [lax.concatenate(a, dim)], [sources])
    return whole


def _joined_uniform(values: Sequence[Value], dim: int, size: int) -> Value | None:
    """Pieces that all hold the same, as one, if they are that."""
    whole = next((v for v in values if v.dims[dim]), None)
    if whole is None or not (len(whole.dims[dim]) == 1 and isinstance(whole.dims[dim][0], Uniform)):
        return None
    place, beside = whole.place(dim), whole.dims_with(dim, ())
    for v in values:
        origin = whole.origin if v.dims[dim] else one_of(whole.origin, place)
        alike = (v.origin, v.period, v.dims_with(dim, ())) == (origin, whole.period, beside)
        if not alike or (v.dims[dim] and not isinstance(v.dims[dim][0], Uniform)):
            return None
    longer = replace_factor(whole, place, Uniform(size))
    return dataclasses.replace(longer, origin=whole.origin)


def _apart(value: Value, dim: int) -> Value:
    """The value with the outermost factor of a dimension as a dimension of its own."""
    head, *tail = value.dims[dim]
    return dataclasses.replace(value, dims=value.dims_with(dim, (head,), tuple(tail)))


def _unlike(ctx: Context, values: Sequence[Value], dim: int) -> Reason:
    """Why pieces of which some move are not one window."""
    windows = [window_of(value, dim) for value in values]
    moving = [window for window in windows if window is not None]
    if len(moving) < len(windows):
        return Cause.STILL_JOINED()
    if len({v.origin for v in values}) > 1 or len({(w.axis, w.rate) for w in moving}) > 1:
        return Cause.JOINED_DIFFERENTLY()
    whole = positions(ctx.torus, values[0], moving[0])
    # All positions and some of them again are padding.
    return Cause.OTHER_PADDING() if max(w.size for w in moving) >= whole else Cause.REORDERED()


def _joined(ctx: Context, values: list[Value], dim: int, size: int) -> Value | None:
    """The pieces as one window of the base that they share, if they are that."""
    runs: list[list[int]] = []
    for i, value in enumerate(values):
        if runs and _follows(ctx, values[runs[-1][-1]], value, dim):
            runs[-1].append(i)
        else:
            runs.append([i])
    if len(runs) > 1 and not ctx.torus.endless:
        return None
    moving = [run for run in runs if all(window_of(values[i], dim) is not None for i in run)]
    if not moving:
        return None
    run = max(moving, key=lambda r: sum(values[i].shape[dim] for i in r))
    if len(runs) > 1:
        # Along the other axes all pieces have to move alike, those outside of the interior too.
        # Of what those hold along this axis nothing is claimed (an edge that is repeated).
        values = [
            v if i in run else _unclaimed(values[run[0]], v, dim) for i, v in enumerate(values)
        ]
        others = [[d] * len(values) for d in range(len(values[0].dims)) if d != dim]
        values = align(ctx, values, others)
        rows = [met(values, meeting) for meeting in others]
        if window_of(values[run[0]], dim) is None:
            return None
    first = values[run[0]]
    windows = [w for i in run if (w := window_of(values[i], dim)) is not None]
    window = windows[0]
    before = sum(v.shape[dim] for v in values[: run[0]])
    valid: Valid | None = None
    if not ctx.torus.bordered:
        valid = _joined_fields(windows, before)
    elif len(runs) > 1 or any(w.valid is not None for w in windows):
        valid = _joined_interior(windows, before)
    whole = dataclasses.replace(window, offset=window.offset - before, size=size, valid=valid)
    value = replace_factor(first, first.place(dim), whole)
    if len(runs) > 1:
        value = dataclasses.replace(value, dims=(*rows[:dim], value.dims[dim], *rows[dim:]))
    return dataclasses.replace(value, origin=first.origin)


def _unclaimed(run: Value, value: Value, dim: int) -> Value:
    """A piece as if no shift along a run's axis changed it, unless it moves along that axis."""
    window = window_of(run, dim)
    assert window is not None
    if value.moves_along(window.axis):
        return value
    period = tuple(1 if a == window.axis else d for a, d in enumerate(value.period))
    return dataclasses.replace(value, period=period)


def _joined_fields(windows: list[Window], before: int) -> Valid | None:
    """What is valid of a run of joined pieces, as far as they go on beside it."""
    starts = itertools.accumulate((w.size for w in windows), initial=before)
    rows = [(w.valid, start) for w, start in zip(windows, starts, strict=False)]
    return common([(valid[0] + at, valid[1] + at) for valid, at in rows if valid is not None])


def _joined_interior(windows: list[Window], before: int) -> tuple[int, int]:
    """The longest stretch of valid positions in a run of joined pieces."""
    best, current, start = (0, 0), None, before
    for window in windows:
        lo, hi = window.interior
        lo, hi, end = lo + start, hi + start, start + window.size
        if lo < hi:
            current = (current[0], hi) if current and current[1] == lo else (lo, hi)
            best = max(best, current, key=lambda i: i[1] - i[0])
        if hi < end:
            current = None
        start = end
    return best


def _follows(ctx: Context, left: Value, right: Value, dim: int) -> bool:
    a, b = window_of(left, dim), window_of(right, dim)
    if a is None or b is None:
        return False
    if left.origin != right.origin or left.period != right.period:
        return False
    if (a.axis, a.rate) != (b.axis, b.rate):
        return False
    others = [i for i in range(len(left.dims)) if i != dim]
    if any(left.dims[i] != right.dims[i] for i in others):
        return False
    return (b.offset - a.offset - a.size) % positions(ctx.torus, left, a) == 0
