"""Pools: a window under a monoid, by any of the primitives that `lax.reduce_window` becomes."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.kernels import Geometry, geometries_of_pool
from jaxinv.symmetry.program import Equation, open_jaxpr
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, normal, replace_factor
from jaxinv.symmetry.rules.fallback import at_each_coset
from jaxinv.symmetry.rules.layout import strided
from jaxinv.symmetry.rules.windowed import admitted, lengthened, slid, window_of
from jaxinv.symmetry.unread import without_unread
from jaxinv.symmetry.values import Plain, Uniform, Value, Window, positions


@dataclass(frozen=True)
class Monoid:
    """What a pool does to the positions that it sees.

    Attributes:
      combine: two arrays to one, as `lax` does it.
      identity: the neutral element, for a dtype.
      repeated: an array combined with itself that many times.
      keeps: of an extremum, whether the position found so far is kept beside the next one; None
        for a monoid that all positions go into.
    """

    combine: Callable
    identity: Callable
    repeated: Callable
    keeps: Callable | None = None

    def initial(self, dtype) -> np.ndarray:
        """The neutral element as an array that no transformation traces."""
        return np.asarray(self.identity(dtype), dtype)


def _last(sign: int) -> Callable:
    """Of a dtype the least number or the greatest: infinite, if it has infinities."""

    def last(dtype):
        if jnp.issubdtype(dtype, bool):
            return sign > 0
        if not jnp.issubdtype(dtype, jnp.floating):
            return jnp.iinfo(dtype).max if sign > 0 else jnp.iinfo(dtype).min
        infinite = np.asarray(sign * np.inf, dtype)
        return infinite if np.isinf(infinite) else sign * jnp.finfo(dtype).max

    return last


def _itself(base, count):
    return base


_MAX = Monoid(lax.max, _last(-1), _itself, lax.ge)
_MIN = Monoid(lax.min, _last(1), _itself, lax.le)
_SUM = Monoid(lax.add, lambda dtype: 0, lambda base, n: base * np.asarray(n, base.dtype))
_PRODUCT = Monoid(lax.mul, lambda dtype: 1, lax.integer_pow)
_POOLS = {
    primitives.reduce_window_max_p: _MAX,
    primitives.reduce_window_min_p: _MIN,
    primitives.reduce_window_sum_p: _SUM,
}
_BODIES = {
    primitives.max_p: _MAX,
    primitives.min_p: _MIN,
    primitives.add_p: _SUM,
    primitives.mul_p: _PRODUCT,
}


def _flops(equation: Equation) -> int:
    extents = equation.params["window_dimensions"]
    return math.prod(equation.out_avals[0].shape) * math.prod(extents)


@rule("reduce_window_max", layer="max_pool", flops=_flops)
@rule("reduce_window_min", layer="min_pool", flops=_flops)
@rule("reduce_window_sum", layer="avg_pool", flops=_flops)
@rule("reduce_window", flops=_flops)
def reduce_window(ctx: Context, equation: Equation, operand: Value, *initial: Value) -> list[Value]:
    """Pools by maximum, minimum, sum and product, one dimension after the other."""
    monoid = _POOLS.get(equation.primitive) or _monoid_of(ctx, equation)
    if monoid is None:
        reason = Cause.OWN_POOL()
        return at_each_coset(ctx, equation, [operand, *initial], reason)
    geometries = geometries_of_pool(equation.params)
    value = without_unread(ctx, operand) if ctx.differentiated else operand
    if ctx.differentiated and monoid.keeps is not None:
        return [normal(ctx, _chosen(ctx, equation, value, geometries, monoid))]
    for dim, geometry in enumerate(geometries):
        if geometry.is_identity:
            continue
        if not value.dims[dim] and geometry.count(1) == 1 and geometry.low == geometry.high == 0:
            continue
        value = _pooled(ctx, equation, value, dim, geometry, monoid)
    return [normal(ctx, value)]


def _monoid_of(ctx: Context, equation: Equation) -> Monoid | None:
    """The monoid of a pool written with a function, if it is one of those known."""
    if len(equation.ins) != 2 or equation.in_avals[0].dtype == bool:
        return None
    body, consts = open_jaxpr(equation.params["jaxpr"])
    if len(body.eqns) != 1 or consts or equation.params.get("consts"):
        return None
    (eqn,) = body.eqns
    if list(eqn.invars) != list(body.invars) or list(eqn.outvars) != list(body.outvars):
        return None
    monoid = _BODIES.get(eqn.primitive)
    start = ctx.program.known_value(equation.ins[1])
    if monoid is None or start is None or start != monoid.identity(start.dtype):
        return None
    return monoid


def _pooled(ctx: Context, equation: Equation, value: Value, dim, geometry, monoid: Monoid) -> Value:
    value = as_single(ctx, value, dim, Cause.WINDOW_OVER_PARTS())
    row = value.dims[dim]
    if row and isinstance(row[0], Uniform) and geometry.reads_inside:
        return _pooled_uniform(value, dim, geometry, monoid)
    value = admitted(ctx, equation, value, (dim, dim), geometry, Cause.POOL_PADDING)
    window = window_of(value, dim)
    if window is None:
        return _pooled_plain(ctx, value, dim, geometry, monoid)
    place, m = value.place(dim), positions(ctx.torus, value, window)
    covers = geometry.extent == m and math.gcd(geometry.dilation, m) == 1
    if covers and window.valid is None and geometry.reads_inside:
        # All of the torus, wherever the window stands.
        def reduced(base):
            base = lax.reduce(base, monoid.initial(base.dtype), monoid.combine, (place,))
            return jnp.expand_dims(base, place)

        return replace_factor(value, place, Uniform(geometry.count(window.size)), reduced)

    def pooled(base):
        base = lengthened(ctx, value, base, place, geometry, monoid.initial(base.dtype))
        return _combined_slices(monoid, base, place, geometry, m * geometry.base_dilation)

    slides = replace_factor(value, place, slid(ctx, window, geometry), pooled)
    return strided(ctx, slides, dim, geometry.stride)


def _pooled_uniform(value: Value, dim: int, geometry: Geometry, monoid: Monoid) -> Value:
    """Equal positions under a window: multiples, powers, or the same again."""
    alike = Uniform(geometry.count(value.shape[dim]))
    return replace_factor(
        value, value.place(dim), alike, lambda base: monoid.repeated(base, geometry.extent)
    )


def _pooled_plain(ctx: Context, value: Value, dim: int, geometry: Geometry, monoid: Monoid):
    size = geometry.count(value.shape[dim])
    value = as_plain(ctx, value, dim, Cause.WINDOW_OVER_PARTS()).storing(dim)
    place, dims = value.place(dim), value.dims_with(dim, (Plain(size),))
    return value.on_base(lambda base: _along(base, [(place, geometry)], monoid), dims=dims)


def _along(base, seen: Sequence[tuple[int, Geometry]], monoid: Monoid):
    """The pool of the program along some dimensions of a base."""
    by_place = [Geometry(1, 1, 0, 0, 1)] * base.ndim
    for place, geometry in seen:
        by_place[place] = geometry
    return lax.reduce_window(
        base,
        monoid.initial(base.dtype),
        monoid.combine,
        [g.extent for g in by_place],
        [g.stride for g in by_place],
        [(g.low, g.high) for g in by_place],
        base_dilation=[g.base_dilation for g in by_place],
        window_dilation=[g.dilation for g in by_place],
    )


# From this extent on, a pool is one reduction and no longer a chain of shifted slices.
_LONG_POOL = 9


def _combined_slices(monoid: Monoid, base, place: int, geometry: Geometry, count: int):
    """The stride-1 outputs: fuses well on all backends, which dilated pools do not."""
    if geometry.extent >= _LONG_POOL and monoid is not _PRODUCT:
        at_stride_1 = Geometry(geometry.extent, 1, 0, 0, geometry.dilation)
        return _along(base, [(place, at_stride_1)], monoid)
    slices = [
        lax.slice_in_dim(base, k * geometry.dilation, k * geometry.dilation + count, axis=place)
        for k in range(geometry.extent)
    ]
    return functools.reduce(monoid.combine, slices)


def _chosen(
    ctx: Context, equation: Equation, value: Value, geometries: list[Geometry], monoid: Monoid
) -> Value:
    """An extremum over all dimensions at once.

    The gradient goes to one position of each window. Which one, of several that are equal, or
    beside one that is NaN, follows from the order in which all of a window is gone through: so
    dimensions cannot be taken one after the other, nor the torus as a whole.
    """
    for dim, geometry in enumerate(geometries):
        if not geometry.is_identity:
            value = admitted(ctx, equation, value, (dim, dim), geometry, Cause.POOL_PADDING)
    for dim, geometry in enumerate(geometries):
        row = value.dims[dim]
        still = bool(row) and isinstance(row[0], Uniform) and geometry.reads_inside
        if not (geometry.is_identity or window_of(value, dim) or still):
            value = as_plain(ctx, value, dim, Cause.POOL_PADDING()).storing(dim)
    seen = []
    factors = [row[0] if len(row) == 1 else None for row in value.dims]
    for dim, (geometry, factor) in enumerate(zip(geometries, factors, strict=True)):
        if geometry.is_identity:
            continue
        place = value.place(dim)
        if isinstance(factor, Uniform):
            value = replace_factor(value, place, Uniform(geometry.count(factor.size)))
        elif isinstance(factor, Window):
            long = functools.partial(_lengthened, ctx, value, place, geometry, monoid)
            seen.append((place, Geometry(geometry.extent, 1, 0, 0, geometry.dilation)))
            value = replace_factor(value, place, slid(ctx, factor, geometry), long)
        else:
            seen.append((place, geometry))
            value = replace_factor(value, place, Plain(geometry.count(value.shape[dim])))
    value = value.on_base(lambda base: _extremum(base, seen, monoid))
    for dim, (geometry, factor) in enumerate(zip(geometries, factors, strict=True)):
        if isinstance(factor, Window) and not geometry.is_identity:
            # Thinning one dimension may end the axis of another: that is then strided as it is.
            value = strided(ctx, value, dim, geometry.stride)
    return value


def _lengthened(ctx, value: Value, place: int, geometry: Geometry, monoid: Monoid, base):
    return lengthened(ctx, value, base, place, geometry, monoid.initial(base.dtype))


def _extremum(base, seen: Sequence[tuple[int, Geometry]], monoid: Monoid):
    """The extremum of windows over some dimensions of a base, with the gradient of XLA's pool."""
    assert monoid.keeps is not None
    within = all(geometry.reads_inside for _, geometry in seen)
    if not within or math.prod(geometry.extent for _, geometry in seen) > _LONG_POOL:
        return _along(base, seen, monoid)
    slices = []
    for offsets in itertools.product(*(range(geometry.extent) for _, geometry in seen)):
        piece = base
        for (place, geometry), offset in zip(seen, offsets, strict=True):
            first = offset * geometry.dilation
            last = first + (geometry.count(base.shape[place]) - 1) * geometry.stride
            piece = lax.slice_in_dim(piece, first, last + 1, geometry.stride, axis=place)
        slices.append(piece)
    return _first_of(slices, monoid.combine, monoid.keeps)


def _first_of(slices: Sequence, combine: Callable, keeps: Callable):
    """The extremum of arrays; its gradient goes where `keeps` ends, gone through in order."""

    @jax.custom_jvp
    def extremum(slices):
        return functools.reduce(combine, slices)

    @extremum.defjvp
    def _(primals, tangents):
        (slices,), (dots,) = primals, tangents
        found, dot = slices[0], dots[0]
        for other, other_dot in zip(slices[1:], dots[1:], strict=True):
            kept = keeps(found, other)
            found, dot = jnp.where(kept, found, other), jnp.where(kept, dot, other_dot)
        return extremum(slices), dot

    return extremum(list(slices))
