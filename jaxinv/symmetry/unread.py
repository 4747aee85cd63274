"""Positions of a base that no shift reads, and why they must not be left as they are.

A base holds all of its torus. Where only some shifts are asked for, or a window moves by several
positions at a time, part of it is never read: its cotangent is zero. But zero times the infinite
slope of a logarithm at what happens to stand there is NaN, which the backward pass adds to
positions that are read. So each of them repeats a position that is read: what is computed there
is then computed for some shift anyway.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.relayout import Context, period_of
from jaxinv.symmetry.values import Dimension, Torus, Value, Window, positions


def without_unread(ctx: Context, value: Value) -> Value:
    """The value with a copy of the nearest position before it that is read for each unread one."""
    for place, window in value.windows():
        axis = window.axis
        m = positions(ctx.torus, value, window)
        rows = _sources(ctx.torus, axis, value.period[axis], window, m)
        if rows is not None:
            value = value.on_base(functools.partial(_taken, axis=axis, place=place, rows=rows))
    return value


def unread_pairs_along(
    ctx: Context, values: Sequence[Value], dims: Sequence[Dimension]
) -> int | None:
    """An axis along which a result would hold pairs of positions that no shift reads together.

    Two of its windows follow that axis and see a part of the torus, so that positions far from one
    another are never seen at once. Each of them is read, so that none can stand in for it.

    Args:
      ctx: the context.
      values: the operands, aligned.
      dims: the dimensions of the result.
    """
    if not ctx.differentiated:
        return None
    for axis, (length, period) in enumerate(zip(ctx.torus.lengths, period_of(values), strict=True)):
        windows = [f for dim in dims for f in dim if isinstance(f, Window) and f.axis == axis]
        if len(windows) > 1 and any(f.size < length * f.pace // period for f in windows):
            return axis
    return None


@functools.lru_cache(maxsize=4096)
def _sources(
    torus: Torus, axis: int, period: int, window: Window, m: int
) -> tuple[tuple[int, ...], ...] | None:
    """For each stored coset and position the position to read; None if each is its own."""
    shifts = torus.shifts[axis]
    if abs(window.rate) == 1 and shifts is None:
        return None
    every = np.asarray(range(torus.lengths[axis]) if shifts is None else shifts)
    rows = []
    for coset in torus.residues(axis, period):
        # At shift coset + period * q position j shows offset + j - rate * q of the base.
        turns = np.unique(every[every % period == coset] // period)
        seen = window.offset + np.arange(min(window.size, m)) - int(window.rate) * turns[:, None]
        read = np.zeros(m, bool)
        read[seen % m] = True
        # The last position read at or before each one, around the torus.
        last = np.maximum.accumulate(np.where(np.tile(read, 2), np.arange(2 * m), -1))
        rows.append(tuple((last[m:] % m).tolist()))
    own = tuple(range(m))
    return None if all(row == own for row in rows) else tuple(rows)


def _taken(base, axis: int, place: int, rows: Sequence[tuple[int, ...]]):
    """Positions taken along a dimension, for each coset by its own row."""
    if len(set(rows)) == 1:
        return _spliced(base, place, rows[0])
    shape = (*base.shape[:axis], len(rows), *base.shape[axis + 1 :])
    base = jnp.broadcast_to(base, shape)
    pieces = [
        _spliced(jax.lax.slice_in_dim(base, c, c + 1, axis=axis), place, row)
        for c, row in enumerate(rows)
    ]
    return jnp.concatenate(pieces, axis)


def _spliced(base, place: int, row: Sequence[int]):
    """`base` at the positions of `row`, as slices and repeats: their transpose adds no scatter."""
    pieces, start = [], 0
    while start < len(row):
        step = 1 if start + 1 < len(row) and row[start + 1] == row[start] + 1 else 0
        stop = start + 1
        while stop < len(row) and row[stop] == row[stop - 1] + step:
            stop += 1
        count = stop - start
        piece = jax.lax.slice_in_dim(
            base, row[start], row[start] + (count if step else 1), axis=place
        )
        if not step:
            shape = (*piece.shape[:place], count, *piece.shape[place + 1 :])
            piece = jnp.broadcast_to(piece, shape)
        pieces.append(piece)
        start = stop
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis=place)
