"""The smallest adversarial shift, against a search by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import protocols
from jaxinv.orbit import orbit, shift_set
from jaxinv.shifts import crop_translate, translate

IMAGES = jax.random.normal(jax.random.key(0), (6, 7, 6, 1))
WEIGHTS = jax.random.normal(jax.random.key(1), (7 * 6, 3))


def classify(x):
    flat = x.reshape(x.shape[0], -1)
    return flat @ WEIGHTS[: flat.shape[1]]


LABELS = np.argmax(classify(IMAGES), -1)  # right where nothing moves


def by_hand(move, radius, norm):
    length = {"max": lambda t: max(map(abs, t)), "euclidean": np.linalg.norm}[norm]
    square = [(i - radius, j - radius) for i, j in np.ndindex(2 * radius + 1, 2 * radius + 1)]
    distances = np.full(len(IMAGES), np.inf)
    for t in square:
        if length(t) <= radius:
            wrong = np.argmax(classify(move(t)), -1) != LABELS
            distances = np.where(wrong, np.minimum(distances, length(t)), distances)
    return distances


@pytest.mark.parametrize("norm", ["max", "euclidean"])
@pytest.mark.parametrize("mode", ["constant", "wrap"])
def test_finds_the_smallest(norm, mode):
    found = protocols.search_shifts(classify, IMAGES, LABELS, radius=2, norm=norm, mode=mode)
    expected = by_hand(lambda t: translate(IMAGES, t, mode=mode), 2, norm)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-6)
    for n in range(len(IMAGES)):
        moved = translate(IMAGES[n : n + 1], tuple(map(int, found.shift[n])), mode=mode)
        fooled = np.argmax(classify(moved), -1)[0] != LABELS[n]
        assert fooled == np.isfinite(found.distance[n])


def test_crops_of_larger_images():
    larger = jnp.pad(IMAGES, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    found = protocols.search_shifts(classify, larger, LABELS, radius=1, mode="crop")
    expected = by_hand(lambda t: crop_translate(larger, t, size=(7, 6)), 1, "max")
    np.testing.assert_allclose(found.distance, expected)


def test_accuracy_falls_with_the_radius():
    found = protocols.search_shifts(classify, IMAGES, LABELS, radius=2)
    got = protocols.adversarial_accuracy(found, jnp.arange(3))
    expected = [np.mean(found.distance > r) for r in range(3)]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert got[0] == 1


def test_on_a_torus_the_short_way_counts():
    chosen = shift_set((7, 6))
    predictions = np.argmax(orbit(classify)(IMAGES), -1)
    found = protocols.adversarial_shift(predictions, LABELS, chosen, periodic=True)
    assert np.all(np.abs(found.shift) <= np.array([3, 3]))
    expected = by_hand(lambda t: translate(IMAGES, t), 3, "max")
    np.testing.assert_allclose(found.distance, expected)


def test_nothing_to_find():
    found = protocols.search_shifts(lambda x: x.mean((1, 2)), IMAGES, LABELS * 0, radius=1)
    assert np.all(np.isinf(found.distance))
    assert not np.any(found.shift)
    assert protocols.adversarial_accuracy(found, 1) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: protocols.shift_lengths(shift_set((3,)), norm="l1"), "'max', 'euclidean'"),
        (
            lambda: protocols.adversarial_shift(LABELS[None], LABELS, shift_set((3,))),
            "allowed are 3",
        ),
        (
            lambda: protocols.adversarial_accuracy(
                protocols.AdversarialShift(jnp.ones(2), jnp.ones((2, 2))), -1
            ),
            "from 0",
        ),
        (
            lambda: protocols.search_shifts(classify, IMAGES, LABELS, radius=9, mode="reflect"),
            "too large to reflect",
        ),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
