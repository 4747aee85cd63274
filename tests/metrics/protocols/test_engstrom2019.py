"""Engstrom's transformations against scipy, the grid by enumeration, worst-of-k in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxinv.metrics import protocols
from jaxinv.shifts import translate

IMAGES = jax.random.uniform(jax.random.key(0), (3, 7, 9, 2))
LABELS = np.array([0, 1, 2])
WEIGHTS = jax.random.normal(jax.random.key(1), (7 * 9 * 2, 3))
GRID = protocols.transformation_grid(limits=(1, 1, 20), steps=(3, 3, 3))


def classify(x):
    return (x - 0.5).reshape(x.shape[0], -1) @ WEIGHTS


@pytest.mark.parametrize("degrees", [0, 17, -90, 180])
def test_rotation_agrees_with_scipy(degrees):
    got = protocols.rotate_translate(IMAGES, (0, 0), degrees)
    centre = np.array([3.0, 4.0])
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for n, c in np.ndindex(3, 2):
        wide = np.pad(np.asarray(IMAGES[n, :, :, c]), 3)
        offset = centre + 3 - matrix @ (centre + 3)
        expected = ndimage.affine_transform(wide, matrix, offset=offset, order=1)[3:-3, 3:-3]
        np.testing.assert_allclose(got[n, :, :, c], expected, atol=2e-5)


def test_counter_clockwise_then_down_and_right():
    image = jnp.zeros((1, 5, 5, 1)).at[0, 2, 4, 0].set(1.0)  # right of the centre
    turned = protocols.rotate_translate(image, (0, 0), 90)
    np.testing.assert_allclose(turned[0, 0, 2, 0], 1, atol=1e-5)  # now above it
    moved = protocols.rotate_translate(image, (3, 1), 90)
    np.testing.assert_allclose(moved[0, 3, 3, 0], 1, atol=1e-5)


@pytest.mark.parametrize("shift", [(0, 0), (2, -3), (-6, 8)])
def test_whole_shifts_are_translations_into_black(shift):
    got = protocols.rotate_translate(IMAGES, shift, 0)
    np.testing.assert_allclose(got, translate(IMAGES, shift, mode="constant"), atol=1e-5)


def test_half_shifts_are_means_of_neighbours():
    got = protocols.rotate_translate(IMAGES, (0.5, 0), 0)
    np.testing.assert_allclose(got[:, 1:], (IMAGES[:, 1:] + IMAGES[:, :-1]) / 2, atol=1e-5)


def test_whole_numbers_become_float():
    levels = (IMAGES * 255).astype("uint8")
    got = protocols.rotate_translate(levels, (0.5, 0), 0)
    wide = levels.astype("float32")
    np.testing.assert_allclose(got[:, 1:], (wide[:, 1:] + wide[:, :-1]) / 2, rtol=1e-4)


def test_the_published_grid():
    grid = protocols.transformation_grid()
    assert grid.shape == (775, 3)
    np.testing.assert_allclose(np.unique(grid[:, 0]), [-3, -1.5, 0, 1.5, 3])
    np.testing.assert_allclose(np.unique(grid[:, 2]), np.arange(-30, 31, 2))


def test_grid_accuracy_by_enumeration():
    right = np.stack(
        [
            np.argmax(classify(protocols.rotate_translate(IMAGES, g[:2], g[2])), -1) == LABELS
            for g in GRID
        ]
    )
    result = protocols.spatial_grid(classify, IMAGES, LABELS, grid=GRID)
    np.testing.assert_array_equal(result.correct, right)
    np.testing.assert_allclose(result.average, right.mean(), rtol=1e-6)
    np.testing.assert_allclose(result.worst, right.all(0).mean(), rtol=1e-6)
    np.testing.assert_allclose(
        result.natural, np.mean(np.argmax(classify(IMAGES), -1) == LABELS), rtol=1e-6
    )


def test_worst_of_k_converges_to_its_closed_form():
    result = protocols.spatial_grid(classify, IMAGES, LABELS, grid=GRID)
    shares = np.mean(result.correct, axis=0)
    for k in (1, 3):
        exact = protocols.expected_worst_of(result.correct, tries=k)
        np.testing.assert_allclose(exact, np.mean(shares**k), rtol=1e-5)
    estimate = protocols.worst_of(
        jax.random.key(2), classify, IMAGES, LABELS, tries=3, grid=GRID, repeats=300
    )
    assert 0 < estimate.standard_error < 0.02
    assert abs(estimate.value - exact) < 4 * estimate.standard_error


def test_uniform_draws_stay_within_the_limits():
    # A lit row that leaves its place by more than a pixel is wrong.
    image = jnp.zeros((1, 9, 9, 1)).at[0, 4].set(1.0)

    def lit(x):
        return (x[:, 3:6, 4, 0].sum(1) > 0.99).astype(int)

    draw = functools.partial(protocols.worst_of, jax.random.key(3), lit, image, np.array([1]))
    assert draw(limits=(1, 3, 0), tries=8, repeats=8).value == 1
    assert draw(limits=(3, 1, 0), tries=8, repeats=8).value < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: protocols.rotate_translate(IMAGES[0], (0, 0), 0), "allowed are"),
        (lambda: protocols.rotate_translate(IMAGES, (0, 0, 0), 0), "allowed are"),
        (lambda: protocols.transformation_grid(steps=(5, 5)), "three finite numbers"),
        (lambda: protocols.spatial_grid(classify, IMAGES, LABELS, grid=GRID[:, :2]), "grid has"),
        (lambda: protocols.expected_worst_of(jnp.ones(3, bool)), "correct has shape"),
        (
            lambda: protocols.worst_of(jax.random.key(0), classify, IMAGES, LABELS, tries=0),
            "tries is 0",
        ),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
