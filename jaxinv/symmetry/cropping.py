"""Which positions of a value are read in the end: what lies beyond need not be what it is."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend.core import primitives

from jaxinv.symmetry.kernels import (
    Geometry,
    Range,
    geometries_of_convolution,
    geometries_of_pool,
)


def ranges_read(equations: Sequence[Any], outputs: Sequence[int]) -> dict[int, list[Range]]:
    """For values of which it is known: the positions of each dimension that are read.

    Equations are gone through from the last one to the first; what one of them reads depends on
    what is read of its result.
    """
    read: dict[int, list[Range]] = {}
    whole = set(outputs)
    for equation in reversed(equations):
        backwards = _READ.get(equation.primitive)
        if backwards is None or equation.whole is not None:
            whole.update(equation.ins)
            continue
        (out,) = equation.outs
        ranges = read.get(out)
        if ranges is None or out in whole:
            ranges = [(0, n) for n in equation.out_avals[0].shape]
        for number, found in zip(equation.ins, backwards(equation, ranges), strict=True):
            if found is None:
                whole.add(number)
            elif number not in read or _is_empty(read[number]):
                read[number] = found
            elif not _is_empty(found):
                read[number] = [
                    (min(a, c), max(b, d))
                    for (a, b), (c, d) in zip(found, read[number], strict=True)
                ]
    return {number: ranges for number, ranges in read.items() if number not in whole}


def _is_empty(ranges: Sequence[Range]) -> bool:
    return any(start >= stop for start, stop in ranges)


def _slice(equation, ranges: Sequence[Range]) -> list[list[Range]]:
    starts = equation.params["start_indices"]
    steps = equation.params["strides"] or (1,) * len(starts)
    return [
        [
            (start + lo * step, start + (hi - 1) * step + 1)
            for (lo, hi), start, step in zip(ranges, starts, steps, strict=True)
        ]
    ]


def _transpose(equation, ranges: Sequence[Range]) -> list[list[Range]]:
    order = equation.params["permutation"]
    return [[ranges[order.index(dim)] for dim in range(len(order))]]


def _regrouped(equation, ranges: Sequence[Range]) -> list[list[Range] | None]:
    """Dimensions of one position come or go; of any other reshape nothing is told."""
    before, after = equation.in_avals[0].shape, equation.out_avals[0].shape
    if [n for n in before if n != 1] != [n for n in after if n != 1]:
        return [None]
    kept = iter([r for r, n in zip(ranges, after, strict=True) if n != 1])
    return [[(0, 1) if n == 1 else next(kept) for n in before]]


def _broadcast(equation, ranges: Sequence[Range]) -> list[list[Range] | None]:
    (operand, *sizes), shape = equation.in_avals, equation.out_avals[0].shape
    goes_to = equation.params["broadcast_dimensions"]
    inside = [
        ranges[to] if n == shape[to] else (0, n)
        for n, to in zip(operand.shape, goes_to, strict=True)
    ]
    return [inside, *[None] * len(sizes)]


def _reverse(equation, ranges: Sequence[Range]) -> list[list[Range]]:
    shape, turned = equation.in_avals[0].shape, equation.params["dimensions"]
    return [
        [
            (n - hi, n - lo) if dim in turned else (lo, hi)
            for dim, (n, (lo, hi)) in enumerate(zip(shape, ranges, strict=True))
        ]
    ]


def _concatenate(equation, ranges: Sequence[Range]) -> list[list[Range]]:
    dim, before = equation.params["dimension"], 0
    lo, hi = ranges[dim]
    rows = []
    for aval in equation.in_avals:
        n = aval.shape[dim]
        inside = min(max(lo - before, 0), n), min(max(hi - before, 0), n)
        rows.append([*ranges[:dim], inside, *ranges[dim + 1 :]])
        before += n
    return rows


def _pad(equation, ranges: Sequence[Range]) -> list[list[Range] | None]:
    rows = zip(ranges, equation.in_avals[0].shape, equation.params["padding_config"], strict=True)
    inside = [
        (0, n) if interior else (min(max(lo - low, 0), n), min(max(hi - low, 0), n))
        for (lo, hi), n, (low, _, interior) in rows
    ]
    return [inside, None]


def _within(outputs: Range, size: int, geometry: Geometry) -> Range:
    """The positions of a map that some outputs read of it."""
    if geometry.base_dilation != 1:
        return 0, size
    start, stop = geometry.read(outputs)
    return min(max(start, 0), size), min(max(stop, 0), size)


def _pool(equation, ranges: Sequence[Range]) -> list[list[Range] | None]:
    sizes, geometries = equation.in_avals[0].shape, geometries_of_pool(equation.params)
    rows = zip(ranges, sizes, geometries, strict=True)
    return [[_within(*row) for row in rows], *[None] * (len(equation.ins) - 1)]


def _convolution(equation, ranges: Sequence[Range]) -> list[list[Range] | None]:
    params, (image, kernel) = equation.params, equation.in_avals
    numbers = params["dimension_numbers"]
    read = [(0, n) for n in image.shape]
    for i, geometry in enumerate(geometries_of_convolution(params, kernel.shape), 2):
        dim = numbers.lhs_spec[i]
        read[dim] = _within(ranges[numbers.out_spec[i]], image.shape[dim], geometry)
    return [read, None]


# From an equation and what is read of its result to what is read of each operand; None for all.
_READ: dict[Any, Callable[[Any, Sequence[Range]], Sequence[list[Range] | None]]] = {
    primitives.broadcast_in_dim_p: _broadcast,
    primitives.concatenate_p: _concatenate,
    primitives.conv_general_dilated_p: _convolution,
    primitives.pad_p: _pad,
    primitives.reduce_window_max_p: _pool,
    primitives.reduce_window_min_p: _pool,
    primitives.reduce_window_sum_p: _pool,
    primitives.reshape_p: _regrouped,
    primitives.rev_p: _reverse,
    primitives.slice_p: _slice,
    primitives.squeeze_p: _regrouped,
    primitives.transpose_p: _transpose,
}
