"""Scenes of several digits: what lies where, from which key, and that splits share no digit."""

import jax
import numpy as np
import pytest

from jaxinv import data
from jaxinv.data.digits import small_digits
from jaxinv.data.scenes import INK

KEY = jax.random.key(3)


def test_every_pixel_belongs_to_a_whole_digit_or_to_the_background():
    scenes = data.digits_scenes(KEY, split="test", count=5, size=20, digits=3)
    small, classes = small_digits("test")
    ink = scenes.images[..., 0] >= INK
    np.testing.assert_array_equal(ink, scenes.labels > 0)
    for image, label in zip(scenes.images[..., 0], scenes.labels, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8))
        found = np.zeros_like(label)
        for digit, name in zip(small, classes, strict=True):
            for down, right in np.argwhere((windows == digit).all((2, 3))):
                found[down : down + 8, right : right + 8][digit >= INK] = name + 1
        np.testing.assert_array_equal(found, label)
        assert label.any()


def test_the_key_decides():
    one, same = (data.digits_scenes(KEY, count=2) for _ in range(2))
    other = data.digits_scenes(jax.random.key(4), count=2)
    np.testing.assert_array_equal(one.images, same.images)
    assert not np.array_equal(one.images, other.images)


def test_by_name():
    scenes = data.load("digits_scenes", split="test[:3]")
    assert scenes.label_shape == scenes.images.shape[1:3]
    assert scenes.num_classes == 11
    assert scenes.mean == (0.0,)
    assert data.load("digits_scenes", split="train[:1]").std == scenes.std
    images, labels = data.open("digits_scenes", split="test").read([2])
    np.testing.assert_array_equal(images[0], scenes.images[2])
    np.testing.assert_array_equal(labels[0], scenes.labels[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "has no split 'valid'; it has train, test"),
        ({"size": 7}, "size"),
        ({"digits": 0}, "digits"),
        ({"count": 0}, "count"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.digits_scenes(KEY, **options)
