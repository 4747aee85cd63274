"""Audits of networks with label maps: every figure against a loop over all shifts."""

import dataclasses
import functools
import itertools
import json
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxinv
from jaxinv.data import Dataset
from jaxinv.evaluation.maps import BY_IMAGE, SUMS, MapSweep, map_sweep
from jaxinv.evaluation.protocols import OF_LAYERS, applicable
from jaxinv.evaluation.subject import of_network
from jaxinv.evaluation.sweep import Interrupted, SweepOptions
from jaxinv.metrics import maps
from jaxinv.report.cli import main
from jaxinv.report.terminal import console_for, show

RNG = np.random.default_rng(0)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 1, 3)).astype(np.float32))
IMAGES = RNG.integers(0, 256, size=(4, 6, 8, 1)).astype(np.uint8)
LABELS = RNG.integers(3, size=(4, 6, 8)).astype(np.int32)


def network(x, stride=2):
    """Flickers: two by two positions have one value."""
    y = jax.lax.conv_general_dilated(
        x / 255, KERNEL, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.repeat(jnp.repeat(y, stride, axis=1), stride, axis=2)


def said_at(x, shift, window=None):
    """The label map at a shift, moved back, by definition."""
    moved = np.roll(x, shift, (1, 2)).astype(np.float32)
    return np.roll(np.asarray(network(moved)).argmax(-1), [-t for t in shift], (1, 2))


@pytest.fixture(scope="module")
def found():
    return jaxinv.audit({"net": network}, IMAGES, LABELS, layers=False, batch=3)


def test_figures_by_definition(found):
    shifts = list(np.ndindex(6, 8))
    said = np.array([said_at(IMAGES, t) for t in shifts])
    figures = {name: figure.value for name, figure in found.figures["net"].items()}
    right = said == LABELS
    iou = [
        np.mean(
            [((s == k) & (k == LABELS)).sum() / ((s == k) | (k == LABELS)).sum() for k in range(3)]
        )
        for s in said
    ]
    same = np.mean([a == b for a, b in itertools.product(said, said)])
    by_class = [
        np.mean([(a == k) & (b == k) for a, b in itertools.product(said, said)])
        / (said == k).mean()
        for k in range(3)
    ]
    expected = {
        "centred": right[0].mean(),
        "mean": right.mean(),
        "worst": right.all(0).mean(),
        "consistency": same,
        "class_consistency": np.mean(by_class),
        "iou": iou[0],
        "worst_iou": min(iou),
    }
    assert figures.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-5, err_msg=name)
    arrays = found.maps["net"]
    np.testing.assert_allclose(arrays["iou"].ravel(), iou, rtol=1e-5)
    np.testing.assert_allclose(arrays["accuracy"].ravel(), right.mean((1, 2, 3)), rtol=1e-5)
    assert (arrays["label_maps"][1, 2] == said_at(IMAGES[:3], (1, 2))).all()
    assert found.results.maps
    worst = found.results.networks[0].worst_shift
    np.testing.assert_allclose(iou[shifts.index(tuple(np.mod(worst, (6, 8))))], min(iou))


def test_report_of_maps(found, tmp_path):
    written = [path.name for path in found.save(tmp_path)]
    assert {"report.html", "accuracy.png", "curve.png", "networks.csv"} <= set(written)
    assert "confidence.png" not in written
    page = (tmp_path / "report.html").read_text()
    for words in (
        "Where the output flickers",
        "mean IoU",
        "moved back by the shift",
        "of positions",
    ):
        assert words in page
    assert "keep their class over pairs of all 48 circular shifts" in found.results.headline
    assert "worst IoU" in str(found)


@pytest.mark.parametrize("mode", ["crop", "constant"])
def test_only_places_seen_at_every_shift_count(mode):
    images = RNG.integers(0, 256, size=(2, 12, 12, 1)).astype(np.uint8)
    labels = RNG.integers(3, size=(2, 12, 12)).astype(np.int32)
    options = {"mode": mode, "max_shift": 1}
    got = jaxinv.audit({"net": network}, images, labels, layers=False, certify=False, **options)

    def said(x):
        return network(x).argmax(-1)

    aligned = jaxinv.orbit(said, align=True, **options)(images.astype(np.float32))
    truth = jaxinv.orbit(lambda y: y, align=True, **options)(labels)[1, 1]
    figures = got.figures["net"]
    np.testing.assert_allclose(figures["consistency"].value, maps.consistency(aligned), rtol=1e-5)
    iou = maps.iou(aligned, truth, classes=3)
    np.testing.assert_allclose(figures["iou"].value, iou[1, 1], rtol=1e-5)
    np.testing.assert_allclose(figures["worst_iou"].value, iou.min(), rtol=1e-5)


def test_without_labels_the_unshifted_output_stands_for_them():
    got = jaxinv.audit({"net": network}, IMAGES, layers=False, certify=False)
    figures = got.figures["net"]
    assert figures.keys() == {"mean", "worst", "consistency", "class_consistency"}
    said = np.array([said_at(IMAGES, t) for t in np.ndindex(6, 8)])
    np.testing.assert_allclose(figures["mean"].value, (said == said[0]).mean(), rtol=1e-5)
    assert "mean IoU" not in str(got)


