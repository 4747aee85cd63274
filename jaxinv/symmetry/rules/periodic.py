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
from jaxinv.symmetry.values import Plain, Value, Window, is_whole, positions


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

    It follows where both dimensions move with one axis: `table[j + r, k + s] = table[j, k]`. Tokens
    of a map are positions along two axes in one dimension: the table is then one of four.
    """
    value = operands[i]
    table = labels(ctx.program, equation.ins[i])
    if table is None:
        return value
    for moving in operands:
        apart = value
        windows: dict[int, tuple[int, Window]] = {}
        for dim, row in enumerate(value.dims):
            met = len(moving.dims) == len(value.dims) and moving.shape[dim] == value.shape[dim]
            if len(row) == 1 and isinstance(row[0], Plain) and met:
                apart = _apart_as(apart, dim, [f.size for f in moving.dims[dim]])
                if len(apart.dims[dim]) == len(moving.dims[dim]):
                    pairs = enumerate(moving.dims[dim], apart.place(dim) - apart.n_axes)
                    windows |= {k: (dim, f) for k, f in pairs if isinstance(f, Window)}
        found = apart
        for axis in sorted({w.axis for _, w in windows.values()}):
            along = {k: w for k, (_, w) in windows.items() if w.axis == axis}
            # A single one is looked at by itself, as far as it goes.
            alone = len(along) < 2 and all(len(apart.dims[windows[k][0]]) == 1 for k in along)
            whole = all(w.size == positions(ctx.torus, moving, w) for w in along.values())
            if alone or not (whole or ctx.torus.endless):
                continue
            period = moving.period[axis]
            for count in _counts(ctx, axis, period):
                steps = {k: int(w.rate) * count for k, w in along.items()}
                if _is_alike(ctx, table.reshape([f.size for f in apart.factors]), steps):
                    found = _moving_jointly(ctx, found, axis, steps, period, count)
                    break
        if found is not apart:
            return found
    return value


def followed_in_product(
    ctx: Context,
    equation: Equation,
    operands: Sequence[Value],
    contracted: Sequence[tuple[int, int]],
    free: Sequence[Sequence[int]],
) -> list[Value]:
    """The operands of a product, with windows for a matrix that is the same some steps further on.

    Such a matrix is a circular convolution: `table[j + r, k + s] = table[j, k]` where `j` counts
    outputs, and `k` what is contracted. With `r = 0` its weights repeat themselves, as a mean's do.

    Args:
      ctx: the context.
      equation: the product.
      operands: its two operands.
      contracted: pairs of dimensions that are contracted.
      free: for each operand the dimensions that are not, nor belong to a batch.
    """
    following = list(operands)
    for side, (matrix, moving) in enumerate((operands, operands[::-1])):
        pairs = [(pair[side], pair[1 - side]) for pair in contracted]
        moves = any(moving.moves_in(dim) for _, dim in pairs)
        if not (moves and matrix.is_constant) or ctx.torus.endless:
            continue
        table = _numbers_or_labels(ctx, equation.ins[side])
        # If what stands at the first place stands nowhere else, nothing repeats itself.
        if table is None or np.count_nonzero(table == table.ravel()[:1]) < 2:
            continue
        for dim, other in pairs:
            sizes = [f.size for f in moving.dims[other]]
            outputs = [d for d in free[side] if matrix.shape[d] == matrix.shape[dim]]
            for d in (dim, *outputs):
                matrix = _apart_as(matrix, d, sizes)
        table = table.reshape([f.size for f in matrix.factors])
        outs = [matrix.place(d, k) for d in free[side] for k in range(len(matrix.dims[d]))]
        found = matrix
        for dim, other in pairs:
            if len(matrix.dims[dim]) != len(moving.dims[other]):
                continue
            for place, window in enumerate(moving.dims[other], matrix.place(dim)):
                if isinstance(window, Window):
                    found = _convolving(ctx, found, place, outs, moving, window, table)
        following[side] = found if found is not matrix else operands[side]
    return following


def _numbers_or_labels(ctx: Context, number: int) -> np.ndarray | None:
    """The numbers of a matrix, which take no sorting, or labels where they are not known."""
    known = ctx.program.known_value(number)
    return labels(ctx.program, number) if known is None else known


def _convolving(
    ctx: Context,
    matrix: Value,
    place: int,
    outs: Sequence[int],
    moving: Value,
    window: Window,
    table: np.ndarray,
) -> Value:
    """The matrix as it moves with a window that is contracted, if it is the same further on."""
    axis, length = window.axis, ctx.torus.lengths[window.axis]
    period, first = moving.period[axis], matrix.n_axes
    only = sum(1 for _ in moving.windows(axis)) == 1
    if (
        not (only and is_whole(ctx.torus, moving, window))
        or moving.decisions[axis] is not None
        or matrix.moves_along(axis)
    ):
        return matrix
    for count in _counts(ctx, axis, period):
        if period * count == length:
            break
        step = {place - first: int(window.rate) * count}
        ways: list[dict[int, int]] = [{}]
        for out in outs:
            by, left = divmod(matrix.factors[out - first].size * period * count, length)
            if left == 0 and isinstance(matrix.factors[out - first], Plain):
                ways += [{out - first: by}, {out - first: -by}]
        for way in ways:
            if _is_alike(ctx, table, step | way):
                return _moving_jointly(ctx, matrix, axis, step | way, period, count)
    return matrix


def _counts(ctx: Context, axis: int, period: int) -> list[int]:
    """After how many moves of a value a constant may repeat itself."""
    counts = range(1, LONGEST_PATTERN + 1)
    return [count for count in counts if ctx.torus.lengths[axis] % (period * count) == 0]


def _apart_as(value: Value, dim: int, sizes: Sequence[int]) -> Value:
    """A plain dimension of a constant as several, if it is that many positions."""
    row = value.dims[dim]
    if len(sizes) < 2 or min(sizes) < 2 or row != (Plain(math.prod(sizes)),):
        return value
    place = value.place(dim)
    # (..., their product, ...) -> (..., *sizes, ...)
    return value.on_base(
        lambda base: jnp.reshape(base, (*base.shape[:place], *sizes, *base.shape[place + 1 :])),
        dims=value.dims_with(dim, tuple(map(Plain, sizes))),
    )


def _moving_jointly(
    ctx: Context, value: Value, axis: int, steps: dict[int, int], period: int, count: int
) -> Value:
    """The constant as windows in place of some factors; each moves by its own step."""
    if count > 1:
        ctx.note(axis, Cause.CONSTANT_REPEATS(count=count, period=period * count))
    factors = iter(
        Window(axis, 0, f.size, steps[k]) if k in steps else f for k, f in enumerate(value.factors)
    )
    dims = tuple(tuple(next(factors) for _ in row) for row in value.dims)
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
    # The least growth for which count divides rate * growth: each move is by whole patterns.
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
        # The table shows the first rows of a torus on which all repeat the first `count`.
        rows = jnp.arange(positions(ctx.torus, moves, same)) % count
        return jnp.take(base, rows, axis=place)

    decisions = tuple(
        moving.decisions[a] if a == axis else decided for a, decided in enumerate(value.decisions)
    )
    moves = dataclasses.replace(value, dims=dims, period=periods, decisions=decisions)
    return moves.on_base(around)
