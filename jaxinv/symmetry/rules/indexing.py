"""Indexing at places that are known is slices, repeats and concatenation under another name."""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.moves import Context, normal
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.rules.fallback import at_each_coset
from jaxinv.symmetry.rules.joining import concatenated
from jaxinv.symmetry.rules.layout import sliced, squeezed
from jaxinv.symmetry.rules.pointwise import combined, stretched
from jaxinv.symmetry.values import Uniform, Value

UNKNOWN = "positions that are not known beforehand are read"


def gather(ctx: Context, equation: Equation, operand: Value, indices: Value) -> list[Value]:
    """One block at a known place, or known indices along one dimension."""
    index = ctx.program.known_value(equation.ins[1])
    if index is not None:
        block = _block_read(ctx, equation, operand, index)
        if block is not None:
            return [block]
        taken = _taken_dimension(equation, index)
        if taken is not None:
            return [_taken(ctx, operand, taken, index[:, 0])]
    return at_each_coset(ctx, equation, [operand, indices], UNKNOWN)


def _block_read(ctx: Context, equation: Equation, operand: Value, index) -> Value | None:
    """The value of a gather of one block, in bounds: a slice, squeezed and stretched."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if index.size != index.shape[-1] or numbers.operand_batching_dims:
        return None
    starts = _starts(numbers.start_index_map, index, operand.shape, sizes)
    if starts is None:
        return None
    value = _block(ctx, operand, starts, sizes)
    value = squeezed(ctx, value, numbers.collapsed_slice_dims)
    return stretched(ctx, value, equation.out_avals[0].shape, numbers.offset_dims)


def _starts(named: Sequence[int], index, shape, sizes) -> list[int] | None:
    """Where a block of these sizes starts in each dimension; None if it is not in bounds."""
    starts = [0] * len(shape)
    for dim, start in zip(named, index.reshape(-1).tolist(), strict=True):
        starts[dim] = start
    inside = all(0 <= a <= n - k for a, n, k in zip(starts, shape, sizes, strict=True))
    return starts if inside else None


def _block(ctx: Context, value: Value, starts: Sequence[int], sizes: Sequence[int]) -> Value:
    for dim, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        value = sliced(ctx, value, dim, start, start + size)
    return value


def _taken_dimension(equation: Equation, index: np.ndarray) -> int | None:
    """The dimension of a `take` along one dimension, with all its indices in bounds."""
    numbers = equation.params["dimension_numbers"]
    shape = equation.in_avals[0].shape
    if len(numbers.collapsed_slice_dims) != 1 or numbers.operand_batching_dims:
        return None
    (dim,) = numbers.collapsed_slice_dims
    others = tuple(i for i in range(len(shape)) if i != dim)
    sizes = tuple(1 if i == dim else n for i, n in enumerate(shape))
    if (
        tuple(numbers.start_index_map) != (dim,)
        or tuple(numbers.offset_dims) != others
        or tuple(equation.params["slice_sizes"]) != sizes
        or index.ndim != 2
        or index.size == 0
        or index.min() < 0
        or index.max() >= shape[dim]
    ):
        return None
    return dim


def _taken(ctx: Context, operand: Value, dim: int, index: np.ndarray) -> Value:
    repeat = _repeat(index)
    pieces = [
        sliced(ctx, operand, dim, first, first + (count - 1) * step + 1, step)
        for first, count, step in _progressions(index[::repeat])
    ]
    value = concatenated(ctx, pieces, dim, "positions that move are put in another order")
    if repeat > 1:
        place = value.place(dim, len(value.dims[dim]))
        base = value.base
        if base is not None:
            base = jnp.expand_dims(base, place)
        row = (*value.dims[dim], Uniform(repeat))
        dims = (*value.dims[:dim], row, *value.dims[dim + 1 :])
        value = normal(ctx, value.with_base(base, dims=dims))
    return value


def _repeat(index: np.ndarray) -> int:
    """How often each index stands in a row, if all do equally often."""
    ends = np.flatnonzero(np.diff(index)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [len(index)]]))
    return int(lengths[0]) if len(set(lengths.tolist())) == 1 else 1


def _progressions(index: np.ndarray) -> list[tuple[int, int, int]]:
    """The indices as (first, count, step): one progression, or runs of neighbours."""
    steps = np.diff(index)
    if len(steps) and steps[0] > 0 and (steps == steps[0]).all():
        return [(int(index[0]), len(index), int(steps[0]))]
    ends = np.flatnonzero(steps != 1) + 1
    bounds = [0, *ends.tolist(), len(index)]
    return [(int(index[a]), b - a, 1) for a, b in itertools.pairwise(bounds)]


def dynamic_slice(ctx: Context, equation: Equation, operand: Value, *starts: Value) -> list[Value]:
    """A slice whose start is known."""
    sizes = equation.params["slice_sizes"]
    places = _clamped(ctx, equation.ins[1 : 1 + len(sizes)], operand.shape, sizes)
    if places is None:
        return at_each_coset(ctx, equation, [operand, *starts], UNKNOWN)
    return [_block(ctx, operand, places, sizes)]


def dynamic_update_slice(
    ctx: Context, equation: Equation, operand: Value, update: Value, *starts: Value
) -> list[Value]:
    """A block at a known place is replaced."""
    places = _clamped(ctx, equation.ins[2:], operand.shape, update.shape)
    if places is None:
        return at_each_coset(ctx, equation, [operand, update, *starts], UNKNOWN)
    return [_replaced(ctx, operand, update, places)]


def _clamped(ctx: Context, numbers: Sequence[int], shape, sizes) -> list[int] | None:
    """The starts, moved so that the block is in bounds; None if one that matters is not known."""
    starts = []
    for number, n, size in zip(numbers, shape, sizes, strict=True):
        start = 0 if n == size else ctx.program.known_value(number)
        if start is None:
            return None
        starts.append(min(max(int(start), 0), n - size))
    return starts


def _replaced(
    ctx: Context, operand: Value, update: Value, starts: Sequence[int], first: int = 0
) -> Value:
    """The operand with a block replaced: what lies before it, the block, what lies after it."""
    for dim in range(first, len(starts)):
        n, start, stop = operand.shape[dim], starts[dim], starts[dim] + update.shape[dim]
        if stop - start < n:
            inner = sliced(ctx, operand, dim, start, stop)
            pieces = [
                sliced(ctx, operand, dim, 0, start),
                _replaced(ctx, inner, update, starts, dim + 1),
                sliced(ctx, operand, dim, stop, n),
            ]
            pieces = [v for v in pieces if v.shape[dim] > 0]
            return concatenated(ctx, pieces, dim, "positions at a fixed place are replaced")
    return update


def scatter(combine=None):
    """A rule for a scatter of one block to a known place: replaced, or combined with what is there.

    Args:
      combine: two arrays to one, or None to replace.
    """

    def rule(
        ctx: Context, equation: Equation, operand: Value, indices: Value, updates: Value
    ) -> list[Value]:
        numbers = equation.params["dimension_numbers"]
        index = ctx.program.known_value(equation.ins[1])
        starts = None
        if (
            index is not None
            and index.size == index.shape[-1]
            and not numbers.operand_batching_dims
        ):
            sizes = _block_sizes(numbers, equation.in_avals[2].shape, len(operand.shape))
            named = numbers.scatter_dims_to_operand_dims
            starts = _starts(named, index, operand.shape, sizes)
        if starts is None:
            return at_each_coset(ctx, equation, [operand, indices, updates], UNKNOWN)
        lone = set(range(len(updates.shape))) - set(numbers.update_window_dims)
        block = squeezed(ctx, updates, lone)
        kept = [d for d in range(len(sizes)) if d not in numbers.inserted_window_dims]
        block = stretched(ctx, block, sizes, kept)
        if combine is not None:
            old = _block(ctx, operand, starts, sizes)
            (block,) = combined(ctx, sizes, lambda a, b: [combine(a, b)], [old, block])
        return [_replaced(ctx, operand, block, starts)]

    return rule


def _block_sizes(numbers, shape, rank: int) -> tuple[int, ...]:
    """The sizes of the block in the operand's dimensions; those inserted have one position."""
    sizes = iter([shape[d] for d in numbers.update_window_dims])
    return tuple(1 if d in numbers.inserted_window_dims else next(sizes) for d in range(rank))


SCATTERS = {
    primitives.scatter_p: scatter(),
    primitives.scatter_add_p: scatter(lax.add),
    primitives.scatter_mul_p: scatter(lax.mul),
}
