"""Positions that nothing reads: what stands there, padding say, ends no symmetry."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax import lax

from jaxinv.symmetry.program import flatten
from tests.symmetry.shifted import assert_same_gradient, assert_states, drawn


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def x():
    return drawn(2, 6, 4, 3)


def convolved(x, stride):
    numbers = ("NHWC", "HWIO", "NHWC")
    kernel = drawn(2, 2, 3, 3)
    return lax.conv_general_dilated(x, kernel, stride, "VALID", dimension_numbers=numbers)


def padded(x, rows, columns, **options):
    return jnp.pad(x, ((0, 0), rows, columns, (0, 0)), **options)


def test_padding_that_nothing_reads(x):
    halved = "2,2 | P2 W3 W2 P3"
    cases = {
        "zeros": (lambda x: convolved(padded(x, (0, 1), (0, 1)), (2, 2)), halved),
        "mirrored": (
            lambda x: convolved(padded(x, (0, 1), (0, 1), mode="reflect"), (2, 2)),
            halved,
        ),
        "pooled edges": (
            lambda x: nn.max_pool(padded(x, (0, 1), (0, 1), mode="edge"), (2, 2), (2, 2)),
            halved,
        ),
        "cut off again": (
            lambda x: convolved(padded(x, (2, 2), (1, 2))[:, 2:-2, 1:-2], (2, 2)),
            halved,
        ),
        "turned": (
            lambda x: convolved(jnp.flip(jnp.swapaxes(padded(x, (0, 1), (1, 0)), 1, 2), 1), (2, 2)),
            "2,2 | P2 W2/-1 W3 P3",
        ),
        "read along one axis": (
            lambda x: convolved(padded(x, (0, 1), (1, 1)), (2, 2)),
            "2,4 | P2 W3 P3 P3",
        ),
        "read at a stride of 1": (
            lambda x: convolved(padded(x, (0, 1), (0, 0)), (1, 1)),
            "6,1 | P2 P6 W3 P3",
        ),
        "read by something else": (
            lambda x: [
                convolved(y := padded(x, (0, 1), (0, 0)), (2, 2)),
                y.sum((1, 2, 3)),
            ][0],
            "6,2 | P2 P3 W2 P3",
        ),
    }
    assert_states(cases, x)


def test_gradients_beside_padding_that_nothing_reads(x):
    def fun(x):
        return jnp.tanh(convolved(padded(x, (0, 1), (0, 1), mode="edge"), (2, 2)))

    assert_same_gradient(fun, x)


def test_ranges_read():
    def fun(x):
        y = jnp.pad(x, ((1, 2),))
        return y[2:6:2], jnp.concatenate([y, y])[9:14]

    program = flatten(jax.make_jaxpr(fun)(jnp.zeros(5)))
    (pad,) = (e for e in program.equations if e.primitive.name == "pad")
    assert program.positions_read(pad.outs[0], 0) == (1, 6)
    assert program.positions_read(pad.ins[0], 0) == (0, 5)


def test_a_value_of_which_nothing_is_read():
    def fun(x):
        return jnp.concatenate([jnp.sin(x), jnp.cos(x)])[6:]

    program = flatten(jax.make_jaxpr(fun)(jnp.zeros(5)))
    made = {e.primitive.name: e.outs[0] for e in program.equations}
    assert not program.is_needed(made["sin"])
    assert program.positions_read(made["cos"], 0) == (1, 5)
