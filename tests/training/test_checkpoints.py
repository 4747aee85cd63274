"""Checkpoints that are missing, foreign or damaged."""

import json
import shutil

import numpy as np
import pytest

from jaxinv import training
from jaxinv.training import checkpoints as storage


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a finished run, not to be changed."""
    from jaxinv.training import TrainConfig

    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(
        model="mlp", model_options={"dense": (8,)}, train_split="train[:64]", epochs=1
    )
    training.train_and_evaluate(config, folder, show=False)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_missing(run, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere holds no run of train\.py"):
        training.load_checkpoint(tmp_path / "nowhere")
    shutil.rmtree(run / "checkpoints" / "last" / "1")
    with pytest.raises(ValueError, match="last holds no checkpoint"):
        training.load_checkpoint(run)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ValueError, match="last holds no checkpoint"):
        training.load_checkpoint(run)
    with pytest.raises(ValueError, match="which is 'first'; allowed are best and last"):
        training.load_checkpoint(run, which="first")


@pytest.mark.parametrize("text", ["{", "[]", '{"config": {}}', '{"config": {"a": 1}, "data": {}}'])
def test_foreign_configurations(run, text):
    (run / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is damaged or not of a run of train\.py"):
        training.load_checkpoint(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mean", [float("nan")]), ("std", [0.0]), ("std", [float("inf")]), ("mean", [0.0, 0.0]),
     ("num_classes", 0), ("image_shape", [32, 32]), ("image_shape", [32, 0, 1])],
)  # fmt: skip
def test_data_that_are_none(run, name, value):
    stored = json.loads((run / "config.json").read_text())
    stored["data"][name] = value
    (run / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"config\.json is damaged or not of a run of train\.py"):
        training.load_checkpoint(run)


def test_cut_off_files(run):
    for path in (run / "checkpoints" / "last").rglob("*"):
        if path.is_file() and path.stat().st_size > 500:
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"the checkpoint .* is damaged"):
        training.load_checkpoint(run)


def test_content_that_was_changed_is_noticed(run, monkeypatch):
    monkeypatch.setattr(storage, "digest", lambda tree: np.zeros(32, np.uint8))
    with pytest.raises(ValueError, match="its content differs from what was written"):
        training.load_checkpoint(run)


def test_a_checkpoint_of_another_network_is_refused(run):
    stored = json.loads((run / "config.json").read_text())
    stored["config"]["model_options"]["dense"] = [16]
    (run / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="belongs to another network than its configuration says"):
        training.load_checkpoint(run)
    stored["config"]["model"] = "nope"
    (run / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="model"):
        training.load_checkpoint(run)


def test_a_half_written_checkpoint_is_not_mistaken_for_one(run):
    last = run / "checkpoints" / "last"
    half = last / "2.orbax-checkpoint-tmp"
    shutil.copytree(last / "1", half)
    next(path for path in half.rglob("*") if path.is_file()).unlink()
    assert training.load_checkpoint(run).step == 1
