"""Processes that do not fit together say so in one line, each of them, and in time."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxinv.hosts import joining, runtime_log
from jaxinv.report import cli as evaluate
from jaxinv.training import cli as train
from tests.hosts.processes import NETWORKS, Together, error_lines

WORLD = ["--coordinator", "127.0.0.1:9999", "--processes", "2", "--process", "0"]


@pytest.mark.parametrize("program", [evaluate, train])
@pytest.mark.parametrize(("options", "said"), [
    (["--coordinator", "127.0.0.1:9999"], "coordinator needs processes, their number"),
    (["--processes", "2"], "processes means nothing without coordinator"),
    (["--process", "1", "--distributed"], "process means nothing without coordinator"),
    ([*WORLD[:-1], "2"], "process is 2; allowed are numbers from 0 to 1, for 2 processes"),
    ([*WORLD[:3], "0", *WORLD[4:]], "processes is 0; allowed are numbers from 1"),
    (["--coordinator", "somewhere", *WORLD[2:]], "allowed are host:port, such as 10.0.0.1:9876"),
    (["--coordinator", "here:99999", *WORLD[2:]], "coordinator is 'here:99999'"),
    ([*WORLD, "--join-seconds", "0"], "join_seconds is 0; allowed are 1 to 86400"),
])  # fmt: skip
def test_wrong_options(program, options, said, capsys):
    own = [] if program is train else ["--apply", "nowhere:net"]
    assert program.main([*own, *options]) == 1
    assert said in capsys.readouterr().err


def test_the_study_runs_in_one_process(capsys):
    assert evaluate.main(WORLD) == 1
    assert "the study runs in one" in capsys.readouterr().err


LOST = """\
E1126 17:37:12.123980   30933 coordination_service.cc:1549] Use error polling to propagate
{tasks}
The tasks have crashed. Check the task logs for an earlier error. [type.googleapis.com/x='']
F1126 17:37:12.124519   30944 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors.
*** Check failure stack trace: ***
    @     0x7ff760040634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""
NEVER_CAME = """\
F1126 17:40:54.485852 32046 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded

RPC: /xla.coordination.CoordinationService/RegisterTask
"""


@pytest.mark.parametrize(("text", "said"), [
    (LOST.format(tasks="1"), "train.py: error: process 1 of the run was lost; go on"),
    (LOST.format(tasks="/job:jax_worker/replica:0/task:3\n5"),
     "train.py: error: processes 3, 5 of the run were lost; go on"),
    (LOST.format(tasks=""), "train.py: error: process 0 of the run was lost; go on"),
    (NEVER_CAME, "train.py: error: processes 1, 2 of 3 did not come within 7 seconds"),
    ("W1126 coordination: slow\nand more", "W1126 coordination: slow\nand more"),
])  # fmt: skip
def test_the_last_words_of_the_runtime(tmp_path, text, said):
    """Process 1 announced itself an hour before this one, in a run that is over."""
    for index, age in ((0, 0), (1, 3600)):
        path = tmp_path / runtime_log.present(index, 3)
        path.write_text("")
        os.utime(path, (time.time() - age,) * 2)
    world = {"name": "train.py", "again": "; go on", "folder": str(tmp_path)}
    world |= {"index": 0, "count": 3, "wait": 7}
    assert runtime_log.said_of(text, world) == said


