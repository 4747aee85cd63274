"""What patterns of arguments are made of; a pattern is a function of one signal.

Its layout is NHC, `(1, 6, 4)`, and it is shifted along H.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

SHAPE = (1, 6, 4)
Patterns = dict[str, list[Callable]]

CHANNELS = np.array([0.5, -1.0, 2.0, 1.0])
PLACES = np.array([0.5, -1.0, 2.0, 1.0, 0.0, -0.5])[:, None]
KERNEL = np.array([1.0, -2.0, 0.5])


def whole(v):
    """Whole numbers; an infinity is none."""
    return jnp.floor(4 * jnp.nan_to_num(v, posinf=3, neginf=-3)).astype(jnp.int32)


def natural(v):
    return jnp.abs(whole(v))


def near(v):
    """Each position's neighbour."""
    return jnp.roll(v, 1, 1)


def row(v):
    """One channel as a vector of positions."""
    return v[0, :, 0]


def square(v):
    """A matrix of positions with positions, well conditioned."""
    rows = jnp.tanh(v[0])
    return rows @ rows.T + 2 * jnp.eye(6, dtype=v.dtype)


def small(v):
    """A matrix of channels with channels, well conditioned, and its eigenvalues apart."""
    rows = jnp.tanh(v[0])
    return rows.T @ rows + jnp.diag(jnp.arange(2.0, 6).astype(v.dtype))


def group(module, names: str, *patterns: Callable) -> Patterns:
    """The patterns of functions that are called alike; names of other releases are left out."""

    def bound(fun):
        return [lambda v, pattern=pattern: pattern(fun, v) for pattern in patterns]

    return {n: bound(getattr(module, n)) for n in names.split() if hasattr(module, n)}


def excused(reasons: dict[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in reasons.items() for name in names.split()}


ALONE = (lambda f, v: f(v),)
PAIRS = (
    lambda f, v: f(v, near(v)),
    lambda f, v: f(v, CHANNELS.astype(v.dtype)),
    lambda f, v: f(v, jnp.max(v, 1, keepdims=True)),
)
REDUCTIONS = (
    lambda f, v: f(v, axis=1),
    lambda f, v: f(v, axis=-1),
    lambda f, v: f(v),
)
WHOLE_PAIRS = (
    lambda f, v: f(whole(v), whole(near(v))),
    lambda f, v: f(whole(v), np.int32(3)),
)
ALONG = (lambda f, v: f(v, axis=1), lambda f, v: f(v, axis=-1))
