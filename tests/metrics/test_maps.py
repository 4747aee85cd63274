"""Metrics of maps at shifts against loops over their definitions, and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import metrics
from jaxinv.metrics import maps

RNG = np.random.default_rng(0)
SHIFTS, IMAGES, POSITIONS, CLASSES = (2, 3), 3, (4, 5), 4
LOGITS = RNG.normal(size=(*SHIFTS, IMAGES, *POSITIONS, CLASSES)).astype(np.float32)
LOGITS[..., -1] -= 100  # a class that nobody predicts
PREDICTIONS = LOGITS.argmax(-1)
LABELS = RNG.integers(CLASSES - 1, size=(IMAGES, *POSITIONS))
ALL = list(np.ndindex(*SHIFTS))
OUTPUTS = pytest.mark.parametrize("outputs", [LOGITS, PREDICTIONS], ids=["logits", "label maps"])


def pairs():
    return itertools.product(ALL, ALL)


@OUTPUTS
def test_consistency_is_the_mean_over_all_pairs_of_shifts(outputs):
    same = np.array([PREDICTIONS[s] == PREDICTIONS[t] for s, t in pairs()])
    np.testing.assert_allclose(maps.consistency(outputs), same.mean(), rtol=1e-6)
    each = maps.consistency(outputs, per_image=True)
    np.testing.assert_allclose(each, same.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(maps.flicker(outputs), 1 - same.mean(0), atol=1e-6)


@OUTPUTS
def test_class_consistency_by_definition(outputs):
    expected = []
    for k in range(CLASSES):
        before = np.concatenate([(PREDICTIONS[s] == k).ravel() for s, _ in pairs()])
        after = np.concatenate([(PREDICTIONS[t] == k).ravel() for _, t in pairs()])
        expected.append((before & after).sum() / before.sum() if before.any() else np.nan)
    got = maps.class_consistency(outputs, classes=CLASSES)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert np.isnan(got[-1])
    assert not np.isnan(got[:-1]).any()


@OUTPUTS
def test_accuracy_and_iou_at_each_shift_by_definition(outputs):
    right = np.array([PREDICTIONS[t] == LABELS for t in ALL])
    expected = right.mean((1, 2, 3)).reshape(SHIFTS)
    np.testing.assert_allclose(maps.accuracy(outputs, LABELS), expected, rtol=1e-6)
    np.testing.assert_allclose(
        maps.worst_case_accuracy(outputs, LABELS), right.all(0).mean(), rtol=1e-6
    )
    shares = np.full((*SHIFTS, CLASSES), np.nan)
    for t in ALL:
        for k in range(CLASSES - 1):
            said, true = PREDICTIONS[t] == k, k == LABELS
            shares[*t, k] = (said & true).sum() / (said | true).sum()
    got = maps.iou(outputs, LABELS, classes=CLASSES, per_class=True)
    np.testing.assert_allclose(got, shares, rtol=1e-6)
    mean = maps.iou(outputs, LABELS, classes=CLASSES)
    np.testing.assert_allclose(mean, np.nanmean(shares, axis=-1), rtol=1e-6)


@OUTPUTS
@pytest.mark.parametrize(("void", "dtype"), [(255, np.uint8), (-1, np.int32), (0, np.int8)])
def test_void_positions_do_not_count(outputs, void, dtype):
    """By definition over the other positions; broken logits there do not matter either."""
    labels = np.where(RNG.random(LABELS.shape) < 0.3, void, LABELS).astype(dtype)
    counted = labels != void
    if outputs is LOGITS:
        outputs = np.where(counted[..., None], LOGITS, np.nan)
    right = np.array([(PREDICTIONS[t] == labels)[counted] for t in ALL])
    got = maps.accuracy(outputs, labels, void=void)
    np.testing.assert_allclose(got, right.mean(1).reshape(SHIFTS), rtol=1e-6)
    got = maps.worst_case_accuracy(outputs, labels, void=void)
    np.testing.assert_allclose(got, right.all(0).mean(), rtol=1e-6)
    shares = np.full((*SHIFTS, CLASSES), np.nan)
    for t in ALL:
        for k in range(CLASSES - 1):
            said, true = PREDICTIONS[t][counted] == k, labels[counted] == k
            shares[*t, k] = (said & true).sum() / (said | true).sum()
    got = jax.jit(lambda y: maps.iou(outputs, y, classes=CLASSES, per_class=True, void=void))
    np.testing.assert_allclose(got(labels), shares, rtol=1e-6)


def test_where_all_is_void_there_is_no_number():
    empty = np.full(LABELS.shape, 255)
    assert np.isnan(maps.accuracy(PREDICTIONS, empty, void=255)).all()
    assert np.isnan(maps.worst_case_accuracy(PREDICTIONS, empty, void=255))
    assert np.isnan(maps.iou(PREDICTIONS, empty, classes=CLASSES, void=255)).all()


def test_real_valued_maps_by_definition():
    values, origin = LOGITS[..., :2], (1, 2)
    change = values - values[origin]
    np.testing.assert_allclose(
        maps.mean_absolute_change(values, origin=origin),
        np.abs(change).mean((2, 3, 4, 5)),
        rtol=1e-6,
    )
    with np.errstate(divide="ignore"):
        expected = 10 * np.log10(255**2 / (change**2).mean((2, 3, 4, 5)))
    got = maps.psnr(values, peak=255, origin=origin)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert got[origin] == np.inf
    np.testing.assert_allclose(maps.deviation(values), values.std((0, 1)), rtol=1e-5)
    for unit in (1e-30, 1e30):  # of which float32 holds no squares
        found = maps.psnr(np.float32(unit) * values, peak=255 * unit, origin=origin)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        found = maps.deviation(np.float32(unit) * values) / np.float32(unit)
        np.testing.assert_allclose(found, values.std((0, 1)), rtol=1e-4)
    assert not maps.deviation(np.full((7, 1, 1, 1, 1), 0.1)).any()


def test_one_position_is_a_class_vector():
    flat = PREDICTIONS[..., 0, 0]
    np.testing.assert_allclose(maps.consistency(flat, spatial=0), metrics.consistency(flat))
    np.testing.assert_allclose(
        maps.accuracy(flat, LABELS[:, 0, 0]), metrics.accuracy_map(flat, LABELS[:, 0, 0])
    )


@pytest.mark.parametrize("axis", [1, 3])
def test_volumes_and_lines(axis):
    shape = (5, 2, *(3,) * axis)
    outputs = RNG.integers(3, size=shape)
    same = np.mean([[a == b for b in outputs] for a in outputs])
    np.testing.assert_allclose(maps.consistency(outputs, spatial=axis), same, rtol=1e-6)
    assert maps.iou(outputs, outputs[0], classes=3)[0] == 1


def test_what_is_not_finite_is_nan():
    broken = LOGITS.copy()
    broken[0, 1, 2, 3, 4, 0] = np.nan
    assert np.isnan(maps.consistency(broken, per_image=True)).tolist() == [False, False, True]
    assert np.isnan(maps.flicker(broken)).sum() == 1
    assert np.isnan(maps.class_consistency(broken, classes=CLASSES)).all()
    for values in (maps.accuracy(broken, LABELS), maps.iou(broken, LABELS, classes=CLASSES)):
        assert np.argwhere(np.isnan(values)).tolist() == [[0, 1]]
    assert np.isnan(maps.psnr(broken, peak=1.0))[0, 1]
    assert np.isnan(maps.worst_case_accuracy(broken, LABELS))


def test_under_jit():
    got = jax.jit(lambda y: maps.iou(y, LABELS, classes=CLASSES))(jnp.asarray(LOGITS))
    np.testing.assert_allclose(got, maps.iou(LOGITS, LABELS, classes=CLASSES), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: maps.consistency(np.zeros((2, 2), int)), "axes of positions"),
        (lambda: maps.consistency(PREDICTIONS, spatial=-1), "spatial"),
        (lambda: maps.flicker(np.zeros((2, 0, 3, 3), int)), "outputs have shape"),
        (lambda: maps.accuracy(PREDICTIONS, LABELS[:, :-1]), "labels have shape"),
        (lambda: maps.accuracy(LOGITS, LABELS + 2), "is no class"),
        (lambda: maps.iou(PREDICTIONS, LABELS, classes=2), "label 2 is no class"),
        (lambda: maps.iou(PREDICTIONS, LABELS, classes=0), "classes"),
        (
            lambda: maps.iou(PREDICTIONS, LABELS + 5, classes=CLASSES, void=255),
            "label 7 is no class; allowed are 0 to 3, and 255 for no class",
        ),
        (lambda: maps.accuracy(LOGITS, LABELS + 2, void=255), "is no class; allowed are 0 to 3"),
        (lambda: maps.accuracy(PREDICTIONS, LABELS, void=2.5), "void is 2.5"),
        (lambda: maps.class_consistency(PREDICTIONS, classes=2), "label 2 is no class"),
        (lambda: maps.psnr(LOGITS, peak=0), "peak is 0"),
        (lambda: maps.psnr(LOGITS, peak=1, origin=(2, 0)), "origin"),
        (lambda: maps.psnr(LOGITS, peak=1, origin=(0,)), "origin"),
        (lambda: maps.mean_absolute_change(LOGITS[0, 0]), "outputs have shape"),
        (lambda: maps.deviation(np.zeros((0, 1, 2, 2, 1))), "outputs have shape"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
