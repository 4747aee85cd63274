"""Constants that repeat themselves along what moves: phases of an interpolation, a checker.

Such a constant follows the shift as well, by multiples of its period.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.labels import labels
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.rules.resampling import LONGEST_PATTERN, Pattern, longest_pattern
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Plain, Value, Window, positions


def followed(
    ctx: Context, equation: Equation, operands: Sequence[Value], *, but: int | None = None
) -> list[Value]:
    """The operands of an equation, with windows for constants that repeat themselves.

    Args:
      ctx: the context.
      equation: the equation; its operands meet in all dimensions of the same size.
      operands: its operands.
      but: a dimension in which they do not meet.
    """
    rank = max(len(v.dims) for v in operands)
    following = list(operands)
    for i, constant in enumerate(operands):
        if not constant.is_constant or len(constant.dims) != rank:
            continue
        if but is None:
            # First: a table of both dimensions may repeat itself along one of them as well.
            following[i] = _following_jointly(ctx, equation, i, operands)
        for dim, row in enumerate(following[i].dims):
            if dim == but or len(row) != 1 or not isinstance(row[0], Plain):
                continue
            moving = next((v for v in operands if _moves_with(v, dim, rank, row[0].size)), None)
            table = None if moving is None else labels(ctx.program, equation.ins[i])
            if moving is None or table is None:
                continue
            pattern = _repeated(ctx, np.moveaxis(table, dim, 0))
            if pattern is not None:
                following[i] = _following(ctx, following[i], dim, pattern, moving)
    return following


def _following_jointly(
    ctx: Context, equation: Equation, i: int, operands: Sequence[Value]
) -> Value:
    """A constant that depends on the distance of two dimensions: a bias between tokens, a mask.

    It follows where both dimensions move with one axis: `table[j + r, k + s] = table[j, k]`.
    """
    value = operands[i]
    for moving in operands:
        windows = {
            dim: w
            for dim, row in enumerate(value.dims)
            if len(row) == 1
            and isinstance(row[0], Plain)
            and _moves_with(moving, dim, len(value.dims), value.shape[dim])
            and (w := window_of(moving, dim)) is not None
        }
        for axis in {w.axis for w in windows.values()}:
            along = {dim: w for dim, w in windows.items() if w.axis == axis}
            whole = all(w.size == positions(ctx.torus, moving, w) for w in along.values())
            table = labels(ctx.program, equation.ins[i])
            if len(along) < 2 or table is None or not (whole or ctx.torus.endless):
                continue
            period, counts = moving.period[axis], range(1, LONGEST_PATTERN + 1)
            for count in (c for c in counts if ctx.torus.lengths[axis] % (period * c) == 0):
                steps = {dim: int(w.rate) * count for dim, w in along.items()}
                if _is_alike(ctx, table, steps):
                    value = _moving_jointly(ctx, value, axis, steps, period, count)
                    break
    return value


def _moving_jointly(
    ctx: Context, value: Value, axis: int, steps: dict[int, int], period: int, count: int
) -> Value:
    """The constant as windows along several dimensions; each moves by its own step."""
    if count > 1:
        ctx.note(axis, Cause.CONSTANT_REPEATS(count=count, period=period * count))
    dims = tuple(
        (Window(axis, 0, value.shape[dim], steps[dim]),) if dim in steps else row
        for dim, row in enumerate(value.dims)
    )
    periods = tuple(period * count if a == axis else d for a, d in enumerate(value.period))
    return value.with_base(value.base, dims=dims, period=periods)


def _is_alike(ctx: Context, table: np.ndarray, steps: dict[int, int]) -> bool:
    """Whether a table is the same some steps further on, around it or on the line."""
    if not ctx.torus.endless:
        moved = np.roll(table, list(steps.values()), list(steps))
        return bool((moved == table).all())
    if any(abs(step) >= table.shape[dim] for dim, step in steps.items()):
        return False
    before, after = [slice(None)] * table.ndim, [slice(None)] * table.ndim
    for dim, step in steps.items():
        before[dim], after[dim] = slice(None, -step or None), slice(step, None)
        if step < 0:
            before[dim], after[dim] = slice(-step, None), slice(None, step)
    return bool((table[tuple(after)] == table[tuple(before)]).all())


def _moves_with(value: Value, dim: int, rank: int, size: int) -> bool:
    window = window_of(value, dim) if len(value.dims) == rank else None
    return window is not None and window.size == size


def _repeated(ctx: Context, table: np.ndarray) -> Pattern | None:
    """After how many rows a table repeats itself: everywhere, or on the line somewhere."""

    def steps_after(count: int) -> np.ndarray:
        same = table[count:] == table[:-count]
        return same.reshape(len(same), -1).all(1).astype(int)

    if ctx.torus.endless:
        return longest_pattern(steps_after, len(table))
    for count in range(1, min(LONGEST_PATTERN, len(table) // 2) + 1):
        if steps_after(count).all():
            return Pattern(count, count, 0, len(table))
    return None


def _following(ctx: Context, value: Value, dim: int, pattern: Pattern, moving: Value) -> Value:
    """The constant as a window that moves with another, if the torus holds that."""
    window = window_of(moving, dim)
    assert window is not None
    axis, count = window.axis, pattern.count
    growth = count // math.gcd(count, int(window.rate))
    period = moving.period[axis] * growth
    if ctx.torus.lengths[axis] % period or value.moves_along(axis):
        return value
    if count > 1 and moving.decisions[axis] is not None:
        return value  # What is the same everywhere follows any roll, a pattern does not.
    if growth > 1:
        ctx.note(axis, Cause.CONSTANT_REPEATS(count=count, period=period))
    whole = (pattern.first, pattern.stop) == (0, window.size)
    valid = None if whole or not ctx.torus.bordered else (pattern.first, pattern.stop)
    same = Window(axis, 0, window.size, window.rate * growth, valid)
    periods = tuple(period if a == axis else d for a, d in enumerate(value.period))
    dims = value.dims_with(dim, (same,))
    place = value.place(dim)

    def around(base):
        rows = jnp.arange(positions(ctx.torus, moves, same)) % count
        return jnp.take(base, rows, axis=place)

    decisions = tuple(
        moving.decisions[a] if a == axis else decided for a, decided in enumerate(value.decisions)
    )
    moves = dataclasses.replace(value, dims=dims, period=periods, decisions=decisions)
    return moves.on_base(around)
