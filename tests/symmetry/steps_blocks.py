"""Steps made of other steps: branches, calls, custom derivatives, scans and other control flow."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from tests.symmetry import (  # noqa: F401 (each registers its families)
    reference,
    steps_layout,
    steps_matrices,
    steps_order,
    steps_pairs,
    steps_places,
    steps_pointwise,
    steps_rare,
    steps_reduce,
    steps_strided,
    steps_windows,
)
from tests.symmetry.steps import (
    FAMILIES,
    Family,
    Step,
    family,
    has_rare,
    next_rare,
    positions,
)

__all__ = ["FAMILIES", "grow"]


def grow(d, value, layout, length, *, material, depth=0):
    """Draws `length` valid steps one after another, each tried on the value it will meet.

    One step of most programs is the next of the rare ones, at a place drawn at random.
    """
    steps = []
    makers = [f for f in FAMILIES if depth < 2 or not f.nests]
    urn = [f for f in makers for _ in range(f.weight)]
    place = None
    if depth == 0 and has_rare(d):
        place = length - 1 if material.exact else d.integer(0, length - 1)
    while len(steps) < length:
        for attempt in range(20):
            chosen = d.one_of(urn)
            if len(steps) == place and attempt < 3:
                chosen = Family("rare", 0, next_rare)
            options = {"depth": depth, "material": material} if chosen.nests else {}
            step = chosen.make(d, value, layout, **options)
            if step is None:
                continue
            (after,) = reference.run(step.fun, value)
            if material.accepts(after, last=depth == 0 and len(steps) == length - 1):
                break
        else:
            break
        if place == len(steps) and chosen.make is not next_rare and not material.exact:
            place = min(place + 1, length - 1)
        assert after.ndim == len(step.layout), (step.name, after.shape, step.layout)
        steps.append(step)
        value, layout = after, step.layout
    return steps, value, layout


def chained(steps):
    def fun(v):
        for step in steps:
            v = step.fun(v)
        return v

    return fun


def names(steps):
    return "; ".join(s.name for s in steps)


@family(6)
def residual(d, value, layout, *, depth, material):
    steps, after, new = grow(d, value, layout, d.integer(1, 3), depth=depth + 1, material=material)
    if new != layout or after.shape != value.shape:
        return None
    inner, gate = chained(steps), d.chance(20)

    def fun(v):
        return v * jax.nn.sigmoid(inner(v)) if gate else v + inner(v)

    return Step(f"{'gate' if gate else 'residual'} [{names(steps)}]", fun, layout)


@family(4)
def branches(d, value, layout, *, depth, material):
    """Two branches, concatenated along the dimension in which alone they differ, or added."""
    one, first, layout_one = grow(
        d, value, layout, d.integer(0, 2), depth=depth + 1, material=material
    )
    two, second, layout_two = grow(
        d, value, layout, d.integer(1, 2), depth=depth + 1, material=material
    )
    if layout_one != layout_two:
        return None
    left, right = chained(one), chained(two)
    name = f"[{names(one)}] | [{names(two)}]"
    if first.shape == second.shape and d.chance(50):
        combine = d.one_of((jnp.add, jnp.multiply, jnp.maximum, lambda a, b: jnp.where(a > 0, a, b)))  # fmt: skip  # noqa: E501
        return Step(f"combine {name}", lambda v: combine(left(v), right(v)), layout_one)
    differing = [i for i in range(first.ndim) if first.shape[i] != second.shape[i]]
    if len(differing) > 1:
        return None
    dim = differing[0] if differing else d.integer(0, first.ndim - 1)
    if not differing and "C" in layout_one and d.chance(60):
        dim = layout_one.index("C")
    name = f"concatenate along {layout_one[dim]} {name}"
    return Step(name, lambda v: jnp.concatenate([left(v), right(v)], dim), layout_one)


@family(3)
def squeeze_and_excitation(d, value, layout, *, depth, material):
    if "C" not in layout or not positions(layout):
        return None
    channels = value.shape[layout.index("C")]
    dims = tuple(i for i, c in enumerate(layout) if c not in "NC")
    down, up = d.weights(channels, 2), d.weights(2, channels, scale=1.0)
    others = tuple(i for i, c in enumerate(layout) if c != "C")

    def fun(v):
        moved = jnp.moveaxis(v, layout.index("C"), -1)
        pooled = jnp.mean(v, dims)
        if "N" in layout and layout.index("C") < layout.index("N"):
            pooled = jnp.moveaxis(pooled, 0, -1)
        gate = jax.nn.sigmoid(jax.nn.relu(pooled @ down + 0.4) @ up)
        shape = [n if "N" in layout and c == "N" else 1 for n, c in zip(v.shape, layout, strict=True) if c != "C"]  # fmt: skip  # noqa: E501
        return jnp.moveaxis(moved * gate.reshape(*shape, channels), -1, layout.index("C"))

    return Step(f"squeeze and excitation over {len(others)}", fun, layout)


@jax.custom_vjp
def clip_gradient(v):
    """The identity, whose backward pass clips: not linear in the cotangent."""
    return v


clip_gradient.defvjp(lambda v: (v, None), lambda _, g: (jnp.clip(g, -0.05, 0.05),))


@jax.custom_jvp
def soft_threshold(v):
    return jnp.where(v > 0.1, v - 0.1, jnp.where(v < -0.1, v + 0.1, 0.05 * v))


@soft_threshold.defjvp
def _soft_threshold_jvp(primals, tangents):
    (v,), (t,) = primals, tangents
    return soft_threshold(v), t * jax.nn.sigmoid(v)


@jax.custom_vjp
def straight_through(v, scale):
    return jnp.round(v * scale + 0.123) / scale + 0.1 * v


straight_through.defvjp(
    lambda v, scale: (straight_through(v, scale), (v, scale)),
    lambda kept, g: (g * jnp.cos(kept[0]), jnp.zeros_like(kept[1])),
)


@family(4)
def custom_derivative(d, value, layout, *, depth, material):
    kinds = {
        "clip_gradient": lambda v: clip_gradient(1.1 * v),
        "soft_threshold": soft_threshold,
        "straight_through": lambda v: straight_through(v, jnp.asarray(4.0, v.dtype)),
    }
    kind = d.one_of(sorted(kinds))
    return Step(kind, kinds[kind], layout)


@family(3)
def call(d, value, layout, *, depth, material):
    """Steps behind jit, remat, or a custom derivative of the user's own."""
    steps, _, new = grow(d, value, layout, d.integer(1, 2), depth=depth + 1, material=material)
    if not steps:
        return None
    inner = chained(steps)
    kind = d.one_of(("jit", "remat", "custom_jvp", "custom_vjp"))
    if kind == "jit":
        fun = jax.jit(inner)
    elif kind == "remat":
        fun = jax.checkpoint(inner)
    elif kind == "custom_jvp":
        within = reference.equations(jax.make_jaxpr(inner)(value))
        if any(e.primitive is primitives.custom_vjp_call_p for e in within):
            return None  # it has no tangent, so under vmap jax has no gradient of this either
        fun = jax.custom_jvp(inner)
        fun.defjvp(lambda p, t: jax.jvp(lambda v: inner(v) * 1.0, p, t))
    else:
        fun = jax.custom_vjp(inner)

        def forward(v):
            return jax.vjp(inner, v)

        fun.defvjp(forward, lambda back, g: tuple(jnp.tanh(c) for c in back(g)))
    return Step(f"{kind} [{names(steps)}]", fun, new)


