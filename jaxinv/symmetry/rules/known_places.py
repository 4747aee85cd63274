"""Positions that are read at places known beforehand: slices and repeats under another name."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.relayout import Context, normal, replace_factor
from jaxinv.symmetry.rules.joining import concatenated
from jaxinv.symmetry.rules.layout import reversed_along, sliced, squeezed, transposed
from jaxinv.symmetry.rules.per_position import still
from jaxinv.symmetry.rules.pointwise import stretched
from jaxinv.symmetry.rules.resampling import LONGEST_PATTERN, longest_pattern, resampled
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Plain, Uniform, Value, is_whole, positions

ANOTHER_ORDER = Cause.REORDERED()
# A look-up with more rows than this is no window that slides, and not worth a longer program.
MOST_ROWS = 64


def gathered_from(
    ctx: Context, equation: Equation, operand: Value, index: np.ndarray
) -> Value | None:
    """A gather whose indices are known, if they are one row of places for each dimension.

    Args:
      ctx: the context.
      equation: the gather.
      operand: what is read.
      index: the indices.

    Returns:
      The value, or None if the places are no product of rows, out of bounds, or too many.
    """
    params = equation.params
    numbers, sizes = params["dimension_numbers"], tuple(map(int, params["slice_sizes"]))
    named = numbers.start_index_map
    if numbers.operand_batching_dims or index.size == 0:
        return None
    last = np.array([operand.shape[d] - sizes[d] for d in named])
    if params["mode"] == lax.GatherScatterMode.CLIP:
        index = np.clip(index, 0, last)
    if index.min(initial=0) < 0 or (index > last).any():
        return None
    value, columns = operand, {dim: [index[..., k]] for k, dim in enumerate(named)}
    # Of a flattened map (`as_strided`) a place is one along each of its factors.
    split = {d: v for d, v in columns.items() if d in numbers.collapsed_slice_dims}
    for dim, (flat,) in split.items():
        if value.moves_in(dim):
            columns[dim] = [*np.unravel_index(flat, [f.size for f in value.dims[dim]])]
    if not _are_a_grid(columns.values()):
        columns |= split
    if not _are_a_grid(columns.values()):
        return None
    shape = equation.out_avals[0].shape
    lookups = [dim for dim in range(len(shape)) if dim not in numbers.offset_dims]
    offsets = list(numbers.offset_dims)
    goes_to: list[int] = []
    for dim in reversed(range(len(sizes))):
        kept = [] if dim in numbers.collapsed_slice_dims else [offsets.pop()]
        rows = columns.get(dim, [np.zeros((1,) * (index.ndim - 1), int)])
        if len(rows) > 1:
            apart = value.dims_with(dim, *((f,) for f in value.dims[dim]))
            value = dataclasses.replace(value, dims=apart)
        for at in reversed(range(len(rows))):
            along = _varies_along(rows[at])
            row = rows[at][tuple(slice(None) if b in along else 0 for b in range(index.ndim - 1))]
            if kept:
                row = row[..., None] + np.arange(sizes[dim])
            read = taken(ctx, value, dim + at, row)
            if read is None:
                return None
            value = read
            goes_to = [*(lookups[b] for b in along), *kept, *goes_to]
    value = transposed(value, sorted(range(len(goes_to)), key=goes_to.__getitem__))
    return stretched(ctx, value, shape, sorted(goes_to))


def _varies_along(places: np.ndarray) -> list[int]:
    """The axes of an array along which anything in it varies."""
    return [axis for axis in range(places.ndim) if np.diff(places, axis=axis).any()]


def _are_a_grid(columns: Iterable[list[np.ndarray]]) -> bool:
    """Whether no two arrays of places vary along one axis of the indices."""
    axes = [axis for rows in columns for places in rows for axis in _varies_along(places)]
    return len(set(axes)) == len(axes)


def taken(ctx: Context, value: Value, dim: int, index: np.ndarray) -> Value | None:
    """The value with the positions at `index` in place of a dimension, which may become several.

    Args:
      ctx: the context.
      value: the value.
      dim: the dimension.
      index: where each position of the new dimensions is read, in bounds.

    Returns:
      The value, or None if that takes too many pieces.
    """
    if index.ndim == 0:
        value = sliced(ctx, value, dim, int(index), int(index) + 1)
        return squeezed(ctx, value, [dim])
    if index.ndim == 1:
        return _row(ctx, value, dim, index)
    # One even row may be a window; the others are stacked.
    along = max(range(index.ndim), key=lambda i: _fitness(ctx, value, dim, index, i))
    # (..., row, ...) -> (..., row) -> (rows, row)
    rows = np.moveaxis(index, along, -1).reshape(-1, index.shape[along])
    if len(rows) > MOST_ROWS:
        return None
    value = _stacked(ctx, [_row(ctx, value, dim, row) for row in rows], dim)
    others = [n for i, n in enumerate(index.shape) if i != along]
    value = _unfolded(value, dim, others)
    order = list(range(dim, dim + len(others)))
    order.insert(along, dim + len(others))
    return transposed(value, [*range(dim), *order, *range(dim + index.ndim, len(value.dims))])


def _fitness(
    ctx: Context, value: Value, dim: int, index: np.ndarray, axis: int
) -> tuple[bool, bool, bool, int, int]:
    """How well the places along one axis of the indices serve as a window.

    Best are even places that leave few rows. Overlapping blocks (halos) are even both from block
    to block and inside: what goes all around counts blocks. Else the longest row is taken. Which
    one is taken decides how the value is laid out, and never what is true of it.
    """
    window, size = window_of(value, dim), index.shape[axis]
    steps = _steps(index, axis, 1, _around_whole(ctx, value, dim))
    even = steps.size > 0 and bool((steps == steps.flat[0]).all())
    all_around = False
    if even and window is not None:
        reach = abs(int(steps.flat[0])) * size
        lo, hi = window.interior
        is_turn = reach > 0 == reach % positions(ctx.torus, value, window)
        all_around = is_turn or (ctx.torus.endless and reach >= hi - lo)
    return even, index.size <= MOST_ROWS * size, all_around, size, -axis


def _around_whole(ctx: Context, value: Value, dim: int) -> int | None:
    """The positions of the torus that a dimension shows, if it shows each of them once."""
    window = window_of(value, dim)
    if window is None or not is_whole(ctx.torus, value, window):
        return None
    return window.size


def _steps(index: np.ndarray, axis: int, count: int, around: int | None) -> np.ndarray:
    """How much further on a place is read `count` places later; `around` a torus if there is one.

    Of two ways around it is the shorter one.
    """
    index = np.moveaxis(index, axis, 0)
    steps = index[count:] - index[:-count]
    if around is None:
        return steps
    back = (around - 1) // 2
    return (steps + back) % around - back


def _stacked(ctx: Context, values: Sequence[Value], dim: int) -> Value:
    """The values one after the other along a new dimension."""
    rows = [v.with_base(v.base, dims=v.dims_with(dim, (), instead=0)) for v in values]
    return concatenated(ctx, rows, dim, ANOTHER_ORDER)


def _unfolded(value: Value, dim: int, sizes: Sequence[int]) -> Value:
    """The value with several dimensions in place of one that does not move."""
    start, stop = value.place(dim), value.place(dim + 1)
    kept = [n for n in sizes if n != 1]

    def unfolded(base):
        # (..., their product, ...) -> (..., *sizes but for 1, ...)
        return jnp.reshape(base, (*base.shape[:start], *kept, *base.shape[stop:]))

    return value.on_base(unfolded, dims=value.dims_with(dim, *map(still, sizes)))


def _row(ctx: Context, value: Value, dim: int, index: np.ndarray) -> Value:
    """Places along one dimension."""
    if (np.diff(index) == 1).all():
        return sliced(ctx, value, dim, int(index[0]), int(index[-1]) + 1)
    value = as_single(ctx, value, dim, Cause.SLICE_CUTS())
    window = window_of(value, dim)
    if window is None:
        return _still_row(ctx, value, dim, index)
    if ctx.torus.endless:
        return _row_on_line(ctx, value, dim, index)
    repeat = _repeat(index)
    value = _steady_row(ctx, value, dim, index[::repeat])
    return value if repeat == 1 else _repeated(ctx, value, dim, repeat)


def _still_row(ctx: Context, value: Value, dim: int, index: np.ndarray) -> Value:
    if len(value.dims[dim]) == 1 and isinstance(value.dims[dim][0], Uniform):
        alike = Uniform(len(index))
        return normal(ctx, replace_factor(value, value.place(dim), alike))
    value = as_plain(ctx, value, dim, ANOTHER_ORDER).storing(dim)
    place = value.place(dim)
    dims = value.dims_with(dim, (Plain(len(index)),))
    read = value.on_base(lambda base: jnp.take(base, index, axis=place, mode="clip"), dims=dims)
    return normal(ctx, read)


def _repeat(index: np.ndarray) -> int:
    """How often each index stands in a row, if all do equally often."""
    ends = np.flatnonzero(np.diff(index)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [len(index)]]))
    return int(lengths[0]) if len(set(lengths.tolist())) == 1 else 1


def _repeated(ctx: Context, value: Value, dim: int, repeat: int) -> Value:
    """Each position of a dimension several times in a row."""
    place = value.place(dim + 1)
    dims = value.dims_with(dim, (*value.dims[dim], Uniform(repeat)))
    return normal(ctx, value.on_base(lambda base: jnp.expand_dims(base, place), dims=dims))


def _steady_row(ctx: Context, value: Value, dim: int, index: np.ndarray) -> Value:
    """Places in a pattern around the torus: `count` places later, all are `step` further on."""
    window = window_of(value, dim)
    assert window is not None
    pattern = _pattern(index, _around_whole(ctx, value, dim))
    if pattern is None:
        pieces = [sliced(ctx, value, dim, a, b) for a, b in _runs(index)]
        return concatenated(ctx, pieces, dim, _why_uneven(index, window.size))
    count, step = pattern
    if step < 0:
        value, index, step = reversed_along(ctx, value, dim), window.size - 1 - index, -step
    rows = [_around(ctx, value, dim, row, step) for row in (index[i::count] for i in range(count))]
    if count == 1:
        return rows[0]
    value = _stacked(ctx, rows, dim + 1)
    row = (*value.dims[dim], *value.dims[dim + 1])
    return value.with_base(value.base, dims=value.dims_with(dim, row, instead=2))


def _why_uneven(index: np.ndarray, size: int) -> Reason:
    """Why places in no even order end a symmetry; padding by a table is called padding."""
    last = size - 1
    for before in range(len(index) - size + 1) if last else ():
        places = np.arange(len(index)) - before
        if (index == np.clip(places, 0, last)).all():
            return Cause.EDGE_PADDING()
        if (index == last - np.abs(last - places % (2 * last))).all():
            return Cause.REFLECT_PADDING()
    return Cause.READ_UNEVENLY() if (np.diff(index) >= 0).all() else Cause.REORDERED()


def _pattern(index: np.ndarray, around: int | None) -> tuple[int, int] | None:
    """The count of a pattern and its step, if it is one; on a torus of `around` positions."""
    for count in range(1, min(LONGEST_PATTERN, len(index) // 2) + 1):
        steps = _steps(index, 0, count, around)
        if len(index) % count == 0 and steps[0] != 0 and (steps == steps[0]).all():
            return count, int(steps[0])
    return None


def _runs(index: np.ndarray) -> list[tuple[int, int]]:
    """The indices as runs of neighbours: first, one past the last."""
    ends = np.flatnonzero(np.diff(index) != 1) + 1
    bounds = [0, *ends.tolist(), len(index)]
    return [(int(index[a]), int(index[b - 1]) + 1) for a, b in itertools.pairwise(bounds)]


def _around(ctx: Context, value: Value, dim: int, index: np.ndarray, step: int) -> Value:
    """Every `step`-th position from the first index on, around the torus if need be."""
    size = value.shape[dim]
    first, span = int(index[0]), step * (len(index) - 1) + 1
    pieces, start, left = [], first, span
    while left > 0:
        stop = min(size, start + left)
        pieces.append(sliced(ctx, value, dim, start, stop))
        left -= stop - start
        start = 0
    value = concatenated(ctx, pieces, dim, ANOTHER_ORDER)
    return sliced(ctx, value, dim, 0, span, step)


def _row_on_line(ctx: Context, value: Value, dim: int, index: np.ndarray) -> Value:
    """The same where content enters: part of a row is enough."""
    pattern = longest_pattern(lambda count: index[count:] - index[:-count], len(index))
    if pattern is None:
        return _still_row(ctx, value, dim, index)
    return resampled(ctx, value, dim, pattern, (index, index), ANOTHER_ORDER)
