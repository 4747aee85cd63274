"""Pieces that are joined: what moves alike stays together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.symmetry import measured
from tests.symmetry.shifted import assert_states, drawn

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | P2 W6 W4 P3"


def test_joined_pieces(x):
    def pad(mode, width):
        return lambda x: jnp.pad(x, ((0, 0), width, (0, 0), (0, 0)), mode=mode)

    cases = {
        "circular padding": (pad("wrap", (2, 3)), "1,1 | P2 W11 W4 P3"),
        "more than once around": (pad("wrap", (7, 0)), "1,1 | P2 W13 W4 P3"),
        "reflect": (pad("reflect", (1, 1)), "6,1 | P2 P8 W4 P3"),
        "edge": (pad("edge", (1, 0)), "6,1 | P2 P7 W4 P3"),
        "zeros": (pad("constant", (1, 1)), "6,1 | P2 P8 W4 P3"),
        "negative and zeros": (
            lambda x: lax.pad(x, 0.0, ((0, 0, 0), (-2, -1, 0), (0, 0, 0), (0, 1, 0))),
            "1,1 | P2 W3 W4 P4",
        ),
        "other order": (lambda x: jnp.concatenate([x[:, 3:], x[:, :2]], 1), "1,1 | P2 W5 W4 P3"),
        "other values": (
            lambda x: jnp.concatenate([x[:, 3:], x[:, :3] ** 2], 1),
            "6,1 | P2 P6 W4 P3",
        ),
        "channels": (lambda x: jnp.concatenate([x, jnp.roll(x, 1, 1)], 3), "1,1 | P2 W6 W4 P6"),
        "channels of two periods": (
            lambda x: jnp.concatenate([x, jnp.repeat(x[:, ::2], 2, 1)], 3),
            "2,1 | P2 W3*P2 W4 P6",
        ),
        "one position each": (
            lambda x: jnp.stack([x.mean((1, 2)), x.max((1, 2))], 1),
            "1,1 | P2 P2 P3",
        ),
    }
    assert_states(cases, x)


def test_joined_pieces_that_are_alike(x):
    """What is the same everywhere still is after it is rolled."""

    def spread(number):
        return jnp.broadcast_to(number, (2, 6, 4, 3))

    def means(x):
        return spread(x[:, ::2].mean((1, 2), keepdims=True))

    cases = {
        "rolled": (lambda x: jnp.roll(means(x), 1, 1), "2,1 | P2 U6 U4 P3"),
        "rolled along both": (
            lambda x: x + jnp.roll(spread(x.max()), (2, 1), (1, 2)),
            EVERY,
        ),
        "padded": (
            lambda x: jnp.pad(spread(x.max()), ((0, 0), (1, 2), (0, 0), (0, 0)), mode="wrap"),
            "1,1 | U2 U9 U4 U3",
        ),
        "single positions": (
            lambda x: (lambda y: jnp.concatenate([y[:, :1], y[:, 3:4], y[:, 1:3]], 1))(means(x)),
            "2,1 | P2 U4 U4 P3",
        ),
        "with another": (
            lambda x: jnp.concatenate([means(x)[:, :2], 2 * means(x)[:, 2:]], 1),
            "2,1 | P2 P6 U4 P3",
        ),
        "with what moves": (
            lambda x: jnp.concatenate([spread(x.max())[:, :2], x[:, 2:]], 1),
            "6,1 | P2 P6 W4 P3",
        ),
    }
    assert_states(cases, x)


def test_pieces_that_are_made_alike(x):
    def joined(*pieces):
        return jnp.concatenate(pieces, 1)

    broken = "6,1 | P2 P6 W4 P3"
    cases = {
        "differences across the border": (
            lambda x: joined(x[:, 1:] - x[:, :-1], x[:, :1] - x[:, -1:]),
            EVERY,
        ),
        "of the other axis": (
            lambda x: jnp.concatenate([x[:, :, :1] - x[:, :, 3:], x[:, :, 1:] - x[:, :, :3]], 2),
            EVERY,
        ),
        "central": (
            lambda x: joined(
                (x[:, 1:2] - x[:, 5:]) / 2, (x[:, 2:] - x[:, :4]) / 2, (x[:, :1] - x[:, 4:5]) / 2
            ),
            EVERY,
        ),
        "of every second": (
            lambda x: (lambda y: joined(y[:, 1:] - y[:, :2], y[:, :1] - y[:, 2:]))(x[:, ::2]),
            "2,1 | P2 W3 W4 P3",
        ),
        "by one function": (lambda x: joined(jnp.tanh(x[:, 3:]), jnp.tanh(x[:, :3])), EVERY),
        # Whose derivatives are, to the orbit, functions of their own.
        "by relu": (lambda x: joined(jax.nn.relu(x[:, 3:]), jax.nn.relu(x[:, :3])), broken),
        "by two": (lambda x: joined(jnp.tanh(x[:, 3:]), jnp.sin(x[:, :3])), broken),
        "by one, of other parameters": (lambda x: joined(x[:, 3:] ** 2, x[:, :3] ** 3), broken),
        "by other constants": (lambda x: joined(x[:, 3:] * 2.0, x[:, :3] * 3.0), broken),
        "of the other sign": (
            lambda x: joined(x[:, 1:] - x[:, :-1], x[:, -1:] - x[:, :1]),
            broken,
        ),
        "of another distance": (
            lambda x: joined(x[:, 1:] - x[:, :-1], x[:, :1] - x[:, -2:-1]),
            broken,
        ),
        "of phases": (
            lambda x: jnp.concatenate([jnp.sin(x[:, ::2]), jnp.sin(x[:, 1::2])], 1),
            broken,
        ),
    }
    assert_states(cases, x)
    kind = jaxinv.certify(lambda x: joined(jax.nn.relu(x[:, 3:]), jax.nn.relu(x[:, :3])), x).kind
    assert kind == "equivariant"


def test_the_interior_of_joined_pieces_holds_along_the_other_axis():
    x = drawn(1, 8, 6, 1)
    rows = np.arange(6.0)[:, None]

    def inside(fun):
        outputs = jaxinv.certify(fun, x, mode="constant").outputs
        assert not list(measured.interior_violations(measured.Orbit(fun, x, (1, 2)), outputs))
        return [None if i is None else (i.start, i.stop) for i in outputs[0].interior]

    # What lies outside of the interior along one axis still has to move along the other.
    assert inside(lambda x: jnp.concatenate([x, x + rows], 1)) == [(0, 8), None]
    assert inside(lambda x: jnp.concatenate([x, np.zeros((1, 2, 6, 1))], 1)) == [(0, 8), (0, 6)]
    assert inside(lambda x: x.at[:, 2:4, 1:3].set(0.0)) == [(4, 8), (3, 6)]
    assert inside(lambda x: jnp.concatenate([x, jnp.sin(x)], 1)[:, :, ::2]) == [(0, 8), (0, 3)]
