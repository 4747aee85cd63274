"""Training in two processes: that of one to rounding; bit for bit itself after one was lost."""

import json
import signal
import time

import chex
import jax
import numpy as np
import pytest

from jaxinv.training import load_checkpoint
from jaxinv.training.cli import main
from tests.hosts.processes import Together, error_lines, finished

OPTIONS = ["--model", "mlp", "--model-options", "dense=8,", "--train-split", "train[:128]"]
OPTIONS += ["--test-split", "test[:50]", "--batch-size", "32", "--learning-rate", "0.01"]
OPTIONS += ["--augment", "translate"]


def trained(workdir):
    """Its variables, best and last, and its records without times."""
    text = (workdir / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        del record["seconds"]
    kept = [load_checkpoint(workdir, which=which).variables for which in ("last", "best")]
    return jax.tree.map(np.asarray, kept), records


@pytest.mark.slow
def test_two_processes_are_one_to_rounding(tmp_path):
    options = [*OPTIONS, "--epochs", "3", "--holdout", "32"]
    said = finished("train", [*options, "--workdir", tmp_path / "two"])
    assert "test accuracy" in said
    streamed = [*options, "--memory", "0", "--workdir", tmp_path / "streamed"]
    finished("train", streamed)
    assert main([*options, "--workdir", str(tmp_path / "one")]) == 0
    one, two, read = (trained(tmp_path / name) for name in ("one", "two", "streamed"))
    chex.assert_trees_all_close(one, two, rtol=1e-4, atol=1e-5)
    # From memory and from a stream the same images come in the same order.
    chex.assert_trees_all_equal(two, read)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_killed_and_resumed(tmp_path, victim):
    """By two processes bit for bit; by one to rounding."""
    options = [*OPTIONS, "--epochs", "12"]
    finished("train", [*options, "--workdir", tmp_path / "whole"])
    killed = tmp_path / "killed"
    with Together("train", [*options, "--workdir", killed]) as run:
        began = time.monotonic()
        metrics = killed / "metrics.jsonl"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:
            assert time.monotonic() - began < 200
            time.sleep(0.02)
        run.processes[victim].kill()
        began = time.monotonic()
        status, _, err = run.end(timeout=90)[1 - victim]
        assert time.monotonic() - began < 60
    assert status not in (0, None)
    assert "was lost" in error_lines(err, "train")
    options.append("--resume")
    finished("train", [*options, "--workdir", killed])
    chex.assert_trees_all_equal(trained(killed), trained(tmp_path / "whole"))


@pytest.mark.slow
def test_resumed_with_another_number_of_processes(tmp_path):
    first, rest = ([*OPTIONS, "--schedule", "constant", "--epochs", str(n)] for n in (2, 4))
    finished("train", [*first, "--workdir", tmp_path / "changed"])
    assert main([*rest, "--resume", "--workdir", str(tmp_path / "changed")]) == 0
    finished("train", [*rest, "--resume", "--workdir", tmp_path / "changed", "--epochs", "6"])
    assert main([*rest, "--workdir", str(tmp_path / "one"), "--epochs", "6"]) == 0
    changed, one = (trained(tmp_path / name) for name in ("changed", "one"))
    chex.assert_trees_all_close(changed, one, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "said"), [
    (["--batch-size", "31"], "batch_size is 31, of one accumulated part; it must be a multiple of"),
    (["--augment", "orbit", "--max-shift", "1"], "augment orbit needs chunk in several processes"),
])  # fmt: skip
def test_what_processes_cannot_divide(tmp_path, options, said):
    with Together("train", [*OPTIONS, *options, "--workdir", tmp_path]) as run:
        for status, out, err in run.end().values():
            assert (status, out) == (1, "")
            assert said in error_lines(err, "train")
    assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
def test_one_process_asked_to_end_stops_all_at_the_same_step(tmp_path):
    options = [*OPTIONS, "--epochs", "12"]
    stopped = tmp_path / "stopped"
    with Together("train", [*options, "--workdir", stopped]) as run:
        metrics = stopped / "metrics.jsonl"
        while not metrics.exists() or not metrics.read_text():
            time.sleep(0.02)
        run.processes[1].send_signal(signal.SIGTERM)
        ends = run.end(timeout=90)
    for status, _, err in ends.values():
        assert status == 130
        assert "all of it is kept, and --resume continues from there" in err
    assert main([*options, "--resume", "--workdir", str(stopped)]) == 0
    assert main([*options, "--workdir", str(tmp_path / "one")]) == 0
    chex.assert_trees_all_close(trained(stopped), trained(tmp_path / "one"), rtol=1e-3, atol=1e-4)
