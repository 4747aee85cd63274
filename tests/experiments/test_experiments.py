"""The reproductions' own parts: resuming, figures over shifts, generated pictures, honest pages."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import imagenet_page, kauderer2017, kayhan2020, simard2003_page
from experiments.cells import Results, mean_and_error, shift_figures
from jaxinv import data, shifts


def test_a_cell_runs_once_and_others_cells_are_kept(tmp_path):
    path = tmp_path / "results.json"
    first, second = Results(path, str), Results(path, str)
    calls = []

    def run():
        calls.append(1)
        return {"error": 0.5}

    first.once("a", run)
    second.once("b", run)  # started before "a" was written
    assert Results(path, str).once("a", run) == {"error": 0.5}
    assert len(calls) == 2
    assert sorted(json.loads(path.read_text())) == ["a", "b"]
    assert "'b': {'error': 0.5}" in path.with_suffix(".md").read_text()


def test_mean_and_standard_error():
    assert mean_and_error([1.0, 3.0]) == pytest.approx((2.0, 1.0))
    mean, error = mean_and_error([4.0])
    assert mean == 4.0
    assert np.isnan(error)


def test_shift_figures_are_those_of_each_shift_by_itself():
    test = data.load("digits", split="test[:30]")
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(1024, 10)), jnp.float32)
    apply = lambda x: x.reshape(len(x), -1) @ weights  # noqa: E731
    found = shift_figures(apply, test, max_shift=1, batch=20)
    images = jnp.asarray(data.normalise(test.images, mean=test.mean, std=test.std))
    right = np.stack(
        [
            np.asarray(apply(shifts.translate(images, (a, b), mode="constant")).argmax(-1))
            == test.labels
            for a in (-1, 0, 1)
            for b in (-1, 0, 1)
        ]
    )
    assert found["mean"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["worst"] == pytest.approx(right.all(0).mean(), abs=1e-6)
    assert found["centred"] == pytest.approx(right[4].mean(), abs=1e-6)
    assert found["half_mean"] == pytest.approx(found["centred"], abs=1e-6)


def test_boxes_are_as_described_and_classes_change_halves():
    images, labels = kayhan2020.boxes(0, 200)
    swapped, same = kayhan2020.boxes(0, 200, swapped=True)
    np.testing.assert_array_equal(labels, same)
    # `--repeated` relies on it: fewer images of a seed are the first of more.
    np.testing.assert_array_equal(kayhan2020.boxes(0, 100)[0], images[:100])
    assert images[..., 2].max() == 0
    for image, other, label in zip(images, swapped, labels, strict=True):
        columns = [np.nonzero(image[..., colour].any(0))[0] for colour in (0, 1)]
        rows = [np.nonzero(image[..., colour].any(1))[0] for colour in (0, 1)]
        assert all(len(place) == 4 for place in columns + rows)
        assert (columns[0][0] < columns[1][0]) == (label == 0)  # red left of green
        assert all((place.mean() < 16) == (label == 0) for place in rows)
        moved = np.roll(image, 16 if label == 0 else -16, axis=0)
        np.testing.assert_array_equal(other, moved)


@pytest.mark.parametrize(
    ("padding", "blind"), [("FULL", True), ("CIRCULAR", True), ("SAME", False)]
)
def test_which_paddings_cannot_see_the_half(padding, blind):
    """Half the picture is a multiple of the strides: only the border can tell the halves apart."""
    images, _ = kayhan2020.boxes(3, 6)
    swapped, _ = kayhan2020.boxes(3, 6, swapped=True)
    model = kayhan2020.Net(padding)
    params = model.init(jax.random.key(0), images[:1])
    here, there = model.apply(params, images), model.apply(params, swapped)
    assert np.allclose(here, there, atol=1e-5) == blind


def test_pages_name_what_has_not_run():
    shifted = dict.fromkeys(("centred", "mean", "worst", "consistency", "half_mean"), 0.9)
    shifted |= {"half_worst": 0.8, "max_shift": 8, "images": 2000}
    cells = {
        f"mlp-none-{i}": {"error": e, "epochs": 20, "shifted": shifted}
        for i, e in ((0, 0.015), (1, 0.017))
    }
    text = simard2003_page.page(cells)
    assert "| MLP, 800 hidden units | none | 20 | 2 | 1.60 ± 0.10 | 1.6 | +0.00 |" in text
    assert "* Simard's convolutional net, elastic" in text
    assert "* Simard's convolutional net on a canvas of 37 pixels, orbit" in text
    wide = {"centred": 0.98, "mean": 0.975, "lowest": 0.97}
    wide = {"error": 0.02, "epochs": 5, "shifted": shifted | wide}
    text = simard2003_page.page(cells | {"conv-wide-0": wide})
    assert "| centred | 98.00 | 0.00 |" in text
    assert "| mean over all 289 shifts | 97.50 | 0.50 |" in text
    assert "| the one shift with the lowest accuracy | 97.00 | 1.00 |" in text
    assert "epochs: 5; seeds: 1)" in text
    cells = {
        "FULL-0": {"similar": 0.9, "dissimilar": 0.8, "epochs": 7},
        "FULL-repeated-0": {"similar": 0.91, "dissimilar": 0.81, "epochs": 9},
    }
    text = kayhan2020.page(cells)
    assert "| FULL | new | 1 | 7 to 7 | 90.0 | 80.0 | 89.7 | 89.7 |" in text
    assert "| FULL | training's | 1 | 9 to 9 | 91.0 | 81.0 | 89.7 | 89.7 |" in text
    assert "| VALID | new | 0 | | not run |" in text


def test_the_verdict_compares_the_two_factors():
    figures = {"epochs": 2, "accuracy": 0.9, "mean": 0.8, "worst": 0.1, "profile": [0.0] * 9}
    cells = {}
    for network, plain in zip(kauderer2017.NETWORKS, (1.0, 0.8, 0.9, 1.0, 1.2), strict=True):
        cells[f"mnist/{network}/none/0"] = figures | {"sensitivity": plain}
        cells[f"mnist/{network}/translate/0"] = figures | {"sensitivity": plain / 2}
    text = kauderer2017.page(cells)
    assert "divides the sensitivity by 2.0 (mean over 5 networks)" in text
    assert "| MLP | none | 2 | 1 | 90.0 | 80.0 | 10.0 | 1.20 |" in text
    assert "Between the 4 convolutional architectures" in text
    assert "differs by a factor of 1.2. The larger factor here: augmentation." in text
    assert "not run" in text  # Fashion-MNIST
    first = list(kauderer2017.NETWORKS)[:2]
    both_of_one = [f"mnist/{first[0]}/{arm}/0" for arm in kauderer2017.AUGMENTS]
    few = {name: cells[name] for name in (*both_of_one, f"mnist/{first[1]}/none/0")}
    assert "larger factor" not in kauderer2017.page(few)  # one architecture with both arms


def _seen(right, consistency, number=282):
    outcome = {"right": right, "consistency": consistency}
    return {"class": number, "compared": outcome}


def test_networks_are_compared_on_the_photographs_that_both_have_seen():
    changed = {"shift": [-1, 2], "class": 285, "probability": 0.5}
    trained = {
        "probability": 0.75,
        "least": 0.25,
        "least_at": [3, -4],
        "kept": 0.5,
        "every": {"right": [200, 289], "consistency": 0.625},
        "curve": [0.5, 0.75, 0.375],
        "averaged": {"2": {"right": [256, 256], "consistency": 1.0}},
    }
    cells = {
        "as trained/chelsea": _seen([60, 81], 0.75) | trained | {"changed": changed},
        "as trained/china": _seen([0, 0], 0.25, 698) | trained,
        "circular/chelsea": _seen([81, 81], 1.0),
        "circular/china": _seen([0, 0], 0.5, 7),
        "circular/proof": {"kind": "invariant", "period": 32, "difference": 2e-6},
        "blurred/chelsea": _seen([81, 81], 1.0),
    }
    text = imagenet_page.page(cells)
    for row in (
        "| chelsea | tiger cat | 75.0% | 25.0% at (3, -4) | 50.0% | (-1, 2) | Egyptian cat | 37.5%",
        "| china | palace | 75.0% | 25.0% at (3, -4) | 50.0% | none |  | 37.5% |",
        "1 of 2 photographs change their class",
        "| as trained |  |  | 100.0% | 74.1% | 0 of 1 | 50.0% |  |",
        "| circular | invariant, multiples of 32 | 2e-06 | 50.0% | 100.0% | 1 of 1 | 75.0% |  |",
        "| 2 x 2 shifts | 4 | 100.0% | 100.0% |",
    ):
        assert row in text
    assert "| blurred |" not in text  # it has not seen all of them