@family(3)
def derivative(d, value, layout, *, depth, material):
    """The gradient of a sum with respect to the input (saliency), or a tangent."""
    steps, after, _ = grow(d, value, layout, d.integer(1, 2), depth=depth + 1, material=material)
    if not steps:
        return None
    inner = chained(steps)
    weights = d.weights(*after.shape, scale=1.0) if d.chance(20) else d.one_of((1.0, 2.0))
    power = d.integer(1, 2)
    kind = d.one_of(("gradient", "gradient", "tangent", "value times gradient"))

    def score(v):
        return jnp.sum(weights * inner(v) ** power)

    def fun(v):
        if kind == "tangent":
            return v + jax.jvp(score, (v,), (jnp.ones_like(v),))[1]
        slope = jax.grad(score)(v)
        return v * slope if kind == "value times gradient" else slope

    try:
        program = jax.make_jaxpr(fun)(value)
    except (NotImplementedError, ValueError):
        return None  # while loops, dilated pools
    if any(e.primitive is primitives.custom_lin_p for e in reference.equations(program)):
        return None  # the tangent of a custom_vjp: jax has none
    return Step(f"{kind} of a sum to the power {power} of [{names(steps)}]", fun, layout)


@family(2)
def scanned_layers(d, value, layout, *, depth, material):
    """One residual layer, scanned over its stacked weights."""
    if "C" not in layout:
        return None
    channel = layout.index("C")
    channels, count = value.shape[channel], d.integer(2, 3)
    stacked = d.weights(count, channels, channels, scale=0.5)
    dims = positions(layout)
    dim = d.one_of(dims) if dims else None
    broken = d.chance(25) and dim is not None
    outputs = d.chance(30)

    def body(v, weights):
        mixed = jnp.moveaxis(jnp.moveaxis(v, channel, -1) @ weights, -1, channel)
        if broken:
            mixed = mixed + 0.1 * lax.broadcasted_iota(v.dtype, v.shape, dim)
        elif dim is not None:
            mixed = mixed + 0.5 * jnp.roll(v, 1, dim)
        after = v + jnp.tanh(mixed)
        return after, (jnp.max(after) if outputs else None)

    def fun(v):
        after, seen = lax.scan(body, v, stacked)
        return after + jnp.sum(seen) if outputs else after

    return Step(f"scan over {count} layers{' with coordinates' if broken else ''}", fun, layout)


