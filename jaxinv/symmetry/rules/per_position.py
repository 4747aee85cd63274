"""Primitives that single out places along some dimensions and treat all others place by place.

A gather of one channel, a look-up in a codebook, an update of some channels, the largest channels:
what moves goes through them position by position, so the primitive itself runs on the bases. Its
modes, functions, ties and derivatives are those of the program.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.align import Meeting, align, decisions_of, met
from jaxinv.symmetry.factoring import as_plain
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, normal, period_of
from jaxinv.symmetry.values import Dimension, Plain, Value, Window, is_whole

# Several updates may reach a position in any order: histograms, votes, sums over segments.
_COMMUTATIVE = {
    primitives.scatter_add_p,
    primitives.scatter_mul_p,
    primitives.scatter_min_p,
    primitives.scatter_max_p,
}


def still(size: int) -> Dimension:
    """The factors of a dimension that does not move."""
    return (Plain(size),) if size != 1 else ()


def results_of(
    ctx: Context,
    values: Sequence[Value],
    meetings: Sequence[Meeting],
    fun: Callable[..., Sequence],
    rows: Sequence[Sequence[tuple[int, int] | int]],
) -> list[Value]:
    """What a function makes of operands that are aligned.

    Args:
      ctx: the context.
      values: the operands.
      meetings: their dimensions that meet.
      fun: from arrays without cosets to a list of arrays. A dimension of the program is one of
        these arrays, of as many positions as the base stores.
      rows: for each result, for each of its dimensions: an operand and that of its dimensions
        whose factors it has, or the number of its positions if it does not move.
    """
    arrays = [v.base for v in values]
    computes = all(a is not None for a in arrays)
    if computes:
        arrays = _of_equal_sizes(values, meetings)
    merged = [_merged(v, a) for v, a in zip(values, arrays, strict=True)] if computes else []
    bases = on_each_coset(fun, merged, values[0].n_axes) if computes else [None] * len(rows)
    results = []
    for row, base in zip(rows, bases, strict=True):
        dims, stored = [], []
        for source in row:
            if isinstance(source, int):
                dims.append(still(source))
                stored += [source] if source != 1 else []
                continue
            i, dim = source
            meeting = next((m for m in meetings if m[i] == dim), None)
            dims.append(values[i].dims[dim] if meeting is None else met(values, meeting))
            if computes:
                stored += _stored(values[i], arrays[i], dim)
        if base is not None:
            # (*cosets, *dimensions) -> (*cosets, *stored factors)
            base = jnp.reshape(base, (*base.shape[: values[0].n_axes], *stored))
        value = Value(period_of(values), tuple(dims), base, object(), decisions_of(values))
        results.append(normal(ctx, value))
    return results


def on_each_coset(fun: Callable[..., Sequence], arrays: Sequence, n_axes: int) -> list:
    """The results of a function of arrays without cosets, on arrays whose first dimensions are."""
    cosets = jnp.broadcast_shapes(*(a.shape[:n_axes] for a in arrays))
    for axis in reversed(range(n_axes)):
        mapped = [0 if a.shape[axis] > 1 else None for a in arrays]
        if any(m == 0 for m in mapped):
            fun = _mapped(fun, mapped)
    arrays = [jax.lax.squeeze(a, [i for i in range(n_axes) if a.shape[i] == 1]) for a in arrays]
    # (*cosets but for 1, ...) -> (*cosets, ...)
    mapped_axes = sum(n > 1 for n in cosets)
    return [jnp.reshape(r, cosets + r.shape[mapped_axes:]) for r in fun(*arrays)]


def _mapped(fun: Callable, in_axes: Sequence[int | None]) -> Callable:
    """`jax.vmap`, or one call after the other for a primitive that it does not take."""

    def mapped(*arrays):
        try:
            return jax.vmap(fun, in_axes=tuple(in_axes))(*arrays)
        except NotImplementedError:
            rows = [a for a, axis in zip(arrays, in_axes, strict=True) if axis == 0]

            def one(row):
                own = iter(row)
                pairs = zip(arrays, in_axes, strict=True)
                return fun(*(a if axis is None else next(own) for a, axis in pairs))

            return jax.lax.map(one, rows)

    return mapped


def _stored(value: Value, array, dim: int) -> list[int]:
    start = value.place(dim)
    return list(array.shape[start : start + len(value.dims[dim])])


def _merged(value: Value, array):
    """The cosets, then one dimension for each of the program's."""
    # (*cosets, *stored factors) -> (*cosets, *dimensions)
    sizes = [math.prod(_stored(value, array, dim)) for dim in range(len(value.dims))]
    return jnp.reshape(array, (*array.shape[: value.n_axes], *sizes))


