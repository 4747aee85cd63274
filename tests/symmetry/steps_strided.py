"""Slices of every offset and step, spelt in every way, and what is made of several of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, positions


def at(dim, index):
    """The index of an array that applies `index` along one dimension."""
    return (slice(None),) * dim + (index,)


# Ways to write v[start:stop:step] along a dimension.
SPELLINGS = {
    "lax.slice": lambda v, dim, a, b, s: lax.slice_in_dim(v, a, b, s, axis=dim),
    "slice": lambda v, dim, a, b, s: v[at(dim, slice(a, b, s))],
    "take": lambda v, dim, a, b, s: jnp.take(v, np.arange(a, b, s), axis=dim),
    "index": lambda v, dim, a, b, s: v[at(dim, np.arange(a, b, s))],
    "backwards twice": lambda v, dim, a, b, s: jnp.flip(
        v[at(dim, np.arange(a, b, s)[::-1])], dim
    ),
    "dynamic_slice": lambda v, dim, a, b, s: lax.slice_in_dim(
        lax.dynamic_slice_in_dim(v, a, b - a, axis=dim), 0, b - a, s, axis=dim
    ),
    "split": lambda v, dim, a, b, s: lax.slice_in_dim(
        jnp.split(v, [a, b], axis=dim)[1], 0, b - a, s, axis=dim
    ),
    "roll": lambda v, dim, a, b, s: lax.slice_in_dim(
        jnp.roll(v, -a, dim), 0, b - a, s, axis=dim
    ),
}  # fmt: skip

POINTWISE = {
    "": lambda v: v,
    "relu": jax.nn.relu,
    "double": lambda v: 2 * v,
    "abs": jnp.abs,
    "sin": jnp.sin,
}


def combinations(dim):
    """Several arrays of one shape, to one."""
    return {
        "joined": lambda parts: jnp.concatenate(parts, dim),
        "joined in other order": lambda parts: jnp.concatenate(parts[::-1], dim),
        "interleaved": lambda parts: jnp.stack(parts, dim + 1).reshape(
            *parts[0].shape[:dim], -1, *parts[0].shape[dim + 1 :]
        ),
        "interleaved in other order": lambda parts: jnp.stack(parts[::-1], dim + 1).reshape(
            *parts[0].shape[:dim], -1, *parts[0].shape[dim + 1 :]
        ),
        "added": sum,
        "multiplied": lambda parts: jnp.prod(jnp.stack(parts), 0),
        "greatest": lambda parts: jnp.max(jnp.stack(parts), 0),
        "differences": lambda parts: parts[0] - parts[-1],
        "chosen": lambda parts: jnp.where(parts[0] > parts[-1], parts[0], 2 * parts[-1]),
        "in place": lambda parts: _woven(parts, dim),
    }


def _woven(parts, dim):
    n = len(parts) * parts[0].shape[dim]
    out = jnp.zeros((*parts[0].shape[:dim], n, *parts[0].shape[dim + 1 :]), parts[0].dtype)
    for i, part in enumerate(parts):
        out = out.at[at(dim, slice(i, None, len(parts)))].set(part)
    return out


def _combined(d, dim, count, read, name, layout):
    """A step that reads `count` slices by `read(v, i)` and makes one value of them."""
    kinds = combinations(dim)
    kind = d.one_of(sorted(kinds))
    between = [d.one_of(sorted(POINTWISE)) if d.chance(30) else "" for _ in range(count)]
    funs = [POINTWISE[b] for b in between]

    def fun(v):
        return kinds[kind]([f(read(v, i)) for i, f in enumerate(funs)])

    return Step(f"{name} {' '.join(filter(None, between))} {kind} along {layout[dim]}", fun, layout)


@family(6)
def phases(d, value, layout):
    """v[a::s] and v[b::s] and so on: polyphase components, all of them or some, in any order."""
    dims = [i for i, n in enumerate(value.shape) if n > 3 and layout[i] != "N"]
    if not dims or value.size > 800:
        return None
    dim = d.one_of(dims)
    n, step = value.shape[dim], d.one_of((2, 2, 3, 4))
    if n < 2 * step:
        return None
    count = n // step
    every = d.chance(50)
    offsets = list(range(step)) if every else [d.integer(0, step - 1) for _ in range(2)]
    if d.chance(30):
        offsets = d.shuffled(offsets)
    spelling = d.one_of(sorted(SPELLINGS))
    read = SPELLINGS[spelling]

    def phase(v, i):
        return read(v, dim, offsets[i], offsets[i] + (count - 1) * step + 1, step)

    name = f"phases {offsets} of {step} by {spelling}"
    return _combined(d, dim, len(offsets), phase, name, layout)


@family(4)
def windows(d, value, layout):
    """v[a : a + k] and v[b : b + k]: windows at two or three places, adjacent or not."""
    dims = [i for i, n in enumerate(value.shape) if n > 3 and layout[i] != "N"]
    if not dims or value.size > 800:
        return None
    dim = d.one_of(dims)
    n = value.shape[dim]
    length, step = d.integer(1, n - 1), d.one_of((1, 1, 1, 2))
    starts = [d.integer(0, n - length) for _ in range(d.integer(2, 3))]
    if d.chance(25) and n % length == 0:
        starts = list(range(0, n, length))
    spelling = d.one_of(sorted(SPELLINGS))
    read = SPELLINGS[spelling]

    def window(v, i):
        return read(v, dim, starts[i], starts[i] + length, step)

    name = f"windows {starts} of {length} by step {step} by {spelling}"
    return _combined(d, dim, len(starts), window, name, layout)


@family(2)
def border_differences(d, value, layout):
    """Differences of neighbours with the one across the border in its place: circular, or not."""
    dims = [i for i, n in enumerate(value.shape) if n > 3 and layout[i] != "N"]
    if not dims:
        return None
    dim = d.one_of(dims)
    n = value.shape[dim]
    by = d.integer(1, 2)

    def part(v, a, b):
        return lax.slice_in_dim(v, a, b, axis=dim)

    def inside(v):
        return part(v, by, n) - part(v, 0, n - by)

    kinds = {
        "last": lambda v: jnp.concatenate([inside(v), part(v, 0, by) - part(v, n - by, n)], dim),
        "first": lambda v: jnp.concatenate([part(v, 0, by) - part(v, n - by, n), inside(v)], dim),
        "set": lambda v: (v - jnp.roll(v, by, dim)).at[at(dim, slice(0, by))].set(0.5),
        "zero": lambda v: jnp.pad(
            inside(v), [(0, by) if i == dim else (0, 0) for i in range(v.ndim)]
        ),
        "diff": lambda v: jnp.diff(v, axis=dim, append=part(v, 0, 1)),
        "gradient": lambda v: jnp.gradient(v, axis=dim),
    }
    kind = d.one_of(sorted(kinds))
    return Step(f"differences by {by} across the border: {kind} {layout[dim]}", kinds[kind], layout)


@family(2)
def backwards(d, value, layout):
    """Slices of negative step."""
    dims = [i for i, n in enumerate(value.shape) if n > 2 and layout[i] != "N"]
    if not dims:
        return None
    dim = d.one_of(dims)
    n, step = value.shape[dim], d.one_of((1, 1, 2, 3))
    start = d.integer(n - step, n - 1)
    both = d.chance(30) and step == 1

    def fun(v):
        turned = v[at(dim, slice(start, None, -step))]
        return turned + lax.slice_in_dim(v, 0, turned.shape[dim], axis=dim) if both else turned

    return Step(f"{start}::-{step} of {layout[dim]}{' added' if both else ''}", fun, layout)


@family(3)
def tiled(d, value, layout):
    """tile, repeat with counts, stack and unstack, roll of several dimensions."""
    dim = d.one_of(range(len(layout)))
    n = value.shape[dim]
    if value.size > 500 or layout[dim] == "N":
        return None
    count, second = d.integer(2, 3), d.one_of(range(len(layout)))
    reps = [count if i == dim else 1 for i in range(len(layout))]
    often = d.numbers.integers(1, 3, size=n)
    by = (d.integer(-3, 3), d.integer(-3, 3))

    def restacked(v):
        parts = jnp.unstack(v, axis=dim)
        return jnp.stack([*parts[1:], 2 * parts[0]], dim)

    kinds = {
        "tile": lambda v: jnp.tile(v, reps),
        "tile and cut": lambda v: lax.slice_in_dim(
            jnp.tile(v, reps), 1, 1 + (count - 1) * n, axis=dim
        ),
        "tile with itself": lambda v: jnp.tile(v, reps) + jnp.repeat(v, count, dim),
        "repeat by counts": lambda v: jnp.repeat(v, often, axis=dim),
        "unstack and stack": restacked,
        "roll of two": lambda v: jnp.roll(v, by, (dim, second)) if dim != second else v,
        "stack and sum": lambda v: jnp.sum(jnp.stack([v, jnp.roll(v, 1, dim)], 0), 0),
        "rot90": lambda v: jnp.rot90(v, 2, (dim, second)) if dim != second else v,
    }
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} {count} {by} along {layout[dim]}", kinds[kind], layout)


@family(3)
def grid(d, value, layout):
    """Gathers at a product grid of known positions: what PyTorch's resizing and pooling become."""
    dims = positions(layout)
    if len(dims) != 2 or dims[1] != dims[0] + 1 or value.size > 400:
        return None
    rows, columns = (value.shape[i] for i in dims)
    scale = d.one_of((1, 2, 2, 0.5))
    sizes = [max(1, int(n * scale)) for n in (rows, columns)]
    half = d.chance(50)

    def places(n, size):
        at = (np.arange(size) + (0.5 if half else 0)) * n / size
        return np.minimum(np.floor(at).astype(int), n - 1)

    i, j = places(rows, sizes[0]), places(columns, sizes[1])
    lead = (slice(None),) * dims[0]
    weight = d.one_of((0.0, 0.5))

    def fun(v):
        near = v[(*lead, i[:, None], j[None])]
        if not weight:
            return near
        far = v[(*lead, ((i + 1) % rows)[:, None], j[None])]
        return (1 - weight) * near + weight * far

    return Step(f"grid {sizes} of {(rows, columns)} half {half} weight {weight}", fun, layout)


