"""Operations on values that change what is stored and not what the program sees.

Each works on states alone (`base` is None) and on arrays alike, so that the analysis and the orbit
take the same steps. Where the symmetry does not survive a step, `Context.note` hears why.
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.bounds import Valid
from jaxinv.symmetry.program import Program
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.values import (
    Dimension,
    Factor,
    Plain,
    Torus,
    Uniform,
    Value,
    Window,
    coset_indices,
    positions,
)


@dataclass
class Findings:
    """What the rules reported of one equation.

    Attributes:
      notes: per axis the reasons why the symmetry was thinned or ended.
      borders: on the line, per axis the reasons why positions left the interior.
      expanded: whether some value had to be written out at every shift.
    """

    notes: dict[int, list[Reason]] = field(default_factory=dict)
    borders: dict[int, list[Reason]] = field(default_factory=dict)
    expanded: bool = False


@dataclass(frozen=True)
class Context:
    """What a rule knows besides its operands, and where it reports.

    Attributes:
      torus: the domain of the shifts.
      program: the program that the equation stands in.
      computes: whether values come with arrays.
      believes: whether what layers declare of themselves is taken for true.
      differentiated: whether derivatives, too, have to be those of evaluating each shift: calls
        keep theirs, of equal positions the same one is chosen, and positions that no shift reads
        send nothing back.
      order: of how many derivatives the present program is the derivative.
      transposable: whether the present program is a derivative and has to stay linear in its
        tangents: none of them may decide how the others are computed.
      findings: what the present equation led to.
      origins: of arrays that are made alike from alike arrays, by how they are made.
    """

    torus: Torus
    program: Program
    computes: bool = False
    believes: bool = False
    differentiated: bool = False
    order: int = 0
    transposable: bool = False
    findings: Findings = field(default_factory=Findings)
    origins: dict[Hashable, Hashable] = field(default_factory=dict)

    def origin(self, made: Hashable) -> Hashable:
        """The origin of an array that is made in this way, the same for all that are."""
        try:
            return self.origins.setdefault(made, object())
        except TypeError:  # Parameters that cannot be compared.
            return object()

    def note(self, axis: int, reason: Reason) -> None:
        """Remembers why the present equation thins or ends the symmetry along an axis."""
        _remember(self.findings.notes, axis, reason)

    def note_border(self, axis: int, reason: Reason) -> None:
        """Remembers why positions at the border leave the interior along an axis."""
        _remember(self.findings.borders, axis, reason)


def _remember(reasons: dict[int, list[Reason]], axis: int, reason: Reason) -> None:
    reason = dataclasses.replace(reason, axis=axis)
    if reason not in reasons.setdefault(axis, []):
        reasons[axis].append(reason)


def periodic_slice(array, place: int, start: int, count: int, step: int = 1):
    """Positions `start + step * i` of a periodic dimension, for `i < count`; `step` divides it."""
    period = array.shape[place]
    # Position start + step * i is position start // step + i of one polyphase component.
    first, start = start % step, (start // step)
    if step > 1:
        array = jax.lax.slice_in_dim(array, first, period, step, axis=place)
        period //= step
    start %= period
    if start == 0 and count == period:
        return array
    # The window goes on at position 0 where the torus ends, several times if it is longer.
    pieces = []
    while count > 0:
        taken = min(count, period - start)
        pieces.append(jax.lax.slice_in_dim(array, start, start + taken, axis=place))
        count -= taken
        start = 0
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis=place)


def normal(ctx: Context, value: Value) -> Value:
    """The value without windows that never move and without factors of one position."""
    dims: list[Dimension] = []
    dropped: list[int] = []
    base, place = value.base, value.n_axes
    for dim in value.dims:
        kept: list[Factor] = []
        for factor in dim:
            new = factor
            if isinstance(factor, Window):
                if positions(ctx.torus, value, factor) == 1:
                    new = Uniform(factor.size)
                elif value.period[factor.axis] == ctx.torus.lengths[factor.axis]:
                    new = Plain(factor.size)
                    if base is not None:
                        base = periodic_slice(base, place, factor.offset, factor.size)
            if not isinstance(new, Window) and new.size == 1:
                dropped.append(place)
            else:
                kept.append(new)
            place += 1
        dims.append(tuple(kept))
    if tuple(dims) == value.dims:
        return value
    if base is not None and dropped:
        base = jax.lax.squeeze(base, dropped)
    return value.with_base(base, dims=tuple(dims))


def resample(
    ctx: Context, value: Value, axis: int, factor: int, steps: dict[int, int] | None = None
) -> Value:
    """Makes the period `factor` times longer, and subsamples windows while at it.

    A shift `t = r + d q` of the old period is `t = r' + d' q'` of the new one, `d' = factor * d`:
    with `q = k + factor * q'` and `k < factor` the new coset is `r' = r + d k`, and

        base'[r'][i] = base[r][phase + step * i - rate * k],  rate' = rate * factor / step.

    Args:
      ctx: the context.
      value: any value.
      axis: the axis whose period grows.
      factor: by how much; the longer period divides the torus.
      steps: for dimensions of the base that hold windows of `axis`, the subsampling step; it
        divides `rate * factor` of its window.
    """
    steps = steps or {}
    if (factor > 1 or steps) and value.moves_along(axis) and value.decisions[axis] is not None:
        (value,) = expand(ctx, [value], axis, Cause.PHASE_UNKNOWN())
        return resample(ctx, value, axis, max(1, ctx.torus.lengths[axis] // value.period[axis]))
    old, new = value.period[axis], value.period[axis] * factor
    period = tuple(new if a == axis else d for a, d in enumerate(value.period))
    factors = list(value.factors)
    windows = list(value.windows(axis))
    # Position `phase + step * i` of the base becomes position i. Windows that start at another
    # offset of one phase still show one array; those of different phases show different ones.
    phases = {place: window.offset % steps.get(place, 1) for place, window in windows}
    for place, window in windows:
        step = steps.get(place, 1)
        factors[place - value.n_axes] = dataclasses.replace(
            window,
            rate=window.rate * factor // step,
            offset=window.offset // step,
            size=-(-window.size // step),
            valid=_strided_valid(window, step),
        )
    if factor == 1 and not steps:
        return value
    base = value.base
    if base is not None:
        if windows:
            base = _resampled_base(ctx, value, axis, factor, steps, phases)
        elif base.shape[axis] > 1:
            read = coset_indices(ctx.torus, axis, old, new)
            base = jnp.take(base, read, axis=axis, mode="clip")
    kept = tuple((place, steps.get(place, 1), phase) for place, phase in phases.items())
    origin = ("resampled", value.origin, axis, factor, kept)
    return normal(
        ctx,
        value.with_base(
            base, origin=origin, period=period, dims=_regroup_as(value, tuple(factors))
        ),
    )


def _resampled_base(ctx, value, axis, factor, steps, phases):
    torus, old = ctx.torus, value.period[axis]
    # Of each new coset r' = r + d k the old one and k; they ascend with k first, then with r.
    sources = coset_indices(torus, axis, old, old * factor)
    turns = np.array([r // old for r in torus.residues(axis, old * factor)])
    base = value.base
    cosets = len(torus.residues(axis, old))
    # What does not depend on the coset is stored once; each new coset gets a copy of its own.
    base = jnp.broadcast_to(base, (*base.shape[:axis], cosets, *base.shape[axis + 1 :]))
    pieces = []
    for k in sorted(set(turns.tolist())):
        read = sources[turns == k]
        piece = base
        if read.tolist() != list(range(cosets)):
            piece = jnp.take(piece, read, axis=axis, mode="clip")
        for place, window in value.windows(axis):
            step = steps.get(place, 1)
            start = phases[place] - window.rate * k
            count = positions(torus, value, window) // step
            # base'[r'][i] = base[r][phase + step * i - rate * k]
            piece = periodic_slice(piece, place, start, count, step)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis=axis)


def _strided_valid(window: Window, step: int) -> Valid | None:
    if window.valid is None or step == 1:
        return window.valid
    lo, hi = window.valid
    return lo / Fraction(step), (hi - 1) / Fraction(step) + 1


def _regroup_as(value: Value, factors: tuple[Factor, ...]) -> tuple[Dimension, ...]:
    dims, start = [], 0
    for dim in value.dims:
        dims.append(factors[start : start + len(dim)])
        start += len(dim)
    return tuple(dims)


def common_period(ctx: Context, values: Sequence[Value]) -> list[Value]:
    """The values at the least common multiple of their periods; constants stay as they are."""
    values = list(values)
    for axis, period in enumerate(period_of(values)):
        values = [
            v
            if v.period[axis] == 1 and not v.moves_along(axis)
            else resample(ctx, v, axis, period // v.period[axis])
            for v in values
        ]
    return values


def period_of(values: Sequence[Value]) -> tuple[int, ...]:
    """The period of what is computed from all these values."""
    return tuple(math.lcm(*row) for row in zip(*(v.period for v in values), strict=True))


def at_offset(ctx: Context, value: Value, place: int, offset: int) -> Value:
    """The value with the window stored at `place` starting at another offset of its base."""
    window = value.factors[place - value.n_axes]
    assert isinstance(window, Window)
    m = positions(ctx.torus, value, window)
    if (window.offset - offset) % m == 0:
        return value
    by = (window.offset - offset) % m
    moved = dataclasses.replace(window, offset=offset)
    rolled = replace_factor(value, place, moved, lambda base: periodic_slice(base, place, by, m))
    return dataclasses.replace(rolled, origin=ctx.origin(("rolled", value.origin, place, by)))


def replace_factor(
    value: Value, place: int, factor: Factor, fun: Callable[[Any], Any] | None = None
) -> Value:
    """The value with another factor at a dimension of its base, and a function of the base."""
    factors = list(value.factors)
    factors[place - value.n_axes] = factor
    dims = _regroup_as(value, tuple(factors))
    return value.on_base(fun or (lambda base: base), dims=dims)


def reader(ctx: Context, value: Value) -> Callable[[Sequence], Any]:
    """A function of a shift (one number per axis, traced or not): the program's value there.

    What all shifts have in common is done here, once.
    """
    at = _reader_along(ctx, value, range(value.n_axes))
    # As in `orbit.extension.window`: XLA must not merge this slice with one of the program's.
    return lambda shift: jax.lax.optimization_barrier(
        program_shaped(at(shift))[(0,) * value.n_axes]
    )


def _reader_along(ctx: Context, value: Value, axes: Sequence[int]) -> Callable[[Sequence], Value]:
    """A function of a shift along some axes: the value there, of one coset and without windows.

    Windows are continued over the edge of the torus, so that each shift reads one slice. Its
    transpose adds a slice in one go, where that of a lookup by index would add number by number.
    """
    windows = [(place, w) for place, w in value.windows() if w.axis in axes]
    counts = {place: positions(ctx.torus, value, window) for place, window in windows}
    factors = tuple(
        Plain(f.size) if isinstance(f, Window) and f.axis in axes else f for f in value.factors
    )
    dims, base = _regroup_as(value, factors), value.base
    if base is None:
        return lambda shift: value.with_base(None, dims=dims)
    shape = list(base.shape)
    # Where the slice starts along each dimension, by the shift: sums of it would compile slowly.
    starts_at: dict[int, tuple[int, np.ndarray]] = {}
    for axis in axes:
        if base.shape[axis] > 1:
            period = value.period[axis]
            index = {r: i for i, r in enumerate(ctx.torus.residues(axis, period))}
            cosets = [index.get(t % period, 0) for t in range(ctx.torus.lengths[axis])]
            starts_at[axis] = axis, np.array(cosets, np.uint32)
            shape[axis] = 1
    for place, window in windows:
        turns = np.arange(ctx.torus.lengths[window.axis]) // value.period[window.axis]
        # Its rate is whole, but after declared layers, which are not believed here.
        table = (window.offset - int(window.rate) * turns) % counts[place]
        starts_at[place] = window.axis, table.astype(np.uint32)
        base = periodic_slice(base, place, 0, counts[place] + window.size - 1)
        shape[place] = window.size

    def at(shift: Sequence) -> Value:
        shift_along = {a: jnp.asarray(t, jnp.uint32) for a, t in zip(axes, shift, strict=True)}
        # Unsigned: what may be negative is checked for it.
        starts = [jnp.zeros((), jnp.uint32)] * base.ndim
        for dim, (axis, table) in starts_at.items():
            starts[dim] = jax.lax.dynamic_index_in_dim(table, shift_along[axis], keepdims=False)
        return value.with_base(jax.lax.dynamic_slice(base, starts, shape), dims=dims)

    return at


def expand(ctx: Context, values: Sequence[Value], axis: int, reason: Reason) -> list[Value]:
    """The values with each shift along `axis` written out: the symmetry along it ends here."""
    if any(v.moves_along(axis) for v in values):
        ctx.note(axis, reason)
    return [_expand(ctx, v, axis) if v.moves_along(axis) else v for v in values]


def _expand(ctx: Context, value: Value, axis: int) -> Value:
    length = ctx.torus.lengths[axis]
    if any(window.size > 1 for _, window in value.windows(axis)):
        ctx.findings.expanded = True
    at = _reader_along(ctx, value, [axis])
    base = value.base
    if base is not None:
        shifts = jnp.asarray(np.asarray(ctx.torus.residues(axis, length), np.uint32))
        # (..., cosets, ...) along the axis becomes (..., shifts, ...).
        base = jax.vmap(lambda t: jax.lax.squeeze(at([t]).base, [axis]), out_axes=axis)(shifts)
    period = tuple(length if a == axis else d for a, d in enumerate(value.period))
    return normal(ctx, at([0]).with_base(base, period=period))


def expand_windows(
    ctx: Context, values: Sequence[Value], dims: Sequence[int | None], reason: Reason
) -> list[Value]:
    """The values with the axes ended that move along the given dimension of each."""
    axes = {
        factor.axis
        for value, dim in zip(values, dims, strict=True)
        if dim is not None
        for factor in value.dims[dim]
        if isinstance(factor, Window)
    }
    values = list(values)
    for axis in sorted(axes):
        values = expand(ctx, values, axis, reason)
    return values


def program_shaped(value: Value):
    """The base of a value without windows, with the cosets first and then the program's shape."""
    sizes = tuple(f.size for f in value.factors)
    # (*cosets, *stored factors) -> (*cosets, *factors) -> (*cosets, *dimensions)
    base = jnp.broadcast_to(value.base, value.base.shape[: value.n_axes] + sizes)
    return jnp.reshape(base, base.shape[: value.n_axes] + value.shape)
