import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify
from jaxinv.layers import (
    filtered_nonlinearity,
    ideal_lowpass,
    ideal_upsample,
)
from jaxinv.layers.lowpass import band_below, dirichlet
from jaxinv.shifts import subpixel_translate

pytestmark = pytest.mark.usefixtures("x64")

SHIFT = (0.37, -1.61)


@pytest.fixture
def band_limited(signal):
    """A random signal without its Nyquist frequencies, whose fractional shifts are determined."""
    return ideal_lowpass(signal(1, 8, 12, 2, dtype=jnp.float64), 1)


def frequencies(size):
    return np.abs(np.fft.fftfreq(size) * size)


@pytest.mark.parametrize(("size", "stride"), [(8, 1), (8, 2), (9, 2), (12, 3), (7, 1)])
def test_it_keeps_the_frequencies_below_the_new_nyquist_and_no_other(signal, size, stride):
    x = signal(1, size, 2, dtype=jnp.float64)
    spectrum = np.fft.fft(x, axis=1)
    kept = frequencies(size) < size / (2 * stride)
    expected = np.where(kept[None, :, None], spectrum, 0)
    np.testing.assert_allclose(np.fft.fft(ideal_lowpass(x, stride), axis=1), expected, atol=1e-10)


def test_the_kernel_is_the_closed_form_of_dirichlet():
    t = np.array([0.5, 1.0, 2.25])
    closed = np.sin(np.pi * 7 * t / 12) / (12 * np.sin(np.pi * t / 12))
    np.testing.assert_allclose(dirichlet(t, 12, 3), closed, atol=1e-14)
    assert dirichlet(np.zeros(1), 12, 3)[0] == pytest.approx(7 / 12)
    assert [band_below(*a) for a in ((8,), (9,), (8, 2), (9, 2), (2, 2))] == [3, 4, 1, 2, 0]


def test_subsampling_thins_the_filtered_signal(signal):
    x = signal(1, 12, 9, 2, dtype=jnp.float64)
    full = ideal_lowpass(x, (2, 3))
    thinned = ideal_lowpass(x, (2, 3), subsample=True)
    np.testing.assert_allclose(thinned, full[:, ::2, ::3], atol=1e-12)


def test_upsampling_goes_through_the_samples_and_adds_no_frequency(band_limited):
    y = ideal_upsample(band_limited, 3)
    np.testing.assert_allclose(y[:, ::3, ::3], band_limited, atol=1e-12)
    spectrum = np.abs(np.fft.fft(y, axis=1)).max((0, 2, 3))
    assert spectrum[frequencies(24) >= 4].max() < 1e-10


def turned(x, shift):
    """The Fourier shift theorem by NumPy: each frequency turns by its phase."""
    spectrum = np.fft.fftn(x, axes=(1, 2))
    for axis, (size, t) in enumerate(zip(x.shape[1:3], shift, strict=True), start=1):
        phase = np.exp(-2j * np.pi * np.fft.fftfreq(size) * t)
        spectrum *= phase.reshape(-1, *[1] * (x.ndim - axis - 1))
    return np.fft.ifftn(spectrum, axes=(1, 2)).real


def test_the_fourier_shift_theorem(band_limited):
    """Shifts by fractions commute with filter, way down and way up, to rounding."""
    x, moved = band_limited, turned(band_limited, SHIFT)
    for function, rate in (
        (lambda v: ideal_lowpass(v, 2), 1),
        (lambda v: ideal_lowpass(v, 2, subsample=True), 1 / 2),
        (lambda v: ideal_upsample(v, 2), 2),
        (lambda v: filtered_nonlinearity(v, lambda u: 1 + u - 2 * u**2), 1),
        (lambda v: filtered_nonlinearity(v, lambda u: u**3), 1),
    ):
        y, y_moved = jax.jit(lambda a, b, f=function: (f(a), f(b)))(x, moved)
        expected = turned(y, tuple(rate * t for t in SHIFT))
        np.testing.assert_allclose(y_moved, expected, atol=1e-10)


def test_pointwise_activations_do_not_commute_with_fractions_and_filtered_ones_nearly(band_limited):
    x, moved = band_limited, subpixel_translate(band_limited, SHIFT)

    def error(function):
        y, y_moved = jax.jit(lambda a, b: (function(a), function(b)))(x, moved)
        expected = np.asarray(subpixel_translate(y, SHIFT))
        return np.linalg.norm(np.asarray(y_moved) - expected) / np.linalg.norm(expected)

    plain = error(lambda v: ideal_lowpass(jax.nn.relu(v), 1))
    twice = error(lambda v: filtered_nonlinearity(v, jax.nn.relu))
    eightfold = error(lambda v: filtered_nonlinearity(v, jax.nn.relu, factor=8))
    assert plain > 3 * twice > 3 * eightfold > 1e-6


def test_the_polyphase_form_is_up_function_filter_down(signal):
    x = signal(2, 6, 5, 2, dtype=jnp.float64)

    @jax.jit
    def both(x):
        fine = jnp.tanh(ideal_upsample(x, 3))
        by_hand = ideal_lowpass(fine, 3, subsample=True)
        return filtered_nonlinearity(x, jnp.tanh, factor=3), by_hand

    np.testing.assert_allclose(*both(x), atol=1e-12)


@pytest.mark.parametrize("sizes", [(8,), (4, 6, 2)])
def test_one_and_three_dimensions(signal, sizes):
    x = signal(1, *sizes, 1, dtype=jnp.float64)
    y, passed, expected = jax.jit(
        lambda x: (
            ideal_lowpass(x, 2, subsample=True),
            filtered_nonlinearity(x, lambda v: v),
            ideal_lowpass(x, 1),
        )
    )(x)
    assert y.shape == (1, *(s // 2 for s in sizes), 1)
    assert float(y.mean()) == pytest.approx(float(x.mean()), abs=1e-12)
    np.testing.assert_allclose(passed, expected, atol=1e-12)


def test_no_fourier_transform_and_no_gather_in_the_programs(signal):
    x = signal(1, 6, 4, 1)
    for function in (
        lambda v: ideal_lowpass(v, 2, subsample=True),
        lambda v: ideal_upsample(v, 2),
        lambda v: filtered_nonlinearity(v, jax.nn.relu),
    ):
        program = str(jax.make_jaxpr(function)(x))
        assert "fft" not in program
        assert "gather" not in program


def test_wrong_factors_are_refused(signal):
    x = signal(1, 6, 4, 1)
    for function in (ideal_lowpass, ideal_upsample):
        with pytest.raises(ValueError, match="stride is 0"):
            function(x, 0)
    with pytest.raises(ValueError, match="factor is 0"):
        filtered_nonlinearity(x, jnp.tanh, factor=0)


def test_the_certificate_follows_the_way_down_and_the_way_up(signal):
    x = signal(1, 6, 4, 1)
    down = certify(lambda v: ideal_lowpass(v, 2, subsample=True), x)
    up = certify(ideal_upsample, x)
    assert (down.kind, down.period) == ("equivariant", (2, 2))
    assert (up.kind, up.period) == ("equivariant", (1, 1))
