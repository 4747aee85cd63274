"""Bringing operands to one period, one layout and one offset, so that they can meet."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from jaxinv.symmetry.bounds import common
from jaxinv.symmetry.factoring import as_plain, split
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.relayout import (
    Context,
    at_offset,
    common_period,
    expand,
    period_of,
    resample,
)
from jaxinv.symmetry.unread import without_unread
from jaxinv.symmetry.values import Dimension, Factor, Plain, Uniform, Value, Window

# For each operand the dimension that meets the others' here, or None if it has none.
Meeting = Sequence[int | None]

POSITION_DEPENDENT = Cause.POSITION_DEPENDENT()


@dataclass(frozen=True)
class Mismatch:
    """The first place where factors that meet do not fit, and what mends it."""

    meeting: int
    split: tuple[int, int, int] | None = None  # operand, factor, inner size
    mirrored: int | None = None  # axis along which windows move in opposite directions
    end: tuple[tuple[int, ...], Reason] | None = None  # axes that end, why
    merge: bool = False


def align(
    ctx: Context,
    values: Sequence[Value],
    meetings: Sequence[Meeting],
    *,
    contracted: Sequence[int] = (),
    reason: Reason = POSITION_DEPENDENT,
) -> list[Value]:
    """Makes the factors of dimensions that meet equal, one by one.

    Args:
      ctx: the context.
      values: the operands.
      meetings: which dimensions meet.
      contracted: indices of meetings in which a window may meet plain positions.
      reason: what to say when a window meets plain positions elsewhere.

    Returns:
      The operands. In each meeting they have the same number of factors, of equal sizes; windows
      that meet have one axis, rate and offset.
    """
    values = list(values)
    while True:
        values = common_period(ctx, _same_decisions(ctx, values))
        mismatch = _first_mismatch(values, meetings, contracted, reason)
        if mismatch is None:
            break
        meeting = meetings[mismatch.meeting]
        if mismatch.split is not None:
            i, index, inner = mismatch.split
            dim = meeting[i]
            assert dim is not None
            values[i] = split(ctx, values[i], dim, index, inner)
        elif mismatch.mirrored is not None:
            values = _by_half_turns(ctx, values, mismatch.mirrored)
        elif mismatch.end is not None:
            for axis in mismatch.end[0]:
                values = expand(ctx, values, axis, mismatch.end[1])
        else:
            values = [
                v if dim is None else as_plain(ctx, v, dim, Cause.FACTORS_DIFFER())
                for v, dim in zip(values, meeting, strict=True)
            ]
    aligned = _same_offsets(ctx, values, meetings)
    return [without_unread(ctx, v) for v in aligned] if ctx.differentiated else aligned


def _by_half_turns(ctx: Context, values: Sequence[Value], axis: int) -> list[Value]:
    """The values at shifts by half of the torus, by which both directions lead to the same place.

    A window of rate `r` has `m = P |r| / d` positions. At `d = P / 2` that is `2 |r|`, so that
    `r` and `-r` are equal modulo `m`.
    """
    half, left = divmod(ctx.torus.lengths[axis], 2)
    period = period_of(values)[axis]
    if ctx.torus.endless or left or half % period:
        return expand(ctx, values, axis, Cause.MOVE_DIFFERENTLY())
    if period != half:
        ctx.note(axis, Cause.OPPOSITE_DIRECTIONS(period=half))
    values = [
        resample(ctx, v, axis, half // v.period[axis]) if v.moves_along(axis) else v for v in values
    ]
    return [_forwards(v, axis) for v in values]


def _forwards(value: Value, axis: int) -> Value:
    dims = tuple(
        tuple(
            dataclasses.replace(f, rate=f.pace) if isinstance(f, Window) and f.axis == axis else f
            for f in dim
        )
        for dim in value.dims
    )
    return dataclasses.replace(value, dims=dims)


def _first_mismatch(values, meetings, contracted, reason) -> Mismatch | None:
    for number, meeting in enumerate(meetings):
        rows = [
            (i, v.dims[dim])
            for i, (v, dim) in enumerate(zip(values, meeting, strict=True))
            if dim is not None
        ]
        if len({row for _, row in rows}) <= 1 and number not in contracted:
            continue
        mismatch = _first_mismatch_of_rows(number, rows, number in contracted, reason)
        if mismatch is not None:
            return mismatch
    return None


def _first_mismatch_of_rows(
    number: int, rows: Sequence[tuple[int, Dimension]], contracted: bool, reason: Reason
) -> Mismatch | None:
    # Factors are compared from the innermost one outwards: 6*P4 and 3*P8 meet as 3*P2*P4.
    depth = max((len(row) for _, row in rows), default=0)
    for k in range(1, depth + 1):
        if any(len(row) < k for _, row in rows):
            lone = {f.axis for _, row in rows for f in row if isinstance(f, Window)}
            if lone:
                return Mismatch(number, end=(tuple(sorted(lone)), Cause.SINGLE_POSITION()))
            return Mismatch(number, merge=True)
        factors = [row[-k] for _, row in rows]
        smallest = min(f.size for f in factors)
        if any(f.size != smallest for f in factors):
            # The larger one splits, if that comes out even; else all are written out as plain.
            for (i, row), factor in zip(rows, factors, strict=True):
                if smallest > 1 and factor.size > smallest and factor.size % smallest == 0:
                    return Mismatch(number, split=(i, len(row) - k, smallest))
            return Mismatch(number, merge=True)
        windows = {(f.axis, f.rate) for f in factors if isinstance(f, Window)}
        axes = tuple(sorted({axis for axis, _ in windows}))
        if len({(axis, abs(rate)) for axis, rate in windows}) > 1:
            return Mismatch(number, end=(axes, Cause.MOVE_DIFFERENTLY()))
        if len(windows) > 1:
            return Mismatch(number, mirrored=axes[0])
        if windows and any(isinstance(f, Plain) for f in factors) and not contracted:
            return Mismatch(number, end=(axes, reason))
    return None


def _same_offsets(ctx, values, meetings):
    """Windows that meet start at one offset, that of the first: the bases of others are rolled."""
    for meeting in meetings:
        rows = [(i, dim) for i, dim in enumerate(meeting) if dim is not None]
        depth = len(values[rows[0][0]].dims[rows[0][1]]) if rows else 0
        for index in range(depth):
            first = None
            for i, dim in rows:
                factor = values[i].dims[dim][index]
                if isinstance(factor, Window):
                    first = factor.offset if first is None else first
                    values[i] = at_offset(ctx, values[i], values[i].place(dim, index), first)
    return values


def met(values: Sequence[Value], meeting: Meeting) -> Dimension:
    """The factors of aligned dimensions seen together: a window, else plain, else uniform."""
    rows = [v.dims[dim] for v, dim in zip(values, meeting, strict=True) if dim is not None]
    dimension: list[Factor] = []
    for factors in zip(*rows, strict=True):
        windows = [f for f in factors if isinstance(f, Window)]
        if windows:
            head = windows[0]
            valid = common([f.valid for f in windows if f.valid is not None])
            dimension.append(Window(head.axis, head.offset, head.size, head.rate, valid))
        else:
            plain = any(isinstance(f, Plain) for f in factors)
            dimension.append((Plain if plain else Uniform)(factors[0].size))
    return tuple(dimension)


def decisions_of(values: Sequence[Value]) -> tuple:
    """Per axis what decided by how much the aligned operands are rolled, or None."""
    return tuple(
        next((v.decisions[axis] for v in values if v.moves_along(axis)), None)
        for axis in range(values[0].n_axes)
    )


def _same_decisions(ctx: Context, values: list[Value]) -> list[Value]:
    for axis in range(values[0].n_axes):
        if len({v.decisions[axis] for v in values if v.moves_along(axis)}) > 1:
            values = expand(ctx, values, axis, Cause.DECISIONS_DIFFER())
    return values
