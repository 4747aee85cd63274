"""All networks of a training: each audited, their mean with its interval, and the spread."""

import csv
import json

import numpy as np
import pytest

from jaxinv import data
from jaxinv.report.cli import main
from jaxinv.training import TrainConfig, load_checkpoint, train_and_evaluate

SHARES = ("centred", "mean", "worst", "consistency")


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A run of two seeds, and what evaluate.py finds."""
    folder = tmp_path_factory.mktemp("seeds")
    config = TrainConfig(
        model="mlp",
        model_options={"dense": (8,)},
        epochs=1,
        learning_rate=0.02,
        train_split="train[:128]",
        seed=5,
        seeds=2,
    )
    train_and_evaluate(config, folder / "run", show=False)
    given = ["--checkpoint", str(folder / "run"), "--images", "40", "--max-shift", "1"]
    assert main([*given, "--no-layers", "--out", str(folder / "out")]) == 0
    return folder


def test_every_seed_has_its_row_and_the_training_its_mean_and_spread(audited):
    results = json.loads((audited / "out" / "results.json").read_text())
    names = [network["name"] for network in results["networks"]]
    assert names == ["run, seed 5", "run, seed 6"]
    assert [network["origin"]["seed"] for network in results["networks"]] == [5, 6]
    assert len({network["figures"]["mean"]["value"] for network in results["networks"]}) == 2
    (row,) = results["seeds"]
    assert (row["run"], row["networks"]) == ("run", names)
    for figure in (*SHARES, "invariance_error"):
        values = [network["figures"][figure]["value"] for network in results["networks"]]
        assert row["figures"][figure]["value"] == pytest.approx(np.mean(values), abs=1e-6)
        assert row["spread"][figure] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    for figure in SHARES:
        low, value, high = (row["figures"][figure][end] for end in ("low", "value", "high"))
        assert low <= value <= high
    # They differ in nothing but chance: no test is made between them.
    assert results["comparisons"] == []
    mean = row["figures"]["centred"]["value"]
    assert (
        f"run, mean ± standard deviation of 2 seeds, is right on {100 * mean:.1f}% ±"
        in (results["headline"])
    )
    with np.load(audited / "out" / "maps.npz") as maps:
        assert {f"{name}/accuracy" for name in names} <= set(maps.files)
    with (audited / "out" / "networks.csv").open() as file:
        assert [row["network"] for row in csv.DictReader(file)] == names
    with (audited / "out" / "seeds.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert line["seeds"] == "2"
    assert float(line["centred"]) == pytest.approx(mean)
    assert line["centred ±"] == f"{100 * row['spread']['centred']:.1f}%"


def test_the_rows_are_those_of_the_networks(audited):
    images = data.load(split="test[:40]")
    results = json.loads((audited / "out" / "results.json").read_text())
    for number, network in enumerate(results["networks"]):
        loaded = load_checkpoint(audited / "run", seed=number)
        x = data.normalise(images.images, mean=loaded.data.mean, std=loaded.data.std)
        right = np.argmax(loaded.model.apply(loaded.variables, x), -1) == images.labels
        assert network["figures"]["centred"]["value"] == pytest.approx(right.mean())
