"""The stated halo: tiles equal the whole with it, and with one position less they do not."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from tests.sweeps import few
from tests.tiling.networks import NETWORKS, normal

pytestmark = pytest.mark.usefixtures("x64")


QUICK = ("aspp", "causal", "channels first", "encoder, another remainder", "pyramid", "unet")


@pytest.fixture(params=few(NETWORKS, *QUICK))
def case(request):
    make, shape, axes = NETWORKS[request.param]
    return make(), jnp.asarray(normal(7, *shape)), axes


def window(x, axes, starts, sizes):
    for axis, start, size in zip(axes, starts, sizes, strict=True):
        x = jax.lax.slice_in_dim(x, start, start + size, axis=axis)
    return x


def wrong_positions(fun, x, axes, tiling, tile):
    """Of the outputs of a tile inside the image, the positions that are not those of the whole."""
    compiled = jax.jit(fun)
    starts = [
        min(grid, size - t) for grid, size, t in zip(tiling.grid, tiling.sizes, tile, strict=True)
    ]
    assert min(starts) > 0, "the image is too small for a tile inside"
    made = jax.tree.leaves(compiled(window(x, axes, starts, tile)))
    whole = jax.tree.leaves(compiled(x))
    for part, all_of_it, scale in zip(made, whole, tiling.scales, strict=True):
        at = [int(s * r) for s, r in zip(starts, scale, strict=True)]
        there = window(all_of_it, axes, at, [part.shape[a] for a in axes])
        others = tuple(d for d in range(part.ndim) if d not in axes)
        yield np.max(np.asarray(abs(part - there)), others) > 1e-12


def test_tiles_are_the_whole_and_the_halo_is_tight(case):
    fun, x, axes = case
    tiling = jaxinv.tiling(fun, x, axes=axes)
    rows = list(zip(tiling.smallest, tiling.sizes, tiling.grid, strict=True))
    tile = [least + size % grid for least, size, grid in rows]
    wrong = list(wrong_positions(fun, x, axes, tiling, tile))

    def suffices(halo):
        """Whether all is there and right of what a halo leaves."""
        for bad, scale in zip(wrong, tiling.scales, strict=True):
            kept = [
                (math.floor(before * r), math.ceil((t - after) * r))
                for (before, after), r, t in zip(halo, scale, tile, strict=True)
            ]
            there = all(hi <= n for (_, hi), n in zip(kept, bad.shape, strict=True))
            if not there or bad[tuple(slice(*ends) for ends in kept)].any():
                return False
        return True

    assert suffices(tiling.halo)
    for axis, end in itertools.product(range(len(axes)), (0, 1)):
        less = [list(ends) for ends in tiling.halo]
        less[axis][end] -= 1
        assert less[axis][end] < 0 or not suffices(less)

    options = {"tile": tiling.smallest, "axes": axes}
    made = jaxinv.tiled(fun, **options)(x)
    stored = jaxinv.tiled(fun, **options)(np.asarray(x))
    outputs = zip(*map(jax.tree.leaves, (made, stored, jax.jit(fun)(x))), strict=True)
    for mine, also, truth in outputs:
        assert (type(also), isinstance(mine, jax.Array)) == (np.ndarray, True)
        np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-12)
        np.testing.assert_allclose(also, truth, rtol=0, atol=1e-12)


STATED = {
    "causal": ([(7, 0)], (1,), [(1,)]),
    "decoder": ([(1, 1)] * 2, (1, 1), [(4, 4)]),
    "dncnn": ([(4, 4)] * 2, (1, 1), [(1, 1)]),
    "channels first": ([(1, 2)] * 2, (1, 1), [(1, 1)]),
    "unpadded": ([(0, 6)] * 2, (2, 2), [(0.5, 0.5)]),
    "window attention": ([(1, 1)] * 2, (4, 4), [(1, 1)]),
}


@pytest.mark.parametrize("name", STATED)
def test_what_is_stated(name):
    make, shape, axes = NETWORKS[name]
    tiling = jaxinv.tiling(make(), jnp.asarray(normal(7, *shape)), axes=axes)
    halo, grid, scales = STATED[name]
    assert (list(tiling.halo), tiling.grid, list(tiling.scales)) == (halo, grid, scales)


def test_several_outputs_are_told_by_their_paths():
    make, shape, axes = NETWORKS["pyramid"]
    tiling = jaxinv.tiling(make(), jax.ShapeDtypeStruct(shape, float), axes=axes)
    assert tiling.scales == ((0.25, 0.25), (0.5, 0.5))
    lines = str(tiling).splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["output", "coarse"], ["output", "fine"]]