@family(3)
def resized(d, value, layout):
    """jax.image.resize up and down, by every method."""
    dims = positions(layout)
    if not dims or value.size > 400:
        return None
    chosen = d.some_of(dims)
    factor = d.one_of((2, 2, 0.5, 0.5, 3, 1.5))
    shape = [max(1, int(n * factor)) if i in chosen else n for i, n in enumerate(value.shape)]
    method = d.one_of(("nearest", "linear", "cubic", "lanczos3"))
    antialias = d.chance(50)

    def fun(v):
        return jax.image.resize(v, shape, method, antialias=antialias)

    name = f"resize {method} {factor} of {[layout[i] for i in chosen]}, antialias {antialias}"
    return Step(name, fun, layout)


@family(3)
def one_axis(d, value, layout):
    """What breaks one axis and keeps the others: rows numbered, summed up, mixed, masked."""
    dims = positions(layout)
    if not dims:
        return None
    dim = d.one_of(dims)
    n = value.shape[dim]
    shape = [n if i == dim else 1 for i in range(len(layout))]
    weights, matrix = d.weights(*shape, scale=1.0), d.weights(n, n)
    mask = (np.arange(n) < d.integer(1, n)).reshape(shape)
    widths = [(1, 1) if i == dim else (0, 0) for i in range(len(layout))]
    kinds = {
        "numbers": lambda v: v + weights,
        "cumsum": lambda v: jnp.cumsum(v, dim),
        "mixing": lambda v: jnp.moveaxis(jnp.moveaxis(v, dim, -1) @ matrix, -1, dim),
        "mask": lambda v: jnp.where(mask, v, 0),
        "zeros": lambda v: jnp.pad(v, widths),
        "first": lambda v: v + lax.slice_in_dim(v, 0, 1, axis=dim),
        "triangle": lambda v: jnp.moveaxis(
            jnp.moveaxis(v, dim, -1) @ np.tril(matrix), -1, dim
        ),
    }  # fmt: skip
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} along {layout[dim]} alone", kinds[kind], layout)
