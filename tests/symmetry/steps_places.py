"""Scatters, gathers and look-ups, by every combiner and mode, at places known and not known."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, is_clear, positions
from tests.symmetry.steps_order import has_ties
from tests.symmetry.steps_strided import at

APPLIED = {
    "negative": jnp.negative,
    "sin": jnp.sin,
    "square": jnp.square,
    "relu": jax.nn.relu,
}
MODES = ("drop", "clip", "promise_in_bounds", None)


def _index(d, n):
    """An index among `n` positions, and what it is called."""
    first, length, step = d.integer(0, n - 1), d.integer(1, n), d.one_of((1, 2, 3))
    kinds = {
        "one": first,
        "last": -1,
        "all": slice(None),
        "slice": slice(first, None),
        "every": slice(first % step, None, step),
        "permutation": d.numbers.permutation(n),
        "some": np.sort(d.numbers.permutation(n)[:length]),
        "mask": d.numbers.random(n) < 0.5,
        "outside": np.array([first, n + 1]),
    }
    kind = d.one_of(sorted(kinds))
    return kind, kinds[kind]


@family(6)
def scatter(d, value, layout):
    """v.at[...].set, add, multiply, min, max, apply and the others, by index and by mode."""
    dims = [i for i, n in enumerate(value.shape) if n > 1] or [0]
    dim = d.one_of(dims)
    kind, index = _index(d, value.shape[dim])
    if kind == "mask" and not index.any():
        return None
    mode = d.one_of(MODES)
    if kind == "outside":
        mode = d.one_of(("drop", None))
    # A promise that holds, and a hint that is true.
    unique = kind not in ("outside",) and d.chance(30)
    combiner = d.one_of(
        ("set", "add", "subtract", "multiply", "min", "max", "apply", "apply", "divide", "power")
    )
    source = d.one_of(("number", "constant", "itself", "mean"))
    number = d.one_of((0.5, -1.0, 2.0))
    where = at(dim, index)
    shape = jax.eval_shape(lambda v: v[where], value).shape if kind != "mask" else ()
    constant = d.weights(*shape, scale=1.0)
    function = d.one_of(sorted(APPLIED))
    if combiner in ("divide", "power"):
        source = "number"
        number = abs(number) if combiner == "power" else number
    if kind == "mask":
        source = "number"

    def fun(v):
        chosen = v.at[where]
        hints = {"mode": mode, "unique_indices": unique}
        if kind == "mask":
            hints = {}
        if combiner == "apply":
            return chosen.apply(APPLIED[function], **hints)
        update = {
            "number": lambda: number,
            "constant": lambda: constant,
            "itself": lambda: jnp.flip(v, dim)[where],
            "mean": lambda: jnp.mean(v),
        }[source]()
        return getattr(chosen, combiner)(update, **hints)

    made = function if combiner == "apply" else source
    name = f"at {kind} {index} of {layout[dim]} {combiner} {made} {number}, {mode} {unique}"
    return Step(name.replace("\n", ""), fun, layout)


@family(2)
def scatter_block(d, value, layout):
    """A block over two dimensions, at a known place or at one from the data."""
    if len(layout) < 2:
        return None
    dims = sorted(d.shuffled(range(len(layout)))[:2])
    starts = [d.integer(0, value.shape[i] - 1) for i in dims]
    sizes = [d.integer(1, value.shape[i] - s) for i, s in zip(dims, starts, strict=True)]
    combiner = d.one_of(("set", "add", "multiply", "min", "max"))
    index = [slice(None)] * len(layout)
    for i, s, n in zip(dims, starts, sizes, strict=True):
        index[i] = slice(s, s + n)
    index = tuple(index)
    update = d.weights(*np.zeros(value.shape)[index].shape, scale=1.0)
    from_data = d.chance(30)
    corner = (0,) * len(layout)

    def fun(v):
        if from_data:
            start = [jnp.zeros((), jnp.int32)] * v.ndim
            start[dims[0]] = (v[corner] > 0).astype(jnp.int32)
            old = lax.dynamic_slice(v, start, update.shape)
            return lax.dynamic_update_slice(v, old * update, start)
        return getattr(v.at[index], combiner)(update)

    letters = [layout[i] for i in dims]
    return Step(f"block {starts} {sizes} of {letters} {combiner} data {from_data}", fun, layout)


@family(2)
def scattered_over_channels(d, value, layout):
    """One channel changed, at every position alike."""
    if "C" not in layout:
        return None
    dim = layout.index("C")
    channel = d.integer(0, value.shape[dim] - 1)
    combiner = d.one_of(("max", "min", "multiply", "add", "set", "apply"))
    from_others = d.chance(40)
    function = d.one_of(sorted(APPLIED))

    def fun(v):
        spot = v.at[at(dim, channel)]
        if combiner == "apply":
            return spot.apply(APPLIED[function])
        update = jnp.sum(v, dim) if from_others else 0.5
        return getattr(spot, combiner)(update)

    return Step(f"channel {channel} {combiner} {function} from others {from_others}", fun, layout)


@family(2)
def looked_up(d, value, layout):
    """One-hot codes and codebooks over channels; places named by an order or by the nearest."""
    if "C" not in layout:
        return None
    dim = layout.index("C")
    n = value.shape[dim]
    book = d.weights(n, d.integer(1, 3), scale=1.0)
    codes = d.weights(3, n, scale=1.0)
    if n > 1 and has_ties(d, value, dim):
        return None

    def last(fun):
        return lambda v: jnp.moveaxis(fun(jnp.moveaxis(v, dim, -1)), -1, dim)

    def nearest(v):
        distance = jnp.sum(jnp.abs(v[..., None, :] - codes), -1)
        return jnp.asarray(codes)[jnp.argmin(distance, -1)] + v

    kinds = {
        "one hot": last(lambda v: jax.nn.one_hot(jnp.argmax(v, -1), n, dtype=v.dtype) * v),
        "one hot @ codebook": last(
            lambda v: jax.nn.one_hot(jnp.argmax(v, -1), n, dtype=v.dtype) @ book
        ),
        "codebook[argmax]": last(lambda v: jnp.asarray(book)[jnp.argmax(v, -1)]),
        "take(codebook)": last(lambda v: jnp.take(book, jnp.argmax(v, -1), axis=0, mode="clip")),
        "nearest code": last(nearest),
        "take_along_axis(argsort)": last(
            lambda v: jnp.take_along_axis(v, jnp.argsort(v, axis=-1), axis=-1)
        ),
        "take_along_axis(argmin)": last(
            lambda v: v - jnp.take_along_axis(v, jnp.argmin(v, -1, keepdims=True), axis=-1)
        ),
        "put_along_axis": last(
            lambda v: jnp.put_along_axis(
                v, jnp.argmax(v, -1, keepdims=True), 0.5, axis=-1, inplace=False
            )
        ),
    }
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} over channels", kinds[kind], layout)


@family(3)
def place_from_data(d, value, layout):
    """Slices, rolls and gathers at places that the data decide, by a position or by a statistic."""
    dims = [i for i, n in enumerate(value.shape) if n > 2 and layout[i] != "N"]
    if not dims:
        return None
    dim = d.one_of(dims)
    n = value.shape[dim]
    length = d.integer(2, n)
    other = [i for i in range(len(layout)) if i != dim]
    source = d.one_of(("argmax", "argmin", "corner", "mean", "beyond"))
    rows = [fun(np.asarray(value), tuple(other)) for fun in (np.max, np.min)]
    if any(has_ties(d, row, 0) for row in rows) or not (d.exact or is_clear(d, np.mean(value))):
        return None

    def place(v):
        profile = {"argmax": jnp.max, "argmin": jnp.min}.get(source)
        if profile is not None:
            row = profile(v, axis=tuple(other))
            return (jnp.argmax if source == "argmax" else jnp.argmin)(row)
        if source == "corner":
            return (v[(0,) * v.ndim] > 0.1).astype(jnp.int32)
        if source == "mean":
            return 1 + (jnp.mean(v) > 0).astype(jnp.int32)
        return n - 1 + (jnp.mean(v) > 0).astype(jnp.int32)

    kinds = {
        "dynamic_slice": lambda v: lax.dynamic_slice_in_dim(v, place(v), length, axis=dim),
        "dynamic_index": lambda v: v + lax.dynamic_index_in_dim(v, place(v), axis=dim),
        "roll": lambda v: jnp.roll(v, place(v), dim),
        "roll back": lambda v: jnp.roll(v, -place(v), dim),
        "take": lambda v: v * jnp.take(v, place(v)[None], axis=dim, mode="clip"),
        "set": lambda v: v.at[at(dim, place(v))].set(0.5),
        "add": lambda v: v.at[at(dim, place(v))].add(v[at(dim, 0)]),
        "update": lambda v: lax.dynamic_update_slice_in_dim(
            v, 2 * lax.slice_in_dim(v, 0, 1, axis=dim), place(v), dim
        ),
    }
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} of {length} at the {source} along {layout[dim]}", kinds[kind], layout)


@family(2)
def shuffled(d, value, layout):
    """Keys inside the program: permutations, noise and choices, which every call draws alike."""
    dim = d.one_of(range(len(layout)))
    n = value.shape[dim]
    seed = d.integer(0, 9)
    whole = d.exact

    def key():
        return jax.random.key(seed)

    kinds = {
        "permutation": lambda v: v[at(dim, jax.random.permutation(key(), n))],
        "take of permutation": lambda v: jnp.take(v, jax.random.permutation(key(), n), axis=dim),
        "permuted": lambda v: jax.random.permutation(key(), v, axis=dim),
        "old key": lambda v: v[at(dim, jax.random.permutation(jax.random.PRNGKey(seed), n))],
        "signs": lambda v: v * jax.random.rademacher(
            key(), [n if i == dim else 1 for i in range(v.ndim)], v.dtype
        ),
        "dropout": lambda v: jnp.where(jax.random.bernoulli(key(), 0.7, v.shape), 2 * v, 0),
        "channel of a key": lambda v: v + 0.5 * v.take(
            jax.random.randint(key(), (), 0, n), axis=dim
        )[at(dim, None)],
        "split": lambda v: v * jnp.where(
            jax.random.bernoulli(jax.random.split(key())[1], 0.5), 2, 1
        ).astype(v.dtype),
        "folded": lambda v: v * jax.random.rademacher(
            jax.random.fold_in(key(), (jnp.sum(v) > 0.1).astype(jnp.uint32)), (), v.dtype
        ),
    }  # fmt: skip
    if not whole:
        kinds["noise"] = lambda v: v + 0.1 * jax.random.normal(key(), v.shape, v.dtype)
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} {seed} along {layout[dim]}", kinds[kind], layout)


@family(2)
def class_token(d, value, layout):
    """One more token before the others, seen by all of them, and read or cut off again."""
    dims = positions(layout)
    if not dims or "C" not in layout or value.size > 400:
        return None
    dim = d.one_of(dims)
    shape = [n if layout[i] == "C" else 1 for i, n in enumerate(value.shape)]
    token = d.weights(*shape, scale=1.0)
    kind = d.one_of(("read", "cut off", "mean", "max", "stays"))

    def fun(v):
        first = jnp.broadcast_to(token, [1 if i == dim else n for i, n in enumerate(v.shape)])
        v = jnp.concatenate([first, v], dim)
        v = v + jnp.sum(v, dim, keepdims=True)
        if kind == "read":
            return v + lax.slice_in_dim(v, 0, 1, axis=dim)
        if kind == "cut off":
            return lax.slice_in_dim(v, 1, v.shape[dim], axis=dim)
        if kind in ("mean", "max"):
            reduced = {"mean": jnp.mean, "max": jnp.max}[kind](v, dim, keepdims=True)
            return reduced - lax.slice_in_dim(v, 1, v.shape[dim], axis=dim)
        return v

    return Step(f"class token along {layout[dim]}, {kind}", fun, layout)
