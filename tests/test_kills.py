"""evaluate.py and the study killed at each write: the same command ends as if it never was."""

import json
import re

import pytest

from jaxinv.evaluation.audit import AuditPlan
from jaxinv.evaluation.sweep import SweepOptions
from jaxinv.report.audit import Audit
from jaxinv.report.cli import main
from jaxinv.study.arms import ARMS
from jaxinv.study.run import StudyConfig, run_study
from tests.training.writes import Moments, watched

NETWORK = """
import numpy as np
import jax.numpy as jnp

WEIGHTS = np.random.default_rng(0).normal(size=(32, 10)).astype(np.float32)

def columns(images):
    return jnp.sum(images, axis=(1, 3)) @ WEIGHTS
"""


# The kill test of training goes through these one by one.
WITHIN_A_CHECKPOINT = "orbax-checkpoint-tmp/"


def left_behind(folder, name):
    """All files of a report by name, without how long it took and where it is."""
    found = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
    }
    results = json.loads(found.pop("results.json"))
    # What differs between two runs that nobody killed: seconds and the folder's name.
    page = re.sub(r"<dt>(command|time)</dt><dd>.*?</dd>", "", found.pop("report.html").decode())
    text = json.dumps(results | {"run": None}).replace(name, "NAME")
    return found, text, page.replace(name, "NAME")


def killed_everywhere(run, folder):
    """Runs once, then again from each moment of it, and compares what is left behind."""
    whole = folder / "whole"
    moments = Moments(whole, folder / "moments")
    with watched(whole, moments):
        run(whole)
    expected = left_behind(whole, str(whole))
    for copy, moment in zip(moments.found, moments.what, strict=True):
        if WITHIN_A_CHECKPOINT in moment:
            continue
        run(copy)
        assert left_behind(copy, str(copy)) == expected, f"killed {moment}"
    # Killed again and again, and run once more when all is there.
    run(whole)
    assert left_behind(whole, str(whole)) == expected
    return moments


@pytest.mark.slow
def test_evaluate_killed_at_each_write(tmp_path, monkeypatch, capsys):
    (tmp_path / "killed_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    given = ["--apply", "killed_network:columns", "--images", "6", "--batch", "2"]
    given += ["--max-shift", "1", "--no-certify", "--no-layers"]

    def run(folder):
        assert main([*given, "--out", str(folder)]) == 0

    moments = killed_everywhere(run, tmp_path)
    assert len(moments.found) >= 50
    assert sum("npz" in what and "shards" in what for what in moments.what) >= 9


@pytest.mark.slow
def test_the_study_killed_at_each_write(tmp_path):
    arms = tuple(arm for arm in ARMS if arm.name == "MLP")

    def run(folder):
        plan = AuditPlan(
            options=SweepOptions(batch=4), directory=folder / "shards", layers=False, certify=False
        )
        config = StudyConfig(folder=folder, epochs=1, images=8, arms=arms, map_arms=(), plan=plan)
        results, audits = run_study(config)
        assert results.complete
        Audit(results, tuple(audits)).save(folder)

    moments = killed_everywhere(run, tmp_path)
    assert len(moments.found) >= 100
    assert any("config.json" in what for what in moments.what)
