"""A run killed at any of its writes can be started or resumed, and ends as one never killed."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import chex
import pytest

from jaxinv import training
from jaxinv.training.workdir import CONFIG_FILE
from tests.training.conftest import SMALL
from tests.training.writes import Moments, watched

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    """The result of a whole run, its workdir, and its workdir at each moment."""
    folder = tmp_path_factory.mktemp("whole")
    moments = Moments(folder / "run", folder / "moments")
    with watched(folder / "run", moments):
        result = training.train_and_evaluate(SMALL, folder / "run", show=False)
    return result, folder / "run", moments


def go_on(workdir):
    """As a user does: resume where there is a run, start where there is none."""
    return training.train_and_evaluate(
        SMALL, workdir, resume=(workdir / CONFIG_FILE).exists(), show=False
    )


def untimed(result):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in result.history]


def assert_ends_as(never_killed, workdir, moment):
    whole, folder, _ = never_killed
    try:
        result = go_on(workdir)
    except (ValueError, OSError) as error:
        raise AssertionError(f"killed {moment}: {error}") from error
    chex.assert_trees_all_equal(result.variables, whole.variables)
    assert untimed(result) == untimed(whole), moment
    for which in ("best", "last"):
        kept, expected = (training.load_checkpoint(f, which=which) for f in (workdir, folder))
        assert kept.step == expected.step, moment
        chex.assert_trees_all_equal(kept.variables, expected.variables)


def copy_of(moment, folder):
    """A moment's workdir, which was not there at the first ones."""
    workdir = folder / "killed"
    shutil.rmtree(workdir, ignore_errors=True)
    return shutil.copytree(moment, workdir) if moment.exists() else workdir


def test_killed_around_the_configuration(never_killed, tmp_path):
    """Amid its write, when it is there, and when folders for checkpoints are there as well."""
    _, _, moments = never_killed
    renamed = next(
        i for i, what in enumerate(moments.what) if what.endswith("rename run/config.json")
    )
    made = moments.what.index("before mkdir run/checkpoints/last")
    assert moments.what[renamed + 1].startswith("amid the write of ")
    for index in (renamed + 1, renamed + 2, made):
        workdir = copy_of(moments.found[index], tmp_path)
        assert_ends_as(never_killed, workdir, moments.what[index])


@pytest.mark.slow
def test_killed_at_each_of_a_hundred_writes(never_killed, tmp_path):
    moments = never_killed[2]
    assert len(moments.found) >= 100
    for moment, what in zip(moments.found, moments.what, strict=True):
        assert_ends_as(never_killed, copy_of(moment, tmp_path), what)


def assert_best_is_of_the_run(workdir, result):
    """The best of the epochs that were looked at, none of them later than the last."""
    last, best = (training.load_checkpoint(workdir, which=which) for which in ("last", "best"))
    assert best.step <= last.step == result.step
    looked_at = [record for record in result.history if "test_loss" in record]
    assert best.step == min(looked_at, key=lambda record: record["train_loss"])["step"]


def test_killed_between_the_checkpoints_of_an_epoch(never_killed, tmp_path):
    moments = never_killed[2]
    between = moments.what.index("before mkdir run/checkpoints/best/6.orbax-checkpoint-tmp")
    workdir = copy_of(moments.found[between], tmp_path)
    config = dataclasses.replace(SMALL, eval_every=5)
    result = training.train_and_evaluate(config, workdir, resume=True, show=False)
    assert_best_is_of_the_run(workdir, result)


@pytest.mark.slow
def test_a_best_checkpoint_after_the_last_is_not_of_the_run(tmp_path):
    """As where the last one was lost, or a run was killed between the two by older versions."""
    constant = dataclasses.replace(SMALL, schedule="constant", epochs=1)
    training.train_and_evaluate(constant, tmp_path / "one", show=False)
    two = shutil.copytree(tmp_path / "one", tmp_path / "two")
    longer = dataclasses.replace(constant, epochs=2)
    training.train_and_evaluate(longer, two, resume=True, show=False)
    for config, all_lost in ((constant, False), (longer, True)):
        workdir = shutil.copytree(tmp_path / "one", tmp_path / f"killed-{all_lost}")
        shutil.rmtree(workdir / "checkpoints" / "best")
        shutil.copytree(two / "checkpoints" / "best", workdir / "checkpoints" / "best")
        if all_lost:
            shutil.rmtree(workdir / "checkpoints" / "last")
        changed = dataclasses.replace(config, eval_every=5)
        result = training.train_and_evaluate(changed, workdir, resume=True, show=False)
        assert_best_is_of_the_run(workdir, result)


@pytest.mark.slow
def test_what_was_looked_at_only_when_resumed_is_remembered_as_best(tmp_path):
    """A run that stopped between two looks is ended there, and then goes on."""
    stop = threading.Event()
    worse = {"optimizer": "sgd", "learning_rate": 3.0, "schedule": "constant"}
    config = dataclasses.replace(SMALL, epochs=4, eval_every=4, **worse)
    with pytest.raises(KeyboardInterrupt):
        training.train_and_evaluate(
            config, tmp_path, show=False, stop=stop, on_epoch=lambda record: stop.set()
        )
    ended = dataclasses.replace(config, epochs=2)
    training.train_and_evaluate(ended, tmp_path, resume=True, show=False)
    assert training.load_checkpoint(tmp_path, which="best").step == 6
    result = training.train_and_evaluate(config, tmp_path, resume=True, show=False)
    assert result.metrics["train_loss"] > result.history[1]["train_loss"]
    assert_best_is_of_the_run(tmp_path, result)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"eval_every": 2, "epochs": 3}, {"eval_every": 5}])
def test_killed_at_each_write_and_resumed_to_look_at_other_epochs(never_killed, tmp_path, changes):
    moments = never_killed[2]
    config = dataclasses.replace(SMALL, **changes)
    for moment in moments.found[::2]:
        workdir = copy_of(moment, tmp_path)
        resume = (workdir / CONFIG_FILE).exists()
        result = training.train_and_evaluate(config, workdir, resume=resume, show=False)
        assert_best_is_of_the_run(workdir, result)


@pytest.mark.slow
def test_killed_again_when_resumed(never_killed, tmp_path):
    """Amid the second checkpoint, and then wherever the resumed run writes."""
    moments = never_killed[2]
    amid = [i for i, what in enumerate(moments.what) if "last/6.orbax-checkpoint-tmp" in what][4]
    workdir = copy_of(moments.found[amid], tmp_path)
    again = Moments(workdir, tmp_path / "moments")
    with watched(workdir, again):
        go_on(workdir)
    assert len(again.found) >= 40
    for moment, what in list(zip(again.found, again.what, strict=True))[::2]:
        assert_ends_as(never_killed, copy_of(moment, tmp_path), f"again {what}")


KILLED = """
import os, pathlib, signal, sys
from jaxinv.training import cli
from tests.training.writes import watched
left = [int(sys.argv[1])]
def notice(event, path):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
with watched(pathlib.Path(sys.argv[2]), notice):
    cli.main([*sys.argv[3:], "--workdir", sys.argv[2]])
"""


@pytest.mark.slow
@pytest.mark.parametrize("write", [3, 6, 20, 37, 50, 63])
def test_killed_by_sigkill(never_killed, tmp_path, write):
    options = ["--model", "mlp", "--model-options", "dense=8,", "--train-split", "train[:96]"]
    options += ["--test-split", "test[:50]", "--batch-size", "32", "--epochs", "2"]
    workdir = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(write), str(workdir), *options, "--learning-rate=0.01"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert_ends_as(never_killed, workdir, f"at write {write}")