def test_void_positions_have_no_part_in_accuracy_and_iou():
    labels = np.where(RNG.random(LABELS.shape) < 0.4, 255, LABELS).astype(np.uint8)
    labels[1] = 255  # an image without a class
    got = jaxinv.audit(
        {"net": network}, IMAGES, labels, void=255, layers=False, certify=False, batch=3
    )
    figures = {name: figure.value for name, figure in got.figures["net"].items()}
    said = np.array([said_at(IMAGES, t) for t in np.ndindex(6, 8)])
    counted = labels != 255
    right = (said == labels)[:, counted]
    iou = [
        np.mean([(s == k)[labels == k].sum() / ((s == k) | (labels == k))[counted].sum()
                 for k in range(3)])
        for s in said
    ]  # fmt: skip
    expected = {
        "centred": right[0].mean(),
        "mean": right.mean(),
        "worst": right.all(0).mean(),
        "iou": iou[0],
        "worst_iou": min(iou),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(got.maps["net"]["accuracy"].ravel(), right.mean(1), rtol=1e-5)
    interval = got.figures["net"]["mean"]
    assert interval.low < interval.value < interval.high
    # What is said is compared at every position, with a label or without.
    whole = jaxinv.audit({"net": network}, IMAGES, layers=False, certify=False)
    assert whole.figures["net"]["consistency"] == got.figures["net"]["consistency"]


@pytest.mark.parametrize(
    ("labels", "void", "message"),
    [
        (LABELS + 7, 7, "needed are outputs .* with at least 10 classes"),
        (LABELS - 1, None, "a label is -1; classes are counted from 0"),
        (
            LABELS - 1,
            255,
            "label -1 is no class; allowed are 0 to 2147483647, and 255 for no class",
        ),
        (LABELS * 0 + 255, 255, "all labels are 255, which is void"),
        (LABELS[:, 0, 0], 255, "void is 255; it is for label maps"),
    ],
)
def test_labels_that_are_no_class_are_refused(labels, void, message):
    with pytest.raises(ValueError, match=message):
        jaxinv.audit({"net": network}, IMAGES, labels, void=void, layers=False, certify=False)


def test_evaluate_reads_void_labels_from_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "networks_of_classes.py").write_text(
        "import jax.numpy as jnp\ndef dark(x):\n    return jnp.concatenate([x, 1 - x], axis=-1)\n"
    )
    masks = np.where(IMAGES[..., 0] < 128, 1, 0).astype(np.uint8)
    masks[:, :3] = 255
    masks[:, 0] = 0
    for part, arrays in (("images", IMAGES[..., 0]), ("masks", masks)):
        (tmp_path / "scenes" / "test" / part).mkdir(parents=True)
        for number, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / "scenes" / "test" / part / f"{number}.png")
    options = ["--apply", "networks_of_classes:dark", "--dataset", "./scenes", "--no-layers"]
    assert main([*options, "--out", "out"]) == 1
    assert "holds 255; allowed are classes 0 to 254, or the option" in capsys.readouterr().err
    assert main([*options, "--void", "255", "--out", "out"]) == 0
    (network_,) = json.loads((tmp_path / "out" / "results.json").read_text())["networks"]
    said, counted = IMAGES[..., 0] < 128, masks != 255
    right = (said == masks)[counted].mean()
    np.testing.assert_allclose(network_["figures"]["centred"]["value"], right, rtol=1e-6)
    assert network_["figures"]["consistency"]["value"] == 1


def test_void_at_every_place_that_is_seen_is_refused():
    labels = np.full((4, 6, 8), 255)
    labels[:, 0] = 1
    options = {"mode": "constant", "max_shift": 1, "layers": False, "certify": False}
    with pytest.raises(ValueError, match=r"no position .* seen at every shift has a class"):
        jaxinv.audit({"net": network}, IMAGES, labels, void=255, **options)


def equal_sweeps(one, other, *, rounded=()):
    for field in dataclasses.fields(MapSweep):
        if field.name not in ("shifts", "devices"):
            a, b = getattr(one, field.name), getattr(other, field.name)
            tolerance = 1e-6 if field.name in rounded else 0
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=0, err_msg=field.name)


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path):
    calls = []

    def stop_at_third(images):
        calls.append(images)
        if len(calls) == 3:
            raise KeyboardInterrupt

    given = (network, Dataset.of(IMAGES, LABELS))
    options = SweepOptions(batch=1)
    with pytest.raises(Interrupted) as stopped:
        map_sweep(*given, options=options, directory=tmp_path, progress=stop_at_third)
    assert stopped.value.sweep.count == 3
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(shards) == 3
    next(iter(shards)).write_bytes(b"damaged")
    del shards[next(iter(shards))]
    found = map_sweep(*given, options=options, directory=tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in shards.items())
    equal_sweeps(found, map_sweep(*given, options=options))


