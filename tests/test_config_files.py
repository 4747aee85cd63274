"""Options from a file: each program reads them, and its command line changes them."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from jaxinv.certificate import cli as certify
from jaxinv.report import cli as evaluate
from jaxinv.training import cli as train
from jaxinv.training.config import TrainConfig
from jaxinv.training.presets import preset
from jaxinv.training.workdir import DataInfo, write_run

NETWORK = "import jax.numpy as jnp\ndef mean(x):\n    return x[:, ::2].mean((1, 2))\n"


@pytest.fixture
def written(tmp_path):
    """Writes a file and returns the words that name it."""

    def write(text, name="run.toml"):
        path = tmp_path / name
        path.write_text(text)
        return ["--config", str(path)]

    return write


def test_evaluate_reads_options_and_the_command_line_wins(written):
    config = written("""
checkpoint = ["a", "b"]
max-shift = 3
mode = "edge"
layers = false
certify = true
protocol = ["zhang2019"]
""")
    arguments = evaluate.parse([*config, "--max-shift", "5", "--protocol=all"])
    assert arguments == evaluate.Arguments(
        checkpoint=(Path("a"), Path("b")),
        max_shift=5,
        mode="edge",
        layers=False,
        protocol=("zhang2019", "all"),
    )


def test_certify_reads_options(written, tmp_path, monkeypatch, capsys):
    (tmp_path / "configured_net.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = written(
        'network = "configured_net:mean"\nshape = [1, 8, 6, 3]\naxes = [1, 2]\n'
        'expect = "invariant to multiples of (2, 1)"\n'
    )
    assert certify.main(config) == 0
    assert "invariant to multiples of (2, 1)." in capsys.readouterr().out
    assert certify.main([*config, "--expect", "invariant to every shift"]) == 2


def test_train_reads_options_and_gives_a_runs_own_back(written, tmp_path):
    config = written("""
model = "resnet20"
augment = "translate"
max_shift = [2, 3]
learning_rate = 1
nesterov = true
momentum = 0.9
optimizer = "sgd"
workdir = "here"

[model_options]
padding = "CIRCULAR"
widths = [4, 8, 16]
""")
    arguments = train.parse([*config, "--seed", "7", "--head", "gap"])
    assert arguments.workdir == Path("here")
    run = arguments.config
    assert (run.model, run.max_shift, run.learning_rate, run.seed) == ("resnet20", (2, 3), 1.0, 7)
    assert run.model_options == {"padding": "CIRCULAR", "widths": (4, 8, 16), "head": "gap"}
    write_run(tmp_path, run, DataInfo(10, (0.0,), (1.0,), (8, 8, 1), 100))
    back = train.parse(["--config", str(tmp_path / "config.json")]).config
    assert back == run
    changed = train.parse(["--config", str(tmp_path / "config.json"), "--padding", "SAME"]).config
    assert changed.model_options["padding"] == "SAME"


def test_a_preset_in_a_file_is_changed_by_the_file(written):
    arguments = train.parse(written('preset = "simard2003-conv-affine"\nepochs = 3\n'))
    expected = dataclasses.replace(preset("simard2003-conv-affine"), epochs=3)
    assert arguments.config == expected
    assert train.parse(written("{}", "run.json")).config == TrainConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed = ", "cannot be read: Invalid"),
        ('sed = 3\nmode = "edge"', "config names 'sed'; allowed are checkpoint, "),
        ("[seed]\na = 1", "config gives seed the value {'a': 1}; allowed are words and numbers"),
        ("seed = 'three'", "seed"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(written, text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        evaluate.parse(written(text))


def test_home_is_found_in_a_file(written, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    file = written('workdir = "~/runs"\n')
    assert train.parse(file).workdir == Path("/home/somebody/runs")
    file = written('checkpoint = ["~/a", "b"]\nimages = 3\n')
    assert evaluate.parse(file).checkpoint == (Path("/home/somebody/a"), Path("b"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_shift = 2", "max_shift means nothing with --augment none; it needs translate"),
        ('data_dir = "here"', "data_dir means nothing with --dataset digits"),
        ('padding = "same"\n[model_options]\npadding = "SAME"', "'padding' is given twice"),
        ('data_dir = ""\ndataset = "mnist"', "data_dir is empty"),
        ('workdir = ""', "--workdir is empty"),
    ],
)
def test_what_a_file_cannot_mean_is_refused(written, text, says):
    with pytest.raises(ValueError, match=says):
        train.parse(written(text))


def test_wrong_use(written, tmp_path):
    with pytest.raises(ValueError, match=r"config .*missing\.toml cannot be read"):
        evaluate.parse(["--config", str(tmp_path / "missing.toml")])
    with pytest.raises(ValueError, match="config is the name of one file"):
        evaluate.parse(["--config"])
    with pytest.raises(ValueError, match="config is the name of one file"):
        evaluate.parse([*written(""), *written("")])
    with pytest.raises(ValueError, match="holds no options by name"):
        evaluate.parse(written(json.dumps([1]), "list.json"))
    with pytest.raises(
        ValueError, match=r"config names 'modle'; allowed are .*, model, .* workdir"
    ):
        train.parse(written('modle = "lenet"'))
    with pytest.raises(ValueError, match="leave out --config"):
        train.parse([*written("epochs = 3"), "--resume", "--workdir", str(tmp_path)])
