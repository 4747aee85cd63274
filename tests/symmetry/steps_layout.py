"""Steps that move data about: slices, rolls, flips, transposes, reshapes, gathers, scatters."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, fresh, positions


@family(3)
def transpose(d, value, layout):
    order = d.shuffled(range(len(layout)))
    new = "".join(layout[i] for i in order)
    return Step(f"transpose to {new}", lambda v: jnp.transpose(v, order), new)


@family(2)
def swap_letters(d, value, layout):
    """Reads one dimension as another: channels as positions, rows as columns."""
    dims = [i for i, letter in enumerate(layout) if letter != "N"]
    if len(dims) < 2:
        return None
    first, second = d.shuffled(dims)[:2]
    letters = list(layout)
    letters[first], letters[second] = letters[second], letters[first]
    return Step(f"read as {''.join(letters)}", lambda v: v, "".join(letters))


@family(4)
def slice_dim(d, value, layout):
    dims = [i for i, n in enumerate(value.shape) if n > 2 and layout[i] != "N"]
    if not dims:
        return None
    dim = d.one_of(dims)
    n, stride = value.shape[dim], d.one_of((1, 1, 2, 2, 3))
    start = d.integer(0, 1 if stride == 1 else stride - 1)
    stop = n - (d.integer(0, 1) if stride == 1 else 0)

    def fun(v):
        return lax.slice_in_dim(v, start, stop, stride, axis=dim)

    return Step(f"slice {start}:{stop}:{stride} of {layout[dim]}", fun, layout)


@family(3)
def roll(d, value, layout):
    dim = d.one_of(range(len(layout)))
    by = d.integer(-3, 3)
    return Step(f"roll {layout[dim]} by {by}", lambda v: jnp.roll(v, by, dim), layout)


@family(1)
def flip(d, value, layout):
    dims = d.some_of(range(len(layout)))
    average = d.chance(30)

    def fun(v):
        turned = lax.rev(v, dims)
        return v + turned if average else turned

    letters = "".join(layout[i] for i in dims)
    return Step(f"{'add the ' if average else ''}flip of {letters}", fun, layout)


@family(4)
def split_dim(d, value, layout):
    """(n) -> (n / s, s): polyphase components; or (s, n / s): blocks."""
    dims = [i for i in positions(layout) if value.shape[i] % 2 == 0 or value.shape[i] % 3 == 0]
    if not dims or len(layout) > 5:
        return None
    dim = d.one_of(dims)
    n = value.shape[dim]
    factor = 2 if n % 2 == 0 else 3
    blocks = d.chance(10)
    inner, outer = fresh(layout, small=True), layout[dim]
    pair, letters = (n // factor, factor), outer + inner
    if blocks:
        pair, letters = pair[::-1], letters[::-1]

    def fun(v):
        return v.reshape(*v.shape[:dim], *pair, *v.shape[dim + 1 :])

    return Step(f"split {outer} to {pair}", fun, layout[:dim] + letters + layout[dim + 1 :])


@family(4)
def merge_dims(d, value, layout):
    """Joins two neighbouring dimensions: tokens of a map, components back into channels."""
    dims = [i for i in range(len(layout) - 1) if "N" not in layout[i : i + 2]]
    if not dims:
        return None
    dim = d.one_of(dims)
    pair = layout[dim : dim + 2]
    new = "C" if "C" in pair else fresh(layout, small=not pair[0].isupper() and pair[1].islower())
    if pair[0].isupper() and pair[1].islower():
        new = pair[0]

    def fun(v):
        return v.reshape(*v.shape[:dim], v.shape[dim] * v.shape[dim + 1], *v.shape[dim + 2 :])

    return Step(f"merge {pair} to {new}", fun, layout[:dim] + new + layout[dim + 2 :])


@family(4)
def space_to_depth(d, value, layout):
    """Polyphase components as channels; often with something between, and back again."""
    if "C" not in layout or layout[-1] != "C":
        return None
    dims = [i for i in positions(layout) if value.shape[i] % 2 == 0]
    if not dims or value.size > 1500:
        return None
    chosen, back = d.some_of(dims), d.chance(50)
    channels = value.shape[-1]
    mixing = d.weights(channels * 2 ** len(chosen), channels * 2 ** len(chosen))

    def fun(v):
        shape = []
        for i, n in enumerate(v.shape):
            shape += [n // 2, 2] if i in chosen else [n]
        v = v.reshape(shape)
        split = [i + 1 + sum(c < i for c in chosen) for i in chosen]
        rest = [i for i in range(v.ndim - 1) if i not in split]
        order = [*rest, *split, v.ndim - 1]
        v = jnp.transpose(v, order)
        grid = [v.shape[i] for i in range(len(rest))]
        v = jnp.tanh(v.reshape(*grid, -1) @ mixing)
        if not back:
            return v
        v = v.reshape(*grid, *[2] * len(chosen), channels)
        v = jnp.transpose(v, np.argsort(order))
        return v.reshape(value.shape)

    name = f"space to depth {[layout[i] for i in chosen]}{' and back' if back else ''}"
    return Step(name, fun, layout)


@family(3)
def depth_to_space(d, value, layout):
    """Pixel shuffle along one dimension."""
    dims = positions(layout)
    if not dims or layout[-1] != "C" or value.size > 800:
        return None
    dim, channels = d.one_of(dims), value.shape[-1]
    weights = d.weights(channels, 2 * channels)

    def fun(v):
        v = (v @ weights).reshape(*v.shape[:-1], 2, channels)
        v = jnp.moveaxis(v, -2, dim + 1)
        return v.reshape(*v.shape[:dim], -1, *v.shape[dim + 2 :])

    return Step(f"depth to space along {layout[dim]}", fun, layout)


@family(3)
def join(d, value, layout):
    """Concatenates windows of the value, in the order of the torus or in another."""
    dim = d.one_of(range(len(layout)))
    n = value.shape[dim]
    if n < 3 or value.size > 800:
        return None
    cut = d.integer(1, n - 1)
    kind = d.one_of(("itself", "swapped", "gap", "flipped", "function", "interleaved"))

    def piece(v, low, high):
        return lax.slice_in_dim(v, low, high, axis=dim)

    kinds = {
        "itself": lambda v: [v, v],
        "swapped": lambda v: [piece(v, cut, n), piece(v, 0, cut)],
        "gap": lambda v: [piece(v, 0, cut), piece(v, max(0, cut - 1), n)],
        "flipped": lambda v: [v, lax.rev(piece(v, 0, cut), [dim])],
        "function": lambda v: [v, jnp.tanh(piece(v, 0, cut))],
    }

    def fun(v):
        if kind == "interleaved":
            pair = jnp.stack([v, jnp.sin(v)], dim + 1)
            return pair.reshape(*v.shape[:dim], 2 * n, *v.shape[dim + 1 :])
        return jnp.concatenate(kinds[kind](v), dim)

    return Step(f"join {kind} at {cut} along {layout[dim]}", fun, layout)


@family(1)
def indexed(d, value, layout):
    """Gathers, scatters and dynamic slices, at constant places and at places from the data."""
    dim = d.one_of(range(len(layout)))
    n = value.shape[dim]
    if n < 2:
        return None
    at = d.numbers.permutation(n)
    where = d.integer(0, n - 1)
    spot = (slice(None),) * dim + (where,)
    kinds = {
        "take": lambda v: jnp.take(v, at, axis=dim),
        "take along": lambda v: v + jnp.take_along_axis(
            v, jnp.argmax(v, axis=dim, keepdims=True), axis=dim
        ),
        "set": lambda v: v.at[spot].set(0.25),
        "add": lambda v: v.at[spot].add(0.5),
        "multiply": lambda v: v.at[spot].multiply(1.5),
        "dynamic slice": lambda v: lax.dynamic_slice_in_dim(v, where % 2, n - 1, axis=dim),
        "dynamic index": lambda v: v + lax.dynamic_index_in_dim(v, where, axis=dim),
        "update": lambda v: lax.dynamic_update_slice_in_dim(
            v, jnp.ones_like(lax.slice_in_dim(v, 0, 1, axis=dim)), where, dim
        ),
        "from data": lambda v: lax.dynamic_slice_in_dim(
            v, (jnp.sum(v) > 0).astype(jnp.int32), n - 1, axis=dim
        ),
    }  # fmt: skip
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} {where} of {layout[dim]}", kinds[kind], layout)


@family(1)
def vmapped(d, value, layout):
    """A function of one slice, mapped over another dimension."""
    dim = d.one_of(range(len(layout)))
    if len(layout) < 3:
        return None
    inner = d.integer(0, len(layout) - 2)

    def one(v):
        return v - jnp.mean(jnp.roll(v, 1, inner) * v, inner, keepdims=True)

    return Step(f"vmap over {layout[dim]}", jax.vmap(one, dim, dim), layout)
