"""Metrics of an orbit's outputs against loops over their definitions, and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import metrics

RNG = np.random.default_rng(0)
SHIFTS, IMAGES, CLASSES = (3, 4), 5, 3
LOGITS = RNG.normal(size=(*SHIFTS, IMAGES, CLASSES)).astype(np.float32)
PREDICTIONS = LOGITS.argmax(-1)
LABELS = RNG.integers(CLASSES, size=IMAGES)
ALL = list(np.ndindex(*SHIFTS))


@pytest.mark.parametrize("outputs", [LOGITS, PREDICTIONS], ids=["logits", "predictions"])
def test_accuracy_by_definition(outputs):
    right = [[PREDICTIONS[t][n] == LABELS[n] for n in range(IMAGES)] for t in ALL]
    expected = np.mean(right, axis=1).reshape(SHIFTS)
    np.testing.assert_allclose(metrics.accuracy_map(outputs, LABELS), expected, rtol=1e-6)
    np.testing.assert_allclose(metrics.mean_accuracy(outputs, LABELS), np.mean(right), rtol=1e-6)
    shares = metrics.mean_accuracy(outputs, LABELS, per_image=True)
    np.testing.assert_allclose(shares, np.mean(right, axis=0), rtol=1e-6)
    worst = np.all(right, axis=0)
    np.testing.assert_allclose(metrics.worst_case_accuracy(outputs, LABELS, per_image=True), worst)


def test_worst_case_counts_an_image_only_if_right_at_every_shift():
    predictions = np.tile(LABELS, (*SHIFTS, 1))
    assert metrics.worst_case_accuracy(predictions, LABELS) == 1
    predictions[2, 1, 3] += 1
    np.testing.assert_allclose(metrics.worst_case_accuracy(predictions, LABELS), 0.8)
    np.testing.assert_allclose(metrics.mean_accuracy(predictions, LABELS), 1 - 1 / 60, rtol=1e-6)


@pytest.mark.parametrize("outputs", [LOGITS, PREDICTIONS], ids=["logits", "predictions"])
def test_consistency_is_the_mean_over_all_pairs_of_shifts(outputs):
    pairs = list(itertools.product(ALL, ALL))
    same = np.array([PREDICTIONS[s] == PREDICTIONS[t] for s, t in pairs])
    np.testing.assert_allclose(metrics.consistency(outputs), same.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        metrics.consistency(outputs, per_image=True), same.mean(0), rtol=1e-6
    )
    both = np.array([(PREDICTIONS[s] == LABELS) & (PREDICTIONS[t] == LABELS) for s, t in pairs])
    np.testing.assert_allclose(metrics.consistent_accuracy(outputs, LABELS), both.mean(), rtol=1e-6)


def test_consistency_in_closed_form():
    # One image with 12 shifts split 6 : 4 : 2 over three classes.
    split = np.repeat([7, 0, 3], [6, 4, 2]).reshape(3, 4, 1)
    np.testing.assert_allclose(metrics.consistency(split), (36 + 16 + 4) / 144, rtol=1e-6)
    constant = np.zeros((3, 4, 5), int)
    assert metrics.consistency(constant) == 1
    assert metrics.consistent_accuracy(constant, np.arange(5)) == pytest.approx(0.2)


@pytest.mark.parametrize("step", [None, (1, 1), (0, 2), (-1, 2)])
@pytest.mark.parametrize("periodic", [True, False])
def test_top1_change_by_definition(step, periodic):
    changes = []
    for e in [(1, 0), (0, 1)] if step is None else [step]:
        mine = []
        for t in ALL:
            u = tuple(a + b for a, b in zip(t, e, strict=True))
            if periodic:
                u = tuple(a % size for a, size in zip(u, SHIFTS, strict=True))
            if all(0 <= a < size for a, size in zip(u, SHIFTS, strict=True)):
                mine.append(PREDICTIONS[t] != PREDICTIONS[u])
        changes.append(np.mean(mine, axis=0))
    got = metrics.top1_change(LOGITS, step=step, periodic=periodic, per_image=True)
    np.testing.assert_allclose(got, np.mean(changes, axis=0), rtol=1e-6)


def test_sensitivity_map_by_definition():
    base = LOGITS[1, 2]
    distances = np.linalg.norm(LOGITS - base, axis=-1).mean(-1)
    others = [
        np.linalg.norm(base[n] - base[m]) for n, m in itertools.permutations(range(IMAGES), 2)
    ]
    got = metrics.sensitivity_map(LOGITS, origin=(1, 2))
    np.testing.assert_allclose(got, distances / np.mean(others), rtol=1e-5)
    assert got[1, 2] == 0
    plain = metrics.sensitivity_map(LOGITS, origin=(1, 2), normalise=False)
    np.testing.assert_allclose(plain, distances, rtol=1e-5)


def test_sensitivity_takes_feature_maps():
    maps = RNG.normal(size=(4, 3, 2, 5)).astype(np.float32)  # 4 shifts, 3 images, maps of 2 x 5
    got = metrics.sensitivity_map(maps, origin=(0,))
    np.testing.assert_allclose(got, metrics.sensitivity_map(maps.reshape(4, 3, 10)), rtol=1e-6)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(5,), (6, 7), (3, 4, 5)])
def test_radial_profile_by_definition(shape, periodic):
    values = RNG.normal(size=shape)
    rings = {}
    for t in np.ndindex(*shape):
        if periodic:
            away = [min(i, size - i) for i, size in zip(t, shape, strict=True)]
        else:
            away = [i - size // 2 for i, size in zip(t, shape, strict=True)]
        rings.setdefault(int(np.hypot.reduce(away) + 0.5), []).append(values[t])
    radii, means = metrics.radial_profile(values, periodic=periodic)
    np.testing.assert_array_equal(radii, sorted(rings))
    np.testing.assert_allclose(means, [np.mean(rings[r]) for r in sorted(rings)], rtol=1e-5)


def test_radial_profile_of_a_cone_is_its_slope():
    x = np.arange(-20, 21)
    cone = np.hypot.outer(x, x)
    radii, means = metrics.radial_profile(cone, periodic=False)
    np.testing.assert_allclose(means, radii, atol=0.25)  # rings are one pixel wide


def test_mean_absolute_change_by_definition():
    before, after = np.asarray(jax.nn.softmax(RNG.normal(size=(2, 4, 6, 3))))
    expected = [
        [abs(after[p, n, before[p, n].argmax()] - before[p, n].max()) for n in range(6)]
        for p in range(4)
    ]
    got = metrics.mean_absolute_change(before, after, per_image=True)
    np.testing.assert_allclose(got, np.mean(expected, axis=0), rtol=1e-4)
    np.testing.assert_allclose(
        metrics.mean_absolute_change(before, after), np.mean(expected), rtol=1e-4
    )


def test_everything_is_jittable_and_the_same():
    for fun, args in [
        (metrics.accuracy_map, (LOGITS, LABELS)),
        (metrics.mean_accuracy, (LOGITS, LABELS)),
        (metrics.worst_case_accuracy, (LOGITS, LABELS)),
        (metrics.consistency, (LOGITS,)),
        (metrics.consistent_accuracy, (LOGITS, LABELS)),
        (metrics.top1_change, (LOGITS,)),
        (metrics.sensitivity_map, (LOGITS,)),
        (metrics.radial_profile, (LOGITS[..., 0, 0],)),
        (metrics.invariance_error_map, (LOGITS,)),
    ]:
        for a, b in zip(
            jax.tree.leaves(jax.jit(fun)(*args)), jax.tree.leaves(fun(*args)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy_map(LOGITS, LABELS[:3]), "one for each of the 5 images"),
        (lambda: metrics.accuracy_map(LOGITS > 0, LABELS), "dtype bool"),
        (lambda: metrics.accuracy_map(np.zeros(3), LABELS), "allowed is .*classes"),
        (lambda: metrics.predicted_classes(np.array(3)), "a single number"),
        (lambda: metrics.mean_accuracy(np.zeros((3, 0), int), np.zeros(0, int)), "no images"),
        (lambda: metrics.worst_case_accuracy(LOGITS, LABELS[None]), "one for each"),
        (lambda: metrics.consistency(np.zeros((0, 3), int)), "no shifts"),
        (lambda: metrics.consistent_accuracy(LOGITS, 3), "one for each"),
        (lambda: metrics.top1_change(LABELS), "no axis of shifts"),
        (lambda: metrics.top1_change(LOGITS, step=(1,)), "1 entries for 2 axes"),
        (lambda: metrics.top1_change(LOGITS, step=(0, 0)), "not all zero"),
        (lambda: metrics.top1_change(LOGITS, step=(3, 0), periodic=False), "leaves no pair"),
        (lambda: metrics.sensitivity_map(LOGITS, origin=(0, 0, 0)), "must index each axis"),
        (lambda: metrics.sensitivity_map(LOGITS[0, 0]), "allowed is"),
        (lambda: metrics.sensitivity_map(LOGITS[:, :, :1]), "normalise=False"),
        (lambda: metrics.radial_profile(np.array(1.0)), "allowed is a map over shifts"),
        (lambda: metrics.radial_profile(np.ones((3, 3)), origin=(1,)), "1 entries for 2 axes"),
        (lambda: metrics.mean_absolute_change(LOGITS, LOGITS[0]), "allowed are two of one shape"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_float64_results_where_enabled():
    with jax.enable_x64(True):
        assert metrics.mean_accuracy(jnp.asarray(LOGITS), jnp.asarray(LABELS)).dtype == "float64"
