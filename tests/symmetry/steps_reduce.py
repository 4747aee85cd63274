"""Steps that reduce or mix dimensions: pooling, norms, softmax, argmax, dense layers, attention."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, fresh, is_clear, positions, without

REDUCTIONS = {
    "mean": jnp.mean,
    "sum": jnp.sum,
    "max": jnp.max,
    "min": jnp.min,
    "logsumexp": jax.scipy.special.logsumexp,
    "std": jnp.std,
    "norm": lambda v, axis: jnp.sqrt(jnp.sum(v * v, axis)),
    "product": lambda v, axis: jnp.prod(0.5 + jax.nn.sigmoid(v), axis),
    "nanmax": jnp.nanmax,
    "nansum": jnp.nansum,
    "fraction": lambda v, axis: jnp.mean((v > 0.05).astype(v.dtype), axis),
}


@family(4)
def global_pool(d, value, layout):
    dims = positions(layout)
    if not dims or len(dims) == len(layout):
        return None
    kind = d.one_of(("mean", "mean", "max", "logsumexp", "sum", "std", "norm"))
    reduce = REDUCTIONS[kind]
    return Step(f"global {kind}", lambda v: reduce(v, axis=tuple(dims)), without(layout, dims))


@family(4)
def reduction(d, value, layout):
    """Over any dimensions, whole or in part."""
    dims = [i for i in d.some_of(range(len(layout))) if layout[i] != "N"]
    if not dims or len(dims) == len(layout):
        return None
    kind = d.one_of(sorted(REDUCTIONS))
    reduce = REDUCTIONS[kind]
    part = d.integer(1, value.shape[dims[0]]) if d.chance(30) else None

    def fun(v):
        if part is not None:
            v = lax.slice_in_dim(v, 0, part, axis=dims[0])
        return reduce(v, axis=tuple(dims))

    letters = "".join(layout[i] for i in dims)
    return Step(f"{kind} over {letters}, first {part}", fun, without(layout, dims))


@family(4)
def compared_with_mean(d, value, layout):
    """A value against a statistic of itself, broadcast back."""
    dims = tuple(i for i in d.some_of(range(len(layout))) if layout[i] != "N")
    if not dims:
        return None
    kind = d.one_of(("mean", "max", "norm", "logsumexp"))
    reduce = REDUCTIONS[kind]
    combine = d.one_of(
        (jnp.subtract, jnp.add, lambda a, b: a * jax.nn.sigmoid(b), lambda a, b: a / (1 + b * b))
    )

    def fun(v):
        return combine(v, jnp.expand_dims(reduce(v, axis=dims), dims))

    return Step(f"against its {kind} over {''.join(layout[i] for i in dims)}", fun, layout)


@family(5)
def norm(d, value, layout):
    """Layer, group, instance, RMS and weight-free norms, by the dimensions they reduce."""
    sets = {
        "layer": [i for i, c in enumerate(layout) if c == "C"],
        "instance": positions(layout),
        "layer over all": [i for i, c in enumerate(layout) if c != "N"],
        "batch in training": [i for i, c in enumerate(layout) if c != "C"],
    }
    kind = d.one_of(sorted(sets))
    dims = tuple(sets[kind])
    if not dims or np.prod([value.shape[i] for i in dims]) < 3:
        return None
    shape = [n if c == "C" else 1 for n, c in zip(value.shape, layout, strict=True)]
    scale, bias = 1 + d.weights(*shape, scale=0.3), d.weights(*shape, scale=0.3)
    centred = d.chance(70)

    def fun(v):
        if centred:
            v = v - jnp.mean(v, dims, keepdims=True)
        return v * lax.rsqrt(jnp.mean(v * v, dims, keepdims=True) + 1e-3) * scale + bias

    return Step(f"{kind} norm{'' if centred else ' (RMS)'}", fun, layout)


@family(2)
def group_norm(d, value, layout):
    if layout[-1] != "C" or value.shape[-1] != 2 or not layout.startswith("N"):
        return None
    groups = d.integer(1, 2)

    def fun(v):
        split = v.reshape(*v.shape[:-1], groups, v.shape[-1] // groups)
        dims = (*range(1, v.ndim - 1), v.ndim)
        split = split - jnp.mean(split, dims, keepdims=True)
        split = split / jnp.sqrt(jnp.var(split, dims, keepdims=True) + 1e-3)
        return split.reshape(v.shape)

    return Step(f"group norm {groups}", fun, layout)


@family(3)
def softmax(d, value, layout):
    dims = [i for i, n in enumerate(value.shape) if n > 1 and layout[i] != "N"]
    if not dims:
        return None
    axes = tuple(d.some_of(dims))
    fun = d.one_of((jax.nn.softmax, jax.nn.log_softmax))
    return Step(f"softmax over {[layout[i] for i in axes]}", lambda v: fun(v, axis=axes), layout)


@family(2)
def argmax(d, value, layout):
    dims = [i for i, n in enumerate(value.shape) if n > 1 and layout[i] != "N"]
    if not dims or len(layout) < 2:
        return None
    dim = d.one_of(dims)
    ordered = np.sort(np.asarray(value), axis=dim)
    if not is_clear(d, ordered.take(-1, dim) - ordered.take(-2, dim)):
        return None

    alone = d.chance(30)

    def fun(v):
        at = jnp.argmax(v, axis=dim).astype(v.dtype)
        return at if alone else 0.2 * at + jnp.max(v, axis=dim)

    return Step(f"argmax over {layout[dim]}", fun, without(layout, [dim]))


@family(4)
def dense(d, value, layout):
    """A matrix along one dimension: a 1x1 convolution along C, a mixing of places elsewhere."""
    dim = len(layout) - 1 if d.chance(60) else d.integer(0, len(layout) - 1)
    if layout[dim] == "N":
        return None
    n = value.shape[dim]
    weights = d.weights(n, n if layout[dim] != "C" else d.integer(1, 3))
    bias = d.weights(weights.shape[1], scale=0.3)

    def fun(v):
        return jnp.moveaxis(jnp.moveaxis(v, dim, -1) @ weights + bias, -1, dim)

    return Step(f"dense along {layout[dim]}", fun, layout)


@family(4)
def flatten_dense(d, value, layout):
    if layout[0] != "N" or len(layout) < 2:
        return None
    features = d.integer(1, 3)
    weights = d.weights(int(np.prod(value.shape[1:])), features)
    return Step("flatten + dense", lambda v: v.reshape(v.shape[0], -1) @ weights, "NC")


@family(1)
def flatten_dense_back(d, value, layout):
    """An MLP over all places, reshaped to a map: MLP-Mixer without its structure."""
    if layout[0] != "N" or len(layout) < 2 or value.size > 300:
        return None
    n = int(np.prod(value.shape[1:]))
    weights = d.weights(n, n)

    def fun(v):
        return jnp.tanh(v.reshape(v.shape[0], -1) @ weights).reshape(v.shape)

    return Step("flatten + dense, and back", fun, layout)


@family(1)
def locally_connected(d, value, layout):
    """A product over channels with weights of its own at each position."""
    dims = positions(layout)
    if not dims or "C" not in layout:
        return None
    channel, dim = layout.index("C"), d.one_of(dims)
    weights = d.weights(value.shape[dim], value.shape[channel], value.shape[channel], scale=0.7)
    letters = layout.lower()
    position, old = letters[dim], letters[channel]
    equation = f"{letters},{position}{old}z->{letters.replace(old, 'z')}"
    return Step(f"locally connected along {layout[dim]}", lambda v: jnp.einsum(equation, v, weights), layout)  # fmt: skip  # noqa: E501


@family(5)
def attention(d, value, layout):
    """Softmax or linear self-attention over all positions, or a Gram matrix."""
    if "C" not in layout or layout.count("N") != 1 or value.size > 300:
        return None
    places = [i for i, c in enumerate(layout) if c not in "NC"]
    if not places:
        return None
    order = [layout.index("N"), *places, layout.index("C")]
    channels, heads = value.shape[layout.index("C")], d.integer(1, 2)
    maps = [d.weights(channels, heads, 2) for _ in range(3)]
    out = d.weights(heads, 2, channels, scale=1.0)
    length = int(np.prod([value.shape[i] for i in places]))
    bias = d.weights(length, length, scale=1.0) if d.chance(20) else None
    kind = d.one_of(("softmax", "softmax", "linear", "gram", "unflattened"))

    def fun(v):
        moved = jnp.transpose(v, order)
        if kind == "unflattened" and len(places) == 2:
            q, k, u = (jnp.einsum("nhwc,cgd->nhwgd", moved, m) for m in maps)
            logits = jnp.einsum("nhwgd,nijgd->nghwij", q, k)
            weights = jnp.exp(logits - jnp.max(logits, (4, 5), keepdims=True))
            weights = weights / jnp.sum(weights, (4, 5), keepdims=True)
            mixed = jnp.einsum("nghwij,nijgd,gdc->nhwc", weights, u, out)
            return jnp.transpose(mixed, np.argsort(order))
        tokens = moved.reshape(v.shape[order[0]], length, channels)
        q, k, u = (jnp.einsum("nlc,cgd->nlgd", tokens, m) for m in maps)
        if kind == "linear":
            memory = jnp.einsum("nlgd,nlge->ngde", jax.nn.elu(k) + 1, u)
            mixed = jnp.einsum("nlgd,ngde->nlge", jax.nn.elu(q) + 1, memory) / length
        elif kind == "gram":
            gram = jnp.einsum("nlc,nle->nce", tokens, tokens) / length
            mixed = jnp.einsum("nlgd,nce->nlgd", q, jnp.sin(gram))
        else:
            logits = jnp.einsum("nlgd,nmgd->nglm", q, k)
            weights = jax.nn.softmax(logits if bias is None else logits + bias)
            mixed = jnp.einsum("nglm,nmgd->nlgd", weights, u)
        mixed = jnp.einsum("nlgd,gdc->nlc", mixed, out)
        return jnp.transpose(mixed.reshape(moved.shape), np.argsort(order))

    name = f"attention {kind}{'' if bias is None else ' with relative bias'}"
    return Step(name, fun, layout)


@family(1)
def outer_product(d, value, layout):
    """All pairs of positions along one dimension, summed over another or kept."""
    dims = positions(layout)
    if len(layout) > 4 or not dims:
        return None
    dim = d.one_of(dims)
    if value.size * value.shape[dim] > 1500:
        return None
    second = fresh(layout, small=False)

    def fun(v):
        left = jnp.expand_dims(v, dim + 1)
        right = jnp.expand_dims(v, dim)
        return jnp.tanh(left) * right

    return Step(f"pairs along {layout[dim]}", fun, layout[: dim + 1] + second + layout[dim + 1 :])