def test_in_larger_shards_counts_are_the_same_and_chances_to_rounding():
    scenes = Dataset.of(IMAGES, LABELS)
    alone, together = (map_sweep(network, scenes, options=SweepOptions(batch=n)) for n in (1, 4))
    equal_sweeps(alone, together, rounded=("consistency", "kept"))


def test_shards_of_other_labels_networks_or_shifts_are_not_taken(tmp_path):
    scenes = Dataset.of(IMAGES, LABELS)
    given = {"options": SweepOptions(max_shift=1), "directory": tmp_path}
    once = map_sweep(network, scenes, **given)
    equal_sweeps(once, map_sweep(network, scenes, **given))
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    map_sweep(lambda x: network(-x), scenes, **given)
    map_sweep(network, scenes, **given, labelled=False)
    map_sweep(network, Dataset.of(IMAGES, LABELS[::-1]), **given)
    map_sweep(network, scenes, **given | {"options": SweepOptions(max_shift=2)})
    assert len(list(tmp_path.rglob("*.npz"))) == 5


def test_what_is_kept_of_more_images_is_a_few_numbers_of_each(tmp_path):
    scenes = Dataset.of(np.repeat(IMAGES, 3, axis=0), np.repeat(LABELS, 3, axis=0))
    map_sweep(network, scenes, options=SweepOptions(batch=4), directory=tmp_path)
    kept = [dict(np.load(path)) for path in sorted(tmp_path.rglob("*.npz"))]
    assert len(kept) == 3
    assert [len(part["first"][0, 0]) for part in kept] == [3, 0, 0]
    assert all(4 in part[name].shape for part in kept for name in BY_IMAGE)
    for name in SUMS:
        assert kept[0][name].shape in ((6, 8), (6, 8, 3), (2, 3))


def test_memory_does_not_grow_with_the_number_of_images():
    def peak(count):
        images = np.zeros((count, 8, 8, 1), np.uint8)
        scenes = Dataset.of(images, np.zeros(images.shape[:3], int))
        tracemalloc.start()
        map_sweep(lambda x: x * jnp.arange(64.0), scenes, options=SweepOptions(batch=1))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)
    # The sums of one image take 64 KiB: by shift and class, in both maps and in either.
    assert peak(64) - peak(4) < 1.5 * 2**20


def test_seams_are_shown_where_tiles_are_smaller_than_the_image():
    image = RNG.integers(0, 256, size=(1, 16, 16, 1)).astype(np.uint8)
    steady = functools.partial(network, stride=1)
    got = jaxinv.audit({"net": steady}, image, mode="constant", max_shift=1, layers=False)
    (small, proven), (made,) = got.networks[0].seams.items(), got.networks
    assert proven[0].endswith("proven")
    assert small[1].max() > 1e-2 > proven[1].max()
    assert small[1].shape == image.shape[1:3]
    assert "Seams of tiles" in got.to_html()
    assert made.map_pictures[0].image.shape == (14, 14, 1)


def test_two_networks_are_ranked_by_flicker():
    steady = functools.partial(network, stride=1)
    got = jaxinv.audit({"a": network, "b": steady}, IMAGES, LABELS, layers=False, certify=False)
    assert got.results.headline.startswith("Of 2 networks, b flickers least")
    assert not got.results.comparisons


@pytest.mark.parametrize("name", ["all-shifts", "zhang2019", "chaman2021", "azulay2019",
                                  "engstrom2019", "adversarial"])  # fmt: skip
def test_protocols_of_classes_do_not_apply_to_maps(name):
    with pytest.raises(ValueError, match=f"protocol {name} needs a class for each image"):
        applicable([name], of_network(network, name="net"), (6, 8, 1))
    assert applicable(["all"], of_network(network, name="net"), (6, 8, 1)) == OF_LAYERS


@pytest.mark.parametrize(
    ("fun", "labels", "message"),
    [
        (lambda x: x.mean((1, 2)) @ jnp.ones((1, 3)), LABELS, r"needed are outputs \(n, H, W, c"),
        (network, LABELS[:, 0, 0], r"needed are outputs \(n, classes\)"),
        (lambda x: network(x)[:, :-1], LABELS, r"needed are outputs \(n, H, W, classes\)"),
        (
            lambda x: network(x) * jnp.inf,
            LABELS,
            r"NaN, infinite .* on 4 of the images 0 to 3",
        ),
        (lambda x: jnp.cumsum(network(x), 1), LABELS, "is not proved to move with axis 1"),
        (network, LABELS[:, 1:], "for each of the 4 images, or for each pixel"),
    ],
)
def test_what_does_not_fit_is_refused(fun, labels, message):
    with pytest.raises(ValueError, match=message):
        jaxinv.audit({"net": fun}, IMAGES, labels, layers=False, certify=False)


def test_shapes_of_a_data_set():
    scenes = Dataset.of(IMAGES, LABELS)
    assert scenes.label_shape == (6, 8)
    assert scenes.part(range(2)).label_shape == (6, 8)
    assert scenes.num_classes == 3


def test_the_table_fits_the_terminal(found, capsys):
    show(found.results, console_for())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
