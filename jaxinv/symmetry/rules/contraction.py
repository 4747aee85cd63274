"""`dot_general`: over still dimensions as pointwise, over moving ones whole or as a correlation."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from jaxinv.symmetry.align import align, decisions_of, met
from jaxinv.symmetry.correlation import correlate
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, expand, normal, period_of
from jaxinv.symmetry.rules import resampling
from jaxinv.symmetry.rules.periodic import followed_in_product
from jaxinv.symmetry.unread import unread_pairs_along, without_unread
from jaxinv.symmetry.values import Plain, Uniform, Value, Window, is_whole


def _flops(equation: Equation) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    summed = math.prod(equation.in_avals[0].shape[d] for d in contracted)
    return 2 * math.prod(equation.out_avals[0].shape) * summed


@rule("dot_general", layer="dot_general", flops=_flops)
def dot_general(ctx: Context, equation: Equation, lhs: Value, rhs: Value) -> list[Value]:
    """Batch dimensions meet, free ones stay, contracted ones go."""
    (lhs_c, rhs_c), (lhs_b, rhs_b) = equation.params["dimension_numbers"]
    meetings = [*zip(lhs_b, rhs_b, strict=True), *zip(lhs_c, rhs_c, strict=True)]
    contracted = range(len(lhs_b), len(meetings))
    values = [lhs, rhs]
    resized = resampling.resized(ctx, equation, values)
    if resized is not None:
        return resized
    resizes = resampling.band(ctx, equation, values) is not None
    apart = [
        [d for d in range(len(value.dims)) if d not in used]
        for value, used in zip(values, ({*lhs_c, *lhs_b}, {*rhs_c, *rhs_b}), strict=True)
    ]
    values = followed_in_product(ctx, equation, values, meetings[len(lhs_b) :], apart)
    while True:
        values = align(ctx, values, meetings, contracted=contracted)
        batch = [met(values, meetings[i]) for i in range(len(lhs_b))]
        free = [v.dims[d] for v, rest in zip(values, apart, strict=True) for d in rest]
        dims = (*batch, *free)
        ended = _axis_that_ends(ctx, equation, values, [meetings[i] for i in contracted], resizes)
        if ended is None:
            unread = unread_pairs_along(ctx, values, dims)
            if unread is None:
                break
            ended = unread, Cause.MOVE_DIFFERENTLY()
        values = expand(ctx, values, *ended)
    correlated = _correlated_axes(values, [meetings[i] for i in contracted])
    for axis in correlated:
        ctx.note(axis, _mixing(values, meetings[len(lhs_b) :], axis, resizes))
    decisions = decisions_of(values)
    period = tuple(
        ctx.torus.lengths[axis] if axis in correlated else d
        for axis, d in enumerate(period_of(values))
    )
    base = None
    if all(v.base is not None for v in values):
        if correlated:
            # A Fourier transform reads what no shift does.
            values = [without_unread(ctx, v) for v in values]
        base = _contract(ctx, equation, values, meetings, len(lhs_b), correlated)
    return [normal(ctx, Value(period, dims, base, object(), decisions))]


def _pairs(values, meetings):
    """The factors that meet, each with the operand that it belongs to."""
    for meeting in meetings:
        rows = [[(v, factor) for factor in v.dims[d]] for v, d in zip(values, meeting, strict=True)]
        yield from zip(*rows, strict=True)


def _axis_that_ends(
    ctx: Context, equation, values, contracted, resizes: bool
) -> tuple[int, Reason] | None:
    """An axis whose symmetry neither a whole contraction nor a correlation keeps readable."""
    mixed: list[int] = []
    for pair in _pairs(values, contracted):
        windows = [(v, f) for v, f in pair if isinstance(f, Window)]
        if not windows:
            continue
        axis = windows[0][1].axis
        whole = all(is_whole(ctx.torus, v, f) for v, f in windows)
        if len(windows) == 2 or any(isinstance(f, Uniform) for _, f in pair):
            if not whole:
                return axis, Cause.PART_CONTRACTED()
            continue
        mixed.append(axis)
    for axis in mixed:
        if mixed.count(axis) > 1 or not _can_correlate(ctx, equation, values, axis):
            return axis, _mixing(values, contracted, axis, resizes)
    return None


def _mixing(values, contracted, axis: int, resizes: bool) -> Reason:
    """Why a contraction with a constant ends an axis: a flatten, or weights for each position."""
    if resizes:
        return Cause.RESAMPLING()
    for value, dims in zip(values, zip(*contracted, strict=True), strict=True):
        for dim in dims:
            row = value.dims[dim]
            if any(isinstance(f, Window) and f.axis == axis for f in row):
                # All but the images of a batch in one dimension.
                flattened = len(row) > 1 and dim == len(value.dims) - 1 <= 1
                return Cause.DENSE() if flattened else Cause.POSITIONS_MIXED()
    return Cause.POSITIONS_MIXED()


def _can_correlate(ctx: Context, equation, values: Sequence[Value], axis: int) -> bool:
    """Whether one operand moves along the axis by one window and the other does not know it."""
    moving = [v for v in values if v.moves_along(axis)]
    if len(moving) != 1 or sum(1 for _ in moving[0].windows(axis)) != 1 or ctx.torus.endless:
        return False
    real = all(jnp.issubdtype(aval.dtype, jnp.floating) for aval in equation.in_avals)
    if moving[0].decisions[axis] is not None or not real:
        return False
    still = next(v for v in values if v is not moving[0])
    return still.is_constant


def _correlated_axes(values, contracted) -> tuple[int, ...]:
    return tuple(
        sorted(
            {
                f.axis
                for pair in _pairs(values, contracted)
                if any(isinstance(g, Plain) for _, g in pair)
                for _, f in pair
                if isinstance(f, Window)
            }
        )
    )


def _contract(ctx: Context, equation: Equation, values, meetings, n_batch: int, correlated):
    """The product of the bases by one einsum, or a correlation where windows meet a constant."""
    n_axes = values[0].n_axes
    labels: list[list[int]] = [[], []]
    coset_labels = list(range(n_axes))
    count = n_axes
    place_labels: list[dict[int, int]] = [{}, {}]
    batch_labels: list[int] = []
    for number, meeting in enumerate(meetings):
        depth = len(values[0].dims[meeting[0]])
        for index in range(depth):
            for side, dim in enumerate(meeting):
                place_labels[side][values[side].place(dim, index)] = count
            if number < n_batch:
                batch_labels.append(count)
            count += 1
    free_labels: list[int] = []
    for side, value in enumerate(values):
        for place in range(n_axes, n_axes + len(value.factors)):
            if place not in place_labels[side]:
                place_labels[side][place] = count
                free_labels.append(count)
                count += 1
        labels[side] = [*coset_labels, *(place_labels[side][p] for p in sorted(place_labels[side]))]
    bases = [v.base for v in values]
    windows = {}
    for side, value in enumerate(values):
        for axis in correlated:
            for place, window in value.windows(axis):
                windows[axis] = (side, labels[side][place], window)
    bases = _contracted_uniform_written_out(values, bases, meetings[n_batch:])
    out = [*coset_labels, *batch_labels, *free_labels]
    if correlated:
        return correlate(ctx, equation, values, bases, labels, out, windows)
    return einsum(equation, bases, labels, out)


def _contracted_uniform_written_out(values, bases, contracted):
    """Contracted positions that are stored once count as often as they are.

    Written out, they are summed as each shift sums them: the weights of equal positions, summed
    first, may cancel or overflow where the products do not.
    """
    bases = list(bases)
    for dims in contracted:
        for index, pair in enumerate(
            zip(*(v.dims[d] for v, d in zip(values, dims, strict=True)), strict=True)
        ):
            for side, factor in enumerate(pair):
                if isinstance(factor, Uniform):
                    place = values[side].place(dims[side], index)
                    shape = bases[side].shape
                    shape = (*shape[:place], factor.size, *shape[place + 1 :])
                    bases[side] = jnp.broadcast_to(bases[side], shape)
    return bases


def einsum(equation: Equation, bases, labels, out):
    """`einsum` over labelled dimensions; a dimension of one position spreads over the other's."""
    sizes: dict[int, int] = {}
    for base, row in zip(bases, labels, strict=True):
        for label, size in zip(row, base.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    operands = []
    for base, row in zip(bases, labels, strict=True):
        dropped = [i for i, label in enumerate(row) if base.shape[i] == 1 != sizes[label]]
        operands += [lax.squeeze(base, dropped), [n for i, n in enumerate(row) if i not in dropped]]
    return jnp.einsum(
        *operands,
        out,
        precision=equation.params["precision"],
        preferred_element_type=equation.params["preferred_element_type"],
    )
