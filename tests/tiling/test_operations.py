"""What dense networks hold beside convolutions: none of it stands in the way of tiles."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.sweeps import few
from tests.tiling.networks import conv, layers_in_a_scan, normal, resized

pytestmark = pytest.mark.usefixtures("x64")

NUMBERS = ("NHWC", "HWIO", "NHWC")
TABLE = normal(5, 7, 3)


def halved(x, **options):
    return jax.image.resize(x, (x.shape[0], x.shape[1] // 2, x.shape[2] // 2, 2), **options)


def three_halves(x):
    up = lax.conv_transpose(
        conv(x, 0, 2), normal(1, 3, 3, 2, 2), (3, 3), "SAME", dimension_numbers=NUMBERS
    )
    return conv(up, 2, 2, stride=2)


def instance_statistics_along_channels(x):
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(1 + x.var(-1, keepdims=True))


def embedded(x):
    return jnp.take(TABLE, jnp.clip((2 * x[..., 0] + 3).astype(int), 0, 6), axis=0)[..., 1:]


def median(x):
    rows = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    neighbours = [rows[:, 1:-1, :-2], rows[:, :-2, 1:-1], rows[:, 2:, 1:-1], rows[:, 1:-1, 2:]]
    return jnp.median(jnp.stack([x, *neighbours]), 0)


def chosen(x):
    which = (x[..., :1] > 0).astype(int)
    return jnp.take_along_axis(x, which, axis=-1)


def layers_in_a_loop(x):
    def layer(i, y):
        inner = jax.checkpoint(lambda z: jnp.tanh(conv(z, 0, 2)))
        return lax.scan(lambda z, _: (inner(z), None), y, None, length=2)[0] + i * x

    return lax.fori_loop(1, 3, layer, x)


def chosen_layers(x):
    y = lax.switch(1, [jnp.tanh, lambda y: conv(y, 0, 2)], x)
    return lax.fori_loop(
        0, 2, lambda i, y: lax.cond(True, lambda z: conv(z, 1, 2), jnp.sin, jnp.tanh(y)), y
    )


# Each with the halo along both axes and the grid.
FUNCTIONS = {
    "one class of several": (lambda x: conv(x, 0, 3)[..., 1], (1, 1), 1),
    "labels": (lambda x: jnp.argsort(conv(x, 0, 5), -1)[..., -1], (1, 1), 1),
    "one of sorted channels": (lambda x: jnp.sort(x, -1)[..., 1], (0, 0), 1),
    "a running sum of channels": (lambda x: jnp.cumsum(x, -1)[..., -1:], (0, 0), 1),
    "a projection": (lambda x: jnp.einsum("nhwc,cd->nhwd", x, TABLE[:2])[..., 2], (0, 0), 1),
    "the largest channels": (lambda x: lax.top_k(x, 1)[0], (0, 0), 1),
    "channels one by one": (lambda x: sum(jnp.unstack(x, axis=-1)), (0, 0), 1),
    "a channel that is set": (lambda x: x.at[..., 0].set(0.5), (0, 0), 1),
    "a channel that is added to": (lambda x: conv(x, 0, 3).at[..., 1:].add(x), (1, 1), 1),
    "channels repeated": (lambda x: jnp.tile(x, (1, 1, 1, 2)), (0, 0), 1),
    "statistics of channels": (instance_statistics_along_channels, (0, 0), 1),
    "an embedding of labels": (embedded, (0, 0), 1),
    "a median of neighbours": (median, (1, 1), 1),
    "the channel that another one chooses": (chosen, (0, 0), 1),
    "positions repeated, but the ends": (lambda x: jnp.repeat(x, 2, 1)[:, 1:-1], None, 1),
    "a slice that starts at a number": (
        lambda x: lax.dynamic_slice_in_dim(x, 1, x.shape[1] - 1, 1),
        None,
        1,
    ),
    "halved": (lambda x: halved(x, method="linear"), (2, 2), 2),
    "halved, every second": (lambda x: halved(x, method="linear", antialias=False), (0, 0), 2),
    "doubled": (lambda x: resized(x, 2, "cubic"), (2, 2), 1),
    "three halves": (three_halves, (2, 2), 2),
    "layers in a scan": (layers_in_a_scan, (3, 3), 1),
    "layers that are chosen": (chosen_layers, (3, 3), 1),
    "layers in a loop": (layers_in_a_loop, (4, 4), 1),
}
WIDE, TALL = (2, 26, 38, 2), (2, 38, 26, 2)


CASES = itertools.product(FUNCTIONS, (WIDE, TALL))
QUICK = (("one class of several", WIDE), ("doubled", WIDE), ("halved", TALL))


@pytest.mark.parametrize(("name", "shape"), few(CASES, *QUICK))
def test_tiles_and_their_gradient_are_those_of_the_whole(name, shape):
    fun, halo, grid = FUNCTIONS[name]
    x = jnp.asarray(normal(7, *shape))
    tiling = jaxinv.tiling(fun, x)
    assert tiling.grid == (grid, grid)
    assert halo is None or tiling.halo == (halo, halo)
    assert max(tiling.smallest) + 8 < 26
    by_tile = jaxinv.tiled(fun, tile=[least + 8 for least in tiling.smallest])

    def loss(fun):
        return lambda x: jnp.sum(jnp.sin(fun(x)))

    np.testing.assert_allclose(by_tile(x), jax.jit(fun)(x), rtol=0, atol=1e-12)
    mine, truth = (jax.grad(loss(f), allow_int=True)(x) for f in (by_tile, fun))
    np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-12)


def test_a_resize_along_three_axes():
    def fun(x):
        shape = (1, x.shape[1] * 2, x.shape[2] // 2, x.shape[3] * 3, 1)
        return jax.image.resize(x, shape, "linear")

    x = jnp.asarray(normal(3, 1, 9, 20, 14, 1))
    made = jaxinv.tiled(fun, tile=(5, 10, 6), axes=(1, 2, 3))(x)
    np.testing.assert_allclose(made, fun(x), rtol=0, atol=1e-12)


def beside_infinity(x):
    at = jnp.arange(x.shape[1])
    added = jnp.where(at == 0, jnp.inf, jnp.where(at < 4, 1.0 * x.shape[1], 0.0))
    return x + added[:, None, None]


def padded_to_fours(mode, *, before):
    def fun(x):
        lacking = [-n % 4 for n in x.shape[1:3]]
        ends = [(n // 2 if before else 0, n - n // 2 if before else n) for n in lacking]
        y = jnp.tanh(conv(jnp.pad(x, ((0, 0), *ends, (0, 0)), mode=mode), 0, 2))
        y = conv(y + resized(y[:, ::2, ::2], 2, "nearest"), 1, 2)
        (top, _), (left, _) = ends
        return y[:, top : top + x.shape[1], left : left + x.shape[2]]

    return fun


@pytest.mark.parametrize("height", few((36, 37, 38, 39), 37))
@pytest.mark.parametrize(("mode", "before"), [("constant", True), ("reflect", False)])
def test_padding_to_multiples_of_more_than_the_grid(mode, before, height):
    shape = (1, height, height + 2, 2)
    fun = padded_to_fours(mode, before=before)
    x = normal(3, *shape)
    tiling = jaxinv.tiling(fun, jax.ShapeDtypeStruct(shape, float))
    assert tiling.grid == (2, 2)
    for tile in (tiling.smallest, 18, 20, None):
        made = jaxinv.tiled(fun, tile=tile)(x)
        np.testing.assert_allclose(made, jax.jit(fun)(x), rtol=0, atol=1e-12)


def test_the_rounds_of_a_scan_are_layers():
    tiling = jaxinv.tiling(layers_in_a_loop, jax.ShapeDtypeStruct(WIDE, float))
    assert [layer.halo[0] for layer in tiling.layers] == [(n, n) for n in (1, 2, 3, 4)]
    assert {layer.where for layer in tiling.layers} == {tiling.layers[0].where}


UNLIKE = {
    "constants beside an infinite one": beside_infinity,
    "a table of its places": lambda x: (
        x * jnp.take(TABLE[:, 0], jnp.arange(x.shape[1]) // 5)[:, None, None]
    ),
    "updates of a row in its middle": lambda x: x.at[:, x.shape[1] // 2].set(1.0),
    "a loop with more rounds for more positions": lambda x: lax.fori_loop(
        0, 2 + x.shape[1] // 20, lambda i, y: conv(y, 0, 2), x
    ),
    "a choice by the image": lambda x: lax.cond(x.sum() > 0, lambda y: conv(y, 0, 2), jnp.sin, x),
    "a choice by its size": lambda x: lax.switch(
        jnp.asarray(x.shape[1] // 20), [jnp.tanh, lambda y: conv(y, 0, 2)], x
    ),
    "a slice from its middle": lambda x: lax.dynamic_slice_in_dim(x, x.shape[1] // 2, 3, 1),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_differs_between_a_tile_and_the_whole_is_refused(name):
    with pytest.raises(ValueError, match=r"tiles need|no halo suffices"):
        jaxinv.tiling(UNLIKE[name], jnp.zeros(WIDE))
