"""Rare operations, each drawn in its turn: special functions, bits, matrices, random numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import primitives

from tests.symmetry.steps import Step, fresh, positions, rare
from tests.symmetry.steps_order import CUMULATIVE, accumulated


def bits(fun):
    """A function of whole numbers, of a value that is no whole number."""
    return lambda v: v + 0.25 * fun(jnp.floor(4 * v + 0.123).astype(jnp.int32)).astype(v.dtype)


def bound(name, fun):
    """A primitive that has no function of its own, if this release has it."""
    primitive = getattr(primitives, f"{name}_p", None) or getattr(lax, f"{name}_p", None)
    return {} if primitive is None else {name: lambda v: fun(primitive, v)}


POINTWISE = {
    "tan": lambda v: jnp.tan(0.4 * jnp.tanh(v)),
    "asin": lambda v: jnp.arcsin(0.9 * jnp.tanh(v)),
    "acos": lambda v: jnp.arccos(0.9 * jnp.tanh(v)),
    "atan": jnp.arctan,
    "sinh": lambda v: jnp.sinh(jnp.tanh(v)),
    "cosh": lambda v: jnp.cosh(jnp.tanh(v)),
    "asinh": jnp.arcsinh,
    "acosh": lambda v: jnp.arccosh(1.5 + jnp.abs(v)),
    "atanh": lambda v: jnp.arctanh(0.9 * jnp.tanh(v)),
    "cbrt": jnp.cbrt,
    "exp2": lambda v: jnp.exp2(jnp.tanh(v)),
    "expm1": lambda v: jnp.expm1(jnp.tanh(v)),
    "log": lambda v: jnp.log(0.5 + jnp.abs(v)),
    "log2": lambda v: jnp.log2(0.5 + jnp.abs(v)),
    "erfc": lax.erfc,
    "erf_inv": lambda v: lax.erf_inv(0.9 * jnp.tanh(v)),
    "lgamma": lambda v: lax.lgamma(1 + jnp.abs(v)),
    "digamma": lambda v: lax.digamma(1 + jnp.abs(v)),
    "polygamma": lambda v: lax.polygamma(jnp.ones_like(v), 1 + jnp.abs(jnp.tanh(v))),
    "zeta": lambda v: lax.zeta(2 + jnp.tanh(v), 1 + jnp.abs(jnp.tanh(v))),
    "igamma": lambda v: lax.igamma(1 + jnp.abs(v), 0.5 + 0.1 * jnp.abs(v)),
    "igammac": lambda v: lax.igammac(1 + jnp.abs(v), 0.5 + 0.1 * jnp.abs(v)),
    "igamma_grad_a": lambda v: lax.igamma_grad_a(1 + 1 / (1 + jnp.abs(v)), jnp.full_like(v, 0.5)),
    "betainc": lambda v: lax.betainc(1 + jnp.abs(v), jnp.full_like(v, 2), jnp.full_like(v, 0.3)),
    "bessel_i0e": lax.bessel_i0e,
    "bessel_i1e": lax.bessel_i1e,
    "nextafter": lambda v: lax.nextafter(v, jnp.zeros_like(v)),
    # Its derivative rounds as well, so a sum of gradients is one only up to so many bits.
    "reduce_precision": lambda v: v + lax.stop_gradient(lax.reduce_precision(v, 8, 7)),
    "rem": lambda v: lax.rem(v, jnp.full_like(v, 0.7)),
    "pow": lambda v: jnp.power(1 + jnp.abs(v), jnp.tanh(v)),
    "complex": lambda v: jnp.real(lax.conj(lax.complex(v, 2 * v)) * (1 + 2j)).astype(v.dtype),
    "imag": lambda v: jnp.imag(jnp.exp(1j * v)).astype(v.dtype),
    "is_finite": lambda v: jnp.where(jnp.isfinite(v) & (v != 0.25), v, 0.0),
    "ceil": lambda v: jnp.ceil(3 * v + 0.123) - v,
    "round": lambda v: lax.round(3 * v + 0.123) - v,
    "bitcast": lambda v: lax.bitcast_convert_type(
        lax.bitcast_convert_type(v, jnp.dtype(f"int{8 * v.dtype.itemsize}")), v.dtype
    ),
    "bytes": lambda v: v + lax.bitcast_convert_type(v, jnp.uint8)[..., -1].astype(v.dtype) / 256,
    "clz": bits(lambda i: lax.clz(jnp.abs(i))),
    "population_count": bits(lax.population_count),
    "not": bits(jnp.invert),
    "and": bits(lambda i: i & 5),
    "or": bits(lambda i: i | 3),
    "xor": bits(lambda i: i ^ 6),
    "shift_left": bits(lambda i: jnp.left_shift(i, 1)),
    "shift_right": bits(lambda i: jnp.right_shift(i, 1)),
    "shift_right_logical": bits(lambda i: lax.shift_right_logical(jnp.abs(i), jnp.int32(1))),
    "integer division": bits(lambda i: (7 * i) // 3 + i % 3),
    "sign": bits(jnp.sign),
    "barrier": lambda v: lax.optimization_barrier(2 * v),
    "device_put": lambda v: jax.device_put(2 * v),
    "checkpoint_name": lambda v: checkpoint_name(2 * v, "doubled"),
    "copy": lambda v: 2 * jnp.copy(v),
    "nan_to_num": jnp.nan_to_num,
    "sinc": jnp.sinc,
    "heaviside": lambda v: v * jnp.heaviside(v, 0.5),
    "piecewise": lambda v: jnp.piecewise(v, [v < -0.2, v > 0.3], [jnp.negative, 2.0, jnp.abs]),
    "digitize": lambda v: v + jnp.digitize(v, np.array([-0.7, 0.1, 0.9])).astype(v.dtype),
    "interp": lambda v: jnp.interp(v, np.array([-1.0, 0, 1]), np.array([0.0, 2, 1])).astype(
        v.dtype
    ),
    "polyval": lambda v: jnp.polyval(jnp.array([0.25, -1, 0.5], v.dtype), v),
    "modf": lambda v: jnp.modf(v)[0] - 2 * jnp.modf(v)[1],
    "frexp": lambda v: jnp.frexp(v)[0],
    "sparse_plus": jax.nn.sparse_plus,
    "mish": jax.nn.mish,
    "squareplus": jax.nn.squareplus,
    **bound("eq_to", lambda p, v: jnp.where(p.bind(v, jnp.round(v)), v, 2 * v)),
    **bound("le_to", lambda p, v: jnp.where(p.bind(v, 0.5 * v), v, 2 * v)),
    **bound("lt_to", lambda p, v: jnp.where(p.bind(v, jnp.zeros_like(v)), v, 2 * v)),
    **bound("add_jaxvals", lambda p, v: p.bind(v, 2 * v)),
    **bound("one_minus_square", lambda p, v: p.bind(v)),
    **bound("mulhi", lambda p, v: bits(lambda i: p.bind(i << 17, i << 17))(v)),
}


def _pointwise(name):
    def make(d, value, layout):
        return Step(name, POINTWISE[name], layout)

    return make


for _name in POINTWISE:
    rare(_pointwise(_name))


def along(fun):
    """A maker of steps along one dimension, from `fun(v, dim)`."""

    def make(d, value, layout):
        dim = d.one_of([i for i, n in enumerate(value.shape) if n > 1] or range(len(layout)))
        return Step(f"{fun.__name__} along {layout[dim]}", lambda v: fun(v, dim), layout)

    return rare(make)


@along
def reduce_with_function(v, dim):
    """A monoid that lax.reduce does not know."""
    best = lax.reduce(v, np.array(0, v.dtype), lambda a, b: jnp.maximum(a, jnp.abs(b)), [dim])
    return v + jnp.expand_dims(best, dim)


@along
def reduce_two(v, dim):
    """The sum and the greatest together."""
    zero = np.array(0, v.dtype)
    total, best = lax.reduce(
        (v, jnp.abs(v)), (zero, zero), lambda a, b: (a[0] + b[0], jnp.maximum(a[1], b[1])), [dim]
    )
    return v + jnp.expand_dims(total - 2 * best, dim)


@along
def reduce_logical(v, dim):
    some = jnp.any(v > 0.5, dim, keepdims=True) & ~jnp.all(v > -0.5, dim, keepdims=True)
    odd = lax.reduce((4 * v).astype(jnp.int32), np.int32(0), lax.bitwise_xor, [dim])
    return jnp.where(some, v, 2 * v) + jnp.expand_dims(odd, dim).astype(v.dtype) / 8


@along
def window_with_function(v, dim):
    """A window with a function that no pool has."""
    size = [2 if i == dim else 1 for i in range(v.ndim)]
    return lax.reduce_window(
        v, np.array(0, v.dtype), lambda a, b: jnp.maximum(a, jnp.abs(b)), size, [1] * v.ndim, "SAME"
    )


@along
def ordered_along(v, dim):
    """Total order, as sorts compare."""
    return jnp.sort(jnp.where(v == 0, -v, v), axis=dim)


@along
def around_twice(v, dim):
    """A tile, and a part of it that goes over the end."""
    n = v.shape[dim]
    twice = jnp.tile(v, [2 if i == dim else 1 for i in range(v.ndim)])
    return jnp.arctan2(lax.slice_in_dim(twice, n - 1, 2 * n - 1, axis=dim), 1 + v * v)


@along
def unwrapped(v, dim):
    return jnp.unwrap(v, axis=dim)


@along
def searched(v, dim):
    row = jnp.sort(jnp.moveaxis(v, dim, 0).reshape(v.shape[dim], -1)[:, 0])
    return v + jnp.searchsorted(row, v).astype(v.dtype)


@along
def histogram(v, dim):
    counts, _ = jnp.histogram(v, bins=3, range=(-1.5, 1.5))
    return v + counts[1].astype(v.dtype) / 8


@along
def counted(v, dim):
    at = jnp.clip(2 * v, 0, 3).astype(jnp.int32)
    return v + jnp.bincount(at.reshape(-1), length=4)[2].astype(v.dtype)


@along
def segments(v, dim):
    moved = jnp.moveaxis(v, dim, 0)
    sums = jax.ops.segment_sum(moved, np.arange(v.shape[dim]) % 2, num_segments=2)
    return v + jnp.expand_dims(sums[0] - sums[1], dim)


@along
def approximate_largest(v, dim):
    best, _ = lax.approx_max_k(v, 1, reduction_dimension=dim)
    return v + best


@along
def largest_two(v, dim):
    best, at = lax.top_k(jnp.moveaxis(v, dim, -1), min(2, v.shape[dim]))
    return v + jnp.moveaxis(jnp.sum(best + at.astype(v.dtype), -1, keepdims=True), -1, dim)


@along
def convolved(v, dim):
    filtered = jnp.apply_along_axis(
        lambda row: jnp.convolve(row, np.array([1, -2, 0.5], v.dtype), mode="same"), dim, v
    )
    return filtered


@along
def triangular_mask(v, dim):
    moved = jnp.moveaxis(v, dim, -1)
    outer = jnp.tril(moved[..., :, None] * jnp.ones_like(moved)[..., None, :])
    return jnp.moveaxis(jnp.sum(outer, -1), -1, dim)


@along
def callback(v, dim):
    """The host computes; under vmap with all shifts at once."""
    shape = jax.ShapeDtypeStruct(v.shape, v.dtype)
    fixed = lax.stop_gradient(v)
    return v + jax.pure_callback(
        lambda a: np.abs(np.asarray(a)), shape, fixed, vmap_method="expand_dims"
    )


@along
def callback_one_by_one(v, dim):
    shape = jax.ShapeDtypeStruct(v.shape, v.dtype)
    fixed = lax.stop_gradient(v)
    return v + jax.pure_callback(
        lambda a: np.abs(np.asarray(a)), shape, fixed, vmap_method="sequential"
    )


@along
def mapped_coordinates(v, dim):
    """scipy's interpolation at places half a position further."""
    places = list(np.meshgrid(*[np.arange(n, dtype=v.dtype) for n in v.shape], indexing="ij"))
    places[dim] = places[dim] + 0.5
    return jax.scipy.ndimage.map_coordinates(v, places, order=1, mode="wrap")


