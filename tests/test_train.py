"""The program train.py: its command line, its errors, and being killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import numpy as np
import pytest

from jaxinv import training
from jaxinv.training import cli

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--model", "mlp", "--model-options", "dense=8,", "--train-split", "train[:96]"]
SMALL += ["--batch-size", "32"]


def test_trains_and_resumes_from_the_stored_settings(tmp_path, capsys):
    workdir = ["--workdir", str(tmp_path / "run")]
    assert cli.main([*SMALL, *workdir, "--epochs", "1"]) == 0
    assert "test accuracy" in capsys.readouterr().out
    assert cli.main([*workdir, "--resume", "--epochs", "2"]) == 0
    assert training.load_checkpoint(tmp_path / "run").step == 6
    assert training.load_checkpoint(tmp_path / "run").config.model_options == {"dense": (8,)}


def test_presets_with_any_value_overridden():
    arguments = cli.parse(["--preset", "simard2003-conv-elastic", "--alpha", "20"])
    assert arguments.config.model == "simard"
    assert (arguments.config.augment, arguments.config.alpha) == ("elastic", 20.0)
    assert arguments.workdir == Path("runs/simard2003-conv-elastic")
    assert cli.parse([]).workdir == Path("runs/digits-lenet-none")


def test_shared_options_of_networks_have_flags_in_capitals_or_not(capsys):
    flags = ["--padding", "circular", "--downsample", "APS", "--head", "gmp", "--norm", "layer"]
    arguments = cli.parse(["--model", "resnet20", "--activation", "gelu", *flags])
    assert arguments.config.model_options == {
        "padding": "CIRCULAR",
        "downsample": "aps",
        "head": "gmp",
        "activation": "gelu",
        "norm": "layer",
    }
    # They join the options given as words; one given twice is refused.
    words = ["--model-options", "blocks=1,1"]
    assert cli.parse([*words, "--padding", "Edge"]).config.model_options == {
        "blocks": (1, 1),
        "padding": "EDGE",
    }
    with pytest.raises(ValueError, match="padding"):
        cli.parse(["--model-options", "padding=SAME", "--padding", "Edge"])
    with pytest.raises(SystemExit):
        cli.parse(["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--downsample" in shown
    assert "stride, max, avg, blur, maxblur, aps, lps, ideal, none" in shown


def test_accuracies_of_seeds_come_with_their_spread(tmp_path, capsys, monkeypatch):
    class Result:
        metrics = {"test_accuracy": [0.9, 0.95, 1.0]}  # noqa: RUF012

    monkeypatch.setattr(cli, "train_and_evaluate", lambda *_, **__: Result)
    assert cli.main(["--seeds", "3", "--workdir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        "test accuracy 90.00%, 95.00%, 100.00% (mean 95.00%, standard deviation 5.00% over seeds); "
        f"{tmp_path}\n"
    )


def start(*argv, **environment):
    return subprocess.Popen(
        [sys.executable, "train.py", *SMALL, *argv],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def steps_in(workdir):
    return [int(p.name) for p in (workdir / "checkpoints" / "last").glob("*") if p.name.isdigit()]


@pytest.mark.slow
def test_killed_and_resumed_is_never_killed(tmp_path):
    """SIGKILL once steps are stored, then SIGINT, then to the end: bit for bit the plain run."""
    cut = tmp_path / "cut"
    options = ["--augment", "translate", "--epochs", "40"]
    whole = training.train_and_evaluate(
        cli.parse([*SMALL, *options]).config, tmp_path / "whole", show=False
    )
    process = start(*options, "--workdir", str(cut))
    wait_for(lambda: max(steps_in(cut), default=0) >= 6, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed_at = training.load_checkpoint(cut, which="last").step
    assert 6 <= killed_at < whole.step, "killed too late to show anything"
    process = start(*options, "--workdir", str(cut), "--resume")
    wait_for(lambda: max(steps_in(cut), default=0) > killed_at, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "--resume continues from there" in output
    assert "Traceback" not in output
    resumed = training.train_and_evaluate(
        cli.parse([*SMALL, *options]).config, cut, resume=True, show=False
    )
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    assert [r["step"] for r in resumed.history] == [r["step"] for r in whole.history]


EIGHT = """
import jax, numpy as np, sys
from jaxinv import training
assert len(jax.local_devices()) == 8
config = training.TrainConfig(
    model="simard", train_split="train[:128]", test_split="test[:100]", batch_size=32, epochs=2,
    # a ReLU's gradient jumps at 0, where rounding then decides
    augment="elastic+translate", accumulate=2, ema=0.5, model_options={"activation": "tanh"},
)
result = training.train_and_evaluate(config, sys.argv[1], show=False)
kernel = result.variables["params"]["conv0"]["kernel"]
assert len(kernel.sharding.device_set) == 8, kernel.sharding
"""


@pytest.mark.slow
def test_eight_devices_give_the_numbers_of_one(tmp_path):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-c", EIGHT, str(tmp_path / "eight")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    eight = training.load_checkpoint(tmp_path / "eight")
    one = training.train_and_evaluate(eight.config, show=False)
    chex.assert_trees_all_close(eight.variables, one.variables, atol=2e-5)
    # and resumed on one device, it goes on where eight stopped
    more = training.TrainConfig.from_dict(eight.config.to_dict() | {"epochs": 3})
    resumed = training.train_and_evaluate(more, tmp_path / "eight", resume=True, show=False)
    assert resumed.step == 12
    assert np.isfinite(resumed.metrics["test_loss"])
