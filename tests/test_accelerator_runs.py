"""Whole runs of the benchmark for accelerators, at tiny sizes and in processes of their own."""

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks import accelerator
from benchmarks.rows import ROWS

pytestmark = pytest.mark.usefixtures("settings_stay")

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = [
    "exactness-lenet-*-default",
    "memory-lenet-c*",
    "chunk-lenet*",
    "training-base*-float32",
]


def dry_run(folder, *patterns):
    failed = accelerator.main(["--dry-run", "--out", str(folder), "--only", *patterns])
    found = json.loads((folder / "dry-run.json").read_text())
    return failed, found["rows"]


@pytest.mark.slow
def test_dry_run_of_a_row_of_each_kind(tmp_path, capsys):
    failed, found = dry_run(tmp_path, *PATTERNS)
    assert failed == 0, found
    assert [r["table"] for r in found.values()] == [
        "Exactness",
        "Peak memory",
        "Chunks",
        "Training",
    ]
    said = capsys.readouterr().out
    assert "| LeNet circular, flatten + Dense | 2x8x8x1 | float32 |" in said
    assert found["exactness-lenet-circular-dense-default"]["lines"][0]["verdict"] == "within"
    assert "figures in" in said


@pytest.mark.slow
def test_dry_run(tmp_path, capsys):
    failed, found = dry_run(tmp_path, "*")
    assert failed == 0, found
    assert len(found) == sum(r.dry for r in ROWS)
    assert "EXCEED" not in capsys.readouterr().out


# Refuses to our code, not to Flax, what a bare machine lacks.
BARE = """
import builtins, sys
MISSING = {"tensorflow_datasets", "array_record", "tyro", "rich", "matplotlib", "sklearn", "orbax",
           "PIL", "importlib_resources", "torch"}
found = builtins.__import__
def importing(name, globals=None, locals=None, fromlist=(), level=0):
    ours = ((globals or {}).get("__name__") or "").split(".")[0] in ("jaxinv", "benchmarks")
    if level == 0 and ours and name.split(".")[0] in MISSING:
        raise ImportError(f"{name} is not there")
    return found(name, globals, locals, fromlist, level)
builtins.__import__ = importing
from jaxinv import augment, data, layers, metrics, models, training
from benchmarks import accelerator
"""


def in_a_process(code, *argv):
    return subprocess.run(
        [sys.executable, "-c", BARE + textwrap.dedent(code), *argv],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_runs_where_little_is_installed(tmp_path):
    # The watching process leaves the device alone.
    code = """
    import jax
    jax.config.update("jax_num_cpu_devices", 2)  # JAX refuses that once it has devices
    sys.exit(accelerator.main(sys.argv[1:]))
    """
    argv = ["--dry-run", "--out", str(tmp_path), "--only", "speed-lenet-circular-pooled-default"]
    ended = in_a_process(code, *argv)
    assert ended.returncode == 0, ended.stderr
    (found,) = json.loads((tmp_path / "dry-run.json").read_text())["rows"].values()
    assert found["status"] == "done"
    assert found["case"]["pytorch"] == "not measured"


@pytest.mark.slow
def test_a_row_that_hangs_is_ended(tmp_path):
    code = """
    import time
    from pathlib import Path
    accelerator.LEAST_PATIENCE = 1.0
    hang = accelerator.Row("hang", "", 0.0, lambda conditions: time.sleep(100))
    accelerator.ROWS = (hang,)
    given = accelerator.Options(Path(sys.argv[1]), ("hang",), True, time.monotonic() + 480)
    accelerator.measure_here(given, guarded=True)
    """
    ended = in_a_process(code, str(tmp_path))
    assert ended.returncode == 1
    assert "time.sleep" in ended.stderr or "Timeout" in ended.stderr
    assert (
        json.loads((tmp_path / "dry-run.json").read_text())["rows"]["hang"]["status"] == "started"
    )


@pytest.mark.slow
def test_processes_of_their_own(tmp_path):
    names = ("exactness-lenet-circular-dense-default", "memory-lenet-circular-dense")
    deadline = time.monotonic() + 480
    found = accelerator.supervise(accelerator.Options(tmp_path, names, True, deadline))
    assert [found["rows"][name]["status"] for name in names] == ["done", "done"]
