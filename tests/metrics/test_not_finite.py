"""Outputs that are not finite make NaN of every number that rests on them, and of no other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import metrics
from jaxinv.metrics import protocols

LABELS = jnp.array([0, 1, 0])
# Three shifts by two, three images, four classes; class 0 is what an arg max of NaN would say.
LOGITS = jnp.zeros((3, 2, 3, 4)).at[..., 0].set(1)

OF_CLASSES = {
    "accuracy_map": lambda logits, **_: metrics.accuracy_map(logits, LABELS),
    "mean_accuracy": lambda logits, **o: metrics.mean_accuracy(logits, LABELS, **o),
    "worst_case_accuracy": lambda logits, **o: metrics.worst_case_accuracy(logits, LABELS, **o),
    "consistency": metrics.consistency,
    "consistent_accuracy": lambda logits, **o: metrics.consistent_accuracy(logits, LABELS, **o),
    "top1_change": metrics.top1_change,
}
BAD = [jnp.nan, jnp.inf, -jnp.inf]


@pytest.mark.parametrize("name", OF_CLASSES)
def test_one_image_of_many(name):
    metric = OF_CLASSES[name]
    assert np.isfinite(metric(LOGITS)).all()
    for bad, compiled in zip(BAD, (False, True, False), strict=True):
        logits = LOGITS.at[1, 0, 2, 3].set(bad)
        found = (jax.jit(metric) if compiled else metric)(logits)
        if name == "accuracy_map":
            assert np.argwhere(np.isnan(found)).tolist() == [[1, 0]]
        else:
            assert np.isnan(found)
            assert np.isnan(metric(logits, per_image=True)).tolist() == [False, False, True]


def test_a_traced_label_that_is_no_class():
    for name in ("mean_accuracy", "worst_case_accuracy", "consistent_accuracy"):
        metric = jax.jit(functools.partial(getattr(metrics, name), per_image=True))
        for wrong in (4, -1):
            found = metric(LOGITS, LABELS.at[1].set(wrong))
            assert np.isnan(found).tolist() == [False, True, False]


def test_under_vmap():
    logits = jnp.stack([LOGITS, LOGITS.at[0, 0, 0, 0].set(jnp.nan)])
    for name in ("consistency", "mean_accuracy"):
        assert np.isnan(jax.vmap(OF_CLASSES[name])(logits)).tolist() == [False, True]


@pytest.mark.parametrize("bad", BAD)
def test_predictions_of_what_is_not_finite(bad):
    logits = LOGITS[0, 0].at[0].set(bad)
    np.testing.assert_array_equal(metrics.predicted_classes(logits), [-1, 0, 0])
    np.testing.assert_array_equal(metrics.correct_predictions(logits, LABELS), [False, False, True])


FEATURES = jax.random.normal(jax.random.key(0), (3, 2, 3, 4))  # shifts, images, features


@pytest.mark.parametrize("metric", [metrics.invariance_error_map, metrics.sensitivity_map])
def test_distances_of_shifts(metric):
    compiled = jax.jit(metric)
    for bad in BAD:
        one = FEATURES.at[1, 0, 2, 3].set(bad)
        assert np.argwhere(np.isnan(compiled(one))).tolist() == [[1, 0]]
        # What all shifts are compared with.
        assert np.isnan(compiled(FEATURES.at[0, 0, 0, 0].set(bad))).all()


def test_distances_of_pairs():
    error, cosines = jax.jit(metrics.relative_error), jax.jit(metrics.cosine_invariance)
    images = FEATURES[0]
    for bad in BAD:
        other = images.at[1, 1, 0].set(bad)
        for pair in ((images, other), (other, images), (other, other)):
            assert np.isnan(error(*pair))
            assert np.isnan(cosines(*pair)).tolist() == [False, True]
        assert np.isnan(metrics.energy_above_nyquist(other, 2, axes=(1,)))
        assert np.isnan(
            metrics.equivariance_error(lambda x, y=other: x * y, images, (1,), axes=(1,))
        )
        radii, means = metrics.radial_profile(jnp.zeros(8).at[3].set(bad))
        assert np.isfinite(means).tolist() == [r != 3 for r in radii.tolist()]


def test_changes_of_probabilities():
    before = jnp.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    after = before.at[1, 1].set(jnp.nan)  # not the class that is looked at
    for pair in ((before, after), (after, before)):
        change = metrics.mean_absolute_change(*pair, per_image=True)
        assert np.isnan(change).tolist() == [False, True, False]
        assert np.isnan(metrics.mean_absolute_change(*pair))


IMAGES = jnp.zeros((2, 6, 6, 1)).at[1, 2, 3].set(1)
KEY = jax.random.key(0)
SAMPLE = protocols.Sample(KEY, 2)


def network(x):
    """Logits, one of which is not finite for the image with a bright pixel in sight."""
    bright = x.sum((1, 2))
    return jnp.concatenate([1 - bright, jnp.where(bright > 0.5, -jnp.inf, 0)], axis=-1)


PROTOCOLS = {
    "circular_consistency": lambda f: protocols.circular_consistency(f, IMAGES, max_shift=1),
    "sampled_circular_consistency": lambda f: (
        protocols.circular_consistency(f, IMAGES, max_shift=1, sample=SAMPLE).value
    ),
    "crop_consistency": lambda f: protocols.crop_consistency(f, IMAGES, size=5),
    "sampled_crop_consistency": lambda f: (
        protocols.crop_consistency(f, IMAGES, size=5, sample=SAMPLE).value
    ),
    "one_pixel_change": lambda f: protocols.one_pixel_change(f, IMAGES, size=5),
    "sampled_one_pixel_change": lambda f: jax.tree.leaves(
        protocols.one_pixel_change(f, IMAGES, size=5, sample=SAMPLE)
    ),
    "spatial_grid": lambda f: protocols.spatial_grid(
        f, IMAGES, jnp.array([0, 0]), grid=jnp.array([[0, 0, 0], [1, 0, 0]])
    )[:3],
    "worst_of": lambda f: protocols.worst_of(KEY, f, IMAGES, jnp.array([0, 0]), tries=2, repeats=2),
    "adversarial_accuracy": lambda f: protocols.adversarial_accuracy(
        protocols.search_shifts(f, IMAGES, jnp.array([0, 0]), radius=1), 1
    ),
    "diagonal_sweep": lambda f: (
        protocols.diagonal_sweep(f, IMAGES, jnp.array([0, 0]), size=5).variation
    ),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols(name):
    found = jax.tree.leaves(PROTOCOLS[name](network))
    assert found
    assert np.isnan(found).all()


def test_the_distance_of_a_shift_that_fools_is_that_of_each_image():
    found = protocols.search_shifts(network, IMAGES, jnp.array([0, 0]), radius=1)
    assert np.isnan(found.distance).tolist() == [False, True]
    np.testing.assert_array_equal(found.shift, 0)


def test_signals_to_noise():
    images = jnp.ones((1, 16, 16, 1))
    nowhere = lambda x: x * jnp.nan  # noqa: E731
    assert np.isnan(protocols.eq_t(nowhere, images))
    assert np.isnan(protocols.eq_t(nowhere, images, sample=SAMPLE))
    level, mean = protocols.eq_t_frac(nowhere, images, sample=SAMPLE)
    assert np.isnan([level, mean.value]).all()
    assert np.isnan(protocols.decibels(jnp.array(jnp.inf)))
    error = protocols.local_equivariance_error(nowhere, images)
    assert np.isnan([error.squared, error.absolute]).all()
