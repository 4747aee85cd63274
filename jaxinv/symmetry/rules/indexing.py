"""Indexing: at places that are known as slices, at all others place by place."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import primitives

from jaxinv.symmetry.factoring import as_single, split
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.rules import per_position
from jaxinv.symmetry.rules.joining import concatenated
from jaxinv.symmetry.rules.known_places import ANOTHER_ORDER, gathered_from, taken
from jaxinv.symmetry.rules.layout import sliced, squeezed, transposed
from jaxinv.symmetry.rules.pointwise import combined, stretched
from jaxinv.symmetry.values import Value, Window

UNKNOWN = Cause.UNKNOWN_POSITIONS()
REPLACED = Cause.REPLACED()


@rule("gather")
def gather(ctx: Context, equation: Equation, operand: Value, indices: Value) -> list[Value]:
    """Known places along what moves are slices and repeats; all else is read place by place."""
    index = ctx.program.known_value(equation.ins[1])
    cut = per_position.dimensions_cut(ctx, equation)
    if index is None or not any(_moves(operand, dim) for dim in cut):
        return per_position.gathered(ctx, equation, operand, indices, UNKNOWN)
    value = gathered_from(ctx, equation, operand, index)
    if value is not None:
        return [value]
    return per_position.gathered(ctx, equation, operand, indices, ANOTHER_ORDER)


def _moves(value: Value, dim: int) -> bool:
    return any(isinstance(f, Window) for f in value.dims[dim])


@rule("dynamic_slice")
def dynamic_slice(ctx: Context, equation: Equation, operand: Value, *starts: Value) -> list[Value]:
    """Known starts are slices; along what does not move a start may be any."""
    sizes = equation.params["slice_sizes"]
    places = _clamped(ctx, equation.ins[1 : 1 + len(sizes)], operand.shape, sizes)
    for dim, (place, size) in enumerate(zip(places, sizes, strict=True)):
        if place is not None:
            operand = sliced(ctx, operand, dim, place, place + size)
    if None not in places:
        return [operand]
    return per_position.cut_out(ctx, equation, [operand, *starts], UNKNOWN)


@rule("dynamic_update_slice")
def dynamic_update_slice(
    ctx: Context, equation: Equation, operand: Value, update: Value, *starts: Value
) -> list[Value]:
    """A block is replaced."""
    places = _clamped(ctx, equation.ins[2:], operand.shape, update.shape)
    known = [place for place in places if place is not None]
    if ctx.torus.endless and len(known) == len(places):
        return [_replaced(ctx, operand, update, known)]
    reason = REPLACED if len(known) == len(places) else UNKNOWN
    return per_position.overwritten(ctx, equation, [operand, update, *starts], reason)


def _clamped(ctx: Context, numbers: Sequence[int], shape, sizes) -> list[int | None]:
    """The starts, moved so that the block is in bounds; None for one that is not known."""
    starts: list[int | None] = []
    for number, n, size in zip(numbers, shape, sizes, strict=True):
        start = 0 if n == size else ctx.program.known_value(number)
        starts.append(None if start is None else min(max(int(start), 0), n - size))
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
            return concatenated(ctx, pieces, dim, REPLACED)
    return update


@rule("scatter scatter_add scatter_sub scatter_mul scatter_max scatter_min")
def scatter(
    ctx: Context, equation: Equation, operand: Value, indices: Value, updates: Value
) -> list[Value]:
    """A block is updated, by any function: place by place along what it covers.

    On the line what lies before and after a block at a known place keeps its interior.
    """
    numbers = equation.params["dimension_numbers"]
    index = ctx.program.known_value(equation.ins[1])
    if index is None:
        return per_position.scattered(ctx, equation, [operand, indices, updates], UNKNOWN)
    component = _component(equation, index)
    if component is not None:
        return [_with_component(ctx, equation, operand, updates, *component)]
    if _reaches_each_once(ctx, equation, index):
        return _updated_everywhere(ctx, equation, operand, updates, index.ravel())
    one_block = index.size == index.shape[-1] and not numbers.operand_batching_dims
    sizes = _block_sizes(numbers, equation.in_avals[2].shape, len(operand.shape))
    starts = [0] * len(sizes)
    if one_block:
        for dim, start in zip(numbers.scatter_dims_to_operand_dims, index.ravel(), strict=True):
            starts[dim] = int(start)
    inside = all(0 <= a <= n - k for a, n, k in zip(starts, operand.shape, sizes, strict=True))
    if not (ctx.torus.endless and one_block and inside):
        return per_position.scattered(ctx, equation, [operand, indices, updates], REPLACED)
    lone = set(range(len(updates.shape))) - set(numbers.update_window_dims)
    kept = [d for d in range(len(sizes)) if d not in numbers.inserted_window_dims]
    block = stretched(ctx, squeezed(ctx, updates, lone), sizes, kept)
    if equation.params["update_jaxpr"] is not None:
        old = operand
        for dim, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            old = sliced(ctx, old, dim, start, start + size)
        (block,) = combined(ctx, sizes, equation.bind, [old, block])
    return [_replaced(ctx, operand, block, starts)]


def _row_along(equation: Equation, index: np.ndarray) -> int | None:
    """The dimension of which a scatter updates a row of positions, all others being whole."""
    numbers = equation.params["dimension_numbers"]
    operand, _, updates = (aval.shape for aval in equation.in_avals)
    dims = tuple(numbers.scatter_dims_to_operand_dims)
    lone = len(dims) == 1 and tuple(numbers.inserted_window_dims) == dims
    if index.ndim != 2 or not lone or numbers.operand_batching_dims:
        return None
    others = [n for d, n in enumerate(operand) if d != dims[0]]
    whole = [updates[d] for d in numbers.update_window_dims] == others
    return dims[0] if whole else None


def _row_of_updates(equation: Equation, updates: Value, dim: int) -> Value:
    """The updates with their row as the dimension that it updates."""
    order = list(equation.params["dimension_numbers"].update_window_dims)
    (at,) = set(range(len(updates.dims))) - set(order)
    return transposed(updates, [*order[:dim], at, *order[dim:]])


def _reaches_each_once(ctx: Context, equation: Equation, index: np.ndarray) -> bool:
    """Whether a scatter updates each position of a dimension, once."""
    dim = _row_along(equation, index)
    if dim is None or sorted(index.ravel()) != list(range(equation.in_avals[0].shape[dim])):
        return False
    # Of the other functions JAX has derivatives of its own, or none.
    linear = (primitives.scatter_p, primitives.scatter_add_p)
    own = equation.primitive is primitives.scatter_p and _function(equation) is not None
    return not ctx.differentiated or (equation.primitive in linear and not own)


def _function(equation: Equation) -> Callable | None:
    """The function of old and new numbers that a scatter applies, or None if it replaces them."""
    jaxpr, consts = equation.params["update_jaxpr"], equation.params["update_consts"]
    if jaxpr is None:
        return None
    return jnp.vectorize(lambda old, new: jax.core.eval_jaxpr(jaxpr, consts, old, new)[0])


def _updated_everywhere(
    ctx: Context, equation: Equation, operand: Value, updates: Value, index: np.ndarray
) -> list[Value]:
    """A function of the operand and of the updates, put in order, position by position."""
    dim = _row_along(equation, index[:, None])
    assert dim is not None
    block = _row_of_updates(equation, updates, dim)
    read = taken(ctx, block, dim, np.argsort(index))
    assert read is not None  # One row is never too many.
    fun = _function(equation)
    if fun is None:
        return [read]
    return combined(ctx, operand.shape, lambda *arrays: [fun(*arrays)], [operand, read])


def _component(equation: Equation, index: np.ndarray) -> tuple[int, int, int] | None:
    """Dimension, step and phase of a replacement of one polyphase component, if it is that."""
    dim = _row_along(equation, index)
    replaces = equation.primitive is primitives.scatter_p and _function(equation) is None
    if not replaces or dim is None or len(index) < 2:
        return None
    step, phase = int(index[1, 0] - index[0, 0]), int(index[0, 0])
    count, rest = divmod(equation.in_avals[0].shape[dim], step) if step > 1 else (0, 1)
    if rest or len(index) != count or not 0 <= phase < step:
        return None
    every = np.array_equal(index[:, 0], phase + step * np.arange(count))
    return (dim, step, phase) if every else None


def _with_component(
    ctx: Context,
    equation: Equation,
    operand: Value,
    updates: Value,
    dim: int,
    step: int,
    phase: int,
) -> Value:
    """The operand with positions `phase + step * i` of a dimension replaced."""
    updates = _row_of_updates(equation, updates, dim)
    updates = dataclasses.replace(updates, dims=updates.dims_with(dim + 1, (), instead=0))
    value = as_single(ctx, operand, dim, REPLACED)
    while len(value.dims[dim]) < 2:
        value = split(ctx, value, dim, 0, step)
    outer, inner = value.dims[dim]
    value = dataclasses.replace(value, dims=value.dims_with(dim, (outer,), (inner,)))
    pieces = [
        sliced(ctx, value, dim + 1, 0, phase),
        updates,
        sliced(ctx, value, dim + 1, phase + 1, step),
    ]
    joined = concatenated(ctx, [v for v in pieces if v.shape[dim + 1] > 0], dim + 1, REPLACED)
    row = (*joined.dims[dim], *joined.dims[dim + 1])
    return dataclasses.replace(joined, dims=joined.dims_with(dim, row, instead=2))


def _block_sizes(numbers, shape, rank: int) -> tuple[int, ...]:
    """The sizes of the block in the operand's dimensions; those inserted have one position."""
    sizes = iter([shape[d] for d in numbers.update_window_dims])
    still = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return tuple(1 if d in still else next(sizes) for d in range(rank))