@along
def scaled_and_translated(v, dim):
    return jax.image.scale_and_translate(
        v, v.shape, (dim,), jnp.ones(1, v.dtype), jnp.full(1, 0.5, v.dtype), "linear"
    )


@rare
def pairwise(d, value, layout):
    """All differences along a dimension, in a new one."""
    dims = positions(layout)
    if not dims or value.size * max(value.shape) > 1500 or len(layout) > 4:
        return None
    dim = d.one_of(dims)
    letter = fresh(layout, small=False)

    def fun(v):
        return jnp.expand_dims(v, dim + 1) - jnp.expand_dims(v, dim)

    return Step(
        f"differences along {layout[dim]}", fun, layout[: dim + 1] + letter + layout[dim + 1 :]
    )


def _derivative_of_pool(kind):
    return lambda d, value, layout: derivative_of_pool(kind, value, layout)


def derivative_of_pool(kind, value, layout):
    """What a max pool is differentiated to, as a step: XLA's select and scatter, or gather."""
    dims = positions(layout)
    if not dims or min(value.shape[i] for i in dims) < 2:
        return None
    size = [2 if i in dims else 1 for i in range(len(layout))]

    def best(v):
        return lax.reduce_window(v, np.array(-np.inf, v.dtype), lax.max, size, [1] * v.ndim, "SAME")

    def fun(v):
        def slope(u):
            return jax.grad(lambda w: jnp.sum(best(w) ** 2))(u)

        if kind == "tangent":
            return jax.jvp(best, (v,), (jnp.flip(v, dims[0]),))[1]
        return slope(v) if kind == "gradient" else jax.jvp(slope, (v,), (v,))[1]

    return Step(f"the {kind} of a max pool", fun, layout)


