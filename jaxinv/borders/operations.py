"""A piece of an operation's result, from those parts of its operands that it reads.

Each function is given a box of the result and runs the same primitive on the ranges of its operands
that the box depends on, with padding only where a range leaves the map.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.borders.pieces import Layout, NotABox, Pieces, Range, as_factors, reshaped
from jaxinv.symmetry.kernels import Geometry, geometries_of_convolution, geometries_of_pool
from jaxinv.symmetry.program import Equation, Program
from jaxinv.symmetry.registry import REGISTERED, rule_of
from jaxinv.symmetry.rules.pointwise import pointwise


@dataclass(frozen=True)
class Wanted:
    """A piece that is asked for.

    Attributes:
      program: the program that the equation stands in.
      equation: the operation.
      operands: what it is applied to.
      out: which of its results.
      layout: the layout of that result.
      box: the range along each factor of that layout.
      differentiated: whether derivatives, too, have to be those of the whole operation.
    """

    program: Program
    equation: Equation
    operands: Sequence[Pieces]
    out: int
    layout: Layout
    box: tuple[Range, ...]
    differentiated: bool

    @property
    def shape(self) -> list[int]:
        """The shape of the piece, one dimension for each factor."""
        return [stop - start for start, stop in self.box]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the operation."""
        return self.equation.params

    def ranges(self) -> tuple[Range, ...]:
        """The range along each dimension of the result, if its factors can be seen as one."""
        return as_factors(self.layout.sizes, self.box, self.layout.shape)

    def factors(self, dim: int) -> tuple[list[int], list[Range]]:
        """The factors of one dimension of the result, and the ranges along them."""
        first = sum(len(row) for row in self.layout.dims[:dim])
        count = len(self.layout.dims[dim])
        return list(self.layout.sizes[first : first + count]), list(self.box[first : first + count])

    def bind(self, *arrays, **params) -> Any:
        """The primitive with some parameters changed."""
        equation = dataclasses.replace(self.equation, params=self.params | params)
        return equation.bind(*arrays)[self.out]


Operation = Callable[[Wanted], Any]


def _pointwise(wanted: Wanted) -> Any:
    """Each position from the same position of the operands."""
    return wanted.bind(*(at_same_positions(wanted, v) for v in wanted.operands))


def at_same_positions(wanted: Wanted, operand: Pieces) -> Any:
    """The box of an operand that has the result's shape, single positions in its place, or none."""
    shape = wanted.layout.shape
    if operand.shape == shape:
        return operand.read(wanted.layout.sizes, wanted.box)
    if operand.shape == ():
        return operand.whole()
    sizes, box = [], []
    for dim, n in enumerate(operand.shape):
        own, ranges = wanted.factors(dim)
        sizes += own if n == shape[dim] else [1] * len(own)
        box += ranges if n == shape[dim] else [(0, 1)] * len(own)
    return operand.read(sizes, box)


def _broadcast(wanted: Wanted) -> Any:
    (operand,), params = wanted.operands, wanted.params
    sizes: list[int] = []
    box: list[Range] = []
    goes_to: list[int] = []
    for dim, to in enumerate(params["broadcast_dimensions"]):
        first = sum(len(row) for row in wanted.layout.dims[:to])
        if operand.shape[dim] == wanted.layout.shape[to]:
            own, ranges = wanted.factors(to)
        else:
            own, ranges = [1], [(0, 1)]
        sizes += own
        box += ranges
        goes_to += range(first, first + len(own))
    return lax.broadcast_in_dim(operand.read(sizes, box), wanted.shape, goes_to)


def _reshape(wanted: Wanted) -> Any:
    """The same positions in the same order."""
    if wanted.params["dimensions"] is not None:
        raise NotABox
    return _regrouped(wanted)


def _regrouped(wanted: Wanted) -> Any:
    return wanted.operands[0].read(wanted.layout.sizes, wanted.box)


def _transpose(wanted: Wanted) -> Any:
    order = wanted.params["permutation"]
    # Dimension i of the result is dimension order[i] of the operand, with all of its factors.
    rows = [wanted.factors(order.index(dim)) for dim in range(len(order))]
    array = wanted.operands[0].read(*map(_chained, zip(*rows, strict=True)))
    starts = np.cumsum([0, *(len(own) for own, _ in rows)])
    return lax.transpose(array, [int(starts[d]) + i for d in order for i in range(len(rows[d][0]))])


def _chained(rows) -> list:
    return [item for row in rows for item in row]


