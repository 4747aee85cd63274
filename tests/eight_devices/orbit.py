"""A batch on eight devices stays there: nothing but a sum over it is sent, and numbers stay."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxinv.devices import data_mesh, spread
from jaxinv.orbit import distinct_orbit, orbit, symmetrize
from jaxinv.training.losses import orbit_loss, worst_shift_loss

IMAGES = jax.random.normal(jax.random.key(0), (16, 4, 4, 2))
LABELS = jnp.arange(16) % 5
PARAMS = {
    "kernel": jax.random.normal(jax.random.key(1), (3, 3, 2, 4)) / 4,
    "dense": jax.random.normal(jax.random.key(2), (2 * 2 * 4, 5)) / 8,
    "head": jax.random.normal(jax.random.key(3), (4, 5)) / 2,
}


def _maps(params, x, padding):
    numbers = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x, params["kernel"], (1, 1), padding, dimension_numbers=numbers
    )
    return jax.lax.reduce_window(
        jnp.tanh(x), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )


def dense(params, x):
    """Zero padding, and a head that reads fixed positions: little is shared."""
    maps = _maps(params, x, "SAME")
    return maps.reshape(len(x), -1) @ params["dense"]


def pooled(params, x):
    """Circular padding and global pooling: all is shared."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
    return _maps(params, x, "VALID").mean((1, 2)) @ params["head"]


def within(net, **options):
    return lambda params, x: orbit(functools.partial(net, params), max_shift=1, **options)(x)


CALLS = {
    "all shifts": lambda net: lambda params, x: orbit(functools.partial(net, params))(x),
    "zeros": lambda net: within(net, mode="constant"),
    "each shift": lambda net: within(net, share=False),
    "each shift, in chunks": lambda net: within(net, share=False, mode="edge", chunk=4),
    "each shift, together": lambda net: within(net, share=False, chunk=9),
    "distinct": lambda net: lambda p, x: distinct_orbit(functools.partial(net, p))(x).values,
    "symmetrized": lambda net: lambda p, x: symmetrize(functools.partial(net, p))(x),
    "orbit loss": lambda net: (
        lambda params, x: orbit_loss(functools.partial(net, params), x, LABELS, max_shift=1)
    ),
    "orbit loss, each shift": lambda net: (
        lambda params, x: orbit_loss(
            functools.partial(net, params), x, LABELS, max_shift=1, share=False
        )
    ),
    "loss at the worst shift": lambda net: (
        lambda params, x: worst_shift_loss(functools.partial(net, params), x, LABELS, max_shift=1)
    ),
}


def exchanged(compiled):
    """The collectives of a compiled program by name."""
    names = "all-gather|all-reduce|all-to-all|collective-permute|collective-broadcast"
    return set(re.findall(rf" ({names}|reduce-scatter)(?:-start)?\(", compiled.as_text()))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("net", [dense, pooled])
def test_the_batch_is_not_gathered(net, name):
    call = CALLS[name](net)
    images = spread(IMAGES, data_mesh(16))
    compiled = jax.jit(call).lower(PARAMS, images).compile()
    # A loss is a mean over the batch.
    allowed = {"all-reduce"} if "loss" in name else set()
    assert exchanged(compiled) <= allowed
    got = compiled(PARAMS, images)
    if "loss" not in name:
        assert len(got.sharding.device_set) == 8
    chex.assert_trees_all_close(got, jax.jit(call)(PARAMS, IMAGES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["zeros", "each shift, in chunks", "symmetrized", "orbit loss", "loss at the worst shift"],
)
@pytest.mark.parametrize("net", [dense, pooled])
def test_gradients_are_summed_and_nothing_else(net, name):
    def total(params, x):
        return jnp.square(CALLS[name](net)(params, x)).mean()

    images = spread(IMAGES, data_mesh(16))
    gradient = jax.jit(jax.grad(total, (0, 1)))
    compiled = gradient.lower(PARAMS, images).compile()
    assert exchanged(compiled) == {"all-reduce"}
    got = compiled(PARAMS, images)
    assert len(got[1].sharding.device_set) == 8
    chex.assert_trees_all_close(got, gradient(PARAMS, IMAGES), rtol=1e-4, atol=1e-5)
