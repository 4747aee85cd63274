"""Equivariance and invariance errors: zero for the identities, closed forms elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import metrics
from jaxinv.orbit import orbit
from jaxinv.shifts import subpixel_translate, translate

IMAGES = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))


def blur(x):
    return x + translate(x, (1, 2)) * 0.5


def test_zero_for_circular_filters_and_strides():
    assert metrics.equivariance_error(blur, IMAGES, (3, -1)) < 1e-6
    strided = metrics.equivariance_error(
        lambda x: blur(x)[:, ::2, ::4], IMAGES, (2, 4), stride=(2, 4)
    )
    assert strided < 1e-6
    # Band-limited shifts commute with linear filters at any fraction of a pixel.
    assert metrics.equivariance_error(blur, IMAGES, (0.5, 0.25), method="fourier") < 1e-5
    assert metrics.equivariance_error(blur, IMAGES, (0.5, 0.25), method="linear") < 1e-5


def test_by_definition_where_it_is_not_zero():
    ramp = jnp.arange(6.0).reshape(6, 1, 1)

    def fun(x):
        return x * ramp

    expected = np.linalg.norm(fun(translate(IMAGES, (1, 0))) - translate(fun(IMAGES), (1, 0)))
    got = metrics.equivariance_error(fun, IMAGES, (1, 0))
    np.testing.assert_allclose(got, expected / np.linalg.norm(fun(IMAGES)), rtol=1e-5)


def test_unrelated_output_gives_the_square_root_of_two():
    # Sampled at every other pixel, white noise says nothing about its shift by one.
    noise = jax.random.normal(jax.random.key(1), (20000,))
    error = metrics.relative_error(translate(noise, 1, axes=(0,))[::2], noise[::2])
    np.testing.assert_allclose(error, np.sqrt(2), rtol=0.03)


def test_a_relu_aliases_at_half_pixels_only():
    at_half = metrics.equivariance_error(jax.nn.relu, IMAGES, (0.5, 0.5), method="fourier")
    assert at_half > 0.05
    assert metrics.equivariance_error(jax.nn.relu, IMAGES, (1, 3)) == 0


def test_the_invariance_error_is_that_of_the_map_and_of_real_shifts():
    def fun(x):
        return jnp.tanh(x)[:, ::2, ::3].mean((1, 2))

    at_all = metrics.invariance_error_map(orbit(fun)(IMAGES))
    for shift in ((0, 0), (1, 5), (2, 3)):
        alone = metrics.invariance_error(fun, IMAGES, shift)
        np.testing.assert_allclose(alone, at_all[shift], rtol=1e-4, atol=1e-6)
    assert metrics.invariance_error(lambda x: x.mean((1, 2)), IMAGES, (3, 1)) < 1e-6
    for method in ("fourier", "linear"):
        half = subpixel_translate(IMAGES, (0.5, 0), method=method)
        np.testing.assert_allclose(
            metrics.invariance_error(fun, IMAGES, (0.5, 0), method=method),
            metrics.relative_error(fun(half), fun(IMAGES)),
        )


def test_the_map_of_invariance_errors_by_definition():
    outputs = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    expected = [
        np.linalg.norm(outputs[t] - outputs[1, 1]) / np.linalg.norm(outputs[1, 1])
        for t in np.ndindex(3, 4)
    ]
    got = metrics.invariance_error_map(outputs, origin=(1, 1))
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-5)


def test_zero_outputs_have_a_finite_error():
    assert metrics.relative_error(np.zeros(3), np.zeros(3)) == 0
    np.testing.assert_array_equal(metrics.invariance_error_map(np.zeros((2, 3, 1))), [0, 0])


def test_cosine_invariance_by_definition():
    a, b = np.random.default_rng(1).normal(size=(2, 4, 3, 2))
    pairs = zip(a, b, strict=True)
    expected = [np.vdot(u, v) / np.linalg.norm(u) / np.linalg.norm(v) for u, v in pairs]
    np.testing.assert_allclose(metrics.cosine_invariance(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(metrics.cosine_invariance(a, -3 * a), -1, rtol=1e-6)
    zero = np.zeros_like(a)
    np.testing.assert_array_equal(metrics.cosine_invariance(zero, zero), 1)
    np.testing.assert_array_equal(metrics.cosine_invariance(a, zero), 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.relative_error(np.ones(2), np.ones(3)), "allowed are two of one shape"),
        (lambda: metrics.equivariance_error(blur, IMAGES, (1, 2), stride=2), "no multiple"),
        (lambda: metrics.equivariance_error(blur, IMAGES, (0.5, 0)), "shift is"),
        (lambda: metrics.equivariance_error(blur, IMAGES, (1, 0), method="x"), "'integer'"),
        (lambda: metrics.equivariance_error(blur, IMAGES, (1, 0, 0)), "entries for 2 axes"),
        (lambda: metrics.invariance_error_map(np.ones((2, 2, 2)), origin=(0, 0, 0)), "must index"),
        (lambda: metrics.cosine_invariance(np.ones(2), np.ones(3)), "allowed are two of one shape"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