def _slice(wanted: Wanted) -> Any:
    starts = wanted.params["start_indices"]
    steps = wanted.params["strides"] or (1,) * len(starts)
    return strided(wanted, starts, steps)


def strided(wanted: Wanted, starts: Sequence[int], steps: Sequence[int]) -> Any:
    """Positions `start + step * i` of the operand for those `i` that are wanted."""
    box = [
        (int(start + a * step), int(start + (b - 1) * step + 1))
        for (a, b), start, step in zip(wanted.ranges(), starts, steps, strict=True)
    ]
    operand = wanted.operands[0]
    array = operand.read(operand.shape, box)
    if any(step != 1 for step in steps):
        array = lax.slice(array, [0] * array.ndim, array.shape, steps)
    return reshaped(array, wanted.shape)


def _split(wanted: Wanted) -> Any:
    starts = [0] * len(wanted.layout.dims)
    starts[wanted.params["axis"]] = sum(wanted.params["sizes"][: wanted.out])
    return strided(wanted, starts, [1] * len(starts))


def _reverse(wanted: Wanted) -> Any:
    (operand,), dims = wanted.operands, wanted.params["dimensions"]
    box = [
        (n - stop, n - start) if dim in dims else (start, stop)
        for dim, ((start, stop), n) in enumerate(zip(wanted.ranges(), operand.shape, strict=True))
    ]
    return reshaped(wanted.bind(operand.read(operand.shape, box)), wanted.shape)


def _concatenate(wanted: Wanted) -> Any:
    """What lies in the box of each operand, one after the other."""
    dim, ranges = wanted.params["dimension"], wanted.ranges()
    found, before = [], 0
    for operand in wanted.operands:
        n = operand.shape[dim]
        start, stop = max(ranges[dim][0] - before, 0), min(ranges[dim][1] - before, n)
        if start < stop:
            box = (*ranges[:dim], (start, stop), *ranges[dim + 1 :])
            found.append(operand.read(operand.shape, box))
        before += n
    joined = found[0] if len(found) == 1 else lax.concatenate(found, dim)
    return reshaped(joined, wanted.shape)


