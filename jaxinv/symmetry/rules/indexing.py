"""Indexing: at places that are known as slices, at all others place by place."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import primitives

from jaxinv.symmetry.align import align, decisions_of
from jaxinv.symmetry.factoring import as_single, split
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, period_of
from jaxinv.symmetry.rules import per_position
from jaxinv.symmetry.rules.joining import concatenated
from jaxinv.symmetry.rules.known_places import ANOTHER_ORDER, gathered_from, taken
from jaxinv.symmetry.rules.layout import sliced, squeezed, transposed
from jaxinv.symmetry.rules.pointwise import combined, stretched
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Dimension, Value

UNKNOWN = Cause.UNKNOWN_POSITIONS()
REPLACED = Cause.REPLACED()


@rule("gather")
def gather(ctx: Context, equation: Equation, operand: Value, indices: Value) -> list[Value]:
    """Known places along what moves are slices and repeats; all else is read place by place."""
    index = ctx.program.known_value(equation.ins[1])
    cut = per_position.dimensions_cut(ctx, equation)
    if index is None or not any(operand.moves_in(dim) for dim in cut):
        return per_position.gathered(ctx, equation, operand, indices, UNKNOWN)
    value = gathered_from(ctx, equation, operand, index)
    if value is not None:
        return [value]
    return per_position.gathered(ctx, equation, operand, indices, ANOTHER_ORDER)


@rule("dynamic_slice")
def dynamic_slice(ctx: Context, equation: Equation, operand: Value, *starts: Value) -> list[Value]:
    """Known starts are slices; along what does not move a start may be any.

    Along what moves it may be any that does not move itself: that is how `jnp.roll` rolls by a
    number that the data give.
    """
    sizes = equation.params["slice_sizes"]
    places = _clamped(ctx, equation.ins[1 : 1 + len(sizes)], operand.shape, sizes)
    for dim, (place, size) in enumerate(zip(places, sizes, strict=True)):
        if place is None and operand.moves_in(dim) and not starts[dim].moves:
            operand, is_rolled = _rolled_back(ctx, operand, dim, starts[dim], size)
            place = 0 if is_rolled else None
            places[dim] = place
        if place is not None:
            operand = sliced(ctx, operand, dim, place, place + size)
    if None not in places:
        return [operand]
    return per_position.cut_out(ctx, equation, [operand, *starts], UNKNOWN)


def _rolled_back(
    ctx: Context, operand: Value, dim: int, start: Value, size: int
) -> tuple[Value, bool]:
    """The operand with the position `start` in front, and whether it could be rolled there.

    At each shift `t` a window shows `base[o + i - t]`, so `base[o + s + i - t]` is a window of the
    base that is rolled by the start `s` of its coset.
    """
    window = window_of(operand, dim)
    if window is None or ctx.torus.endless or window.valid is not None:
        return operand, False
    last = operand.shape[dim] - size
    operand, start = align(ctx, [operand, start], [])
    base = None
    if ctx.computes:
        place = operand.place(dim) - operand.n_axes

        def roll(array, by):
            by = jnp.minimum(by, min(last, jnp.iinfo(by.dtype).max)).astype(int)
            return [jnp.roll(array, -jnp.maximum(by, 0), place)]

        (base,) = per_position.on_each_coset(roll, [operand.base, start.base], operand.n_axes)
    period, decisions = period_of([operand, start]), decisions_of([operand, start])
    return operand.with_base(base, period=period, decisions=decisions), True


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
    components = _components(equation, index) if _goes_by_position(ctx, equation) else ()
    moving = [
        c
        for c in components
        if operand.moves_in(c.dim) or (c.updates is not None and updates.moves_in(c.updates))
    ]
    # A single position of a dimension that moves is a place and no component.
    if moving and all(len(c.row) > 1 or c.step == 1 for c in moving):
        return [_with_components(ctx, equation, operand, updates, components)]
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


@dataclasses.dataclass(frozen=True)
class _Component:
    """Positions `phase + step * i` along a dimension, which are all of one polyphase component.

    Attributes:
      dim: the dimension of the operand.
      updates: the dimension of the updates that goes along it; None for a single position.
      row: the positions in the order of the updates.
      step: the number of components.
    """

    dim: int
    updates: int | None
    row: tuple[int, ...]
    step: int

    @property
    def phase(self) -> int:
        return min(self.row)


def _components(equation: Equation, index: np.ndarray) -> list[_Component]:
    """What a scatter reaches along each dimension that it names, if these are whole components.

    With all its positions a dimension is its one component. The other dimensions are whole.

    Returns:
      One component for each such dimension; none if the scatter reaches anything else.
    """
    numbers = equation.params["dimension_numbers"]
    operand, _, updates = (aval.shape for aval in equation.in_avals)
    named = tuple(numbers.scatter_dims_to_operand_dims)
    lone = [d for d in range(len(updates)) if d not in numbers.update_window_dims]
    others = [n for d, n in enumerate(operand) if d not in named]
    if (
        sorted(named) != list(numbers.inserted_window_dims)
        or index.size == 0
        or numbers.operand_batching_dims
        or [updates[d] for d in numbers.update_window_dims] != others
    ):
        return []
    components = []
    for k, dim in enumerate(named):
        places = index[..., k]
        along = [axis for axis in range(places.ndim) if np.diff(places, axis=axis).any()]
        if len(along) > 1:
            return []
        row = (int(places.flat[0]),)
        if along:
            rows = np.moveaxis(places, along[0], 0)
            row = tuple(rows.reshape(len(rows), -1)[:, 0].tolist())
        step, rest = divmod(operand[dim], len(row))
        phase = min(row)
        every = [phase + step * i for i in range(len(row))]
        if rest or not 0 <= phase < step or sorted(row) != every:
            return []
        components.append(_Component(dim, lone[along[0]] if along else None, row, step))
    read = [c.updates for c in components if c.updates is not None]
    each = set(read) >= {d for d in lone if updates[d] > 1} and len(set(read)) == len(read)
    return components if each else []


def _goes_by_position(ctx: Context, equation: Equation) -> bool:
    """Whether a scatter, its derivative too, is a function of each position that it reaches."""
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


def _with_components(
    ctx: Context,
    equation: Equation,
    operand: Value,
    updates: Value,
    components: Sequence[_Component],
) -> Value:
    """The operand with a polyphase component of some dimensions updated."""
    goes_along = {c.dim: c.updates for c in components}
    windows = iter(equation.params["dimension_numbers"].update_window_dims)
    order = [goes_along[d] if d in goes_along else next(windows) for d in range(len(operand.dims))]
    there = [d for d in order if d is not None]
    lone = [d for d in range(len(updates.dims)) if d not in there]
    block = transposed(updates, [*there, *lone])
    block = squeezed(ctx, block, range(len(there), len(updates.dims)))
    for dim, source in enumerate(order):
        if source is None:
            block = dataclasses.replace(block, dims=block.dims_with(dim, (), instead=0))
    for component in components:
        if list(component.row) != sorted(component.row):
            read = taken(ctx, block, component.dim, np.argsort(component.row))
            assert read is not None  # One row is never too many.
            block = read
    fun = _function(equation)

    def updated(value: Value, left: Sequence[_Component]) -> Value:
        if not left:
            if fun is None:
                return block
            return combined(ctx, value.shape, lambda *a: [fun(*a)], [value, block])[0]
        dim, step, phase = left[0].dim, left[0].step, left[0].phase
        if step == 1:
            return updated(value, left[1:])
        value = _split_into(ctx, value, dim, step)
        inner = squeezed(ctx, sliced(ctx, value, dim + 1, phase, phase + 1), [dim + 1])
        new = updated(inner, left[1:])
        pieces = [
            sliced(ctx, value, dim + 1, 0, phase),
            dataclasses.replace(new, dims=new.dims_with(dim + 1, (), instead=0)),
            sliced(ctx, value, dim + 1, phase + 1, step),
        ]
        joined = concatenated(ctx, [v for v in pieces if v.shape[dim + 1] > 0], dim + 1, REPLACED)
        row = (*joined.dims[dim], *joined.dims[dim + 1])
        return dataclasses.replace(joined, dims=joined.dims_with(dim, row, instead=2))

    return updated(operand, components)


def _split_into(ctx: Context, value: Value, dim: int, step: int) -> Value:
    """The value with a dimension as two, of which the inner one counts its components."""
    value = as_single(ctx, value, dim, REPLACED)
    outer: Dimension = ()
    inner = value.dims[dim]
    if step < value.shape[dim]:
        while len(value.dims[dim]) < 2:
            value = split(ctx, value, dim, 0, step)
        outer, inner = value.dims[dim][:1], value.dims[dim][1:]
    return dataclasses.replace(value, dims=value.dims_with(dim, outer, inner))


def _block_sizes(numbers, shape, rank: int) -> tuple[int, ...]:
    """The sizes of the block in the operand's dimensions; those inserted have one position."""
    sizes = iter([shape[d] for d in numbers.update_window_dims])
    still = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return tuple(1 if d in still else next(sizes) for d in range(rank))
