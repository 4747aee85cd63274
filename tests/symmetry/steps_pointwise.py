"""Pointwise steps: activations, affine maps, comparisons, and constants that vary by position."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, is_clear, positions

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
    "sigmoid": jax.nn.sigmoid,
    "square": jnp.square,
    "cube": lambda v: v**3,
    "power": lambda v: jnp.abs(v) ** 1.5,
    "abs": jnp.abs,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "nan_to_num": lambda v: jnp.nan_to_num(2 * v, posinf=4, neginf=-4),
    "isnan": lambda v: jnp.where(jnp.isnan(v), 0.5, v),
    "isfinite": lambda v: jnp.where(jnp.isfinite(v), jnp.abs(v), v),
    "safe reciprocal": lambda v: jnp.where(v == 0, 0, 1 / jnp.where(v == 0, 1, v)),
    "clip": lambda v: jnp.clip(v, -1.2, 0.9),
    "rsqrt": lambda v: v * lax.rsqrt(1 + v * v),
    "exp": lambda v: jnp.exp(-jnp.abs(v)),
    "log1p": lambda v: jnp.log1p(jnp.abs(v)),
    "erf": lax.erf,
    "hard_tanh": jax.nn.hard_tanh,
    "stop_gradient": lambda v: v + 0.5 * lax.stop_gradient(v),
    "double": lambda v: v + v,
    "maximum": lambda v: jnp.maximum(v, -0.3),
    "negative minimum": lambda v: -jnp.minimum(v, 0.4),
    "where": lambda v: jnp.where(v > 0, v, 0.1 * v - 0.2),
    "select": lambda v: lax.select(v < 0.1, jnp.sin(v), v),
    "bool": lambda v: (v > 0.05) * v + (v <= 0.05).astype(v.dtype) * 0.3 * v,
    "int": lambda v: v + jnp.floor(3 * v + 0.123).astype(jnp.int32).astype(v.dtype),
}


@family(10)
def activation(d, value, layout):
    name = d.one_of(sorted(ACTIVATIONS))
    return Step(name, ACTIVATIONS[name], layout)


@family(4)
def affine(d, value, layout):
    """A scale and a bias for each channel: batch norm in evaluation mode."""
    shape = [n if letter == "C" else 1 for n, letter in zip(value.shape, layout, strict=True)]
    scale, bias = d.weights(*shape, scale=0.5) + 1, d.weights(*shape, scale=0.5)
    return Step("affine", lambda v: v * scale + bias, layout)


@family(3)
def varying_constant(d, value, layout):
    """A position embedding, a mask, a dropout pattern or a coordinate channel."""
    dims = d.some_of([i for i, n in enumerate(value.shape) if n > 1] or [0])
    shape = [n if i in dims else 1 for i, n in enumerate(value.shape)]
    weights = d.weights(*shape, scale=1.0)
    letters = "".join(layout[i] for i in dims)
    kind = d.one_of(("embedding", "gain", "mask", "where", "maximum", "iota"))
    if kind == "embedding":
        return Step(f"embedding {letters}", lambda v: v + weights, layout)
    if kind == "gain":
        return Step(f"gain {letters}", lambda v: v * (1 + weights), layout)
    if kind == "mask":
        mask = weights > -0.5
        return Step(f"mask {letters}", lambda v: jnp.where(mask, v, 0.0), layout)
    if kind == "where":
        return Step(f"where {letters}", lambda v: jnp.where(weights > 0, v, 0.5 * v - 1), layout)
    if kind == "maximum":
        return Step(f"maximum {letters}", lambda v: jnp.maximum(weights, v), layout)
    dim = dims[0]

    def coordinates(v):
        return v + 0.3 * lax.broadcasted_iota(v.dtype, v.shape, dim)

    return Step(f"coordinates {layout[dim]}", coordinates, layout)


@family(2)
def uniform_constant(d, value, layout):
    """Constants of the value's full shape that the program itself fills with one number."""
    number, shape = 0.3 + d.integer(0, 9) / 10, value.shape
    return Step("full", lambda v: v * jnp.full(shape, number, v.dtype) + jnp.ones_like(v), layout)


@family(4)
def with_neighbour(d, value, layout):
    """Combines each position with another of the same value."""
    dim = d.one_of(range(len(layout)))
    if value.shape[dim] < 2:
        return None
    by = d.integer(1, value.shape[dim] - 1)

    def moved(v):
        return jnp.roll(v, by, dim)

    kinds = {
        "max": lambda v: jnp.maximum(v, moved(v)),
        "mul": lambda v: v * moved(v),
        "difference": lambda v: v - 0.7 * moved(v),
        "atan2": lambda v: jnp.arctan2(v, moved(v)),
        "where": lambda v: jnp.where(v > moved(v), 2 * v, moved(v)),
        "clamp": lambda v: lax.clamp(moved(v) - 0.5, v, moved(v) + 0.5),
    }
    kind = d.one_of(sorted(kinds))
    if kind in ("max", "where") and not is_clear(d, value - np.roll(value, by, dim)):
        return None
    return Step(f"{kind} with roll({by}) of {layout[dim]}", kinds[kind], layout)


@family(2)
def overlapping_slices(d, value, layout):
    """v[k:] against v[:-k]: two windows of one value, aligned at different offsets."""
    dims = [i for i in positions(layout) if value.shape[i] > 3]
    if not dims:
        return None
    dim, by = d.one_of(dims), d.integer(1, 2)
    n = value.shape[dim]
    combine = d.one_of((jnp.maximum, jnp.multiply, jnp.subtract, jnp.logaddexp))

    def fun(v):
        return combine(
            lax.slice_in_dim(v, by, n, axis=dim), lax.slice_in_dim(v, 0, n - by, axis=dim)
        )

    return Step(f"{combine.__name__} of slices {by} apart along {layout[dim]}", fun, layout)
