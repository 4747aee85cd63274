"""EQ-T and EQ-T_frac in closed form, and the sampled ones converging to the exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import protocols
from jaxinv.metrics.protocols import Sample
from jaxinv.shifts import translate

IMAGES = jax.random.uniform(jax.random.key(0), (2, 16, 12, 1), minval=-1, maxval=1)
ONE = Sample(jax.random.key(0))
RAMP = jnp.arange(16.0)[:, None, None] / 16


def glued(x):
    """Adds a picture that does not move: the texture sticking that the metric was made for."""
    return x + 0.1 * RAMP


def test_decibels_of_a_known_error():
    np.testing.assert_allclose(protocols.decibels(4 * 10**-3.7), 37, rtol=1e-6)
    np.testing.assert_allclose(protocols.decibels(0.01, peak=1), 20, rtol=1e-6)


def test_eq_t_in_closed_form():
    # f(T_t x) - T_t f(x) = 0.1 (ramp[i] - ramp[i - t]) = 0.1 t / 16 where the reference shows it.
    # 1/8 of 16 is 2: shifts -2, -1, 0, 1, 2 with chances 1, 2, 2, 2, 1 eighths; the other axis
    # does not enter but for the pixels it hides, the same share for each.
    squares, pixels = 0.0, 0.0
    for t, chance in {-2: 1, -1: 2, 0: 2, 1: 2, 2: 1}.items():
        squares += chance * (0.1 * t / 16) ** 2 * (16 - abs(t))
        pixels += chance * (16 - abs(t))
    expected = 10 * np.log10(4 / (squares / pixels))
    np.testing.assert_allclose(protocols.eq_t(glued, IMAGES), expected, rtol=1e-4)
    for unit in (1e-30, 1e30):  # of which float32 holds no squares
        found = protocols.eq_t(lambda x, unit=unit: unit * glued(x), IMAGES, peak=2 * unit)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_eq_t_by_definition_with_a_stride():
    def fun(x):
        return glued(x)[:, ::2, ::2]

    squares, pixels = 0.0, 0.0
    # 1/4 of 16 and 12 are 4 and 3; multiples of 2 that uniform numbers round to, with chances.
    for t, p in {-4: 1 / 8, -2: 1 / 4, 0: 1 / 4, 2: 1 / 4, 4: 1 / 8}.items():
        for u, q in {-2: 1 / 3, 0: 1 / 3, 2: 1 / 3}.items():
            moved = np.asarray(fun(translate(IMAGES, (t, u))))
            reference = translate(fun(IMAGES), (t // 2, u // 2), mode="constant")
            seen = translate(jnp.ones(moved.shape), (t // 2, u // 2), mode="constant")
            squares += p * q * float(np.sum(seen * (moved - reference) ** 2))
            pixels += p * q * float(np.sum(seen))
    expected = 10 * np.log10(4 / (squares / pixels))
    got = protocols.eq_t(fun, IMAGES, stride=2, largest=0.25)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_equivariance_is_infinitely_many_decibels():
    # Nothing is rounded; how tanh is rounded depends on how a program is compiled.
    assert np.isinf(protocols.eq_t(jnp.abs, IMAGES))
    assert np.isinf(protocols.eq_t(lambda x: jnp.abs(x)[:, ::2, ::2], IMAGES, stride=2))
    rounding = protocols.decibels(np.finfo(np.float32).eps ** 2)
    assert protocols.eq_t(jnp.tanh, IMAGES) > rounding > 140
    assert protocols.eq_t(lambda x: jnp.tanh(x)[:, ::2, ::2], IMAGES, stride=2) > rounding


def test_sampled_eq_t_converges():
    exact = protocols.eq_t(glued, IMAGES)
    sampled = protocols.eq_t(glued, IMAGES, sample=Sample(jax.random.key(1), 4000))
    # The squared shift varies by about its own size: 4 standard errors of 4,000 are 7%, 0.3 dB.
    assert abs(sampled - exact) < 0.3


def test_eq_t_frac_in_closed_form():
    # With linear f and band-limited x only what sticks counts: 0.1 (w - T_t w) for a wave w, with
    # mean square 0.005 |1 - exp(-i k t)|^2, k = 2 pi / 16; the mean over t in [-2, 2] is known.
    wave = jnp.cos(2 * jnp.pi * jnp.arange(16) / 16)[:, None, None]
    k = 2 * np.pi / 16
    expected = 0.01 * (1 - np.sin(2 * k) / (2 * k))
    level, error = protocols.eq_t_frac(
        lambda x: x + 0.1 * wave, jnp.zeros((1, 16, 8, 1)), sample=Sample(jax.random.key(2), 2000)
    )
    assert abs(error.value - expected) < 4 * error.standard_error
    assert error.standard_error < 0.05 * expected
    np.testing.assert_allclose(level, 10 * np.log10(4 / error.value), rtol=1e-5)


def test_a_relu_aliases_between_the_pixels():
    sample = Sample(jax.random.key(3), 16)
    level, _ = protocols.eq_t_frac(jax.nn.relu, IMAGES, sample=sample)
    assert 5 < level < 40
    smooth, _ = protocols.eq_t_frac(lambda x: 0.5 * x, IMAGES[:, :, :11], sample=sample)
    assert smooth > level


def test_the_lanczos_operator_by_definition():
    x = np.random.default_rng(0).normal(size=9)
    for t in (0.3, -1.6, 2.0):
        whole = int(np.floor(t))
        taps = np.arange(-2, 4)
        weights = np.sinc(taps - (t - whole)) * np.sinc((taps - (t - whole)) / 3)
        weights /= weights.sum()
        expected, seen = np.zeros(9), np.zeros(9)
        for i in range(9):
            read = i - whole - taps
            inside = (read >= 0) & (read < 9)
            expected[i] = np.sum(weights[inside] * x[read[inside]])
            seen[i] = inside.all()
        moved, mask = protocols.lanczos_translate(x, (t,), axes=(0,))
        np.testing.assert_allclose(moved, expected, atol=1e-5)
        np.testing.assert_array_equal(mask, seen)


def test_both_operators_agree_far_from_the_border():
    i = jnp.arange(64)
    # Low in the spectrum, where three lobes of a sinc are as good as all.
    smooth = jnp.cos(2 * jnp.pi * i / 64)[None, :, None, None] * jnp.ones((1, 64, 16, 1))
    by_lanczos, mask = protocols.lanczos_translate(smooth, (3.4, 0.5))
    by_fourier = jnp.cos(2 * jnp.pi * (i - 3.4) / 64)[None, :, None, None] * jnp.ones(
        (1, 64, 16, 1)
    )
    np.testing.assert_allclose(by_lanczos * mask, by_fourier * mask, atol=0.02)
    assert 0.5 < mask.mean() < 1
    level, _ = protocols.eq_t_frac(
        lambda x: x, smooth, sample=Sample(jax.random.key(4), 8), operator="lanczos"
    )
    assert level > 40


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: protocols.decibels(0.1, peak=0), "positive"),
        (lambda: protocols.lanczos_translate(IMAGES, (1.0,)), "one number per axis"),
        (lambda: protocols.eq_t(glued, IMAGES, stride=2), "1 / stride the size"),
        (lambda: protocols.eq_t(jnp.mean, IMAGES), "1 / stride the size"),
        (lambda: protocols.eq_t(glued, IMAGES, largest=2), "within 0 and 1"),
        (lambda: protocols.eq_t(glued, IMAGES, stride=0, sample=ONE), "at least 1"),
        (
            lambda: protocols.eq_t_frac(glued, IMAGES, sample=ONE, operator="cubic"),
            "'fourier', 'lanczos'",
        ),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
