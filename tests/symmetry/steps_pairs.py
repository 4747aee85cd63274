"""Steps on pairs of positions and on positions that are named one by one."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.symmetry.steps import Step, family, positions
from tests.symmetry.steps_order import has_ties


@family(3)
def table_of_distances(d, value, layout):
    """Attention along one dimension, with a table that depends on the distance of two tokens."""
    dims = positions(layout)
    if not dims or "C" not in layout or value.size > 400:
        return None
    dim, channels = d.one_of(dims), layout.index("C")
    n, step = value.shape[dim], d.one_of((1, 1, 2))
    apart = np.arange(n) - np.arange(0, n, step)[:, None]
    distances = apart % n
    numbers = d.weights(n, scale=1.0)
    kinds = {
        "itself": np.where(distances == 0, 1, 0).astype(value.dtype),
        "around": numbers[distances],
        "of sums": numbers[-distances[:, ::-1] % n],
        "not around": d.weights(n, scale=1.0)[np.abs(apart)],
        "parity": np.where(apart % 2 == 0, 1, -0.5).astype(value.dtype),
        "in turn": numbers[distances] * (1 + np.arange(n) % 2),
    }
    kind, back = d.one_of(sorted(kinds)), d.chance(30)
    table, masked = kinds[kind], d.chance(30)

    def fun(v):
        tokens = jnp.moveaxis(v, (dim, channels), (-2, -1))
        few = tokens[..., ::step, :]
        read = jnp.flip(tokens, -2) if back else tokens
        scores = few @ jnp.swapaxes(read, -1, -2)
        scores = jnp.where(table > 0, scores, -2) if masked else scores + table
        return jnp.moveaxis(scores @ read, (-2, -1), (dim, channels))

    words = f"{kind}{', backwards' * back}{', as a mask' * masked}"
    return Step(f"every {step} of {layout[dim]} by a table of distances {words}", fun, layout)


@family(2)
def tokens_of_a_map(d, value, layout):
    """Positions along two dimensions as tokens: with a table of their distances, or a pattern."""
    if "C" not in layout or len(positions(layout)) != 2 or value.size > 200:
        return None
    dims, channels = positions(layout), layout.index("C")
    sizes = [value.shape[dim] for dim in dims]
    apart = [np.arange(n) - np.arange(n)[:, None] for n in sizes]
    rows, columns = (
        d.weights(n, scale=1.0)[a % n if d.chance(80) else np.abs(a)]
        for a, n in zip(apart, sizes, strict=True)
    )
    # (h, w, h, w) -> (h w, h w)
    table = (rows[:, None, :, None] + columns[None, :, None, :]).reshape([sizes[0] * sizes[1]] * 2)
    kind = d.one_of(("bias", "mask", "product", "pattern"))
    pattern = np.add.outer(*(np.arange(n) % d.one_of((1, 2)) for n in sizes)).reshape(-1, 1)

    def fun(v):
        moved = jnp.moveaxis(v, (*dims, channels), (-3, -2, -1))
        tokens = moved.reshape(*moved.shape[:-3], -1, moved.shape[-1])
        if kind == "product":
            mixed = table @ tokens
        elif kind == "pattern":
            mixed = tokens * (1 + pattern.astype(v.dtype))
        else:
            scores = tokens @ jnp.swapaxes(tokens, -1, -2)
            scores = scores + table if kind == "bias" else jnp.where(table > 0, scores, -2)
            mixed = scores @ tokens
        return jnp.moveaxis(mixed.reshape(moved.shape), (-3, -2, -1), (*dims, channels))

    return Step(f"{kind} of tokens along {' and '.join(layout[i] for i in dims)}", fun, layout)


@family(2)
def product_with_a_table(d, value, layout):
    """A matrix along a dimension whose entries depend on distances, most of them around it."""
    dims = positions(layout)
    if not dims:
        return None
    dim = d.one_of(dims)
    n = value.shape[dim]
    step, times = d.one_of((1, 1, 2)), d.one_of((1, 1, 2))
    apart = np.arange(n) - np.repeat(np.arange(0, n, step), times)[:, None]
    kind = d.one_of(("around", "around", "in turn", "the other way", "not around", "one else"))
    numbers = d.weights(n)
    table = numbers[apart % n]
    if kind == "in turn":
        table = numbers[np.arange(n) % 2] + 0 * table
    elif kind == "the other way":
        table = table[::-1]
    elif kind == "not around":
        table = numbers[np.abs(apart)]
    elif kind == "one else":
        table[-1, 0] += 1

    def fun(v):
        return jnp.moveaxis(table @ jnp.moveaxis(v, dim, -2), -2, dim)

    if len(layout) < 2 or dim == len(layout) - 1:
        return None
    return Step(f"product along {layout[dim]} with a table {kind}, {step}, {times}", fun, layout)


@family(2)
def counted_indices(d, value, layout):
    """All dimensions are indexed, most of them by numbers that count."""
    if "C" not in layout:
        return None
    dim = layout.index("C")
    if value.shape[dim] > 1 and has_ties(d, value, dim):
        return None
    counted = [np.arange(n) for i, n in enumerate(value.shape) if i != dim]
    if d.chance(30):
        counted = [np.roll(c, 1) if d.chance(30) else c for c in counted]
    grid = list(np.meshgrid(*counted, indexing="ij", sparse=d.chance(50)))
    kind = d.one_of(("read", "add", "multiply", "set"))

    def fun(v):
        best = jnp.argmax(v, dim)
        at = (*grid[:dim], best, *grid[dim:])
        if kind == "read":
            return v + jnp.expand_dims(v[at], dim)
        return getattr(v.at[at], kind)(jnp.mean(v, dim))

    return Step(f"{kind} at the strongest channel by indices that count", fun, layout)


@family(2)
def votes(d, value, layout):
    """Numbers of positions or their values summed by what the data say."""
    dims = positions(layout) or [0]
    dim, weighted = d.one_of(dims), d.chance(50)
    by = d.one_of(("add", "max", "min"))
    every = d.chance(60)

    def counts(v):
        at = jnp.clip(jnp.abs(2 * v), 0, 3).astype(jnp.int32)
        zeros = jnp.zeros(4, v.dtype)
        return getattr(zeros.at[at], by)(v if weighted else jnp.asarray(0.5, v.dtype))

    def fun(v):
        if every:
            return v + counts(v)[1]
        found = jax.vmap(counts, dim)(v)[:, 2]
        return v + jnp.reshape(found, [-1 if i == dim else 1 for i in range(v.ndim)])

    of = "all" if every else f"each of {layout[dim]}"
    return Step(f"votes of {of} by {by}, weighted {weighted}", fun, layout)
