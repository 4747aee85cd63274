"""Scatters that reach each position once, indices that count, and votes in any order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.symmetry.shifted import assert_same_gradient, assert_states, drawn, strongest

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | P2 W6 W4 P3"
BROKEN_ROWS = "6,1 | P2 P6 W4 P3"
LAST_FIRST = np.array([2, 0, 1])
ORDER = np.array([3, 1, 0, 2, 5, 4])


def test_scatters_that_reach_each_position_once(x):
    scalar = lambda x: x.mean()  # noqa: E731
    cases = {
        "replaced by a number": (lambda x: x.at[:, ORDER].set(1.0), "1,1 | U2 U6 U4 U3"),
        "replaced by channels": (lambda x: x.at[..., LAST_FIRST].set(2 * x), EVERY),
        "replaced further on": (lambda x: x.at[:, (np.arange(6) + 2) % 6].set(x), EVERY),
        "a function": (lambda x: x.at[:, ORDER].apply(jnp.sin), EVERY),
        "a sum": (lambda x: x.at[:, ORDER].add(scalar(x)), EVERY),
        "a difference": (lambda x: x.at[:, :, np.arange(4)].subtract(x * x), EVERY),
        "a product": (lambda x: x.at[:, ::-1].multiply(scalar(x)), EVERY),
        "a maximum": (lambda x: x.at[..., LAST_FIRST].max(0.3 * x), EVERY),
        "of a coarse map": (
            lambda x: x[:, ::2].at[:, np.array([2, 0, 1])].min(scalar(x[:, ::2])),
            "2,1 | P2 W3 W4 P3",
        ),
        "in another order": (lambda x: x.at[:, ORDER].add(x), BROKEN_ROWS),
        "not all": (lambda x: x.at[:, ORDER[:5]].add(scalar(x)), BROKEN_ROWS),
        "one of them twice": (lambda x: x.at[:, np.r_[ORDER, 0]].add(1.0), BROKEN_ROWS),
    }
    assert_states(cases, x)


def test_gradients_of_scatters_that_reach_each_position_once(x):
    def fun(x):
        return [
            x.at[:, ORDER].add(jnp.sin(x).mean()),
            x.at[..., LAST_FIRST].set(x * x),
            x.at[..., LAST_FIRST].multiply(x * x, unique_indices=True),
        ]

    assert_same_gradient(fun, jnp.round(2 * x))


def test_scatters_that_reach_polyphase_components(x):
    rows, columns = np.arange(0, 6, 3), np.arange(1, 4, 2)
    cases = {
        "a constant": (lambda x: x.at[:, 1::3].add(drawn(3)), "3,1 | P2 W2*P3 W4 P3"),
        "another component": (
            lambda x: x.at[:, ::2].multiply(x[:, 1::2]),
            "2,1 | P2 W3*P2 W4 P3",
        ),
        "of two axes": (
            lambda x: x.at[:, ::2, 1::2].max(x[:, 1::2, ::2]),
            "2,2 | P2 W3*P2 W2*P2 P3",
        ),
        "named one by one": (
            lambda x: x.at[:, rows[:, None], columns].set(1.0),
            "3,2 | P2 W2*P3 W2*P2 P3",
        ),
        "backwards": (
            lambda x: jnp.zeros((2, 12, 4, 3)).at[:, np.arange(12)[::-2]].set(x),
            "1,1 | P2 W6/-1*P2 W4 P3",
        ),
        "zeros between positions": (
            lambda x: jnp.zeros((2, 12, 8, 3)).at[:, ::2, 1::2].set(x),
            "1,1 | P2 W6*P2 W4*P2 P3",
        ),
        "and of channels": (
            lambda x: x.at[:, ::2, :, 1].subtract(x[:, 1::2, :, 0]),
            "2,1 | P2 W3*P2 W4 P3",
        ),
        "not whole": (lambda x: x.at[:, 2::2].add(1.0), BROKEN_ROWS),
        "a step that does not divide": (lambda x: x.at[:, ::4].add(1.0), BROKEN_ROWS),
        "a diagonal": (lambda x: x.at[:, np.arange(4), np.arange(4)].add(1.0), "6,4 | P2 P6 P4 P3"),
    }
    assert_states(cases, x)


def test_gradients_of_scatters_that_reach_polyphase_components(x):
    def fun(x):
        return [
            x.at[:, ::2, 1::2].add(jnp.sin(x[:, 1::2, ::2])),
            jnp.ones((2, 12, 8, 3)).at[:, ::2, 1::2].set(x * x),
            x.at[:, ::3].multiply(x[:, 1::3], unique_indices=True),
        ]

    assert_same_gradient(fun, jnp.round(2 * x))


def test_lookups_by_indices_that_count(x):
    """Indices that name each position in turn say that this dimension is shared."""
    rows, columns = np.arange(6)[:, None], np.arange(4)
    batch = np.arange(2)[:, None, None]
    cases = {
        "read": (lambda x: x[batch, rows, columns, strongest(x)], "1,1 | P2 W6 W4"),
        "read, all of the batch": (
            lambda x: x[:, rows, columns, strongest(x[0])],
            "1,1 | P2 W6 W4",
        ),
        "multiplied": (
            lambda x: x.at[batch, rows, columns, strongest(x)].multiply(x.mean(3)),
            EVERY,
        ),
        "replaced": (
            lambda x: jnp.put_along_axis(x, strongest(x)[..., None], 0.0, 3, inplace=False),
            EVERY,
        ),
        "of a coarse map": (
            lambda x: x[:, ::2][batch, rows[:3], columns, strongest(x[:, 1::2])],
            "2,1 | P2 W3 W4",
        ),
        "a volume's depth": (
            lambda x: x.at[batch, rows, strongest(x.swapaxes(2, 3))].add(1.0),
            "1,4 | P2 W6 P4 P3",
        ),
        "counted around": (
            lambda x: x[batch, np.roll(rows, 1, 0), columns, strongest(x)],
            "1,1 | P2 W6 W4",
        ),
        "set, counted around both ways": (
            lambda x: x.at[
                np.roll(batch, 1, 0), np.roll(rows, 2, 0), np.roll(columns, -1), strongest(x)
            ].set(x.mean(3)),
            EVERY,
        ),
        "counted from one on": (
            lambda x: x[batch, np.arange(6)[:, None] % 5 + 1, columns, strongest(x)],
            "6,1 | P2 P6 W4",
        ),
        "along the diagonal": (
            lambda x: x[:, np.arange(4), np.arange(4), strongest(x[0, :4, 0])],
            "6,4 | P2 P4",
        ),
    }
    assert_states(cases, x)


def test_gradients_of_lookups_by_indices_that_count(x):
    rows, columns = np.arange(6)[:, None], np.arange(4)

    def fun(x):
        there = np.roll(rows, 1, 0), np.roll(columns, 1), strongest(x[0])
        return (
            x[:, rows, columns, strongest(x[0])] ** 2
            + jnp.cos(x).at[:, *there].add(x[..., 0] ** 2)[..., 1]
        )

    assert_same_gradient(fun, jnp.round(2 * x))


def test_votes(x):
    """Updates that reach a position in any order: no shift changes what all of them make."""
    bins = lambda x: jnp.clip(2 * x + 2, 0, 3).astype(int)  # noqa: E731
    cases = {
        "weighted": (lambda x: jnp.zeros(4).at[bins(x)].add(x), "1,1 | P4"),
        "counts": (lambda x: jnp.bincount(bins(x).reshape(-1), length=4), "1,1 | P4"),
        "sums over segments": (
            lambda x: jax.ops.segment_sum(x.reshape(-1, 3), strongest(x).reshape(-1), 3),
            "1,1 | P3 P3",
        ),
        "the greatest of a coarse map": (
            lambda x: jnp.zeros(4).at[bins(x[:, ::2])].max(x[:, ::2]),
            "2,1 | P4",
        ),
        "products": (lambda x: jnp.ones(4).at[bins(x)].multiply(x), "1,1 | P4"),
        "of each row": (
            lambda x: jax.vmap(lambda r: jnp.zeros(4).at[bins(r)].add(r), 1, 1)(x),
            "1,1 | P4 W6",
        ),
        "of a part": (lambda x: jnp.zeros(4).at[bins(x[:, 1:])].add(x[:, 1:]), "6,1 | P4"),
        "weights that do not move": (
            lambda x: jnp.zeros(4).at[bins(x)].add(np.arange(4.0)[:, None]),
            "1,4 | P4",
        ),
        "the last one": (lambda x: jnp.zeros(4).at[bins(x)].set(x), "6,4 | P4"),
    }
    assert_states(cases, x)
