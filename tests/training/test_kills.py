"""A run killed at any of its writes can be started or resumed, and ends as one never killed."""

import os
import shutil
import signal
import subprocess
import sys
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
