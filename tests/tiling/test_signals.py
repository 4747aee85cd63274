"""Signals in frames: spectrograms, and filters of overlapping frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.tiling.networks import FRAME, HOP, WINDOW, filtered_frames, normal, spectrogram

pytestmark = pytest.mark.usefixtures("x64")


def places(x):
    return HOP * np.arange((x.shape[1] - FRAME) // HOP + 1)


def spectra(x):
    frames = x[:, places(x)[:, None] + np.arange(FRAME)]
    return jnp.fft.rfft(frames * WINDOW)


def slices(x):
    def frame(start):
        return lax.dynamic_slice_in_dim(x, start, FRAME, 1)

    return jax.vmap(frame, out_axes=1)(jnp.asarray(places(x)))


def of_scipy(x):
    return jax.scipy.signal.stft(x, nperseg=FRAME, noverlap=FRAME - HOP)[2].swapaxes(1, 2)


def neighbours_by_place(x):
    at = np.arange(x.shape[1])
    return x + jnp.take(x, np.clip(at - 2, 0, None), axis=1)


# Each with its halo, its grid and its scale.
SIGNALS = {
    "spectra": (spectra, (0, HOP), HOP, 1 / HOP),
    "spectrogram": (spectrogram, (0, HOP), HOP, 1 / HOP),
    "slices": (slices, (0, HOP), HOP, 1 / HOP),
    "spectra of scipy": (of_scipy, (HOP, 0), HOP, 1 / HOP),
    "filtered frames": (filtered_frames, (HOP, HOP), HOP, 1),
    "neighbours by their places": (neighbours_by_place, (2, 0), 1, 1),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_tiles_and_their_gradient_are_those_of_the_whole(name):
    fun, halo, grid, scale = SIGNALS[name]
    x = jnp.asarray(normal(7, 2, 96))
    tiling = jaxinv.tiling(fun, x, axes=(1,))
    assert (tiling.halo, tiling.grid, tiling.scale) == ((halo,), (grid,), (scale,))
    by_tile = jaxinv.tiled(fun, tile=tiling.smallest, axes=(1,))

    def loss(fun):
        return lambda x: jnp.sum(jnp.sin(jnp.abs(fun(x))))

    np.testing.assert_allclose(by_tile(x), jax.jit(fun)(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_tile(np.asarray(x)), jax.jit(fun)(x), rtol=0, atol=1e-12)
    mine, truth = (jax.grad(loss(f))(x) for f in (by_tile, fun))
    np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-12)


UNLIKE = {
    "a first frame for each size": lambda x: x[:, x.shape[1] // 24 + places(x[:, :-FRAME])],
    "a hop for each size": lambda x: x[:, np.arange(0, x.shape[1], 2 + x.shape[1] // 90)],
    "a spectrum of the signal": lambda x: jnp.abs(jnp.fft.rfft(x)),
    "a filter of the signal": lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * 2.0, x.shape[1]),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_differs_between_a_tile_and_the_whole_is_refused(name):
    with pytest.raises(ValueError, match=r"tiles need|no halo suffices"):
        jaxinv.tiling(UNLIKE[name], np.zeros((2, 96)), axes=(1,))
