from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import FILTERS, blur_filter, blur_pool, max_blur_pool

TAPS = range(1, 8)


def gain(taps, frequency):
    return abs(np.sum(taps * np.exp(-1j * frequency * np.arange(len(taps)))))


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("taps", TAPS)
def test_the_gain_at_frequency_zero_is_one(kind, taps):
    assert gain(blur_filter(kind, taps), 0) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("taps", TAPS)
def test_the_binomial_gain_is_a_power_of_a_cosine_and_zero_at_nyquist(taps):
    weights = blur_filter("binomial", taps)
    for frequency in np.linspace(0, np.pi, 7):
        expected = np.cos(frequency / 2) ** (taps - 1)
        assert gain(weights, frequency) == pytest.approx(expected, abs=1e-12)
    assert gain(weights, np.pi) == pytest.approx(0 if taps > 1 else 1, abs=1e-12)


def test_filters_as_published():
    np.testing.assert_array_equal(blur_filter("rectangular", 2), [1 / 2, 1 / 2])
    np.testing.assert_array_equal(blur_filter("triangular", 3), [1 / 4, 2 / 4, 1 / 4])
    np.testing.assert_allclose(blur_filter("binomial", 5) * 16, [1, 4, 6, 4, 1])
    np.testing.assert_allclose(blur_filter("binomial", 7) * 64, [1, 6, 15, 20, 15, 6, 1])
    np.testing.assert_allclose(blur_filter("triangular", 4) * 6, [1, 2, 2, 1])


MODES = {"REFLECT": "reflect", "CIRCULAR": "wrap", "EDGE": "edge", "SAME": "constant"}


@pytest.mark.parametrize(
    ("padding", "taps"),
    [("REFLECT", 3), ("REFLECT", 4), ("CIRCULAR", 2), ("EDGE", 7), ("SAME", 3), ("SAME", 1)],
)
def test_it_is_the_published_pad_filter_and_subsample(padding, taps):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    for stride in (1, 3):
        # Zhang's: pad by floor and ceil of (k - 1) / 2, filter with the outer product, subsample.
        sides = ((taps - 1) // 2, (taps - 1) - (taps - 1) // 2)
        wide = np.pad(x, [(0, 0), sides, sides, (0, 0)], mode=MODES[padding])
        windows = np.lib.stride_tricks.sliding_window_view(wide, (taps, taps), (1, 2))
        weights = np.outer(blur_filter("binomial", taps), blur_filter("binomial", taps))
        expected = np.einsum("nhwcij,ij->nhwc", windows, weights)[:, ::stride, ::stride]
        pool = jax.jit(partial(blur_pool, stride=stride, taps=taps, padding=padding))
        y = pool(jnp.asarray(x))
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(12,), (6, 9), (6, 3, 3)])
def test_its_period_is_the_stride_in_one_to_three_dimensions(signal, sizes):
    x = signal(1, *sizes, 2)
    for pool in (blur_pool, max_blur_pool):
        layer = jax.jit(partial(pool, stride=3, padding="CIRCULAR"))
        y = layer(x)
        assert y.shape == (1, *(s // 3 for s in sizes), 2)
        for t in range(sizes[0]):
            same = np.allclose(layer(jnp.roll(x, t, 1)), jnp.roll(y, t // 3, 1), atol=1e-5)
            assert same == (t % 3 == 0)


def test_max_blur_is_the_maximum_at_stride_one_and_then_the_filter():
    x = jnp.array([0.0, 4.0, 0.0, 0.0]).reshape(1, 4, 1)
    y = max_blur_pool(x, padding="CIRCULAR")
    # maxima of (x[i], x[i + 1]): 4 4 0 0; binomial at 0 and 2: (0 + 2*4 + 4)/4, (4 + 0 + 0)/4
    np.testing.assert_allclose(y.ravel(), [3, 1])


def test_the_filter_shrinks_the_error_of_odd_shifts(signal):
    x = signal(4, 16, 16, 2)

    def error(taps):
        pool = partial(blur_pool, taps=taps, padding="CIRCULAR")
        y, moved = np.asarray(pool(x)), np.asarray(pool(jnp.roll(x, 1, 1)))
        return np.abs(moved - y).mean() / np.abs(y).mean()

    assert error(5) < error(3) < error(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "gaussian"}, "filter is 'gaussian'; allowed are binomial"),
        ({"taps": 8}, "filter has 8 taps; allowed are 1 to 7"),
        ({"taps": 0}, "filter has 0 taps"),
        ({"stride": 0}, "stride is 0"),
        ({"padding": "zero"}, "padding is 'zero'"),
        ({"taps": 7, "padding": "VALID"}, "filter of 7 positions is larger than the map of 6"),
    ],
)
@pytest.mark.parametrize("pool", [blur_pool, max_blur_pool])
def test_wrong_use_is_refused(pool, arguments, message):
    if pool is max_blur_pool and arguments.get("padding") == "VALID":
        message = message.replace("map of 6", "map of 5")  # the maximum has taken one position
    with pytest.raises(ValueError, match=message):
        pool(jnp.zeros((1, 6, 6, 1)), **arguments)
