"""Zhang's and Chaman's consistency: exact by enumeration, and sampled converging to it."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import protocols
from jaxinv.metrics.protocols import Sample
from jaxinv.shifts import translate

IMAGES = jax.random.normal(jax.random.key(0), (6, 9, 8, 1))
WEIGHTS = jax.random.normal(jax.random.key(1), (9 * 8, 3))
KEY = jax.random.key(0)
SIGMAS = 4  # a fixed key: a false alarm has odds of 1 in 16,000, once and for all


def classify(x):
    flat = x.reshape(x.shape[0], -1)
    return flat @ WEIGHTS[: flat.shape[1]]


def crops(size, offsets):
    height, width = size
    return np.stack(
        [
            np.argmax(classify(IMAGES[:, i : i + height, j : j + width]), -1)
            for i, j in itertools.product(range(offsets[0]), range(offsets[1]))
        ]
    )


def share_of_equal_pairs(predictions):
    return np.mean([[a == b for b in predictions] for a in predictions])


def assert_converges(estimate, exact):
    assert estimate.standard_error < 0.03
    assert abs(estimate.value - exact) < SIGMAS * estimate.standard_error


@pytest.mark.parametrize(
    ("size", "offsets", "expected"),
    [
        ((5, 5), (4, 3), (4, 3)),
        ((6, 5), None, (3, 3)),
        ((4, 6), 3, (3, 3)),
        ((9, 6), (1, 2), (1, 2)),
    ],
)
def test_crop_consistency_is_the_share_of_equal_pairs(size, offsets, expected):
    got = protocols.crop_consistency(classify, IMAGES, size=size, offsets=offsets)
    np.testing.assert_allclose(got, share_of_equal_pairs(crops(size, expected)), rtol=1e-5)


def test_published_offsets_leave_out_the_last():
    # 256 - 224 = 32, and numpy's randint(32) ends at 31.
    image = jnp.zeros((1, 1, 5, 1)).at[0, 0, 4].set(1.0)
    seen = protocols.crop_consistency(
        lambda x: (x[:, 0, -1, 0] > 0).astype(int), image, size=(1, 3)
    )
    assert seen == 1


@pytest.mark.parametrize("shared", [True, False])
def test_sampled_crop_consistency_converges(shared):
    exact = protocols.crop_consistency(classify, IMAGES, size=5)
    estimate = protocols.crop_consistency(
        classify, IMAGES, size=5, sample=Sample(jax.random.key(2), 600), shared=shared
    )
    assert_converges(estimate, exact)


@pytest.mark.parametrize("published", [True, False])
def test_circular_consistency_is_the_share_of_equal_pairs(published):
    along = range(-2, 2 if published else 3)
    predictions = np.stack(
        [np.argmax(classify(translate(IMAGES, t)), -1) for t in itertools.product(along, repeat=2)]
    )
    consistency = functools.partial(
        protocols.circular_consistency, classify, IMAGES, max_shift=2, published=published
    )
    exact = consistency()
    np.testing.assert_allclose(exact, share_of_equal_pairs(predictions), rtol=1e-5)
    assert_converges(consistency(sample=Sample(jax.random.key(3), 600)), exact)


def test_the_published_estimator_never_draws_plus_three():
    # A classifier that alone notices a shift by +3 is perfectly consistent to the published code.
    image = jnp.zeros((1, 16, 16, 1)).at[0, 5].set(1.0)

    def notices(x):
        return (x[:, 8, 0, 0] > 0).astype(int)  # row 5 arrives at row 8 for +3

    exact = protocols.circular_consistency(notices, image)
    np.testing.assert_allclose(exact, (36 + 1) / 49, rtol=1e-6)
    assert protocols.circular_consistency(notices, image, published=True) == 1
    drawn = Sample(KEY, 500)
    as_published = protocols.circular_consistency(notices, image, published=True, sample=drawn)
    assert as_published.value == 1
    honest = protocols.circular_consistency(notices, image, sample=drawn)
    assert_converges(honest, exact)


def test_diagonal_sweep_by_definition():
    labels = np.array([0, 1, 2, 0, 1, 2])
    sweep = protocols.diagonal_sweep(classify, IMAGES, labels, size=(6, 5))
    assert sweep.probability.shape == (4, 6)
    for d in range(4):
        p = np.asarray(jax.nn.softmax(classify(IMAGES[:, d : d + 6, d : d + 5])))
        true = p[np.arange(6), labels]
        np.testing.assert_allclose(sweep.probability[d], true, rtol=1e-4)
        np.testing.assert_array_equal(sweep.correct[d], p.argmax(-1) == labels)
        others = np.where(np.eye(3, dtype=bool)[labels], 0, p).max(-1)
        np.testing.assert_allclose(sweep.runner_up[d], others, rtol=1e-4)
    np.testing.assert_allclose(sweep.variation, np.std(sweep.probability, 0).mean(), rtol=1e-4)


@pytest.mark.parametrize("axes", [(1, 2), (2,)])
def test_crops_begin_where_asked(axes):
    images = jnp.arange(2 * 7 * 6).reshape(2, 7, 6)
    starts = [(1, 0), (4, 3), (0, 2)] if len(axes) == 2 else [(3,), (0,)]
    got = protocols.at_crops(lambda x: x, images, starts, size=3, axes=axes)
    for out, start in zip(got, starts, strict=True):
        window = [slice(None)] * 3
        for axis, s in zip(axes, start, strict=True):
            window[axis] = slice(s, s + 3)
        np.testing.assert_array_equal(out, images[tuple(window)])


def test_standard_error_is_that_of_a_mean():
    samples = np.random.default_rng(0).normal(size=(50, 2))
    estimate = protocols.mean_of_samples(samples)
    np.testing.assert_allclose(estimate.value, samples.mean(0), atol=1e-6)
    np.testing.assert_allclose(
        estimate.standard_error, samples.std(0, ddof=1) / np.sqrt(50), rtol=1e-5
    )
    assert np.isnan(protocols.mean_of_samples(samples[:1]).standard_error).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: protocols.crop_consistency(classify, IMAGES, size=5, offsets=6), "do not lie"),
        (lambda: protocols.crop_consistency(classify, IMAGES, size=10), "do not lie|fit"),
        (
            lambda: protocols.crop_consistency(classify, IMAGES, size=5, sample=Sample(KEY, 0)),
            "pairs",
        ),
        (lambda: protocols.diagonal_sweep(classify, IMAGES, jnp.zeros(2, int), size=5), "one for"),
        (lambda: protocols.circular_consistency(classify, IMAGES, max_shift=0), "from 1"),
        (
            lambda: protocols.circular_consistency(
                classify, IMAGES, axes=(1, 9), sample=Sample(KEY)
            ),
            "range",
        ),
        (
            lambda: protocols.circular_consistency(
                classify, IMAGES, per_image=True, sample=Sample(KEY)
            ),
            "per_image is True",
        ),
        (lambda: protocols.at_crops(classify, IMAGES, [], size=3), "starts is empty"),
        (lambda: protocols.at_crops(classify, IMAGES, [(0, 7)], size=3), "do not lie within"),
        (lambda: protocols.mean_of_samples(jnp.zeros(0)), "no samples"),
        (
            lambda: protocols.sampled_consistency(
                KEY, classify, IMAGES, view=lambda x, t: x, low=2, high=2
            ),
            "no offset lies",
        ),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
