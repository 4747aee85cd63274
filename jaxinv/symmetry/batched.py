"""Look-ups that name each position of a dimension in turn: a dimension that they share, spelt out.

`x[jnp.arange(n), index]` and `jnp.put_along_axis` give an index for every dimension. One that only
counts says that the operand and the indices have this dimension in common, which is what batching
dimensions of a gather or a scatter say. One that counts from another position on, and around, says
so of the operand rolled to there.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
from jax.extend.core import primitives

_LOOKUPS = {
    primitives.gather_p: ("start_index_map", "collapsed_slice_dims", "start_indices_batching_dims"),
} | dict.fromkeys(
    (
        primitives.scatter_p,
        primitives.scatter_add_p,
        primitives.scatter_mul_p,
        primitives.scatter_min_p,
        primitives.scatter_max_p,
    ),
    ("scatter_dims_to_operand_dims", "inserted_window_dims", "scatter_indices_batching_dims"),
)


def with_batched_lookups(program) -> list[Any]:
    """The equations of a program, with look-ups that batch what they can."""
    numbers = itertools.count(max(program.avals, default=-1) + 1)
    written = []
    for equation in program.equations:
        if equation.primitive in _LOOKUPS:
            written += _batched(program, equation, numbers)
        else:
            written.append(equation)
    return written


def _batched(program, equation, numbers) -> list[Any]:
    """A look-up that batches what it can, after the indices that are left."""
    joined = program.producers.get(equation.ins[1])
    last = len(equation.in_avals[1].shape) - 1
    lone = (
        joined is not None
        and program.known_value(equation.ins[1]) is None  # Else it is read as what it is.
        and joined.primitive is primitives.concatenate_p
        and joined.params["dimension"] == last
        and all(aval.shape[last] == 1 for aval in joined.in_avals)
    )
    if not lone:
        return [equation]
    named, single, batch = _LOOKUPS[equation.primitive]
    dimensions = equation.params["dimension_numbers"]
    dims = getattr(dimensions, named)
    operand, _, *updates = equation.ins
    shape = equation.in_avals[0].shape
    pairs = dict(zip(dimensions.operand_batching_dims, getattr(dimensions, batch), strict=True))
    starts: dict[int, int] = {}
    left = []
    for number, dim in zip(joined.ins, dims, strict=True):
        known = program.known_value(number)
        if known is not None and not known.any():
            continue  # What is not named is read, or written, from its start on.
        counted = _counted(known, shape[dim]) if dim in getattr(dimensions, single) else None
        if counted is None or counted[0] in pairs.values():
            left.append((number, dim))
        else:
            pairs[dim], starts[dim] = counted
    if not 0 < len(left) < len(dims):
        return [equation]
    changed = {
        named: tuple(dim for _, dim in left),
        single: tuple(dim for dim in getattr(dimensions, single) if dim not in pairs),
        "operand_batching_dims": tuple(sorted(pairs)),
        batch: tuple(pairs[dim] for dim in sorted(pairs)),
    }
    index, aval = next(numbers), equation.in_avals[1]
    program.avals[index] = aval.update(shape=(*aval.shape[:last], len(left)))
    rest = dataclasses.replace(
        joined,
        ins=tuple(number for number, _ in left),
        outs=(index,),
        in_avals=joined.in_avals[: len(left)],
        out_avals=(program.avals[index],),
    )
    before: list[Any] = []
    after: list[Any] = []
    result = equation.outs[0]
    for dim, start in starts.items():
        if start:
            before += _rolled(program, equation, numbers, operand, dim, start)
            operand = before[-1].outs[0]
            if updates:
                rolled, result = result, next(numbers)
                program.avals[result] = program.avals[rolled]
                after = [
                    *_rolled(program, equation, numbers, result, dim, shape[dim] - start, rolled),
                    *after,
                ]
    lookup = dataclasses.replace(
        equation,
        params=equation.params | {"dimension_numbers": dimensions._replace(**changed)},
        ins=(operand, index, *updates),
        outs=(result,),
        in_avals=(equation.in_avals[0], program.avals[index], *equation.in_avals[2:]),
    )
    return [rest, *before, lookup, *after]


def _rolled(program, like, numbers, number: int, dim: int, start: int, out=None) -> list[Any]:
    """The equations that roll a value along a dimension: its positions from `start` on, around."""
    aval = program.avals[number]
    size = aval.shape[dim]
    equations = []
    for low, high in ((start, size), (0, start)):
        part = next(numbers)
        shape = [high - low if d == dim else n for d, n in enumerate(aval.shape)]
        program.avals[part] = aval.update(shape=tuple(shape))
        params = {
            "start_indices": tuple(low if d == dim else 0 for d in range(len(shape))),
            "limit_indices": tuple(high if d == dim else n for d, n in enumerate(aval.shape)),
            "strides": None,
        }
        equations.append(_equation(program, like, primitives.slice_p, params, (number,), part))
    out = next(numbers) if out is None else out
    program.avals[out] = aval
    parts = tuple(equation.outs[0] for equation in equations)
    join = {"dimension": dim}
    return [*equations, _equation(program, like, primitives.concatenate_p, join, parts, out)]


def _equation(program, like, primitive, params, ins: tuple[int, ...], out: int) -> Any:
    """An equation that stands where another does."""
    return dataclasses.replace(
        like,
        primitive=primitive,
        params=params,
        ins=ins,
        outs=(out,),
        in_avals=tuple(program.avals[i] for i in ins),
        out_avals=(program.avals[out],),
    )


def _counted(known: np.ndarray | None, size: int) -> tuple[int, int] | None:
    """Along which dimension indices count the positions of a dimension, around, and from where."""
    if known is None or known.size == 0:
        return None
    start = int(known.flat[0])
    if not 0 <= start < size:
        return None
    for dim, n in enumerate(known.shape[:-1]):
        turned = (start + np.arange(n)) % size
        counted = turned.reshape([-1 if d == dim else 1 for d in range(known.ndim)])
        if n == size > 1 and np.array_equal(known, np.broadcast_to(counted, known.shape)):
            return dim, start
    return None
