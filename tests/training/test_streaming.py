"""Runs on data that are not held in memory: the same batches, the same networks, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import threading

import chex
import numpy as np
import pytest

from jaxinv import data, training
from jaxinv.training import program
from tests.training.test_kills import KILLED, ROOT, untimed


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Digits in a file, which are not in memory unless they are held there."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    arrays = {}
    for split, size in (("train", 107), ("test", 50)):
        part = data.load("digits", split=f"{split}[:{size}]")
        arrays |= {f"x_{split}": part.images, f"y_{split}": part.labels}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def both(small, pictures):
    """The results of a run in memory, and of the same from a stream."""

    def run(folder=None, **changes):
        config = {"dataset": str(pictures), "train_split": "train", **changes}
        return [
            training.train_and_evaluate(small(**config, memory=size), show=False)
            for size in ("2GiB", "10kB")
        ]

    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": "translate", "ema": 0.5, "holdout": 9, "epochs": 3},
        {"seeds": 2, "accumulate": 2},
    ],
)
def test_a_stream_trains_the_network_that_memory_trains(both, changes, monkeypatch):
    read = []
    batches = data.Streamed.batches
    monkeypatch.setattr(
        data.Streamed, "batches", lambda self, rows: read.append(rows) or batches(self, rows)
    )
    held, streamed = both(**changes)
    assert len(read) >= 4  # each epoch, and each look at a split
    seeds, batch = changes.get("seeds", 1), 32
    for rows in (rows for rows in read if len(rows) == 3):  # of an epoch: no image comes twice
        for order in rows.reshape(3, seeds, batch).swapaxes(0, 1).reshape(seeds, -1):
            assert len(set(order)) == 3 * batch
    chex.assert_trees_all_equal(streamed.variables, held.variables)
    assert untimed(streamed) == untimed(held)


def test_several_steps_a_call(both, monkeypatch):
    monkeypatch.setattr(program, "steps_per_call", lambda: 2)
    held, streamed = both()
    chex.assert_trees_all_equal(streamed.variables, held.variables)
    assert held.step == 6  # of an epoch of three, the last is a call of its own


def test_a_stream_stopped_amid_an_epoch_goes_on_where_it_stopped(small, pictures, tmp_path):
    config = small(dataset=str(pictures), augment="translate", epochs=3, memory="0")
    whole = training.train_and_evaluate(config, tmp_path / "whole", show=False)

    class AtStepFive(threading.Event):
        calls = 0

        def is_set(self):
            self.calls += 1
            return self.calls == 5

    with pytest.raises(KeyboardInterrupt, match="stopped at step 5"):
        training.train_and_evaluate(config, tmp_path / "cut", show=False, stop=AtStepFive())
    resumed = training.train_and_evaluate(config, tmp_path / "cut", resume=True, show=False)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    assert untimed(resumed) == untimed(whole)


@pytest.mark.slow
@pytest.mark.parametrize("write", [6, 37, 50, 63])
def test_a_stream_killed_goes_on(small, pictures, tmp_path, write):
    config = small(dataset=str(pictures))
    held = training.train_and_evaluate(config, tmp_path / "whole", show=False)
    options = ["--model", "mlp", "--model-options", "dense=8,", "--train-split", "train[:96]"]
    options += ["--test-split", "test[:50]", "--batch-size", "32", "--epochs", "2"]
    options += ["--dataset", str(pictures), "--memory", "10kB", "--learning-rate=0.01"]
    workdir = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(write), str(workdir), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    streamed = small(dataset=str(pictures), memory="10kB")
    result = training.train_and_evaluate(streamed, workdir, resume=True, show=False)
    chex.assert_trees_all_equal(result.variables, held.variables)
    assert untimed(result) == untimed(held)


def arrays_of(split):
    part = data.load("digits", split=split)
    return part.images, part.labels


def test_data_of_ones_own(small, tmp_path):
    """Arrays, a source, and splits by name; held on the device and not."""
    config = small(epochs=1)
    named = training.train_and_evaluate(config, show=False)
    train, test = arrays_of("train[:96]"), arrays_of("test[:50]")
    given = training.train_and_evaluate(
        config, tmp_path / "run", data={"train": train, "test": test}, show=False
    )
    digits = data.open("digits", split="train[:96]")
    # The scale of arrays is their own, that of digits is of all their training images.
    assert given.data.mean == named.data.mean
    assert given.data.std != named.data.std
    assert training.load_checkpoint(tmp_path / "run").config.dataset == "arrays"
    source = {"train": digits, "test": data.open("digits", split="test")}
    for memory in ("2GiB", "0"):
        sources = training.train_and_evaluate(
            small(epochs=1, memory=memory), data=source, show=False
        )
        chex.assert_trees_all_equal(sources.variables, named.variables)
        assert untimed(sources) == untimed(named)
    with pytest.raises(ValueError, match=r"run with std .* which cannot be resumed with"):
        training.train_and_evaluate(
            config, tmp_path / "run", data={"train": arrays_of("train[:64]"), "test": test},
            resume=True, show=False,
        )  # fmt: skip


def mirrored(images, labels):
    return images[:, :, ::-1], labels


def with_another_class(images, labels):
    return images, np.where(np.arange(len(labels)) == 3, (labels + 1) % 10, labels)


def test_a_run_goes_on_with_the_same_images_in_the_same_order_only(small, tmp_path):
    """Size, mean and deviation of what is changed here are the same."""
    digits = arrays_of("train[:48]")

    def run(arrays, **settings):
        config = small(train_split="train", test_split="test", **settings)
        resume = config.epochs > 1
        return training.train_and_evaluate(config, tmp_path, data=arrays, resume=resume, show=False)

    run(digits, epochs=1)
    changed = mirrored(*digits), with_another_class(*digits), [part[::-1] for part in digits]
    for arrays in changed:
        for memory in ("2GiB", "0"):
            with pytest.raises(ValueError, match="images or labels have changed since the run in"):
                run(arrays, epochs=2, memory=memory)
    # A run of a version that did not look at them goes on.
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["data"]["sample"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    run(changed[0], epochs=2)


def test_data_without_a_split_to_report_on(small, tmp_path):
    images, labels = arrays_of("train[:96]")
    result = training.train_and_evaluate(
        small(epochs=1, train_split="train", test_split="test"),
        tmp_path,
        data=(images[..., 0], labels),
        show=False,
    )
    assert "test_loss" not in result.metrics
    assert result.metrics["train_loss"] > 0
    assert len(list((tmp_path / "metrics.jsonl").read_text().splitlines())) == 1
    config = small(epochs=1, train_split="train[:64]", test_split="train[64:]")
    reported = training.train_and_evaluate(config, data=(images, labels), show=False)
    assert reported.step == 2
    assert reported.metrics["test_loss"] > 0


IMAGES, LABELS = np.zeros((96, 8, 8, 1), np.uint8), np.arange(96, dtype=np.int32) % 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((IMAGES / 255, LABELS), r"images are float64 of shape .*; allowed is uint8 \(n, H,"),
        ((IMAGES, LABELS * 0), "images of arrays have one class; there is nothing to"),
        ((IMAGES, LABELS[1:]), r"labels are int32 of shape \(95,\); allowed are whole numbers"),
        ((IMAGES, LABELS + 0.5), "labels are float64"),
        ((IMAGES, LABELS - 1), "label -1 is no class; allowed are 0 to 2147483647"),
        ((IMAGES[:0], LABELS[:0]), r"images are uint8 of shape \(0, 8, 8, 1\)"),
        (IMAGES, "data is a ndarray for the split 'train'; allowed are a pair"),
        ((IMAGES, LABELS, LABELS), "data is a tuple for the split 'train'; allowed are a pair"),
        ({}, "data has no splits"),
        ({"validation": (IMAGES, LABELS)}, "data has no split 'train'; it has validation"),
        ({"train": (IMAGES, LABELS), "test": (IMAGES[:, 1:], LABELS)}, "allowed is one shape"),
        (
            data.Streamed(lambda rows: (IMAGES, LABELS - 1), range(96), (8, 8, 1), 0),
            "source holds images without classes; training needs one for each",
        ),
    ],
)  # fmt: skip
def test_data_that_cannot_be_trained_on(small, given, message):
    with pytest.raises(ValueError, match=message):
        training.train_and_evaluate(small(test_split="test"), data=given, show=False)


def test_what_cannot_be_read_stops_the_run_in_one_line(small):
    def read(rows):
        if 95 in rows:
            raise ValueError("95.png cannot be read as a picture")
        return IMAGES[rows], LABELS[rows]

    source = data.Streamed(read, range(96), (8, 8, 1), 2, scale=lambda: ((0.5,), (0.5,)))
    with pytest.raises(ValueError, match=r"95\.png cannot be read"):
        training.train_and_evaluate(small(memory="0", test_split="test"), data=source, show=False)
