"""A gather whose indices are known is slices, repeats and rolls under another name."""

import itertools

import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.moves import Context, normal
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.rules.fallback import at_each_shift
from jaxinv.symmetry.rules.joining import concatenated
from jaxinv.symmetry.rules.layout import sliced
from jaxinv.symmetry.values import Uniform, Value


def gather(ctx: Context, equation: Equation, operand: Value, indices: Value) -> list[Value]:
    """Known indices along one dimension; all others run at each shift."""
    taken = _known_take(ctx, equation)
    if taken is None:
        return at_each_shift(ctx, equation, operand, indices)
    dim, index = taken
    repeat = _repeat(index)
    starts = index[::repeat]
    pieces = [
        sliced(ctx, operand, dim, first, first + (count - 1) * step + 1, step)
        for first, count, step in _progressions(starts)
    ]
    value = concatenated(ctx, pieces, dim)
    if repeat > 1:
        place = value.place(dim, len(value.dims[dim]))
        base = value.base
        if base is not None:
            base = jnp.expand_dims(base, place)
        row = (*value.dims[dim], Uniform(repeat))
        dims = (*value.dims[:dim], row, *value.dims[dim + 1 :])
        value = normal(ctx, value.with_base(base, dims=dims))
    return [value]


def _known_take(ctx: Context, equation: Equation) -> tuple[int, np.ndarray] | None:
    """The dimension and the indices, if this is `take` along one dimension with known indices."""
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
        or equation.in_avals[1].ndim != 2
    ):
        return None
    index = ctx.program.known_value(equation.ins[1])
    if index is None or index.size == 0 or index.min() < 0 or index.max() >= shape[dim]:
        return None
    return dim, index[:, 0]


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
