"""Steps that order or accumulate: sorts, quantiles, the largest, cumulative sums, Fourier."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, is_clear, positions, without

CUMULATIVE = {
    "cumsum": lax.cumsum,
    "cummax": lax.cummax,
    "cummin": lax.cummin,
    "cumprod": lambda v, dim, reverse: lax.cumprod(1 + v / 4, dim, reverse=reverse),
    "cumlogsumexp": lax.cumlogsumexp,
    "associative_scan": lambda v, dim, reverse: lax.associative_scan(
        jnp.add, v, axis=dim, reverse=reverse
    ),
}


@family(2)
def cumulative(d, value, layout):
    return accumulated(d.one_of(sorted(CUMULATIVE)), d, value, layout)


def accumulated(kind, d, value, layout):
    dim, reverse = d.one_of(range(len(layout))), d.chance(40)

    def fun(v):
        return CUMULATIVE[kind](v, dim, reverse=reverse)

    return Step(f"{kind} along {layout[dim]}{' from the end' if reverse else ''}", fun, layout)


def has_ties(d, value, dim) -> bool:
    """Whether two values along a dimension are so close that rounding decides their order."""
    if d.exact:
        return False
    return not is_clear(d, np.diff(np.sort(np.asarray(value), axis=dim), axis=dim))


@family(5)
def ordered(d, value, layout):
    """Sorts and what rests on them; over positions, channels, or all of a map."""
    dim = d.one_of([i for i, n in enumerate(value.shape) if n > 1] or [0])
    if has_ties(d, value, dim):
        return None
    n = value.shape[dim]
    count, part = d.integer(1, n), d.one_of((0.0, 0.25, 0.5, 0.5, 0.9, 1.0))
    whole = tuple(positions(layout))

    def by_another(v):
        keys, kept = lax.sort((jnp.abs(v), v), dimension=dim, num_keys=d_keys)
        return keys - 2 * kept

    def top(v):
        return jnp.moveaxis(lax.top_k(jnp.moveaxis(v, dim, -1), count)[0], -1, dim)

    def top_places(v):
        best, at = lax.top_k(jnp.moveaxis(v, dim, -1), count)
        return jnp.moveaxis(best + at.astype(v.dtype), -1, dim)

    d_keys = d.integer(1, 2)
    kinds = {
        "sort": lambda v: jnp.sort(v, axis=dim),
        "sort descending": lambda v: jnp.sort(v, axis=dim, descending=True),
        "argsort": lambda v: v + jnp.argsort(v, axis=dim).astype(v.dtype),
        "sort by another": by_another,
        "median": lambda v: v - jnp.median(v, axis=dim, keepdims=True),
        "quantile": lambda v: v - jnp.quantile(v, part, axis=dim, keepdims=True),
        "nearest quantile": lambda v: v - jnp.quantile(
            v, part, axis=dim, keepdims=True, method="nearest"
        ),
        "percentile": lambda v: v + jnp.percentile(v, 50, axis=dim, keepdims=True, method="lower"),
        "top_k": top,
        "top_k with places": top_places,
        "rank": lambda v: v + jnp.argsort(jnp.argsort(v, axis=dim), axis=dim).astype(v.dtype),
        "sorted and summed": lambda v: jnp.cumsum(jnp.sort(v, axis=dim), dim),
        "partition": lambda v: jnp.partition(v, count - 1, axis=dim),
    }  # fmt: skip
    if whole and len(whole) < len(layout):
        kinds["median of the map"] = lambda v: v - jnp.median(v, axis=whole, keepdims=True)
    kind = d.one_of(sorted(kinds))
    if kind == "median of the map" and not d.exact:
        moved = np.moveaxis(np.asarray(value), whole, range(len(whole)))
        if has_ties(d, moved.reshape(-1, *moved.shape[len(whole) :]), 0):
            return None
    if kind == "sort by another" and not d.exact and has_ties(d, np.abs(value), dim):
        return None
    return Step(f"{kind} {count} {part} along {layout[dim]}", kinds[kind], layout)


@family(2)
def ordered_map(d, value, layout):
    """The median, a quantile or the largest few of a whole map."""
    dims = positions(layout)
    if not dims or len(dims) == len(layout):
        return None
    moved = np.moveaxis(np.asarray(value), dims, range(len(dims)))
    flat = moved.reshape(-1, *moved.shape[len(dims) :])
    if has_ties(d, flat, 0):
        return None
    axes, part = tuple(dims), d.one_of((0.25, 0.5, 0.75))
    count = d.integer(1, min(4, flat.shape[0]))

    def largest(v):
        first = jnp.moveaxis(v, axes, range(v.ndim - len(axes), v.ndim))
        first = first.reshape(*first.shape[: v.ndim - len(axes)], -1)
        return jnp.sum(lax.top_k(first, count)[0], -1)

    kinds = {
        "median": lambda v: jnp.median(v, axis=axes),
        "quantile": lambda v: jnp.quantile(v, part, axis=axes),
        "largest": largest,
        "trimmed": lambda v: jnp.mean(jnp.sort(v, axis=axes[0]), axis=axes),
        "spread": lambda v: jnp.max(v, axes) - jnp.min(v, axes),
    }
    kind = d.one_of(sorted(kinds))
    return Step(f"{kind} {count} {part} of the map", kinds[kind], without(layout, dims))


@family(3)
def spectral(d, value, layout):
    """Fourier filters: a pointwise product with a constant commutes with every circular shift."""
    dims = positions(layout) or [0]
    dim = d.one_of(dims)
    n = value.shape[dim]
    two = len(dims) > 1 and d.chance(40)

    def along(weights, axis):
        return np.reshape(weights, [-1 if i == axis else 1 for i in range(len(layout))])

    low_pass = along(
        (np.minimum(np.arange(n), n - np.arange(n)) <= n // 4).astype(value.dtype), dim
    )
    generic = along(d.weights(n, scale=1.0) + 1j * d.weights(n, scale=1.0), dim)
    half = along(d.weights(n // 2 + 1, scale=1.0), dim)

    def filtered(v):
        if two:
            spectrum = jnp.fft.fft2(v, axes=tuple(dims[:2])) * low_pass
            return jnp.real(jnp.fft.ifft2(spectrum, axes=tuple(dims[:2]))).astype(v.dtype)
        return jnp.real(jnp.fft.ifft(jnp.fft.fft(v, axis=dim) * generic, axis=dim)).astype(v.dtype)

    few = min(2, n // 2 + 1)
    place = d.one_of((0, 0, n // 2 + 1 - few))
    matrix = d.weights(value.shape[-1], value.shape[-1], scale=1.0)

    def low(v):
        return lax.slice_in_dim(jnp.fft.rfft(v, axis=dim), 0, few, axis=dim)

    def among_zeros(v):
        kept = low(v) @ (1j * matrix) if dim < v.ndim - 1 else low(v)
        at = (slice(None),) * dim + (slice(place, place + few),)
        return jnp.zeros_like(jnp.fft.rfft(v, axis=dim)).at[at].set(kept)

    kinds = {
        "filter": filtered,
        "real filter": lambda v: jnp.fft.irfft(
            jnp.fft.rfft(v, axis=dim) * half, n=n, axis=dim
        ).astype(v.dtype),
        "power": lambda v: jnp.abs(jnp.fft.fft(v, axis=dim)).astype(v.dtype),
        "there and back": lambda v: jnp.real(
            jnp.fft.ifft(jnp.fft.fft(v, axis=dim) * 1.5, axis=dim)
        ).astype(v.dtype),
        "correlation with itself": lambda v: jnp.fft.irfft(
            jnp.abs(jnp.fft.rfft(v, axis=dim)) ** 2, n=n, axis=dim
        ).astype(v.dtype),
        "phase of the spectrum": lambda v: jnp.real(jnp.fft.fft(v, axis=dim)).astype(v.dtype),
        "cut spectrum": lambda v: jnp.fft.irfft(
            jnp.fft.rfft(v, axis=dim) * (along(np.arange(n // 2 + 1) < 2, dim)), n=n, axis=dim
        ).astype(v.dtype),
        "first frequencies": lambda v: jnp.fft.irfft((1 + 0.5j) * low(v), n=n, axis=dim).astype(
            v.dtype
        ),
        "frequencies among zeros": lambda v: jnp.fft.irfft(among_zeros(v), n=n, axis=dim).astype(
            v.dtype
        ),
    }  # fmt: skip
    # What is not linear in the spectrum has symmetries that no rule is to see.
    nonlinear = ("power", "correlation with itself")
    kind = d.one_of([k for k in sorted(kinds) if k not in nonlinear or d.chance(20)])
    return Step(
        f"Fourier {kind}{' of two' if two else ''} along {layout[dim]}", kinds[kind], layout
    )