def _of_equal_sizes(values: Sequence[Value], meetings: Sequence[Meeting]) -> list:
    """The bases, written out where one that meets them stores more."""
    shapes = [list(v.base.shape) for v in values]
    for meeting in meetings:
        places = [(i, values[i].place(dim)) for i, dim in enumerate(meeting) if dim is not None]
        first, dim = next((i, dim) for i, dim in enumerate(meeting) if dim is not None)
        for index in range(len(values[first].dims[dim])):
            size = max(shapes[i][place + index] for i, place in places)
            for i, place in places:
                shapes[i][place + index] = size
    return [jnp.broadcast_to(v.base, s) for v, s in zip(values, shapes, strict=True)]


def looked_up(ctx: Context, equation: Equation, named: Sequence[int]) -> set[int]:
    """The dimensions for which indices are given, but for those known to be 0."""
    index = ctx.program.known_value(equation.ins[1])
    return {dim for i, dim in enumerate(named) if index is None or np.any(index[..., i])}


def dimensions_cut(ctx: Context, equation: Equation) -> list[int]:
    """The dimensions of which a gather reads a part, or all from a place that is not known."""
    numbers = equation.params["dimension_numbers"]
    at = looked_up(ctx, equation, numbers.start_index_map)
    shape = equation.in_avals[0].shape
    return [
        d
        for d, (size, n) in enumerate(zip(equation.params["slice_sizes"], shape, strict=True))
        if d not in numbers.operand_batching_dims
        and (d in numbers.collapsed_slice_dims or d in at or int(size) != n)
    ]


def gathered(
    ctx: Context, equation: Equation, operand: Value, indices: Value, reason: Reason
) -> list[Value]:
    """A gather: dimensions that are cut or looked up in must not move, all others may."""
    params = equation.params
    numbers, sizes = params["dimension_numbers"], tuple(map(int, params["slice_sizes"]))
    batch = numbers.operand_batching_dims
    read = dimensions_cut(ctx, equation)
    for dim in read:
        operand = as_plain(ctx, operand, dim, reason)
    indices = as_plain(ctx, indices, len(indices.dims) - 1, reason)
    pairs = list(zip(batch, numbers.start_indices_batching_dims, strict=True))
    values = align(ctx, [operand, indices], pairs)
    kept = [
        d
        for d in range(len(operand.dims))
        if d not in batch and d not in numbers.collapsed_slice_dims
    ]
    lookups = iter(range(len(indices.dims) - 1))
    row: list[tuple[int, int] | int] = []
    for dim in range(len(equation.out_avals[0].shape)):
        if dim in numbers.offset_dims:
            of = kept[numbers.offset_dims.index(dim)]
            row.append(sizes[of] if of in read else (0, of))
        else:
            row.append((1, next(lookups)))

    def bind(array, index):
        stored = [n if d in read or d in batch else array.shape[d] for d, n in enumerate(sizes)]
        changed = {"slice_sizes": tuple(stored), "indices_are_sorted": False}
        return [equation.primitive.bind(array, index, **(params | changed))]

    return results_of(ctx, values, pairs, bind, [row])


