"""Azulay and Weiss: exact over all places by enumeration, and sampled converging to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import protocols

IMAGES = jax.random.normal(jax.random.key(0), (5, 7, 6, 2))
WEIGHTS = jax.random.normal(jax.random.key(1), (400, 4)) * 0.3


def classify(x):
    flat = x.reshape(x.shape[0], -1)
    return flat @ WEIGHTS[: flat.shape[1]]


def by_definition(images, size):
    changes, differences = [], []
    height, width = images.shape[1:3]
    for i in range(height - size[0]):
        for j in range(width - size[1]):
            windows = [
                images[:, k : k + size[0], m : m + size[1]] for k, m in ((i, j), (i + 1, j + 1))
            ]
            before, after = (np.asarray(jax.nn.softmax(classify(w))) for w in windows)
            top = before.argmax(-1)
            changes.append(top != after.argmax(-1))
            n = np.arange(len(top))
            differences.append(np.abs(before[n, top] - after[n, top]))
    return np.mean(changes), np.mean(differences)


@pytest.mark.parametrize("size", [(4, 4), (6, 3)])
def test_cropped_by_definition(size):
    change = protocols.one_pixel_change(classify, IMAGES, size=size)
    np.testing.assert_allclose(change, by_definition(np.asarray(IMAGES), size), rtol=1e-4)


def test_embedding_in_black_shows_the_image_whole_at_every_place():
    image = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)
    wide = protocols.embed(image, canvas=(4, 5))
    for place in np.ndindex(3, 3):
        canvas = np.zeros((1, 4, 5, 1))
        canvas[:, place[0] : place[0] + 2, place[1] : place[1] + 3] = image
        start = (2 - place[0], 2 - place[1])
        got = protocols.at_crops(lambda x: x, wide, [start], size=(4, 5))[0]
        np.testing.assert_array_equal(got, canvas)


@pytest.mark.parametrize("embedded", [True, False])
def test_sampled_converges(embedded):
    images, size = (protocols.embed(IMAGES, canvas=10), 10) if embedded else (IMAGES, 4)
    exact = protocols.one_pixel_change(classify, images, size=size)
    sample = protocols.Sample(jax.random.key(2), 400)
    sampled = protocols.one_pixel_change(classify, images, size=size, sample=sample)
    for estimate, value in zip(sampled, exact, strict=True):
        assert 0 < estimate.standard_error < 0.05 * max(value, 0.2)
        assert abs(estimate.value - value) < 4 * estimate.standard_error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: protocols.embed(IMAGES, canvas=7), "leaves no place to move"),
        (lambda: protocols.one_pixel_change(classify, IMAGES, size=6), "leaves no place to move"),
        (
            lambda: protocols.one_pixel_change(
                classify, IMAGES, size=4, sample=protocols.Sample(jax.random.key(0), 0)
            ),
            "draws is 0",
        ),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
