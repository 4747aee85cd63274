"""Cosine invariance by definition, with the baseline of unrelated images."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import protocols
from jaxinv.shifts import translate

IMAGES = jax.random.normal(jax.random.key(0), (4, 6, 5, 2))
SHIFTS = [(0, 0), (1, 2), (-3, 0)]


def features(x):
    conv = x + 0.5 * translate(x, (1, 0))
    return {"conv": conv, "pooled": [jax.nn.relu(conv).mean((1, 2))]}


def cosine(a, b):
    return np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("mode", ["constant", "wrap"])
def test_by_definition(mode):
    profiles = protocols.cosine_profile(features, IMAGES, SHIFTS, mode=mode)
    assert set(profiles) == {"['conv']", "['pooled'][0]"}
    base = features(IMAGES)["conv"]
    for got, t in zip(profiles["['conv']"].similarity, SHIFTS, strict=True):
        moved = features(translate(IMAGES, t, mode=mode))["conv"]
        expected = np.mean([cosine(a, b) for a, b in zip(base, moved, strict=True)])
        np.testing.assert_allclose(got, expected, atol=1e-5)
    pairs = [cosine(base[a], base[b]) for a, b in itertools.permutations(range(4), 2)]
    np.testing.assert_allclose(profiles["['conv']"].baseline, np.mean(pairs), atol=1e-5)


def test_an_invariant_layer_scores_one_and_an_equivariant_one_does_not():
    profiles = protocols.cosine_profile(features, IMAGES, SHIFTS, mode="wrap")
    np.testing.assert_allclose(profiles["['pooled'][0]"].similarity, 1, rtol=1e-5)
    assert np.all(np.abs(profiles["['conv']"].similarity[1:]) < 0.6)


@pytest.mark.parametrize(
    ("images", "shifts", "message"),
    [
        (IMAGES[:1], SHIFTS, "at least two"),
        (IMAGES, [(1,)], "1 entries for 2 axes"),
        (jnp.zeros((2, 3)), SHIFTS, "out of range"),
    ],
)
def test_wrong_use_is_a_value_error(images, shifts, message):
    with pytest.raises(ValueError, match=message):
        protocols.cosine_profile(lambda x: x, images, shifts)
