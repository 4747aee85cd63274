"""Scale, canvas and slices of data sets in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import data
from jaxinv.data.dataset import channel_statistics, place_on_canvas, slice_bounds, split_slice


def test_digits_are_real_digits_centred_with_room_on_every_side():
    train, test = data.load("digits"), data.load("digits", split="test")
    assert train.images.shape == (1297, 32, 32, 1)
    assert test.images.shape == (500, 32, 32, 1)
    assert len(train) == 1297
    for part in (train, test):
        outside = part.images.copy()
        outside[:, 8:24, 8:24] = 0
        assert not outside.any()
        assert set(np.unique(part.labels)) == set(range(10))
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int32
    # The same class looks alike: nearest class mean, trained on one split, reads the other.
    means = np.stack([train.images[train.labels == k].mean(0) for k in range(10)])
    distance = ((test.images[:, None] - means) ** 2).sum((2, 3, 4))
    assert (distance.argmin(1) == test.labels).mean() > 0.85
    assert (train.mean, train.std) == (test.mean, test.std)


def test_enlarging_keeps_the_small_picture():
    from sklearn.datasets import load_digits

    image = data.load("digits", split="train[:1]").images[0, 8:24, 8:24, 0]
    averaged = image.reshape(8, 2, 8, 2).mean((1, 3)) / 255 * 16
    small = load_digits().images[0]
    assert np.corrcoef(averaged.ravel(), small.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("module", [np, jnp])
def test_normalise_gives_training_images_unit_scale(module):
    train = data.load("digits")
    images = module.asarray(train.images)
    out = data.normalise(images, mean=train.mean, std=train.std)
    assert out.dtype == np.float32
    np.testing.assert_allclose(np.mean(np.square(out)), 1.0, rtol=1e-4)
    assert out.min() == 0.0  # black stays 0


def test_normalise_inside_jit_and_by_channel():
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
    out = jax.jit(lambda x: data.normalise(x, mean=mean, std=std))(images)
    np.testing.assert_allclose(out, (images / 255 - mean) / std, atol=1e-6)


def test_normalise_refuses_the_wrong_number_of_channels():
    with pytest.raises(ValueError, match="each of the 3 channels, got 1 and 3"):
        data.normalise(np.zeros((1, 2, 2, 3), np.uint8), mean=(0.0,), std=(1.0, 1.0, 1.0))


def test_statistics_of_coloured_pictures_are_mean_and_deviation():
    images = np.random.default_rng(0).integers(100, 255, (9, 5, 4, 2)).astype(np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-9)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-9)


def test_canvas_centres_and_refuses_what_does_not_fit():
    images = np.ones((2, 28, 28, 1), np.uint8)
    out = place_on_canvas(images, 32)
    assert out.shape == (2, 32, 32, 1)
    np.testing.assert_array_equal(out[:, 2:30, 2:30], images)
    assert out.sum() == images.sum()
    np.testing.assert_array_equal(place_on_canvas(images, 29)[:, :28, :28], images)
    with pytest.raises(ValueError, match="28x28 do not fit on a canvas of 20x20"):
        place_on_canvas(images, 20)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(0, 40)),
        ("train[:5]", range(0, 5)),
        ("train[5:]", range(5, 40)),
        ("train[-5:]", range(35, 40)),
        ("train[25%:75%]", range(10, 30)),
        ("train[:1000]", range(0, 40)),
    ],
)
def test_slices_select_counts_and_percents(split, expected):
    name, start, stop = split_slice(split)
    assert name == "train"
    assert range(40)[slice_bounds(start, stop, size=40)] == expected


@pytest.mark.parametrize("split", ["train[", "train[a:]", "train[1:2:3]", ""])
def test_malformed_splits_are_refused(split):
    with pytest.raises(ValueError, match="is not a name such as 'train'"):
        split_slice(split)


def test_load_refuses_an_unknown_split_and_an_empty_slice():
    with pytest.raises(ValueError, match="no split 'valid'; it has train, test"):
        data.load("digits", split="valid")
    with pytest.raises(ValueError, match="is empty"):
        data.load("digits", split="test[:0]")