@pytest.mark.parametrize(("text", "said"), [
    ("a warning\nand another\n", "a warning\nand another\n"),
    ("a warning\n" + LOST.format(tasks="1"),
     "a warning\ntrain.py: error: process 1 of the run was lost\n"),
    (runtime_log.LEFT + LOST.format(tasks="1"), ""),
])  # fmt: skip
def test_what_is_passed_on(text, said):
    """Nothing of the runtime where the process said itself why it ends."""
    world = '{"name": "train.py", "again": ""}'
    done = subprocess.run(
        [sys.executable, "-I", runtime_log.__file__, world],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == said


@pytest.fixture
def options(tmp_path):
    (tmp_path / "networks_of_hosts.py").write_text(NETWORKS)
    return ["--apply", "networks_of_hosts:columns", "--images", "4", "--max-shift", "1"]


def refused(run, status=1):
    """What all processes say, each in one line: the same."""
    ends = run.end().values()
    assert {end[0] for end in ends} == {status}
    (said,) = {error_lines(end[2], "evaluate") for end in ends}
    return said


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0, 1])
def test_a_process_that_does_not_come(options, tmp_path, missing):
    own = {missing: None}
    options += ["--join-seconds", "4", "--out", tmp_path / "out"]
    began = time.monotonic()
    with Together("evaluate", options, own=own, folders=[tmp_path] * 2) as run:
        ((status, out, err),) = run.end(timeout=100).values()
    assert time.monotonic() - began < 90
    assert status not in (0, None)
    assert not out
    said = error_lines(err, "evaluate")
    assert said.endswith(f"process {missing} of 2 did not come within 4 seconds")


@pytest.mark.slow
def test_a_port_that_is_in_use(options, tmp_path, monkeypatch):
    with socket.create_server(("", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr("tests.hosts.processes.free_port", lambda: port)
        options += ["--out", tmp_path / "out"]
        with Together("evaluate", options, own={1: None}, folders=[tmp_path] * 2) as run:
            ((status, _, err),) = run.end().values()
    assert status == 1
    assert "process 0 cannot listen there: Address already in use" in error_lines(err, "evaluate")


@pytest.mark.slow
def test_other_options(options, tmp_path):
    own = {0: ["--batch", "2"], 1: ["--batch", "3"]}
    options += ["--out", tmp_path / "out"]
    with Together("evaluate", options, own=own, folders=[tmp_path] * 2) as run:
        assert "process 1 has batch 3, and process 0 has 2; allowed is one" in refused(run)


@pytest.mark.slow
def test_other_code(options, tmp_path):
    before = "import jaxinv.versions; jaxinv.versions.own_source = lambda: f'{process}' * 64"
    options += ["--out", tmp_path / "out"]
    with Together("evaluate", options, folders=[tmp_path] * 2, before=before) as run:
        assert "process 1 has jaxinv of version 1111" in refused(run)


@pytest.mark.slow
def test_a_folder_that_is_not_shared(options, tmp_path):
    folders = folders_of_two(tmp_path)
    with Together("evaluate", [*options, "--out", "out"], folders=folders) as run:
        assert "process 0 does not see what process 1 wrote there" in refused(run)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "said"), [
    ("images", "process 1 has the data set ./images.npz (test), 4 images of 6x6x1, content"),
    ("weights", "process 1 evaluates another network than process 0"),
])  # fmt: skip
def test_data_and_weights_that_differ(tmp_path, what, said):
    import numpy as np

    folders = folders_of_two(tmp_path)
    for index, folder in enumerate(folders):
        pixel, factor = (index, 1.0) if what == "images" else (0, 1.0 + index)
        np.savez(
            folder / "images.npz", x_test=np.full((4, 6, 6), pixel, np.uint8), y_test=[0, 1, 2, 5]
        )
        network = f"def net(x):\n    return {factor} * x[:, :2].sum((1, 3))\n"
        (folder / "own_network_of_hosts.py").write_text(network)
    options = ["--apply", "own_network_of_hosts:net", "--dataset", "./images.npz", "--batch", "2"]
    options += ["--max-shift", "1", "--no-layers", "--no-certify", "--out", tmp_path / "out"]
    with Together("evaluate", options, folders=folders) as run:
        ends = run.end().values()
    assert {end[0] for end in ends} == {1}
    lines = [error_lines(end[2], "evaluate") for end in ends]
    assert any(said in line for line in lines)


def folders_of_two(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        (folder / "networks_of_hosts.py").write_text(NETWORKS)
    return folders


def test_a_lost_process_is_told_from_a_full_disk():
    """A checkpoint says in its own words why it cannot be written."""
    lost = RuntimeError("Failed to send RPC to coordination service. The leader may have died")
    full = OSError("No space left on device")
    for cause, expected in ((lost, True), (full, False)):
        error = OSError("the checkpoint of step 12 cannot be written")
        error.__cause__ = cause
        assert joining._is_of_a_connection(error) is expected
