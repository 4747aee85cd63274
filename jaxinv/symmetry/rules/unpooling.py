"""The derivative of a pool by maximum: each cotangent goes to the position that was chosen."""

import math

from jaxinv.symmetry.align import align
from jaxinv.symmetry.factoring import as_plain
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, at_offset, common_period, resample
from jaxinv.symmetry.rules.per_position import results_of, still
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Value


@rule("select_and_scatter_add")
def select_and_scatter_add(
    ctx: Context, equation: Equation, source: Value, operand: Value
) -> list[Value]:
    """Windows that tile what moves stay windows; others must not move."""
    params = equation.params
    rows = list(
        zip(params["window_dimensions"], params["window_strides"], params["padding"], strict=True)
    )
    pooled = [d for d, (k, s, (low, high)) in enumerate(rows) if (k, s, low, high) != (1, 1, 0, 0)]
    meetings = [(d, d) for d in range(len(rows)) if d not in pooled]
    values = align(ctx, [source, operand], meetings)
    while True:
        unlike = next((d for d in pooled if not _tiles(values, d, rows[d])), None)
        if unlike is None:
            break
        grown = _thinned(ctx, values, unlike, rows[unlike])
        if grown is None:
            grown = [as_plain(ctx, v, unlike, Cause.UNPOOLED_OVERLAP()) for v in values]
        values = align(ctx, grown, meetings)
    for dim in pooled:
        if window_of(values[0], dim) is not None:
            values = [at_offset(ctx, v, v.place(dim), 0) for v in values]

    def bind(*arrays):
        return [equation.primitive.bind(*arrays, **params)]

    row = [(1, dim) for dim in range(len(rows))]
    return results_of(ctx, values, meetings, bind, [row])


def _tiles(values: list[Value], dim: int, row) -> bool:
    """Whether both do not move, or the windows of one tile the positions of the other."""
    source, operand = (window_of(v, dim) for v in values)
    if source is None or operand is None:
        return all(v.dims[dim] == still(v.shape[dim]) for v in values)
    size, stride, (low, high) = row
    return (
        size == stride
        and low == high == 0
        and operand.size == source.size * stride
        and operand.axis == source.axis
        and operand.rate == source.rate * stride
        and operand.valid is source.valid is None
        and values[1].decisions[operand.axis] is None
    )


def _thinned(ctx: Context, values: list[Value], dim: int, row) -> list[Value] | None:
    """The values at a common period that a stride divides; None if that changes nothing."""
    operand = window_of(values[1], dim)
    if operand is None or window_of(values[0], dim) is None:
        return None
    axis, stride = operand.axis, int(row[1])
    if values[1].decisions[axis] is not None:
        return None
    growth = stride // math.gcd(stride, int(operand.rate))
    if growth == 1 or ctx.torus.lengths[axis] % (values[1].period[axis] * growth):
        return None
    return common_period(ctx, [values[0], resample(ctx, values[1], axis, growth)])
