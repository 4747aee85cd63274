"""Pools: a window under a monoid, by any of the primitives that `lax.reduce_window` becomes."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.moves import Context, normal, replace_factor
from jaxinv.symmetry.program import Equation, open_jaxpr
from jaxinv.symmetry.rules.fallback import at_each_coset
from jaxinv.symmetry.rules.layout import strided
from jaxinv.symmetry.rules.windowed import Geometry, admitted, lengthened, slid, window_of
from jaxinv.symmetry.values import Plain, Uniform, Value, positions


@dataclass(frozen=True)
class Monoid:
    """What a pool does to the positions that it sees.

    Attributes:
      combine: two arrays to one, as `lax` does it.
      slices: the same with the gradient of a pool: of equal positions the first gets it.
      identity: the neutral element, for a dtype.
      repeated: an array combined with itself so many times.
    """

    combine: Callable
    slices: Callable
    identity: Callable
    repeated: Callable

    def initial(self, dtype) -> np.ndarray:
        """The neutral element as an array that no transformation traces."""
        return np.asarray(self.identity(dtype), dtype)


def _first_wins(choose, is_better):
    """Maximum or minimum whose gradient goes to the first of equal positions, as a pool's does."""

    @jax.custom_jvp
    def extremum(a, b):
        return choose(a, b)

    @extremum.defjvp
    def _(primals, tangents):
        a, b = primals
        second = is_better(b, a) | (b != b)
        return choose(a, b), jnp.where(second, tangents[1], tangents[0])

    return extremum


def _lowest(dtype):
    if jnp.issubdtype(dtype, jnp.floating):
        return -np.inf
    return jnp.iinfo(dtype).min


def _highest(dtype):
    if jnp.issubdtype(dtype, jnp.floating):
        return np.inf
    return jnp.iinfo(dtype).max


def _itself(base, count):
    return base


_MAX = Monoid(lax.max, _first_wins(lax.max, lax.gt), _lowest, _itself)
_MIN = Monoid(lax.min, _first_wins(lax.min, lax.lt), _highest, _itself)
_SUM = Monoid(lax.add, lax.add, lambda dtype: 0, lambda base, n: base * np.asarray(n, base.dtype))
_PRODUCT = Monoid(lax.mul, lax.mul, lambda dtype: 1, lax.integer_pow)
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


def reduce_window(ctx: Context, equation: Equation, operand: Value, *initial: Value) -> list[Value]:
    """Pools by maximum, minimum, sum and product, one dimension after the other."""
    monoid = _POOLS.get(equation.primitive) or _monoid_of(ctx, equation)
    if monoid is None:
        reason = "a pool with a function or initial value of its own"
        return at_each_coset(ctx, equation, [operand, *initial], reason)
    params = equation.params
    geometries = [
        Geometry(*map(int, (extent, stride, low, high, dilation, base_dilation)))
        for extent, stride, (low, high), dilation, base_dilation in zip(
            params["window_dimensions"],
            params["window_strides"],
            params["padding"],
            params["window_dilation"],
            params["base_dilation"],
            strict=True,
        )
    ]
    value = operand
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
    value = as_single(ctx, value, dim, "a window slides over a dimension that moves in parts")
    row = value.dims[dim]
    inside = max(geometry.low, geometry.high) <= 0 and geometry.base_dilation == 1
    if row and isinstance(row[0], Uniform) and inside:
        return _pooled_uniform(value, dim, geometry, monoid)
    value = admitted(ctx, equation, value, (dim, dim), geometry, "padding")
    window = window_of(value, dim)
    if window is None:
        return _pooled_plain(ctx, value, dim, geometry, monoid)
    place, base = value.place(dim), value.base
    m = positions(ctx.torus, value, window)
    covers = geometry.extent == m and math.gcd(geometry.dilation, m) == 1
    if covers and window.valid is None and inside:
        # All of the torus, wherever the window stands. At ties the gradient is shared: it goes to
        # the first at each shift, and which that is depends on the shift.
        if base is not None:
            base = lax.reduce(base, monoid.initial(base.dtype), monoid.combine, (place,))
            base = jnp.expand_dims(base, place)
        return replace_factor(value, place, Uniform(geometry.count(window.size)), base)
    if base is not None:
        base = lengthened(ctx, value, base, place, geometry, monoid.initial(base.dtype))
        base = _combined_slices(monoid, base, place, geometry, m * geometry.base_dilation)
    value = replace_factor(value, place, slid(window, geometry), base)
    return strided(ctx, value, dim, geometry.stride)


def _pooled_uniform(value: Value, dim: int, geometry: Geometry, monoid: Monoid) -> Value:
    """Equal positions under a window: multiples, powers, or the same again."""
    base = value.base if value.base is None else monoid.repeated(value.base, geometry.extent)
    return replace_factor(value, value.place(dim), Uniform(geometry.count(value.shape[dim])), base)


def _pooled_plain(ctx: Context, value: Value, dim: int, geometry: Geometry, monoid: Monoid):
    size = geometry.count(value.shape[dim])
    value = as_plain(ctx, value, dim, "")
    place, base = value.place(dim), value.base
    if base is not None:
        if not value.dims[dim]:
            base = jnp.expand_dims(base, place)
        base = _along(base, place, geometry, monoid)
    dims = (*value.dims[:dim], (Plain(size),), *value.dims[dim + 1 :])
    return value.with_base(base, dims=dims)


def _along(base, place: int, geometry: Geometry, monoid: Monoid):
    """The pool of the program along one dimension of a base."""
    ones = (1,) * base.ndim
    return lax.reduce_window(
        base,
        monoid.initial(base.dtype),
        monoid.combine,
        _with(ones, place, geometry.extent),
        _with(ones, place, geometry.stride),
        _with(((0, 0),) * base.ndim, place, (geometry.low, geometry.high)),
        base_dilation=_with(ones, place, geometry.base_dilation),
        window_dilation=_with(ones, place, geometry.dilation),
    )


def _with(items: Sequence, place: int, item) -> tuple:
    return (*items[:place], item, *items[place + 1 :])


# From this extent on, a pool is one reduction and no longer a chain of shifted slices.
_LONG_POOL = 9


def _combined_slices(monoid: Monoid, base, place: int, geometry: Geometry, count: int):
    """The stride-1 outputs: fuses well on all backends, which dilated pools do not."""
    if geometry.extent >= _LONG_POOL and monoid is not _PRODUCT:
        return _along(base, place, Geometry(geometry.extent, 1, 0, 0, geometry.dilation), monoid)
    slices = [
        lax.slice_in_dim(base, k * geometry.dilation, k * geometry.dilation + count, axis=place)
        for k in range(geometry.extent)
    ]
    return functools.reduce(monoid.slices, slices)
