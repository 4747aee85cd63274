"""Displacement fields against their definitions, and images read through them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from jaxinv import augment
from jaxinv.augment.fields import _normal
from jaxinv.shifts import translate


def noise(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_warp_by_a_constant_whole_number_is_a_translation_the_other_way():
    image = noise((9, 7, 2))
    field = jnp.broadcast_to(jnp.array([2.0, -3.0])[:, None, None], (2, 9, 7))
    expected = translate(image, (-2, 3), axes=(0, 1), mode="constant")
    chex.assert_trees_all_close(augment.warp(image, field), expected, atol=1e-6)


@pytest.mark.parametrize("order", [0, 1])
def test_warp_is_scipys_interpolation(order):
    image, field = noise((11, 8, 1)), 1.5 * noise((2, 11, 8), 1)
    at = np.indices((11, 8)) + np.asarray(field)
    expected = ndimage.map_coordinates(
        np.asarray(image[..., 0]), at, order=order, mode="grid-constant"
    )
    got = augment.warp(image, field, order=order)[..., 0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_warp_refuses_other_fields_and_orders():
    with pytest.raises(ValueError, match=r"has shape \(2, 4, 5\), not \(4, 5, 2\)"):
        augment.warp(jnp.zeros((4, 5, 1)), jnp.zeros((4, 5, 2)))
    with pytest.raises(ValueError, match="order is 3; allowed are 0"):
        augment.warp(jnp.zeros((4, 5, 1)), jnp.zeros((2, 4, 5)), order=3)


@pytest.mark.parametrize("shape", [(29, 29), (32, 20)])
@pytest.mark.parametrize("sigma", [1.0, 4.0, 8.0])
def test_each_component_of_an_elastic_field_has_the_stated_strength(shape, sigma):
    field = augment.elastic_field(jax.random.key(1), shape, alpha=34.0, sigma=sigma)
    chex.assert_shape(field, (2, *shape))
    rms = jnp.sqrt(jnp.square(field).mean((1, 2)))
    np.testing.assert_allclose(rms, 34 / 29, rtol=1e-5)


def test_on_29_pixels_that_is_a_euclidean_norm_of_alpha():
    field = augment.elastic_field(jax.random.key(2), (29, 29), alpha=34.0)
    np.testing.assert_allclose(jnp.linalg.norm(field.reshape(2, -1), axis=1), 34.0, rtol=1e-5)


def test_elastic_fields_are_noise_smoothed_by_a_gaussian():
    """White noise through a Gaussian of sigma has autocorrelation exp(-lag^2 / (4 sigma^2))."""
    sigma, lag = 2.0, 3
    keys = jax.random.split(jax.random.key(0), 200)
    make = jax.vmap(lambda key: augment.elastic_field(key, (60, 60), sigma=sigma))
    fields = make(keys)
    for moved in (
        fields[..., lag:, :] * fields[..., :-lag, :],
        fields[..., lag:] * fields[..., :-lag],
    ):
        correlation = moved.mean() / jnp.square(fields).mean()
        np.testing.assert_allclose(correlation, np.exp(-(lag**2) / (4 * sigma**2)), atol=0.02)
    # as strong at the border as within, and no direction preferred
    strength = jnp.square(fields).mean((0, 1))
    np.testing.assert_allclose(strength[:3].mean() / strength[20:40].mean(), 1.0, atol=0.15)
    assert abs(float(fields.mean())) < 0.05
    assert abs(float((fields[:, 0] * fields[:, 1]).mean())) < 0.05


@pytest.mark.parametrize("shape", [(200, 200), (199, 201)])
def test_the_noise_of_elastic_fields_is_normal(shape):
    keys = jax.random.split(jax.random.key(3), 20)
    drawn = np.asarray(jax.vmap(lambda key: _normal(key, shape))(keys), np.float64)
    assert drawn.shape == (20, *shape)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.001
    # They are made in pairs, one of each half.
    drawn, half = drawn.reshape(20, -1), drawn[0].size // 2
    for power in (1, 2):
        first, second = (drawn[:, part].ravel() ** power for part in (np.s_[:half], np.s_[-half:]))
        assert stats.pearsonr(first, second).pvalue > 0.001


def test_strength_agrees_with_unit_sum_smoothing_at_simards_setting():
    """The figure in the docstring, by scipy: alpha / (2 sigma sqrt(3 pi)) is 1.38 at sigma 4."""
    raw = np.random.default_rng(0).uniform(-1, 1, (400, 400))
    smooth = ndimage.gaussian_filter(raw, 4.0) * 34
    np.testing.assert_allclose(smooth.std(), 34 / (2 * 4 * np.sqrt(3 * np.pi)), rtol=0.1)
    np.testing.assert_allclose(34 / (2 * 4 * np.sqrt(3 * np.pi)), 1.38, atol=0.01)


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"alpha": -1.0}])
def test_elastic_field_refuses_what_has_no_meaning(options):
    with pytest.raises(ValueError, match="sigma must be positive and alpha not negative"):
        augment.elastic_field(jax.random.key(0), (8, 8), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": np.inf}, "sigma is inf; allowed are finite numbers"),
        ({"sigma": np.nan}, "sigma is nan; allowed are finite numbers"),
        ({"alpha": np.nan}, "alpha is nan; allowed are finite numbers"),
        ({"alpha": np.inf}, "alpha is inf; allowed are finite numbers"),
        ({"alpha": "strong"}, "alpha is 'strong'; allowed are finite numbers"),
        ({"sigma": 81.0}, "allowed are sizes from 1 and a sigma up to 80 pixels"),
    ],
)
def test_elastic_field_refuses_what_is_not_finite_or_flat(options, message):
    with pytest.raises(ValueError, match=message):
        augment.elastic_field(jax.random.key(0), (8, 8), **options)


@pytest.mark.parametrize("shape", [(8,), (8, 8, 1), (0, 8), (8.5, 8), 8.5])
def test_elastic_field_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="shape"):
        augment.elastic_field(jax.random.key(0), shape)


@pytest.mark.parametrize("sigma", [1e-300, 1e-3, 80.0])
def test_elastic_fields_of_extreme_smoothing_have_the_stated_strength(sigma):
    field = augment.elastic_field(jax.random.key(0), (8, 6), alpha=29.0, sigma=sigma)
    np.testing.assert_allclose(jnp.sqrt(jnp.square(field).mean((1, 2))), 1, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "bfloat16"])
def test_warp_takes_whole_numbers_as_float(dtype):
    image = jnp.array([0, 1, 1, 0]).reshape(1, 4, 1).astype(dtype)
    moved = augment.warp(image, jnp.full((2, 1, 4), jnp.array([[[0.0]], [[0.5]]])))
    assert moved.dtype == jnp.float32
    np.testing.assert_array_equal(moved.ravel(), [0.5, 1, 0.5, 0])


def test_warp_refuses_batches_and_complex_images():
    with pytest.raises(ValueError, match=r"image has shape \(1, 4, 5, 1\); allowed is \(h, w, c\)"):
        augment.warp(jnp.zeros((1, 4, 5, 1)), jnp.zeros((2, 4, 5)))
    with pytest.raises(ValueError, match="image has dtype complex64; allowed are real numbers"):
        augment.warp(jnp.zeros((4, 5, 1), jnp.complex64), jnp.zeros((2, 4, 5)))


def test_affine_field_turns_about_the_centre():
    image = noise((7, 7, 1))
    quarter = jnp.array([[0.0, 1.0], [-1.0, 0.0]])  # reads (r, c) at (c, -r)
    turned = augment.warp(image, augment.affine_field((7, 7), quarter, jnp.zeros(2)))
    chex.assert_trees_all_close(turned, jnp.rot90(image, k=1))
    moved = augment.affine_field((7, 7), jnp.eye(2), jnp.array([1.0, 0.0]))
    chex.assert_trees_all_close(
        augment.warp(image, moved),
        translate(image, (-1, 0), axes=(0, 1), mode="constant"),
    )
