"""Sums and other reductions over maps in pieces: each piece by itself, then all together."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives

from jaxinv.borders.operations import OPERATIONS, Wanted
from jaxinv.borders.pieces import NotABox, Range

# What puts the results of two pieces together.
_COMBINED: dict[Any, Callable] = {
    primitives.reduce_and_p: lax.bitwise_and,
    primitives.reduce_max_p: lax.max,
    primitives.reduce_min_p: lax.min,
    primitives.reduce_or_p: lax.bitwise_or,
    primitives.reduce_prod_p: lax.mul,
    primitives.reduce_sum_p: lax.add,
    primitives.reduce_xor_p: lax.bitwise_xor,
}
# Of equal positions all share the gradient; in pieces, those of a smaller one would have more.
_SHARES_AT_TIES = (primitives.reduce_max_p, primitives.reduce_min_p)


def _reduction(wanted: Wanted) -> Any:
    (operand,), axes = wanted.operands, wanted.params["axes"]
    kept = [dim for dim in range(len(operand.shape)) if dim not in axes]
    whole = wanted.equation.primitive not in _COMBINED or (
        wanted.differentiated and wanted.equation.primitive in _SHARES_AT_TIES
    )
    sizes, flat, rows = [], [], []
    for dim, bounds in enumerate(operand.layout.dims):
        if dim in kept:
            own, ranges = wanted.factors(kept.index(dim))
            rows += [[r] for r in ranges]
        elif whole:
            own = [operand.shape[dim]]
            rows.append([(0, operand.shape[dim])])
        else:
            own = [b[-1] for b in bounds]
            rows += [list(itertools.pairwise(b)) for b in bounds]
        if dim in axes:
            flat += range(len(sizes), len(sizes) + len(own))
        sizes += own
    parts = [
        wanted.bind(operand.read(sizes, box), axes=tuple(flat)) for box in itertools.product(*rows)
    ]
    return functools.reduce(_COMBINED.get(wanted.equation.primitive, lax.add), parts)


def _contraction(wanted: Wanted) -> Any:
    """A sum over the pieces of what is contracted; flatten + Dense cuts its matrix."""
    params = wanted.params
    contracted, batch = params["dimension_numbers"]
    lead = len(batch[0])
    free = [
        [d for d in range(len(v.shape)) if d not in (*contracted[side], *batch[side])]
        for side, v in enumerate(wanted.operands)
    ]
    common = [_common_factors(wanted, pair) for pair in zip(*contracted, strict=True)]
    sides = []
    for side, operand in enumerate(wanted.operands):
        sizes: list[int] = []
        places: dict[int, list[int]] = {}
        rows: list[Range | tuple[int, int]] = []
        cells: list[tuple[int, int, int]] = []
        for dim in range(len(operand.shape)):
            if dim in contracted[side]:
                at = list(contracted[side]).index(dim)
                own = [b[-1] for b in common[at]]
                ranges = [(0, n) for n in own]
                cells += [(len(sizes) + i, at, i) for i in range(len(own))]
            else:
                out = (
                    list(batch[side]).index(dim)
                    if dim in batch[side]
                    else lead + side * len(free[0]) + free[side].index(dim)
                )
                own, ranges = wanted.factors(out)
            places[dim] = list(range(len(sizes), len(sizes) + len(own)))
            sizes += own
            rows += ranges
        sides.append((operand, sizes, rows, cells, places))
    numbers = tuple(
        tuple(tuple(p for d in dims[side] for p in sides[side][4][d]) for side in (0, 1))
        for dims in (contracted, batch)
    )
    low = jnp.issubdtype(wanted.equation.out_avals[0].dtype, jnp.floating) and (
        jnp.finfo(wanted.equation.out_avals[0].dtype).bits < 32
    )
    grid = list(_cells(common))
    changed: dict[str, Any] = {"dimension_numbers": numbers}
    if low and len(grid) > 1:
        # Rounded once, as in one product.
        changed["preferred_element_type"] = jnp.dtype("float32")
    parts = []
    for cell in grid:
        arrays = []
        for operand, sizes, rows, cells, _ in sides:
            box = list(rows)
            for place, at, i in cells:
                box[place] = cell[at][i]
            arrays.append(operand.read(sizes, box))
        parts.append(wanted.bind(*arrays, **changed))
    total = functools.reduce(lax.add, parts)
    return lax.convert_element_type(total, wanted.equation.out_avals[0].dtype)


def _common_factors(wanted: Wanted, dims: tuple[int, int]) -> list[tuple[int, ...]]:
    """The bounds of contracted factors at which both operands are cut."""
    rows = [v.layout.dims[d] for v, d in zip(wanted.operands, dims, strict=True)]
    for row, other in (rows, rows[::-1]):
        if len(other) == 1 and len(other[0]) == 2:
            return list(row)
    if [b[-1] for b in rows[0]] != [b[-1] for b in rows[1]]:
        raise NotABox
    return [tuple(sorted({*a, *b})) for a, b in zip(*rows, strict=True)]


def _cells(common: Sequence[Sequence[tuple[int, ...]]]) -> Iterator[list[list[Range]]]:
    """The ranges along the factors of each contracted dimension, for each cell of their grid."""
    rows = [[list(itertools.pairwise(b)) for b in factors] for factors in common]
    for cell in itertools.product(*(itertools.product(*factors) for factors in rows)):
        yield [list(ranges) for ranges in cell]


OPERATIONS |= {
    primitive: _reduction for primitive in (*_COMBINED, primitives.argmax_p, primitives.argmin_p)
}
OPERATIONS[primitives.dot_general_p] = _contraction
# What may be summed over pieces.
SUMS = {*_COMBINED, primitives.dot_general_p}
