"""Constants that follow the shift: a bias between tokens, a mask of each token for itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from tests.symmetry.shifted import assert_same_gradient, assert_states, drawn

pytestmark = pytest.mark.usefixtures("x64")

SELF = np.eye(4)
# A number for each distance, around the torus and not.
AROUND = np.array([0.5, -1.0, 2.0, 0.25])[(np.arange(4) - np.arange(4)[:, None]) % 4]
ALONG = np.arange(7.0)[np.arange(4) - np.arange(4)[:, None] + 3]
# Whether two tokens are an odd number of places apart.
ODD = np.abs(np.arange(4) - np.arange(4)[:, None]) % 2.0
ROWS_AROUND = np.array([0.5, -1.0, 2.0, 0.25, 3.0, -2.0])[
    (np.arange(6) - np.arange(6)[:, None]) % 6
]
BOTH = ROWS_AROUND[:, None, :, None] * AROUND[None, :, None, :]
EVERY = "1,1 | P2 W6 W4 P3"


def scores(x, y=None):
    """Products of each position of a row with each other one."""
    return jnp.einsum("...wc,...vc->...wv", x, x if y is None else y)


def attention(x, bias):
    return jax.nn.softmax(scores(x) + bias) @ x


def test_tables_of_distances():
    x = drawn(2, 6, 4, 3)
    pairs = "1,1 | P2 W6 W4 W4"
    cases = {
        "one for each token itself": (lambda x: scores(x) + SELF, pairs),
        "around": (lambda x: scores(x) * AROUND, pairs),
        "for each head": (
            lambda x: scores(x)[:, None] + np.stack([AROUND, SELF])[:, None],
            "1,1 | P2 P2 W6 W4 W4",
        ),
        "masked for itself": (
            lambda x: jax.nn.softmax(jnp.where(SELF > 0, -1e9, scores(x))) @ x,
            EVERY,
        ),
        "attention": (lambda x: attention(x, AROUND), EVERY),
        "of rolled tokens": (lambda x: scores(x, jnp.roll(x, 1, 2)) + AROUND, pairs),
        "every second": (
            lambda x: scores(x[:, :, ::2]) + AROUND[::2, ::2],
            "1,2 | P2 W6 W2 W2",
        ),
        "with half of the tokens": (
            lambda x: scores(x[:, :, ::2], x) + AROUND[::2],
            "1,2 | P2 W6 W2 W4/2",
        ),
        "the other way": (
            lambda x: scores(x, jnp.flip(x, 2)) + AROUND[:, ::-1],
            "1,1 | P2 W6 W4 W4/-1",
        ),
        "that repeats itself at every second": (
            lambda x: scores(x) + np.where(np.arange(4) % 2, 1.0, 2.0)[:, None] * AROUND,
            "1,2 | P2 W6 W4/2 W4/2",
        ),
        "masked by parity": (lambda x: scores(x) * (1 + ODD), pairs),
        "masked by the parity of sums": (lambda x: scores(x) * (1 + ODD[:, ::-1]), pairs),
        "of keys in turn": (lambda x: scores(x) + ODD[0], "1,2 | P2 W6 W4/2 W4/2"),
        "along both axes": (
            lambda x: jnp.einsum("nhwc,ngvc->nhwgv", x, x) + BOTH,
            "1,1 | P2 W6 W4 W6 W4",
        ),
        "not around": (lambda x: scores(x) + ALONG, "1,4 | P2 W6 P4 P4"),
        "of sums": (lambda x: scores(x) + AROUND[:, ::-1], "1,2 | P2 W6 W4/2 W4/2"),
        "of a part": (
            lambda x: scores(x[:, :, 1:]) + AROUND[1:, 1:],
            "1,4 | P2 W6 P3 P3",
        ),
    }
    assert_states(cases, x)


def test_tables_of_distances_between_tokens_of_a_map():
    """Tokens are positions along both axes in one dimension."""
    x = drawn(2, 6, 4, 3)
    both = BOTH.reshape(24, 24)
    place = np.arange(24)
    rows, columns = place // 4, place % 4
    tokens = "1,1 | P2 W6*W4 P3"

    def attended(change):
        def fun(x):
            v = x.reshape(2, 24, 3)
            return jax.nn.softmax(change(v @ v.swapaxes(1, 2))) @ v

        return fun

    def near(this, that, size):
        apart = (this[:, None] - that) % size
        return np.minimum(apart, size - apart) < 2

    windows = near(rows, rows, 6) & near(columns, columns, 4)
    cases = {
        "a bias": (attended(lambda s: s + both), tokens),
        "a window as a mask": (attended(lambda s: jnp.where(windows, s, -1e9)), tokens),
        "not around": (
            attended(lambda s: s + np.abs(rows[:, None] - rows)),
            "6,1 | P2 P6*W4 P3",
        ),
        "of places in memory": (
            attended(lambda s: s + np.abs(place[:, None] - place)),
            "6,4 | P2 P6*P4 P3",
        ),
        "a checkerboard": (
            lambda x: x.reshape(2, 24, 3) * ((rows + columns) % 2)[:, None],
            "2,2 | P2 W6/2*W4/2 P3",
        ),
        "of columns in turn": (
            lambda x: x.reshape(2, 24, 3) + (columns % 2)[:, None],
            "1,2 | P2 W6*W4/2 P3",
        ),
    }
    assert_states(cases, x)


def test_zeros_of_both_signs_are_two_numbers():
    def periods(zeros):
        table = np.asarray(zeros)[:, None, None]
        certificate = jaxinv.certify(lambda x: jnp.arctan2(table, x), drawn(1, 6, 4, 1))
        return tuple(certificate.outputs[0].period)

    assert periods([0.0] * 6) == periods([-0.0] * 6) == (1, 1)
    assert periods([0.0, -0.0] * 3) == (2, 1)
    assert periods([0.0, -0.0, 0.0, 0.0, 0.0, 0.0]) == (6, 1)


def test_products_with_matrices_that_convolve():
    """A matrix of weights that depend on the distance alone, around the torus."""
    x = drawn(2, 6, 4, 3)
    every_second, twice = np.repeat(np.eye(2), 2, 1) / 2, np.repeat(np.eye(4), 2, 0)
    rows = "1,1 | P2 W6 W4 P3"
    mixed = "1,4 | P2 W6 P4 P3"

    def columns(matrix):
        return lambda x: matrix @ x

    def tokens(matrix):
        return lambda x: jnp.einsum("nm,bmc->bnc", matrix, x.reshape(2, 24, 3))

    cases = {
        "circulant": (columns(AROUND), rows),
        "from the other side": (lambda x: jnp.einsum("nhwc,wv->nhvc", x, AROUND), rows),
        "every second": (columns(AROUND[::2]), "1,2 | P2 W6 W2 P3"),
        "the other way": (columns(AROUND[::-1]), "1,1 | P2 W6 W4/-1 P3"),
        "means of two": (columns(every_second), "1,2 | P2 W6 W2 P3"),
        "twice": (columns(twice), "1,1 | P2 W6 W8/2 P3"),
        "a mean": (lambda x: jnp.einsum("nhwc,w->nhc", x, np.full(4, 0.25)), "1,1 | P2 W6 P3"),
        "in turn": (lambda x: jnp.einsum("nhwc,w->nhc", x, ODD[0]), "1,2 | P2 W6 P3"),
        "a graph of a grid": (tokens(BOTH.reshape(24, 24)), "1,1 | P2 W6*W4 P3"),
        "not around": (columns(np.tril(np.ones((4, 4)))), mixed),
        "of sums that do not end": (columns(AROUND + np.diag([0, 0, 0, 1.0])), mixed),
        "of numbers": (columns(drawn(4, 4)), mixed),
    }
    assert_states(cases, x)
    for name in ("circulant", "every second", "in turn", "a graph of a grid"):
        assert_same_gradient(cases[name][0], x)


def test_parameters_that_are_read_several_times():
    """Of a parameter only the places are known at which it is read."""
    x, numbers = drawn(2, 6, 4, 3), np.random.default_rng(1)
    apart = (np.arange(4) - np.arange(4)[:, None]) % 4
    params = {
        "around": numbers.normal(size=4),
        "along": numbers.normal(size=7),
        "heads": numbers.normal(size=(4, 3)),
        "phases": numbers.normal(size=2),
        "slope": np.float64(0.3),
    }

    def heads(p, x):
        table = p["heads"][apart.reshape(-1)].reshape(4, 4, 3)
        return attention(x[:, None], 0.5 * jnp.tanh(jnp.moveaxis(table, 2, 0)[:, None])).sum(1)

    every = ("equivariant", (1, 1))
    cases = {
        "around": (lambda p, x: attention(x, p["around"][apart]), every),
        "for each head": (heads, every),
        "at places that are cut off": (
            lambda p, x: attention(x, jnp.take(p["around"], apart, mode="fill") * p["slope"]),
            every,
        ),
        "a slope": (lambda p, x: attention(x, p["slope"] * np.minimum(apart, 4 - apart)), every),
        "two tables": (
            lambda p, x: attention(x, p["around"][apart] + p["heads"][apart, 1]),
            every,
        ),
        "a matrix": (lambda p, x: p["around"][apart] @ x, every),
        "in turn": (
            lambda p, x: x + jnp.tile(p["phases"], 3)[:, None, None],
            ("equivariant", (2, 1)),
        ),
        "along": (
            lambda p, x: attention(x, p["along"][np.arange(4) - np.arange(4)[:, None] + 3]),
            ("equivariant", (1, 4)),
        ),
        "each once": (lambda p, x: x + p["around"][:, None], ("equivariant", (1, 4))),
    }
    for name, (fun, state) in cases.items():
        certificate = jaxinv.certify(fun, params, x, argnums=1)
        assert (certificate.kind, certificate.period) == state, name
        shared, each = (jaxinv.orbit(fun, argnums=1, share=s)(params, x) for s in (True, False))
        np.testing.assert_allclose(shared, each, rtol=0, atol=1e-12, err_msg=name)


def test_tables_of_distances_on_the_line():
    """What depends on the distance alone keeps the interior."""

    def net(x, bias):
        return scores(x, x) + bias

    for bias, interior in ((ALONG, True), (AROUND, True), (np.arange(16.0).reshape(4, 4), False)):
        certificate = jaxinv.certify(
            lambda x, b=bias: net(x, b)[..., 1:3, 1:3], drawn(2, 6, 4, 3), mode="constant"
        )
        assert (certificate.outputs[0].interior[1] is not None) == interior
