"""Protocols on a data set: exact beside sampled, merged over batches."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from jaxinv.data import Dataset
from jaxinv.evaluation import protocols
from jaxinv.evaluation.protocols import PROTOCOLS, run_protocol
from jaxinv.evaluation.subject import Subject
from jaxinv.metrics.protocols import SampleMean


@pytest.fixture(scope="module")
def figures(make_subject, dataset):
    """Most protocols on a network with a dense head, one of them in two batches."""
    subject = make_subject("flatten")
    names = [name for name in PROTOCOLS if name not in ("engstrom2019", "zhang2019")]
    found = {name: run_protocol(name, subject, dataset) for name in names}
    return found | {"zhang2019": run_protocol("zhang2019", subject, dataset, batch=3)}


def test_sampled_figures_agree_with_the_exact_ones(figures):
    pairs = [
        (found, name, name.replace("exact", "sampled"))
        for found in figures.values()
        for name in found
        if name.endswith("exact") and name.replace("exact", "sampled") in found
    ]
    assert len(pairs) >= 6
    for found, exact, sampled in pairs:
        if found[exact].unit == "share":
            low, high = found[sampled].low, found[sampled].high
            reach = 0 if low is None else (high - low) / 2
            # three standard errors, and a draw where all pairs agreed by chance
            assert abs(found[exact].value - found[sampled].value) <= 1.6 * reach + 0.05


def test_draws_that_all_agree_have_no_interval():
    agreed = [SampleMean(np.float32(1), np.float32(0))] * 2
    estimate = protocols._joined(agreed, [3, 1])
    assert (estimate.value, estimate.low, estimate.high, estimate.count) == (1, None, None, 4)
    differing = [agreed[0], SampleMean(np.float32(0.5), np.float32(0.1))]
    estimate = protocols._joined(differing, [2, 2])
    assert estimate.value == 0.75
    np.testing.assert_allclose((estimate.low, estimate.high), 0.75 + np.array([-1, 1]) * 0.098)


@pytest.mark.parametrize("name", ["all-shifts", "chaman2021"])
def test_further_batches_compile_nothing(name, make_subject, dataset):
    compiled, after = [], []

    def count(event, seconds, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        run_protocol(
            name,
            make_subject("flatten"),
            dataset,
            batch=len(dataset) // 2,
            progress=lambda images: after.append(len(compiled)),
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert len(after) == 2
    assert after[0] > 0
    assert after[1] == after[0]


@pytest.mark.parametrize(
    ("count", "most", "size"), [(10_000, 500, 500), (9_999, 500, 303), (7, 500, 7), (997, 500, 500)]
)
def test_batches_are_of_one_length_where_that_costs_little(count, most, size):
    assert protocols._fitting(count, most) == size


def test_every_figure_counts_all_images(figures, dataset):
    counts = {estimate.count for found in figures.values() for estimate in found.values()}
    assert counts == {len(dataset)}


def test_an_adversary_with_more_room_finds_more(figures):
    shares = [estimate.value for estimate in figures["adversarial"].values()]
    assert len(shares) == protocols.RADIUS + 1
    assert all(a >= b for a, b in itertools.pairwise(shares))


def test_layers_are_named_where_the_network_shows_them(figures):
    assert "conv1 fourier squared" in figures["gruver2023"]
    assert "conv0 at_1_pixels" in figures["biscione2021"]


def test_layers_come_in_the_order_of_the_network(peak_subject, dataset):
    layers = {"z": lambda x: x * 1.0, "a": lambda x: x * 2.0}
    shown = dataclasses.replace(
        peak_subject, layers=lambda x: {name: layer(x) for name, layer in layers.items()}
    )
    found = run_protocol("gruver2023", shown, dataset)
    assert [n.split()[0] for n in found if n.endswith("fourier squared")] == ["output", "z", "a"]


def test_a_network_that_shows_no_layers(peak_subject, dataset):
    found = run_protocol("gruver2023", peak_subject, dataset)
    assert {name.split()[0] for name in found} == {"output"}
    with pytest.raises(ValueError, match="needs a feature map"):
        run_protocol("stylegan3", peak_subject, dataset)
    applying = [name for name in PROTOCOLS if name != "stylegan3"]
    assert protocols.applicable(["all"], peak_subject, dataset.image_shape) == tuple(applying)
    proved = dataclasses.replace(peak_subject, by_proof=True)
    assert protocols.applicable(["all"], proved, dataset.image_shape) == ()


def test_all_protocols_apply_to_a_network_with_feature_maps(make_subject, dataset):
    found = protocols.applicable(["all"], make_subject("gap"), dataset.image_shape)
    assert found == tuple(PROTOCOLS)


def test_engstroms_grid_on_a_network_that_sees_the_mean_alone(make_subject):
    images = np.zeros((2, 16, 16, 1), np.uint8)
    images[:, 7:9, 7:9] = np.array([50, 250], np.uint8)[:, None, None, None]
    bright = protocols.Subject(
        "bright",
        "bright",
        lambda x: (x.mean((1, 2)) - 2) * np.array([-1.0, 1.0]),
    )
    dataset = Dataset(images, np.array([0, 1], np.int32), "dots", "test", 2, (0.0,), (1.0,))
    found = run_protocol("engstrom2019", bright, dataset)
    assert {name: estimate.value for name, estimate in found.items()} == dict.fromkeys(found, 1.0)


def test_an_unknown_protocol_is_refused(peak_subject, dataset):
    with pytest.raises(ValueError, match="protocol is 'zhang'; allowed are all-shifts, zhang2019"):
        run_protocol("zhang", peak_subject, dataset)
    with pytest.raises(ValueError, match="protocol is 'all'; allowed is one of"):
        run_protocol("all", peak_subject, dataset)


def test_eq_t_is_measured_where_maps_and_shifts_allow_it():
    def showing(layers):
        return Subject("net", "net", lambda x: x.mean((1, 2)), layers)

    def figures(subject):
        def of(images, key):
            task = protocols.Task(subject, images, np.zeros(1, int), key)
            return dict(PROTOCOLS["stylegan3"](task))

        image = jax.ShapeDtypeStruct((1, 8, 8, 1), np.float32)
        return list(jax.eval_shape(of, image, jax.random.key(0)))

    # Of a stride of 2 an eighth of 8 pixels holds no multiple but 0.
    assert figures(showing(lambda x: {"halved": x[:, ::2, ::2]})) == ["eq_t_frac_sampled"]
    assert len(figures(showing(lambda x: {"whole": x, "shorter": x[:, 1:], "one": x[:, ::2]}))) == 3
    shorter = showing(lambda x: {"shorter": x[:, 1:-1, 1:-1], "one": x[:, ::2]})
    assert "stylegan3" not in protocols.applicable(["all"], shorter, (8, 8, 1))
    with pytest.raises(ValueError, match="a feature map of 1 / stride the size of the images"):
        protocols.applicable(["stylegan3"], shorter, (8, 8, 1))


def test_what_is_not_finite_is_not_counted_as_wrong():
    def apply(x):
        return x[:, 0, :2, 0] / x[:, :1, :1, 0].any((1, 2))[:, None]

    images = np.ones((2, 2, 2, 1), np.uint8)
    named = {"name": "ones", "split": "test", "mean": (0.0,), "std": (1.0,)}
    dataset = Dataset(images, np.zeros(2, np.int32), num_classes=2, **named)
    with pytest.raises(ValueError, match="adversarial finds NaN for right_within_0_pixels"):
        run_protocol("adversarial", Subject("net", "net", apply), dataset)
