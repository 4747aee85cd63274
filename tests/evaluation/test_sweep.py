"""Sweeps over shifts against brute force; their shards survive interruptions and damage."""

import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.evaluation.summary import figures_of
from jaxinv.evaluation.sweep import (
    BYTES,
    Interrupted,
    Sweep,
    SweepOptions,
    _figures,
    few_shifts,
    sweep,
)
from jaxinv.orbit import shift_set


def brute_force(subject, dataset, shifts):
    outputs = np.stack(
        [
            np.stack([np.asarray(subject.apply(np.roll(dataset.images, t, (1, 2)))) for t in row])
            for row in shifts
        ]
    )
    return outputs.astype(np.float64)


@pytest.mark.parametrize("options", [SweepOptions(batch=4), SweepOptions(max_shift=1, batch=2)])
def test_agrees_with_one_shift_after_the_other(make_subject, dataset, options):
    subject = make_subject("flatten")
    found = sweep(subject.apply, dataset, options=options)
    row = range(8) if options.max_shift is None else range(-1, 2)
    outputs = brute_force(subject, dataset, [[(a, b) for b in row] for a in row])
    centred = np.asarray(subject.apply(dataset.images), np.float64)
    np.testing.assert_array_equal(found.predictions, outputs.argmax(-1))
    scale = np.abs(outputs).max()
    distance = np.linalg.norm(outputs - centred, axis=-1)
    np.testing.assert_allclose(found.distance, distance, atol=1e-4 * scale)
    np.testing.assert_allclose(found.outputs, centred, rtol=1e-4, atol=1e-4 * scale)
    exponentials = np.exp(outputs - outputs.max(-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    expected = np.take_along_axis(probabilities, dataset.labels[None, None, :, None], -1)[..., 0]
    np.testing.assert_allclose(found.confidence, expected, atol=1e-3)


def test_an_interrupted_sweep_goes_on_where_it_stopped(peak_subject, dataset, tmp_path):
    calls = []

    def stop_at_second(images):
        calls.append(images)
        if len(calls) == 2:
            raise KeyboardInterrupt

    given = (peak_subject.apply, dataset)
    options = SweepOptions(batch=2)
    with pytest.raises(Interrupted) as stopped:
        sweep(*given, options=options, directory=tmp_path, progress=stop_at_second)
    assert stopped.value.sweep.count == 4
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(shards) == 2

    found = sweep(*given, options=options, directory=tmp_path)
    whole = sweep(*given, options=options)
    np.testing.assert_array_equal(found.predictions, whole.predictions)
    np.testing.assert_array_equal(found.distance, whole.distance)
    assert all(path.stat().st_mtime_ns == time for path, time in shards.items())


def test_ctrl_c_before_the_first_shard_leaves_nothing(dataset):
    def interrupted(images):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        sweep(interrupted, dataset)
    assert stopped.value.sweep is None


def test_a_damaged_shard_is_computed_again(peak_subject, dataset, tmp_path):
    given = (peak_subject.apply, dataset)
    whole = sweep(*given, directory=tmp_path)
    (shard,) = tmp_path.rglob("*.npz")
    shard.write_bytes(shard.read_bytes()[:100])
    found = sweep(*given, directory=tmp_path)
    np.testing.assert_array_equal(found.predictions, whole.predictions)


def test_shards_of_other_weights_images_or_shifts_are_not_taken(peak_subject, dataset, tmp_path):
    def twice(images):
        return peak_subject.apply(images) * 2

    for apply, options in itertools.product(
        (peak_subject.apply, twice),
        (SweepOptions(), SweepOptions(max_shift=1), SweepOptions(share=False)),
    ):
        sweep(apply, dataset, options=options, directory=tmp_path)
    sweep(peak_subject.apply, dataset.part(range(3)), directory=tmp_path)
    turned = dataclasses.replace(dataset, labels=dataset.labels[::-1].copy())
    sweep(peak_subject.apply, turned, directory=tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 8


def test_what_calls_back_into_python_is_computed_anew(dataset, tmp_path):
    factor = 1.0

    def apply(images):
        means = jnp.mean(images.astype(jnp.float32), (1, 2)) * jnp.arange(3.0)
        return jax.pure_callback(lambda m: m * factor, means, means, vmap_method="sequential")

    given = (apply, dataset)
    first = sweep(*given, options=SweepOptions(max_shift=1), directory=tmp_path)
    factor = -1.0
    second = sweep(*given, options=SweepOptions(max_shift=1), directory=tmp_path)
    np.testing.assert_array_equal(first.outputs, -second.outputs)
    assert list(tmp_path.rglob("*.npz")) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_outputs_that_are_not_finite_are_refused_with_their_number(dataset, tmp_path, value):
    images = np.zeros_like(dataset.images)
    lit = dataclasses.replace(dataset, images=images)
    images[[1, 4], 3, 3] = 9  # the shift by (0, -1) brings this light to the watched place

    def apply(x):
        watched = (x[:, 3, 2, 0] > 0)[:, None]
        return jnp.where(watched, jnp.array([-value, value, 1.0]), jnp.array([1.0, 0.0, 0.0]))

    words = r"on 2 of the images 0 to 5, first at shift \(0, -1\)"
    options = SweepOptions(max_shift=2)
    with pytest.raises(ValueError, match=words):
        sweep(apply, lit, options=options, directory=tmp_path)
    assert list(tmp_path.rglob("*.npz")) == []
    with pytest.raises(ValueError, match=words):
        few_shifts(apply, lit, measured=((0, 1), (0, -1)))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (range(0, 0), SweepOptions(), "0 images"),
        (range(0, 2), SweepOptions(batch=0), "batch is 0; allowed are numbers from 1"),
        (range(0, 2), SweepOptions(mode="constant"), "needs max_shift"),
        (range(0, 2), SweepOptions(mode="crop", max_shift=4), "leaves no window"),
    ],
)
def test_wrong_use(peak_subject, dataset, images, options, message):
    with pytest.raises(ValueError, match=message):
        sweep(peak_subject.apply, dataset.part(images), options=options)


def test_a_proved_network_is_known_from_a_few_shifts(make_subject, dataset):
    averaged = jaxinv.symmetrize(make_subject("flatten").apply)
    given = (averaged, dataset)
    few = few_shifts(*given, options=SweepOptions(batch=4))
    whole = sweep(*given)
    np.testing.assert_array_equal(few.predictions, whole.predictions)
    np.testing.assert_allclose(few.confidence, whole.confidence, atol=1e-3)
    assert few.distance.max() <= 1e-4 * np.abs(whole.outputs).max()
    assert few.distance[few.unshifted].max() == 0


def test_a_few_shifts_hold_the_arrays_of_some_images_at_a_time(make_subject, dataset):
    apply = jaxinv.symmetrize(make_subject("flatten").apply)
    whole, few = (
        few_shifts(apply, dataset, options=SweepOptions(batch=4, memory=memory))
        for memory in (2**25, 3 * BYTES * dataset.image_shape[0] * dataset.image_shape[1])
    )
    (everything,) = whole.parts()
    parts = list(few.parts())
    assert [part.count for part in parts[:-1]] == [3] * (len(parts) - 1)
    assert len(parts) == 2
    for name in ("predictions", "confidence", "distance"):
        pieces = [getattr(part, name) for part in parts]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), getattr(everything, name))
    for found, expected in zip(few.totals, whole.totals, strict=True):
        chex.assert_trees_all_close(vars(found), vars(expected), rtol=1e-6)