@family(1)
def control_flow(d, value, layout, *, depth, material):
    dim = d.one_of(range(len(layout)))

    def loop(v):
        return lax.fori_loop(0, 2, lambda i, u: jnp.tanh(u + 0.3 * jnp.roll(u, 1, dim)), v)

    def from_zeros(v):
        start = jnp.zeros_like(v)
        return lax.fori_loop(0, 3, lambda i, u: jnp.tanh(v + 0.5 * jnp.roll(u, 1, dim)), start)

    def until(v):
        def goes_on(u):  # and does not for ever, of an infinity
            return (jnp.max(jnp.abs(u)) > 0.5) & (jnp.max(jnp.abs(u)) < 1e6)

        return lax.while_loop(goes_on, lambda u: 0.7 * u - 0.05 * jnp.flip(u, dim), v)

    def branch(v):
        return lax.cond(jnp.mean(v) > 0.01, lambda u: jnp.roll(u, 1, dim), jnp.tanh, v)

    def corner(v):
        return lax.cond(v[(0,) * v.ndim] > 0.01, lambda u: 2 * u, jnp.tanh, v)

    def mapped(v):
        return lax.map(lambda u: u - 0.5 * jnp.mean(u), v)

    def recurrent(v):
        moved = jnp.moveaxis(v, dim, 0)
        _, out = lax.scan(lambda c, u: (0.5 * c + u, jnp.tanh(c + u)), moved[0] * 0, moved)
        return jnp.moveaxis(out, 0, dim)

    kinds = {f.__name__: f for f in (loop, from_zeros, until, branch, corner, mapped, recurrent)}
    kind = d.one_of(sorted(kinds))
    if kind in ("until", "branch", "corner") and np.asarray(value).dtype.kind != "f":
        return None
    return Step(f"{kind} along {layout[dim]}", kinds[kind], layout)
