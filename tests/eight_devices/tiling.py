"""Tiles on eight devices: as many at once, and the numbers of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.tiling.together import Together
from tests.tiling.networks import conv, normal, pyramid
from tests.tiling.test_resume import Counted, files
from tests.tiling.test_resume import run as resumed

X = normal(1, 2, 47, 41, 2).astype(np.float32)


EVEN = X[:, :44, :40]


def net(params, x, *, gain):
    return gain * conv(jnp.tanh(conv(x, 0, 2) * params["scale"]), 1, 2)


def on_one_device(monkeypatch, call):
    with monkeypatch.context() as patched:
        patched.setattr(jax, "local_device_count", lambda: 1)
        return call()


@pytest.fixture
def groups(monkeypatch):
    """How many tiles are evaluated at a time."""
    found = []
    of_tiles = Together.__call__
    monkeypatch.setattr(
        Together, "__call__", lambda self, tiles: found.append(len(tiles)) or of_tiles(self, tiles)
    )
    return found


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("tile", [12, 24, (47, 41)])
def test_numbers_are_those_of_one_device(monkeypatch, groups, of, tile):
    params = {"scale": normal(2, 2).astype(np.float32)}
    by_tile = jaxinv.tiled(net, argnums=1, tile=tile)
    mine = by_tile(params, of(X), gain=2.0)
    assert isinstance(mine, type(of(X)))
    assert groups == {12: [8, 8, 8, 6], 24: [6], (47, 41): [1]}[tile]
    alone = on_one_device(monkeypatch, lambda: by_tile(params, np.asarray(X), gain=2.0))
    np.testing.assert_array_equal(mine, alone)
    np.testing.assert_allclose(mine, jax.jit(net)(params, X, gain=2.0), rtol=0, atol=1e-5)


def test_what_lies_on_a_device_stays_there(groups):
    device = jax.local_devices()[5]
    made = jaxinv.tiled(pyramid, tile=20)(jax.device_put(EVEN, device))
    assert all(leaf.devices() == {device} for leaf in jax.tree.leaves(made))
    assert groups


def test_a_program_and_a_chosen_device_are_left_alone(groups):
    by_tile = jaxinv.tiled(pyramid, tile=20)
    jax.jit(by_tile)(EVEN)
    jax.grad(lambda x: by_tile(x)["fine"].sum())(jnp.asarray(EVEN))
    assert not groups
    with jax.default_device(jax.local_devices()[1]):
        by_tile(EVEN)
    assert set(groups) == {1}


def test_an_interrupted_run_goes_on(tmp_path, groups):
    with pytest.raises(InterruptedError):
        resumed(Counted(fails_at=8), files(tmp_path), tmp_path)
    rest = Counted()
    resumed(rest, files(tmp_path, "r+"), tmp_path)
    assert (rest.reads, groups) == (4, [8, 4])


def test_each_device_has_its_share_of_the_memory(monkeypatch):
    from jaxinv.tiling import memory

    monkeypatch.setattr(memory, "free_bytes", lambda: 32_000)
    assert [memory.bytes_for_a_tile(devices=n) for n in (1, 8)] == [8000, 1000]
