"""The tile chosen from memory: what the compiler plans for it fits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.orbit.memory import SHARE_OF_MEMORY
from jaxinv.tiling import memory
from jaxinv.tiling.call import Call
from jaxinv.tiling.memory import planned_bytes
from jaxinv.tiling.plan import tile_sizes, tiles_of
from tests.sweeps import few
from tests.tiling.networks import NETWORKS, conv
from tests.tiling.test_transform import Sliced

LARGE = {1: (180_000,), 2: (600, 520), 3: (80, 72, 64)}
ROOM = 3 * 2**20


def shape_of(name, sizes):
    _, shape, axes = NETWORKS[name]
    large = [1, *shape[1:]]
    for axis, size in zip(axes, sizes, strict=True):
        large[axis] = size
    return jax.ShapeDtypeStruct(tuple(large), np.float32)


def compiled_bytes(fun, *args):
    counted = jax.jit(fun).lower(*args).compile().memory_analysis()
    given = sum(arg.size * arg.dtype.itemsize for arg in args)
    return counted.temp_size_in_bytes + counted.output_size_in_bytes + given


def gradient_of(fun):
    def loss(x):
        return sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(jax.checkpoint(fun)(x)))

    return jax.grad(loss)


QUICK = ["unpadded"]
SWEPT = [name for name in NETWORKS if name not in ("one axis of a volume", "unet, odd sizes")]


@pytest.mark.parametrize("differentiated", [False, True])
@pytest.mark.parametrize("name", few(SWEPT, *QUICK))
def test_what_the_compiler_plans_for_it_fits(name, differentiated):
    make, _, axes = NETWORKS[name]
    fun, large = make(), LARGE[len(axes)]
    call = Call(fun, (shape_of(name, large),), {}, 0, axes)
    tiles = tiles_of(
        call, tile=None, halo=None, exact=True, room=ROOM, differentiated=differentiated
    )
    sizes = [cut.size for cut in tiles.cuts]
    assert all(a < b for a, b in zip(sizes, large, strict=True))
    of_tile = gradient_of(fun) if differentiated else fun
    assert ROOM / 10 < compiled_bytes(of_tile, shape_of(name, sizes)) <= ROOM
    grid = jaxinv.tiling(fun, *call.args, axes=axes).grid
    larger = tile_sizes([n + g for n, g in zip(tiles.tile, grid, strict=True)], large, grid)
    image = call.at(large)
    assert planned_bytes(image, sizes, differentiated=differentiated) <= ROOM
    assert planned_bytes(image, larger, differentiated=differentiated) > ROOM


def net(x):
    return conv(jnp.tanh(conv(x, 0, 8)), 1, 1)


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: int(ROOM / SHARE_OF_MEMORY))


def test_in_a_program_with_its_gradient(little):
    x = jax.ShapeDtypeStruct((1, 600, 520, 2), np.float32)
    by_tile = jaxinv.tiled(net)
    image, output = 4 * x.size, 4 * x.size // 2
    forward = jax.jit(by_tile).lower(x).compile().memory_analysis().temp_size_in_bytes
    # Beside a tile, the outputs of all tiles before they are put together.
    assert forward < ROOM + 2 * output
    back = jax.jit(gradient_of(by_tile)).lower(x).compile().memory_analysis().temp_size_in_bytes
    assert back < ROOM + 4 * output + 2 * image
    assert compiled_bytes(gradient_of(net), x) > 5 * ROOM


def test_of_what_can_be_sliced(little):
    x = np.random.default_rng(0).normal(size=(1, 600, 520, 2)).astype(np.float32)
    stored = Sliced(x)
    made = jaxinv.tiled(net)(stored)
    np.testing.assert_allclose(made, jax.jit(net)(x), rtol=0, atol=1e-5)
    side = int(np.sqrt(stored.largest / 2))
    tile = jax.ShapeDtypeStruct((1, side, side, 2), np.float32)
    assert ROOM / 4 < compiled_bytes(net, tile) <= ROOM


def test_where_no_tile_fits_it_is_the_smallest(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    stored = Sliced(np.ones((1, 40, 36, 2), np.float32))
    fun = functools.partial(conv, seed=0, features=2)
    jaxinv.tiled(fun)(stored)
    assert stored.largest == 2 * np.prod(
        jaxinv.tiling(fun, jax.ShapeDtypeStruct(stored.shape, np.float32)).smallest
    )


def test_where_the_image_fits_it_is_one_tile():
    stored = Sliced(np.ones((1, 40, 36, 2), np.float32))
    jaxinv.tiled(net)(stored)
    assert stored.largest == 40 * 36 * 2
