"""An evaluation in two processes is that of one, bit for bit, also after one of them was lost."""

import json
import signal
import time

import numpy as np
import pytest
from PIL import Image

from jaxinv.files import locked
from jaxinv.report.cli import main
from tests.hosts.processes import NETWORKS, Together, error_lines, finished

FEW = ["--images", "10", "--batch", "2", "--max-shift", "1", "--no-layers"]


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options of an evaluation; its network is found in the current folder."""
    (tmp_path / "networks_of_hosts.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return ["--apply", "networks_of_hosts:columns", *FEW]


def shards(folder):
    """Those that are finished, by file; a killed process leaves one that it was writing."""
    found = [path for path in (folder / "shards").rglob("0*.npz") if path.parent.name != ".hosts"]
    return {path: path.stat().st_mtime_ns for path in found}


def contents(folder):
    return {path.name: path.read_bytes() for path in shards(folder)}


def assert_same(one, other):
    """Shards, maps and figures, bit for bit."""
    assert contents(one) == contents(other)
    maps = [dict(np.load(folder / "maps.npz")) for folder in (one, other)]
    assert maps[0].keys() == maps[1].keys()
    for name, values in maps[0].items():
        np.testing.assert_array_equal(values, maps[1][name])
    results = [json.loads((folder / "results.json").read_text()) for folder in (one, other)]
    for found in results:
        del found["run"]
        for network in found["networks"]:
            network["figures"].pop("equivariance_error", None)  # on two devices, to rounding
    assert results[0] == results[1]


def test_two_processes_are_one(options, tmp_path):
    out = finished("evaluate", [*options, "--out", tmp_path / "two"])
    assert "report.html shows all of it" in " ".join(out.split())
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    assert len(shards(tmp_path / "one")) == 5
    assert_same(tmp_path / "one", tmp_path / "two")
    run = json.loads((tmp_path / "two" / "results.json").read_text())["run"]
    assert len(run["computed_on"]) == 4
    assert not list(tmp_path.rglob(".hosts"))
    assert not list(tmp_path.rglob(".lock"))


@pytest.mark.slow
def test_images_without_classes_and_protocols(options, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3))):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    options += ["--dataset", "./pictures", "--split", "train", "--images", "9"]
    options += ["--protocol", "adversarial"]
    options += ["--memory", "0"]  # nothing is held: images are read, and results stay in files
    finished("evaluate", [*options, "--out", tmp_path / "two"])
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    own = [contents(tmp_path / name) for name in ("one", "two")]
    assert own[0].items() <= own[1].items()  # two processes keep what each says unshifted as well
    maps = [dict(np.load(tmp_path / name / "maps.npz")) for name in ("one", "two")]
    for name, values in maps[0].items():
        np.testing.assert_array_equal(values, maps[1][name])


@pytest.mark.slow
def test_started_by_slurm(options, tmp_path):
    finished("evaluate", [*options, "--out", tmp_path / "two"], slurm=True)
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    assert_same(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_more_processes_than_shards(options, tmp_path):
    options += ["--images", "2"]
    finished("evaluate", [*options, "--out", tmp_path / "three"], count=3)
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    assert contents(tmp_path / "one").keys() == contents(tmp_path / "three").keys()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_ends_the_others_and_the_rest_is_done_by_one(options, tmp_path, victim):
    options[1] = "networks_of_hosts:slow"
    options += ["--images", "80", "--no-certify", "--out", str(tmp_path / "killed")]
    with Together("evaluate", options) as run:
        began = time.monotonic()
        while len(shards(tmp_path / "killed")) < 6:
            assert time.monotonic() - began < 120
            time.sleep(0.1)
        run.processes[victim].kill()
        began = time.monotonic()
        ends = run.end(timeout=90)
        assert time.monotonic() - began < 60
    status, out, err = ends[1 - victim]
    assert status not in (0, None)
    assert not out
    said = error_lines(err, "evaluate")
    assert f"process {victim} of the run was lost; the same command goes on" in said
    kept = shards(tmp_path / "killed")
    assert 6 <= len(kept) < 40
    assert main(options) == 0
    whole = shards(tmp_path / "killed")
    assert len(whole) == 40
    assert kept.items() <= whole.items()  # none was evaluated again
    assert main([*options[:-1], str(tmp_path / "whole")]) == 0
    assert_same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [(0, 1), (1,)])
def test_asked_to_end(options, tmp_path, stopped):
    """Both, as by Slurm: a partial report. One alone: the other says so."""
    options[1] = "networks_of_hosts:slow"
    options += ["--images", "80", "--no-certify", "--out", str(tmp_path / "out")]
    with Together("evaluate", options) as run:
        # Of process 0: a report is partial in what it finished.
        while not any(path.name.startswith("00002") for path in shards(tmp_path / "out")):
            time.sleep(0.1)
        for index in stopped:
            run.processes[index].send_signal(signal.SIGTERM)
        ends = run.end(timeout=90)
    assert ends[1][0] == 130
    if 0 in stopped:
        assert ends[0][0] == 130
        assert "the partial report is" in ends[0][2]
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        assert not results["complete"]
        assert results["networks"][0]["figures"]["mean"]["count"] >= 2
    else:
        assert ends[0][0] == 1
        assert "process 1 of the run failed: interrupted" in error_lines(ends[0][2], "evaluate")


def test_a_folder_that_another_run_holds(options, tmp_path, capsys):
    with locked(tmp_path):
        assert main([*options, "--out", str(tmp_path)]) == 1
    assert "is in use by process" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_that_another_run_holds_is_refused_by_all_processes(options, tmp_path):
    with locked(tmp_path), Together("evaluate", [*options, "--out", tmp_path]) as run:
        for status, _, err in run.end().values():
            assert status == 1
            assert "is in use by process" in error_lines(err, "evaluate")