def scattered(
    ctx: Context,
    equation: Equation,
    operands: Sequence[Value],
    reason: Reason,
) -> list[Value]:
    """A scatter: dimensions of which part is updated must not move, all others may."""
    operand, indices, updates = operands
    params = equation.params
    numbers = params["dimension_numbers"]
    batch = numbers.operand_batching_dims
    windows = [
        d
        for d in range(len(operand.dims))
        if d not in batch and d not in numbers.inserted_window_dims
    ]
    at = dict(zip(windows, numbers.update_window_dims, strict=True))
    lookups = [d for d in range(len(updates.dims)) if d not in numbers.update_window_dims]
    named = looked_up(ctx, equation, numbers.scatter_dims_to_operand_dims)
    meetings: list[Meeting] = []
    for dim, size in enumerate(operand.shape):
        if dim in batch:
            index = numbers.scatter_indices_batching_dims[batch.index(dim)]
            meetings.append((dim, index, lookups[index]))
        elif dim in numbers.inserted_window_dims or dim in named or updates.shape[at[dim]] != size:
            operand = as_plain(ctx, operand, dim, reason)
            if dim in at:
                updates = as_plain(ctx, updates, at[dim], reason)
        else:
            meetings.append((dim, None, at[dim]))
    for index, dim in enumerate(lookups):
        if index not in numbers.scatter_indices_batching_dims:
            if equation.primitive in _COMMUTATIVE:
                indices, updates = align(ctx, [indices, updates], [(index, dim)])
                indices = in_any_order(ctx, indices, index)
                updates = in_any_order(ctx, updates, dim)
            indices = as_plain(ctx, indices, index, reason)
            updates = as_plain(ctx, updates, dim, reason)
    indices = as_plain(ctx, indices, len(indices.dims) - 1, reason)
    values = align(ctx, [operand, indices, updates], meetings)
    moving = {meeting[0] for meeting in meetings}
    row: list[tuple[int, int] | int] = [
        (0, dim) if dim in moving else n for dim, n in enumerate(operand.shape)
    ]

    def bind(*arrays):
        return [equation.primitive.bind(*arrays, **(params | {"indices_are_sorted": False}))]

    return results_of(ctx, values, meetings, bind, [row])


def cut_out(
    ctx: Context, equation: Equation, operands: Sequence[Value], reason: Reason
) -> list[Value]:
    """A block at a place that the data gives: what it cuts must not move."""
    operand, *starts = operands
    sizes = tuple(map(int, equation.params["slice_sizes"]))
    read = [dim for dim, n in enumerate(operand.shape) if sizes[dim] != n]
    for dim in read:
        operand = as_plain(ctx, operand, dim, reason)
    values = align(ctx, [operand, *starts], [])

    def bind(array, *places):
        stored = [n if d in read else array.shape[d] for d, n in enumerate(sizes)]
        return [lax.dynamic_slice(array, places, stored)]

    row = [n if d in read else (0, d) for d, n in enumerate(sizes)]
    return results_of(ctx, values, [], bind, [row])


def overwritten(
    ctx: Context, equation: Equation, operands: Sequence[Value], reason: Reason
) -> list[Value]:
    """A block at a place that is known or given by the data: what it cuts must not move."""
    operand, update, *starts = operands
    meetings: list[Meeting] = []
    none = (None,) * len(starts)
    for dim, (n, size) in enumerate(zip(operand.shape, update.shape, strict=True)):
        if n == size:
            meetings.append((dim, dim, *none))
        else:
            operand = as_plain(ctx, operand, dim, reason)
            update = as_plain(ctx, update, dim, reason)
    values = align(ctx, [operand, update, *starts], meetings)
    moving = {meeting[0] for meeting in meetings}
    row = [(0, d) if d in moving else n for d, n in enumerate(operand.shape)]
    return results_of(ctx, values, meetings, lambda *a: equation.bind(*a), [row])


@rule("top_k")
def top_k(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """The largest along a dimension, and their places, which must not move."""
    params = equation.params
    dim = int(params.get("axis", len(operand.dims) - 1))
    row = [int(params["k"]) if d == dim else (0, d) for d in range(len(operand.dims))]
    numbers = as_plain(ctx, in_any_order(ctx, operand, dim), dim, Cause.RANKED())
    largest, places = results_of(ctx, [numbers], [], equation.bind, [row, row])
    if equation.outs[1] in ctx.program.read and numbers is not operand:
        ranked = as_plain(ctx, operand, dim, Cause.RANKED())
        _, places = results_of(ctx, [ranked], [], equation.bind, [row, row])
    return [largest, places]


def in_any_order(ctx: Context, value: Value, dim: int) -> Value:
    """The value with plain positions for windows of a dimension that show all of their torus.

    For functions of all its positions in any order. Which of equal positions comes first depends on
    the shift, and with it the gradient: where that counts, the value stays as it is.
    """
    row = tuple(
        Plain(f.size) if isinstance(f, Window) and is_whole(ctx.torus, value, f) else f
        for f in value.dims[dim]
    )
    if ctx.differentiated or row == value.dims[dim] or any(isinstance(f, Window) for f in row):
        return value
    return value.with_base(value.base, dims=value.dims_with(dim, row))
