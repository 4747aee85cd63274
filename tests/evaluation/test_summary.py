"""Figures of a sweep against the metrics' definitions on the whole orbit, and by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv import metrics
from jaxinv.evaluation import summary
from jaxinv.evaluation.results import Estimate
from jaxinv.evaluation.sweep import SweepOptions, sweep


@pytest.fixture(scope="module", params=[None, 2], ids=["torus", "within 2"])
def swept(request, make_subject, dataset):
    subject = make_subject("flatten")
    options = SweepOptions(max_shift=request.param)
    found = sweep(subject.apply, dataset, options=options)
    outputs = jaxinv.orbit(subject.apply, max_shift=request.param)(
        jnp.asarray(dataset.images, jnp.float32)
    )
    return found, outputs, jnp.asarray(dataset.labels)


def test_figures_are_the_metrics_of_the_orbit(swept):
    found, outputs, labels = swept
    figures = summary.figures_of(found)
    origin = found.unshifted
    assert figures["mean"].value == pytest.approx(float(metrics.mean_accuracy(outputs, labels)))
    assert figures["worst"].value == pytest.approx(
        float(metrics.worst_case_accuracy(outputs, labels))
    )
    assert figures["consistency"].value == pytest.approx(float(metrics.consistency(outputs)))
    error = metrics.invariance_error_map(outputs, origin=origin)
    assert figures["invariance_error"].value == pytest.approx(float(error.max()), rel=1e-4)
    assert {figure.count for figure in figures.values()} == {len(labels)}


def test_the_sensitivity_map_is_that_of_the_metrics(swept):
    found, outputs, _ = swept
    expected = metrics.sensitivity_map(outputs, origin=found.unshifted)
    np.testing.assert_allclose(summary.sensitivity_of(found), expected, rtol=1e-4, atol=1e-5)
    radial = summary.radial_of(found)
    assert radial["radius"][0] == 0
    assert radial["sensitivity"][0] == pytest.approx(0, abs=1e-6)


def test_the_curve_averages_rings_of_shifts(swept):
    found, outputs, labels = swept
    accuracy = np.asarray(metrics.accuracy_map(outputs, labels))
    curve = summary.curve_of(found)
    i, j = found.unshifted
    ring = [accuracy[i + a, j + b] for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    assert curve["shift"][:2] == [0, 1]
    assert curve["accuracy"][0] == pytest.approx(accuracy[i, j])
    assert curve["accuracy"][1] == pytest.approx(np.mean(ring))
    assert curve["consistency"][0] == 1


def with_predictions(found, predictions):
    confidence = (predictions == found.labels).astype(np.float32)
    return dataclasses.replace(found, predictions=predictions, confidence=confidence)


def test_flips_are_the_smallest_shifts_that_change_a_right_answer(swept):
    found, _, labels = swept
    predictions = np.broadcast_to(np.asarray(labels), found.predictions.shape).copy()
    i, j = found.unshifted
    predictions[i, j - 2, 0] = 2  # image 0 at two pixels to the left
    predictions[i - 1, j + 2, 0] = 1  # and further away
    predictions[i + 1, j, 3] = 1  # image 3 at one pixel down
    predictions[i, j, 1] = 2  # image 1 is wrong as it is: no flip
    first, second = summary.flips_of(with_predictions(found, predictions))
    assert (first.index, first.label, first.after, first.shift) == (3, 0, 1, (1, 0))
    assert (second.index, second.after, second.shift) == (0, 2, (0, -2))
    assert (first.confidence_before, first.confidence_after) == (1, 0)


def test_a_constant_right_answer_never_flips(swept):
    found, _, labels = swept
    predictions = np.broadcast_to(np.asarray(labels), found.predictions.shape)
    assert summary.flips_of(with_predictions(found, predictions)) == ()


def test_the_worst_shift_is_given_the_short_way_round(swept):
    found, _, labels = swept
    predictions = np.broadcast_to(np.asarray(labels), found.predictions.shape).copy()
    i, j = found.unshifted
    predictions[i - 1, j - 2] = 9
    assert summary.worst_shift_of(with_predictions(found, predictions)) == (-1, -2)


def test_comparison_is_mcnemars_test_on_the_same_images(swept):
    found, _, labels = swept
    right = np.broadcast_to(np.asarray(labels), found.predictions.shape).copy()
    wrong = right.copy()
    wrong[..., :4] = 9
    tests = summary.compare(
        ("a", "b"), with_predictions(found, right), with_predictions(found, wrong)
    )
    assert [test["figure"] for test in tests] == ["centred", "at every shift"]
    assert tests[0]["only_first"] == 4
    assert tests[0]["only_second"] == 0
    assert tests[0]["p_value"] == pytest.approx(2 * 0.5**4)
    other = dataclasses.replace(found, labels=found.labels[::-1])
    with pytest.raises(ValueError, match="not evaluated on the same images"):
        summary.compare(("a", "b"), found, other)


def test_a_mean_has_a_bootstrap_interval_around_it():
    values = jnp.asarray(np.random.default_rng(0).random(200))
    estimate = summary.mean(values)
    spread = float(jnp.std(values)) / np.sqrt(200)
    assert estimate.low == pytest.approx(estimate.value - 1.96 * spread, abs=0.3 * spread)
    assert estimate.high == pytest.approx(estimate.value + 1.96 * spread, abs=0.3 * spread)


@pytest.mark.parametrize("right", [0, 1, 3, 4])
def test_equal_numbers_have_equal_intervals(right):
    shares = np.arange(4) < right
    proportion = summary.share(shares)
    for dtype in (bool, int, np.float32, np.float64):
        assert summary.mean(np.asarray(shares, dtype)) == proportion
    assert proportion.high - proportion.low > 0.2  # four images do not make a share certain
    # Other means: the same in another order, and again.
    values = np.random.default_rng(0).random(50)
    assert summary.mean(values) == summary.mean(values[::-1]) == summary.mean(values)
    # What is no share is no proportion.
    assert summary.mean(np.array([0.0, 1.0, 1.0]), unit="dB").low == 0


def test_a_mean_of_one_image_has_no_interval():
    assert summary.mean(np.array([0.5])) == Estimate(0.5, None, None, 1)


def test_an_estimate_says_its_interval():
    assert str(Estimate(0.9756, 0.96, 0.98, 100)) == "97.6% (96.0–98.0)"
    assert str(Estimate(31.4, None, None, 5, "dB")) == "31.4 dB"
    assert str(Estimate(float("nan"), None, None, 5, "dB")) == "undefined"
    assert str(Estimate(0.0, None, None, 5, "relative")) == "0"
