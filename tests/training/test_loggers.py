"""Loggers are told the figures of each epoch, and that the run has ended."""

import sys
import types

import pytest

from jaxinv.training.config import TrainConfig
from jaxinv.training.loggers import loggers_of
from jaxinv.training.records import Recorder


class Told:
    def __init__(self):
        self.calls = []

    def log(self, step, figures):
        self.calls.append((step, figures))

    def close(self):
        self.calls.append("closed")


def test_the_recorder_tells_every_logger(tmp_path):
    loggers = [Told(), Told()]
    recorder = Recorder(tmp_path, step=0, loggers=loggers)
    recorder.add({"step": 5, "loss": 0.5})
    recorder.add({"step": 10, "loss": [0.1, 0.2]})
    recorder.close()
    assert loggers[0].calls == [
        (5, {"step": 5, "loss": 0.5}),
        (10, {"step": 10, "loss/0": 0.1, "loss/1": 0.2}),
        "closed",
    ]
    assert loggers[1].calls == loggers[0].calls


class FakeRun(Told):
    """As much of a run of Weights & Biases as is used: `log(data, step=)` and `finish()`."""

    def log(self, data, *, step):
        super().log(step, data)

    def finish(self):
        self.close()


@pytest.fixture
def wandb(monkeypatch):
    module = types.ModuleType("wandb")
    module.started = []

    def init(**options):
        module.started.append((options, FakeRun()))
        return module.started[-1][1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_weights_and_biases_gets_the_configuration_and_goes_on_with_its_run(wandb, tmp_path):
    config = TrainConfig(wandb="shifts", seed=3)
    for step in (0, 10):
        (logger,) = loggers_of(config, tmp_path / "run", step=step)
        logger.log(step + 10, {"loss": 0.5})
        logger.close()
    (first, run), (second, _) = wandb.started
    assert first == second
    assert (first["project"], first["name"], first["resume"]) == ("shifts", "run", "allow")
    assert first["config"]["seed"] == 3
    assert run.calls == [(10, {"loss": 0.5}), "closed"]
    loggers_of(config, tmp_path / "other", step=0)
    assert wandb.started[2][0]["id"] != first["id"]


def test_nothing_is_logged_unless_asked_for(wandb, tmp_path):
    assert loggers_of(TrainConfig(), tmp_path, step=0) == []
    assert loggers_of(TrainConfig(wandb="shifts", tensorboard=True), None, step=0) == []
    assert wandb.started == []


@pytest.mark.parametrize(
    ("package", "option"), [("tensorboardX", "tensorboard"), ("wandb", "wandb")]
)
def test_what_is_not_installed_is_named(monkeypatch, tmp_path, package, option):
    monkeypatch.setitem(sys.modules, package, None)
    config = TrainConfig(**{option: {"tensorboard": True, "wandb": "shifts"}[option]})
    with pytest.raises(
        ValueError, match=rf"{option} needs {package}: pip install 'jaxinv\[{option}\]'"
    ):
        loggers_of(config, tmp_path, step=0)
