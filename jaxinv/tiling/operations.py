"""What an operation reads for a part of its result, where no border cuts it into pieces."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import primitives

from jaxinv.borders import rewriting
from jaxinv.borders.operations import Operation, Wanted, strided
from jaxinv.borders.pieces import NotABox, Range, reshaped
from jaxinv.symmetry.constant_folding import has_numbers
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.rules.resampling import Band
from jaxinv.symmetry.values import Value


def operation_of(
    equation: Equation,
    values: Mapping[int, Value],
    band: Callable[[Equation], Band | None],
) -> Operation | None:
    """What makes a box of a result of an equation, if there is such.

    Args:
      equation: the equation.
      values: of its operands.
      band: the known matrix of a product that resamples its operand.
    """
    if equation.whole is not None or not all(map(has_numbers, equation.in_avals)):
        return None
    if equation.primitive is primitives.dot_general_p and (matrix := band(equation)):
        return _resize(matrix)
    if equation.primitive is primitives.gather_p:
        return _gather if values[equation.ins[1]].touched else _look_up
    own = _BY_NAME.get(equation.primitive.name)
    return own or rewriting.OPERATIONS.get(equation.primitive)


def _resize(matrix: Band) -> Operation:
    """A product with a known matrix of which each output reads a few neighbours."""

    def resize(wanted: Wanted) -> Any:
        (sides, _) = wanted.params["dimension_numbers"]
        dim, rows = sides[matrix.side][0], sides[1 - matrix.side][0]
        ranges = wanted.ranges()
        # The free dimensions of the left operand come first.
        at = len(ranges) - 1 if matrix.side == 0 else 0
        outs = slice(*ranges[at])
        read = int(matrix.first[outs].min()), int(matrix.last[outs].max()) + 1
        free = [r for i, r in enumerate(ranges) if i != at]
        moving, table = wanted.operands[matrix.side], wanted.operands[1 - matrix.side]
        weights = [read, ranges[at]] if rows == 0 else [ranges[at], read]
        arrays = [
            moving.read(moving.shape, [*free[:dim], read, *free[dim:]]),
            table.read(table.shape, weights),
        ]
        made = wanted.bind(*(arrays if matrix.side == 0 else arrays[::-1]))
        return jnp.reshape(made, wanted.shape)

    return resize


def _look_up(wanted: Wanted) -> Any:
    """A gather at places that the image does not choose."""
    for make in (rewriting.OPERATIONS[primitives.gather_p], _at_known_places):
        try:
            return make(wanted)
        except NotABox:
            continue
    return _gather(wanted)


def _at_known_places(wanted: Wanted) -> Any:
    """Slices at known places, the frames of a signal, say: of the operand what these hold."""
    operand, _ = wanted.operands
    numbers, ranges = wanted.params["dimension_numbers"], wanted.ranges()
    places = wanted.program.known_value(wanted.equation.ins[1])
    if places is None or numbers.operand_batching_dims:
        raise NotABox
    chosen = [slice(*r) for d, r in enumerate(ranges) if d not in numbers.offset_dims]
    box, sizes = _whole_slices(wanted)
    starts = places[(*chosen, slice(None))].astype(int)
    for at, d in enumerate(numbers.start_index_map):
        first, last = int(starts[..., at].min()), int(starts[..., at].max())
        if first < 0 or last + sizes[d] > operand.shape[d]:
            raise NotABox
        box[d] = first, last + sizes[d]
        starts[..., at] -= first
    from_there = starts.astype(places.dtype)
    result = wanted.bind(operand.read(operand.shape, box), from_there, slice_sizes=tuple(sizes))
    return reshaped(result, wanted.shape)


def _gather(wanted: Wanted) -> Any:
    """Slices at places: those are read for what is wanted, and of the operand what they may reach.

    That is all along the dimensions that the places choose from, and what is wanted along those of
    which a slice holds everything, and along batches of both.
    """
    operand, places = wanted.operands
    numbers, ranges = wanted.params["dimension_numbers"], wanted.ranges()
    box, sizes = _whole_slices(wanted)
    chosen = [r for d, r in enumerate(ranges) if d not in numbers.offset_dims]
    batches = zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True)
    for of_operand, of_places in batches:
        box[of_operand] = chosen[of_places]
    found = places.read(places.shape, [*chosen, (0, places.shape[-1])])
    result = wanted.bind(operand.read(operand.shape, box), found, slice_sizes=tuple(sizes))
    return reshaped(result, wanted.shape)


def _whole_slices(wanted: Wanted) -> tuple[list[Range], list[int]]:
    """What slices of a gather may reach, but for where they start, and their sizes."""
    operand, numbers = wanted.operands[0], wanted.params["dimension_numbers"]
    ranges = wanted.ranges()
    box: list[Range] = [(0, n) for n in operand.shape]
    sizes = list(wanted.params["slice_sizes"])
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    kept = [d for d in range(len(box)) if d not in gone]
    for d, out in zip(kept, numbers.offset_dims, strict=True):
        if d not in numbers.start_index_map and sizes[d] == operand.shape[d]:
            box[d], sizes[d] = ranges[out], ranges[out][1] - ranges[out][0]
        elif not _is_whole(wanted, [out]):
            raise NotABox
    return box, sizes


def _stack(wanted: Wanted) -> Any:
    """What lies in the box of each operand."""
    box, at = list(wanted.ranges()), wanted.params["axis"]
    start, stop = box.pop(at)
    arrays = [operand.read(operand.shape, box) for operand in wanted.operands[start:stop]]
    return jnp.reshape(jnp.stack(arrays, at), wanted.shape)


def _dynamic_slice(wanted: Wanted) -> Any:
    """A slice that starts at a known place."""
    known = [wanted.program.known_value(number) for number in wanted.equation.ins[1:]]
    if any(start is None for start in known):
        raise NotABox
    lengths = zip(wanted.operands[0].shape, wanted.params["slice_sizes"], strict=True)
    starts = [
        min(max(int(start), 0), n - size) for start, (n, size) in zip(known, lengths, strict=True)
    ]
    return strided(wanted, starts, [1] * len(starts))


def _fourier(wanted: Wanted) -> Any:
    rank = len(wanted.layout.shape)
    transformed = len(wanted.params["fft_lengths"])
    return _whole_along(wanted, range(rank - transformed, rank))


def _top_k(wanted: Wanted) -> Any:
    return _whole_along(wanted, [wanted.params["axis"]])


def _tile(wanted: Wanted) -> Any:
    return _whole_along(wanted, [d for d, times in enumerate(wanted.params["reps"]) if times > 1])


def _whole_along(wanted: Wanted, dims: Sequence[int]) -> Any:
    """What reads all positions along some dimensions, and along the others the same ones."""
    if not _is_whole(wanted, dims):
        raise NotABox
    (operand,) = wanted.operands
    box = [
        (0, operand.shape[d]) if d in dims else range_ for d, range_ in enumerate(wanted.ranges())
    ]
    return reshaped(wanted.bind(operand.read(operand.shape, box)), wanted.shape)


def _unstack(wanted: Wanted) -> Any:
    """One position along a dimension, which is no longer one of the result."""
    (operand,), box = wanted.operands, list(wanted.ranges())
    box.insert(wanted.params["axis"], (wanted.out, wanted.out + 1))
    return jnp.reshape(operand.read(operand.shape, box), wanted.shape)


def _scatter(wanted: Wanted) -> Any:
    """Updates at known places: along all other dimensions position by position."""
    operand, places, updates = wanted.operands
    numbers, ranges = wanted.params["dimension_numbers"], wanted.ranges()
    if numbers.operand_batching_dims or wanted.program.known_value(wanted.equation.ins[1]) is None:
        raise NotABox
    kept = [d for d in range(len(ranges)) if d not in numbers.inserted_window_dims]
    box: list[Range] = [(0, n) for n in updates.shape]
    passed = set()
    for d, u in zip(kept, numbers.update_window_dims, strict=True):
        placed = d in numbers.scatter_dims_to_operand_dims
        if not placed and updates.shape[u] == operand.shape[d]:
            box[u] = ranges[d]
            passed.add(d)
    if not _is_whole(wanted, [d for d in range(len(ranges)) if d not in passed]):
        raise NotABox
    arrays = operand.read(operand.shape, ranges), places.whole(), updates.read(updates.shape, box)
    return reshaped(wanted.bind(*arrays), wanted.shape)


def _is_whole(wanted: Wanted, dims: Sequence[int]) -> bool:
    ranges, shape = wanted.ranges(), wanted.layout.shape
    return all(ranges[d] == (0, shape[d]) for d in dims)


# Not all of them are public.
_BY_NAME: dict[str, Operation] = {
    "dynamic_slice": _dynamic_slice,
    "fft": _fourier,
    "scatter": _scatter,
    "scatter-add": _scatter,
    "scatter-max": _scatter,
    "scatter-min": _scatter,
    "scatter-mul": _scatter,
    "stack": _stack,
    "tile": _tile,
    "top_k": _top_k,
    "unstack": _unstack,
}