for _name in ("gradient", "tangent", "tangent of the gradient"):
    rare(_derivative_of_pool(_name))
for _name in CUMULATIVE:
    rare(functools.partial(accumulated, _name))


@rare
def local_patches(d, value, layout):
    """Patches by a convolution with the identity."""
    if len(layout) != 4 or layout != "NHWC":
        return None

    def fun(v):
        return lax.conv_general_dilated_patches(
            v, (2, 2), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    return Step("patches", fun, layout)


@rare
def overlapping_blocks(d, value, layout):
    """Blocks with a halo, gathered around the torus or not, from the map or from it flattened."""
    dims = [i for i in positions(layout) if value.shape[i] > 3]
    if not dims or value.size > 400:
        return None
    dim = d.one_of(dims)
    n, halo = value.shape[dim], d.integer(0, 2)
    size = d.one_of([k for k in (2, 3, 4, n // 2) if n % k == 0] or [2])
    row = size * np.arange(n // size)[:, None] + np.arange(-halo, size + halo)
    row = row % n if d.chance(70) else np.clip(row, 0, n - 1)
    weights = d.weights(row.shape[1], size).astype(value.dtype)
    flat = d.chance(40)

    def blocks(v):
        if not flat:
            return jnp.take(v, row, axis=dim)
        places = np.moveaxis(np.arange(v.size).reshape(v.shape), dim, 0)[row]
        return v.reshape(-1)[np.moveaxis(places, (0, 1), (dim, dim + 1))]

    def fun(v):
        mixed = jnp.moveaxis(jnp.moveaxis(blocks(v), dim + 1, -1) @ weights, -1, dim + 1)
        return mixed.reshape(*v.shape[:dim], -1, *v.shape[dim + 1 :])

    name = f"blocks of {size} with a halo of {halo} along {layout[dim]}{' flattened' * flat}"
    return Step(name, fun, layout)