def _reach(outputs: Range, size: int, geometry: Geometry) -> tuple[Range, Range]:
    """The positions that some outputs read, and the padding that they meet at both ends.

    Where they read nothing but padding, one position stands for the map, and the padding takes it
    off again: it is negative.
    """
    start, stop = geometry.read(outputs)
    step = geometry.base_dilation
    first = min(max(-(-start // step), 0), size - 1)
    last = max(min((stop - 1) // step, size - 1), first)
    return (first, last + 1), (first * step - start, stop - last * step - 1)


def _pad(wanted: Wanted) -> Any:
    operand, fill = wanted.operands
    box, config = [], []
    rows = zip(wanted.ranges(), operand.shape, wanted.params["padding_config"], strict=True)
    for outputs, size, (low, high, interior) in rows:
        geometry = Geometry(1, 1, int(low), int(high), 1, int(interior) + 1)
        read, ends = _reach(outputs, size, geometry)
        if min(ends) < 0:
            return lax.broadcast(fill.whole(), wanted.shape)
        box.append(read)
        config.append((*ends, int(interior)))
    return reshaped(_padded(operand.read(operand.shape, box), fill.whole(), config), wanted.shape)


def _padded(array, fill, config: Sequence[tuple[int, int, int]]) -> Any:
    """The array padded, if there is anything to pad."""
    config = [
        (low, high, interior if n > 1 else 0)
        for n, (low, high, interior) in zip(array.shape, config, strict=True)
    ]
    if not any(map(any, config)):
        return array
    return lax.pad(array, jnp.asarray(fill, array.dtype), config)


def _convolution(wanted: Wanted) -> Any:
    image, kernel = wanted.operands
    params, ranges = wanted.params, wanted.ranges()
    numbers = params["dimension_numbers"]
    features, batch = ranges[numbers.out_spec[1]], ranges[numbers.out_spec[0]]
    sizes = wanted.layout.shape
    if features != (0, sizes[numbers.out_spec[1]]):
        raise NotABox
    box: list[Range] = [(0, n) for n in image.shape]
    if params["batch_group_count"] == 1:
        box[numbers.lhs_spec[0]] = batch
    elif batch != (0, sizes[numbers.out_spec[0]]):
        raise NotABox
    padding = [(0, 0)] * len(params["padding"])
    for i, geometry in enumerate(geometries_of_convolution(params, kernel.shape)):
        dim = numbers.lhs_spec[2 + i]
        outputs = ranges[numbers.out_spec[2 + i]]
        box[dim], padding[i] = _reach(outputs, image.shape[dim], geometry)
    array = image.read(image.shape, box)
    dilations = params["lhs_dilation"]
    if any(end < 0 for ends in padding for end in ends):
        config = [(0, 0, 0)] * array.ndim
        for i, (ends, dilation) in enumerate(zip(padding, dilations, strict=True)):
            config[numbers.lhs_spec[2 + i]] = (*ends, dilation - 1)
        array = _padded(array, 0, config)
        padding, dilations = [(0, 0)] * len(padding), (1,) * len(padding)
    result = wanted.bind(array, kernel.whole(), padding=tuple(padding), lhs_dilation=dilations)
    return reshaped(result, wanted.shape)


def _pool(wanted: Wanted) -> Any:
    count = len(wanted.equation.outs)
    images, initial = wanted.operands[:count], wanted.operands[count:]
    box, padding = [], []
    geometries = geometries_of_pool(wanted.params)
    for outputs, size, geometry in zip(wanted.ranges(), images[0].shape, geometries, strict=True):
        read, ends = _reach(outputs, size, geometry)
        if min(ends) < 0:
            raise NotABox
        box.append(read)
        padding.append(ends)
    arrays = [image.read(image.shape, box) for image in images]
    result = wanted.bind(*arrays, *(v.whole() for v in initial), padding=tuple(padding))
    return reshaped(result, wanted.shape)


def _look_up(wanted: Wanted) -> Any:
    """A gather at known places along one dimension."""
    operand, places = wanted.operands[0], wanted.program.known_value(wanted.equation.ins[1])
    params, ranges = wanted.params, wanted.ranges()
    numbers, sizes = params["dimension_numbers"], list(params["slice_sizes"])
    if places is None or numbers.operand_batching_dims or len(numbers.start_index_map) != 1:
        raise NotABox
    (dim,) = numbers.start_index_map
    others = [d for d in range(len(sizes)) if d != dim]
    whole = all(sizes[d] == operand.shape[d] for d in others)
    if places.ndim != 2 or numbers.collapsed_slice_dims != (dim,) or not whole or sizes[dim] != 1:
        raise NotABox
    if places.min() < 0 or places.max() >= operand.shape[dim]:
        raise NotABox
    (to,) = (d for d in range(len(ranges)) if d not in numbers.offset_dims)
    read = places[slice(*ranges[to])]
    box: list[Range] = [(0, 0)] * len(sizes)
    for d, out in zip(others, numbers.offset_dims, strict=True):
        box[d] = ranges[out]
        sizes[d] = ranges[out][1] - ranges[out][0]
    box[dim] = (int(read.min()), int(read.max()) + 1)
    array = operand.read(operand.shape, box)
    result = wanted.bind(array, read - read.min(), slice_sizes=tuple(sizes))
    return reshaped(result, wanted.shape)


def along(name: str) -> Operation:
    """An operation that goes along dimensions in some order: they are read whole."""

    def operation(wanted: Wanted) -> Any:
        dims = wanted.params[name]
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        ranges = wanted.ranges()
        shape = wanted.layout.shape
        if any(ranges[d] != (0, shape[d]) for d in dims):
            raise NotABox
        arrays = [operand.read(operand.shape, ranges) for operand in wanted.operands]
        return reshaped(wanted.bind(*arrays), wanted.shape)

    return operation


OPERATIONS: dict[Any, Operation] = {
    primitive: _pointwise for primitive in REGISTERED if rule_of(primitive) is pointwise
}
OPERATIONS |= {
    primitives.broadcast_in_dim_p: _broadcast,
    primitives.concatenate_p: _concatenate,
    primitives.conv_general_dilated_p: _convolution,
    primitives.cumlogsumexp_p: along("axis"),
    primitives.cummax_p: along("axis"),
    primitives.cummin_p: along("axis"),
    primitives.cumprod_p: along("axis"),
    primitives.cumsum_p: along("axis"),
    primitives.gather_p: _look_up,
    primitives.pad_p: _pad,
    primitives.reduce_window_max_p: _pool,
    primitives.reduce_window_min_p: _pool,
    primitives.reduce_window_p: _pool,
    primitives.reduce_window_sum_p: _pool,
    primitives.reshape_p: _reshape,
    primitives.rev_p: _reverse,
    primitives.slice_p: _slice,
    primitives.sort_p: along("dimension"),
    primitives.squeeze_p: _regrouped,
    primitives.transpose_p: _transpose,
    lax.split_p: _split,
}