def test_a_network_that_moves_is_not_known_from_a_few_shifts(peak_subject, dataset):
    with pytest.raises(ValueError, match="proved invariant"):
        few_shifts(peak_subject.apply, dataset)


def test_outputs_of_any_type_size_and_number():
    """Classes beyond 16 bits, whole numbers beyond float32's, tiny outputs, unshifted ones of 0."""

    def figures(*outputs):  # by shift, image and class
        at_shifts = np.stack(outputs)[:, None]
        centred, labels = at_shifts[0, 0].astype(np.float32), np.zeros(at_shifts.shape[2], int)
        return jax.device_get(jax.jit(_figures)(at_shifts, centred, labels))

    many = figures(*2 * [np.arange(40_000.0)[None]])
    assert (many["predictions"] == 39_999).all()
    close = figures(np.full((1, 2), 2**24), np.array([[2**24, 2**24 + 1]]))
    assert close["predictions"].ravel().tolist() == [0, 1]
    units = np.float32([[1e-30], [1e30], [0]])
    found = figures(units * [1, 0], units * [1, 2])
    np.testing.assert_allclose(found["distance"][1, 0] / [1e-30, 1e30, 1], [2, 2, 0], rtol=1e-5)
    assert found.pop("finite").all()
    silent = Sweep(shift_set((2, 1)), labels=np.zeros(3, int), **found | {"outputs": units * 0})
    # The distance itself: there is nothing to divide it by.
    np.testing.assert_allclose(figures_of(silent)["invariance_error"].value, 2e30, rtol=1e-5)
