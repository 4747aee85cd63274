"""Functions whose tiles do not make up the whole: refused in one line that says where and why."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.tiling.networks import conv, max_pool, normal, resized

X = jnp.asarray(normal(1, 1, 24, 20, 2), jnp.float32)


def normalised(x):
    y = conv(x, 0, 2)
    return (y - y.mean((1, 2), keepdims=True)) / y.std((1, 2), keepdims=True)


def attention(x):
    tokens = x.reshape(x.shape[0], -1, x.shape[-1])
    weights = jax.nn.softmax(jnp.einsum("nic,njc->nij", tokens, tokens), -1)
    return jnp.einsum("nij,njc->nic", weights, tokens).reshape(x.shape)


def squeeze_and_excitation(x):
    y = conv(x, 0, 2)
    return y * jax.nn.sigmoid(jnp.max(y, (1, 2), keepdims=True) @ normal(2, 2, 2).astype(x.dtype))


def flattened(x):
    y = conv(x, 0, 1)
    mixed = y.reshape(y.shape[0], -1) @ jnp.ones((y.shape[1] * y.shape[2],) * 2)
    return mixed.reshape(y.shape)


def fixed_size(x):
    return jax.image.resize(conv(x, 0, 1), (x.shape[0], 37, 37, 1), "linear")


def twice_to_a_fixed_size(x):
    return jax.image.resize(conv(x, 0, 1), (x.shape[0], 48, 40, 1), "nearest")


def far(x):
    return lax.reduce_window(x, 0.0, lax.add, (1, 49, 1, 1), (1, 1, 1, 1), "SAME")


def running_sum(x):
    return jnp.cumsum(x, 1)


# Each with how many lines below its head it ends, at which operation, and why.
NO_HALO = {
    "normalisation over the map": (normalised, 2, "reduce_sum", "positions up to the border are"),
    "attention over all tokens": (attention, 2, "reduce_max", "positions up to the border are"),
    "squeeze and excitation": (squeeze_and_excitation, 2, "reduce_max", "positions up to"),
    "flatten": (flattened, 2, "dot_general", "part of the positions that move is contracted"),
    "a running sum": (running_sum, 1, "cumsum", "cumsum runs along positions that move"),
    "a resize to a fixed size": (fixed_size, 1, "resize", "resampling weights differ"),
    "an image that is all border": (
        far,
        1,
        "avg_pool",
        "every position sees the border of so small",
    ),
}


@pytest.mark.parametrize("name", NO_HALO)
def test_no_halo_suffices(name):
    fun, below, operation, why = NO_HALO[name]
    with pytest.raises(ValueError, match="no halo suffices along axis 1 of 24 positions") as raised:
        jaxinv.tiling(fun, X)
    line = fun.__code__.co_firstlineno + below
    assert f"because of {operation} (test_refused.py:{line}): {why}" in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="no halo suffices along axis 1"):
        jaxinv.tiled(fun, tile=16)(X)


TABLE = jnp.asarray(normal(3, 24, 20, 1), jnp.float32)

READS_THE_SIZE = {
    "a factor of the size": lambda x: x * x.shape[1],
    "a mean's divisor": lambda x: x / np.float32(x.shape[2]),
    "its middle": lambda x: jnp.roll(x, x.shape[1] // 2, 1),
    "the other end": lambda x: jnp.roll(x, 1, 1),
    "circular padding": lambda x: conv(
        jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap"), 0, 2, padding="VALID"
    ),
    "a mirror image and back": lambda x: jnp.concatenate([x[:, :2], x[:, -2:], x[:, 4:]], 1),
    "an embedding of a fixed size": lambda x: conv(x, 0, 1) + TABLE[: x.shape[1], : x.shape[2]],
    "noise of its shape": lambda x: x * jax.random.bernoulli(jax.random.key(0), 0.5, x.shape),
    "more layers for more positions": lambda x: conv(x, 0, 2) if x.shape[1] < 24 else x,
    "another layer for more positions": lambda x: conv(x, int(x.shape[1] == 24), 2),
    "another power for more positions": lambda x: x ** (2 + (x.shape[1] == 24)),
    "another order of channels for more positions": lambda x: lax.sort(
        x if x.shape[1] < 24 else -x, dimension=3
    ),
    "another sum for more positions": lambda x: (
        jnp.cumsum(x, 3) if x.shape[1] < 24 else lax.cumsum(x, 3, reverse=True)
    ),
    "another constant for more positions": lambda x: (
        x * jnp.arange(2.0)[:: 1 - 2 * (x.shape[1] == 24)]
    ),
    "more padding for more positions": lambda x: conv(
        x, 0, 2, padding=[(x.shape[1] // 8,) * 2, (1, 1)]
    ),
    "an upsampling to twice the image": twice_to_a_fixed_size,
    "four thirds of an image that is no larger than a tile": lambda x: jax.image.resize(
        x, (x.shape[0], 32, 32, 2), "linear"
    ),
    "a crop of its middle": lambda x: lax.slice_in_dim(
        x, 2, x.shape[1] - 2 - x.shape[1] // 12, axis=1
    ),
}


@pytest.mark.parametrize("name", READS_THE_SIZE)
def test_a_function_of_the_size_is_refused(name):
    with pytest.raises(ValueError, match=r"tiles need|no halo suffices") as raised:
        jaxinv.tiling(READS_THE_SIZE[name], X)
    assert "\n" not in str(raised.value)


def test_it_is_named_where_the_size_is_read():
    with pytest.raises(ValueError, match=r"not do the same .* at mul \(test_refused.py:\d+\)"):
        jaxinv.tiling(READS_THE_SIZE["a factor of the size"], X)


NO_MAPS = {
    "classes": (lambda x: max_pool(x).mean((1, 2)), "no halo suffices along axis 1"),
    "a constant beside the map": (lambda x: (x, jnp.ones(3)), "does not depend on the image"),
    "nothing": (lambda x: [], "returns no arrays"),
    "a mirror image": (lambda x: x[:, ::-1], "backwards"),
    "tokens": (lambda x: x.reshape(x.shape[0], -1, 2), "follows axis 1 in a part of a dimension"),
    "its phase chosen": (
        jaxinv.layers.Downsample("aps").bind({}),
        "because of aps",
    ),
}


@pytest.mark.parametrize("name", NO_MAPS)
def test_outputs_that_are_no_maps(name):
    fun, says = NO_MAPS[name]
    with pytest.raises(ValueError, match=says):
        jaxinv.tiling(fun, X)


def test_along_the_other_axis_it_may_have_one():
    tiling = jaxinv.tiling(lambda x: conv(x, 0, 2) / jnp.max(x, 1, keepdims=True), X, axes=(2,))
    assert tiling.halo == ((1, 1),)
    made = jaxinv.tiled(lambda x: conv(x, 0, 2), tile=8, axes=(2,))(X)
    np.testing.assert_allclose(made, conv(X, 0, 2), atol=1e-6)


def test_what_is_resized_by_a_whole_number_is_not_refused():
    tiling = jaxinv.tiling(lambda x: resized(conv(x, 0, 2), 3, "cubic"), X)
    assert (tiling.scale, tiling.grid) == ((3, 3), (1, 1))


def test_a_large_image_is_resized_by_many_weights():
    large = jax.ShapeDtypeStruct((1, 1500, 8, 1), jnp.float32)
    tiling = jaxinv.tiling(lambda x: resized(x, 2, "linear"), large, axes=(1,))
    assert (tiling.halo, tiling.grid, tiling.scale) == (((1, 1),), (1,), (2,))
