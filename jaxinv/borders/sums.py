"""Sums and other reductions over maps in pieces: each piece by itself, then all together."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives

from jaxinv.borders.operations import Operation, Wanted
from jaxinv.borders.pieces import NotABox, Pieces, Range

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
    """Each piece reduced, then the results; in one piece where that could not be told apart."""
    (operand,), axes = wanted.operands, wanted.params["axes"]
    primitive = wanted.equation.primitive
    # None passes the maximum that `softmax` subtracts.
    passes = wanted.equation.outs[0] in wanted.program.passing_derivatives
    shares = wanted.differentiated and passes and primitive in _SHARES_AT_TIES
    whole = primitive not in _COMBINED or shares
    kept = [dim for dim in range(len(operand.shape)) if dim not in axes]
    seen = _Seen(operand)
    for dim, factors in enumerate(operand.layout.dims):
        if dim in kept:
            seen.add(dim, *wanted.factors(kept.index(dim)))
        else:
            seen.add_cut(dim, [(0, operand.shape[dim])] if whole else factors)
    flat = tuple(place for dim in axes for place in seen.places[dim])
    parts = [wanted.bind(seen.read(cell), axes=flat) for cell in seen.cells(flat)]
    return functools.reduce(_COMBINED[primitive], parts) if len(parts) > 1 else parts[0]


def _contraction(wanted: Wanted) -> Any:
    """A sum over the pieces of what is contracted; flatten + Dense cuts its matrix."""
    contracted, batch = wanted.params["dimension_numbers"]
    common = [_common_factors(wanted, pair) for pair in zip(*contracted, strict=True)]
    outs = iter(range(len(batch[0]), len(wanted.layout.dims)))
    sides = []
    for operand, summed, alike in zip(wanted.operands, contracted, batch, strict=True):
        seen = _Seen(operand)
        for dim in range(len(operand.shape)):
            if dim in summed:
                seen.add_cut(dim, common[list(summed).index(dim)])
            else:
                out = list(alike).index(dim) if dim in alike else next(outs)
                seen.add(dim, *_uncut_if(operand, dim, *wanted.factors(out)))
        sides.append(seen)
    changed: dict[str, Any] = {
        "dimension_numbers": tuple(
            tuple(
                tuple(p for d in dims for p in seen.places[d])
                for seen, dims in zip(sides, pair, strict=True)
            )
            for pair in (contracted, batch)
        )
    }
    flat = changed["dimension_numbers"][0]
    rows = [list(seen.cells(places)) for seen, places in zip(sides, flat, strict=True)]
    dtype = wanted.equation.out_avals[0].dtype
    if len(rows[0]) > 1 and jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
        # Rounded once, as in one product.
        changed["preferred_element_type"] = jnp.dtype("float32")
    parts = [
        wanted.bind(*(seen.read(cell) for seen, cell in zip(sides, cells, strict=True)), **changed)
        for cells in zip(*rows, strict=True)
    ]
    return lax.convert_element_type(functools.reduce(lax.add, parts), dtype)


@dataclasses.dataclass
class _Seen:
    """An operand by its factors: the range along each, or the pieces of what is summed over.

    Attributes:
      operand: the operand.
      sizes: of its factors.
      rows: for each factor its ranges; one of them is read at a time.
      places: for each dimension its factors.
    """

    operand: Pieces
    sizes: list[int] = dataclasses.field(default_factory=list)
    rows: list[list[Range]] = dataclasses.field(default_factory=list)
    places: dict[int, range] = dataclasses.field(default_factory=dict)

    def add(self, dim: int, sizes: Sequence[int], box: Sequence[Range]) -> None:
        """The factors of a dimension that is kept."""
        self.places[dim] = range(len(self.sizes), len(self.sizes) + len(sizes))
        self.sizes += sizes
        self.rows += [[r] for r in box]

    def add_cut(self, dim: int, factors: Sequence[Sequence[int]]) -> None:
        """Those of one that is summed over, by the bounds of its pieces."""
        self.places[dim] = range(len(self.sizes), len(self.sizes) + len(factors))
        self.sizes += [bounds[-1] for bounds in factors]
        self.rows += [list(itertools.pairwise(bounds)) for bounds in factors]

    def cells(self, order: Sequence[int]) -> list[dict[int, Range]]:
        """The boxes along some factors, the last of them changing first."""
        boxes = itertools.product(*(self.rows[place] for place in order))
        return [dict(zip(order, ranges, strict=True)) for ranges in boxes]

    def read(self, cell: dict[int, Range]) -> Any:
        """The operand in a box."""
        box = [cell.get(place, row[0]) for place, row in enumerate(self.rows)]
        return self.operand.read(self.sizes, box)


def _uncut_if(operand: Pieces, dim: int, sizes: list[int], box: list[Range]):
    """Factors of a result; refused where its pieces are not due to those of the operand.

    Such are those of a matrix along positions: each output reads all, so nothing is gained.
    """
    factors = operand.layout.dims[dim]
    if len(factors) == 1 and len(factors[0]) == 2 and box != [(0, n) for n in sizes]:
        raise NotABox
    return sizes, box


def _common_factors(wanted: Wanted, dims: tuple[int, int]) -> list[tuple[int, ...]]:
    """The bounds of contracted factors at which both operands are cut."""
    rows = [v.layout.dims[d] for v, d in zip(wanted.operands, dims, strict=True)]
    for row, other in (rows, rows[::-1]):
        if len(other) == 1 and len(other[0]) == 2:
            return list(row)
    if [b[-1] for b in rows[0]] != [b[-1] for b in rows[1]]:
        raise NotABox
    return [tuple(sorted({*a, *b})) for a, b in zip(*rows, strict=True)]


REDUCTIONS = (*_COMBINED, primitives.argmax_p, primitives.argmin_p)
OPERATIONS: dict[Any, Operation] = {
    **dict.fromkeys(REDUCTIONS, _reduction),
    primitives.dot_general_p: _contraction,
}
