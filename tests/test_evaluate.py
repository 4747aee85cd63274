"""evaluate.py from its command line to its files, and its errors of one line."""

import csv
import dataclasses
import errno
import importlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxinv
from jaxinv.evaluation import audit as audit_module
from jaxinv.evaluation.audit import AuditPlan
from jaxinv.evaluation.loading import Networks, subjects_of
from jaxinv.evaluation.subject import of_function
from jaxinv.evaluation.sweep import sweep
from jaxinv.report.cli import main
from jaxinv.report.terminal import console_for
from jaxinv.study.arms import ARMS
from jaxinv.study.run import StudyConfig, networks_of, run_study
from jaxinv.study.trainings import Trainings
from jaxinv.training import TrainConfig, cli, load_checkpoint, train_and_evaluate

DOCUMENTED = Path(__file__).resolve().parent.parent / "docs" / "results.md"

NETWORKS = """
import flax.linen as nn
import jax.numpy as jnp
import numpy as np

def columns(params, images):
    return jnp.sum(images, axis=(1, 3)) @ params["weights"]["kernel"]

def mean(images):
    return jnp.mean(images, axis=(1, 2)) * jnp.arange(10.0)

def two_classes(images):
    return jnp.mean(images, axis=(1, 2)) * jnp.arange(2.0)

def of_28(images):
    return images.reshape(-1, 28 * 28) @ jnp.eye(28 * 28, 10)

def wants_colour(images):
    return jnp.mean(images, axis=(1, 2)) @ jnp.ones((3, 10))

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module with networks, a file of parameters, and a folder to write to."""
    (tmp_path / "own_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    kernel = np.random.default_rng(0).normal(size=(32, 10)).astype(np.float32)
    np.savez(tmp_path / "weights.npz", **{"weights/kernel": kernel})
    (tmp_path / "weights.txt").write_text("1 2 3")
    return tmp_path


def columns(own, *more):
    given = ["--apply", "own_networks:columns", "--params", str(own / "weights.npz")]
    return [*given, "--split", "test[:6]", "--max-shift", "1", "--out", str(own / "out"), *more]


def test_own_network_from_the_command_line_to_the_files(own, capsys):
    protocols = ["--protocol", "chaman2021", "--protocol", "adversarial"]
    assert main(columns(own, "--json", *protocols)) == 0
    said = capsys.readouterr()
    results = json.loads(said.out)
    assert results == json.loads((own / "out" / "results.json").read_text())
    assert "own_networks:columns is right on" in said.err
    assert (results["schema"], results["version"]) == ("jaxinv.results", 1)
    assert results["complete"] is True
    assert results["shifts"] == {"mode": "wrap", "max_shift": 1, "count": 9, "shape": [3, 3]}
    (network,) = results["networks"]
    assert network["parameters"] == 320
    # A sum over rows is read at fixed columns: every shift down is harmless, none to the right.
    assert network["certificate"]["verdict"].startswith("broken")
    assert network["certificate"]["outputs"][0]["period"] == [1, 32]
    assert set(network["protocols"]) == {"chaman2021", "adversarial"}
    with np.load(own / "out" / "maps.npz") as maps:
        accuracy = maps["own_networks:columns/accuracy"]
    assert accuracy.shape == (3, 3)
    np.testing.assert_allclose(accuracy, accuracy[:1].repeat(3, axis=0))
    assert network["figures"]["mean"]["value"] == pytest.approx(accuracy.mean())
    with (own / "out" / "networks.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["mean"]) == pytest.approx(accuracy.mean())
    names = {path.name for path in (own / "out").iterdir()}
    assert {"report.html", "accuracy.png", "confidence.png", "curve.png"} <= names


def keys_of(value, prefix=""):
    """Names of all fields but those of free dictionaries, as docs/results.md spells them."""
    found = set()
    for key, inner in value.items():
        found.add(prefix + key)
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            found |= keys_of(inner[0], f"{prefix}{key}[].")
    return found


def test_every_field_of_results_json_is_documented(own, capsys):
    assert main(columns(own, "--json")) == 0
    results = json.loads(capsys.readouterr().out)
    documented = set(re.findall(r"`([\w\[\].]+)`", DOCUMENTED.read_text()))
    assert keys_of(results) <= documented


def test_an_invariant_function_is_proved_and_measured_so(own, capsys):
    out = str(own / "out")
    given = ["--apply", "own_networks:mean", "--split", "test[:4]", "--max-shift", "1"]
    assert main([*given, "--out", out, "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert network["certificate"]["verdict"] == "invariant to every shift"
    assert network["certificate"]["first_break"] == ""
    assert network["figures"]["consistency"]["value"] == 1
    assert network["figures"]["invariance_error"]["value"] < 1e-5
    assert network["flips"] == []


def test_words_follow_the_set_of_shifts(own, capsys):
    assert main(columns(own, "--no-layers", "--no-certify")) == 0
    said = " ".join(capsys.readouterr().out.split())
    within = "the 9 circular shifts within 1 pixel"
    assert f"over {within}, and on" in said
    assert f"6 images, {within} of each" in said
    assert f"At {within}" in said
    written = (own / "out" / "report.html").read_text()
    assert written.count(within) >= 6
    results = (own / "out" / "results.json").read_text()
    for text in (said, written, results):
        assert not re.search(r"\b(all|any|every) (circular )?shifts?\b(?! of the set)", text)


def test_the_same_command_uses_what_is_there_and_an_edited_network_is_computed(own, capsys):
    factors = own / "factors.txt"
    factors.write_text("1 2 3 4 5 6 7 8 9 10")
    source = own / "edited_network.py"
    reading = "FACTORS = np.loadtxt({path!r}, dtype=np.float32)\n"
    code = "import numpy as np\nimport jax.numpy as jnp\n" + reading.format(path=str(factors))
    code += "def apply(x):\n    return jnp.mean(x[:, :{rows}], axis=(1, 2)) * FACTORS\n"
    options = {"max_shift": 1, "layers": False, "certify": False, "cache": own / "shards"}
    networks = Networks(apply="edited_network:apply", images=4)

    def run(rows):
        sys.modules.pop("edited_network", None)
        source.write_text(code.format(rows=rows))
        importlib.invalidate_caches()
        shutil.rmtree(own / "__pycache__", ignore_errors=True)
        (subject,), dataset = subjects_of(networks)
        (made,) = jaxinv.audit({"edited": subject}, dataset, **options).networks
        shards = {path: path.stat().st_mtime_ns for path in (own / "shards").rglob("*.npz")}
        return made.sweep.outputs, shards

    first, one = run(rows=32)
    again, two = run(rows=32)
    np.testing.assert_array_equal(again, first)
    assert two == one
    assert len(one) == 1
    edited, two = run(rows=16)
    assert (edited != first).any()
    assert len(two) == 2
    factors.write_text("10 9 8 7 6 5 4 3 2 1")
    other, three = run(rows=16)
    assert (other != edited).any()
    assert len(three) == 3


def test_modules_are_found_in_the_current_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "net.py").write_text(NETWORKS)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    assert of_function("inner.net:mean", None).name == "inner.net:mean"
    # A module that is imported when the network is called is found there too.
    assert str(tmp_path) in sys.path


def test_windows_are_what_a_network_of_fixed_size_sees(own, capsys):
    given = ["--apply", "own_networks:of_28", "--images", "3", "--mode", "crop", "--max-shift", "2"]
    assert main([*given, "--protocol", "chaman2021", "--out", str(own / "out"), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["shifts"]["count"] == 25
    assert results["networks"][0]["certificate"]["sizes"] == [28, 28]


def test_a_full_disk_names_the_path(own, monkeypatch, capsys):
    def full(path, **arrays):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    assert main(columns(own, "--no-layers", "--no-certify")) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"evaluate.py: error: \[Errno 28\] No space left on device: '\S+/out/shards/\S+npz'\n", said
    )


def test_ctrl_c_leaves_a_partial_report_and_the_same_command_goes_on(own, capsys, monkeypatch):
    def stopped_after_a_shard(*given, **options):
        def stop(images):
            raise KeyboardInterrupt

        return sweep(*given, **options | {"progress": stop})

    monkeypatch.setattr(audit_module, "sweep", stopped_after_a_shard)
    assert main(columns(own, "--batch", "2")) == 130
    said = capsys.readouterr()
    assert "partial: the evaluation was interrupted" in said.out
    assert ", 2 of 6 images, " in said.out
    assert re.search(r"evaluate.py: stopped; the partial report is \S+report.html", said.err)
    results = json.loads((own / "out" / "results.json").read_text())
    assert results["complete"] is False
    assert results["networks"][0]["figures"]["mean"]["count"] == 2
    assert "<strong>Partial.</strong>" in (own / "out" / "report.html").read_text()
    monkeypatch.undo()
    monkeypatch.syspath_prepend(own)
    assert main(columns(own, "--batch", "2")) == 0
    results = json.loads((own / "out" / "results.json").read_text())
    assert results["complete"] is True
    assert results["networks"][0]["figures"]["mean"]["count"] == 6


def test_a_folder_that_cannot_be_written_is_one_line(own, capsys):
    given = columns(own, "--no-certify", "--no-layers")
    given[given.index("--out") + 1] = str(own / "weights.txt" / "out")
    assert main(given) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("evaluate.py: error: ")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two small networks, trained a little."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model, options in (
        ("mlp", "mlp", {"dense": (16,)}),
        ("gap", "lenet", {"widths": ((4,),), "padding": "CIRCULAR", "head": "gap", "dense": ()}),
    ):
        config = TrainConfig(
            model=model, model_options=options, epochs=1, train_split="train[:128]"
        )
        train_and_evaluate(config, folder / name, show=False)
    return folder


def test_checkpoints_side_by_side(checkpoints, capsys, tmp_path):
    given = ["--checkpoint", str(checkpoints / "mlp"), "--checkpoint", str(checkpoints / "gap")]
    options = ["--split", "test[:8]", "--max-shift", "2", "--out", str(tmp_path / "out")]
    assert main([*given, *options]) == 0
    assert "Of 2 networks" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [network["name"] for network in results["networks"]] == ["mlp", "gap"]
    assert [pair["figure"] for pair in results["comparisons"]] == ["centred", "at every shift"]
    pooled = results["networks"][1]
    assert pooled["certificate"]["verdict"] == "invariant to multiples of (2, 2)"
    assert pooled["layers"][0]["layer"] == "conv0"
    assert pooled["figures"]["equivariance_error"]["value"] < 1e-5


@pytest.mark.slow
def test_adaptive_sampling_trained_by_name_is_consistent_and_proved_so(capsys, tmp_path):
    run, out = str(tmp_path / "run"), tmp_path / "out"
    network = ["--model", "resnet20", "--downsample", "aps", "--padding", "circular"]
    small = ["--model-options", "blocks=1,1", "width=4", "--train-split", "train[:64]"]
    assert cli.main([*network, *small, "--epochs", "1", "--workdir", run]) == 0
    given = ["--checkpoint", run, "--split", "test[:4]", "--no-layers", "--out", str(out)]
    assert main(given) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Proved: invariant to every shift (smallest tie margin 0." in said
    assert "100.0%" in said
    (result,) = json.loads((out / "results.json").read_text())["networks"]
    assert result["figures"]["consistency"]["value"] == 1
    assert result["certificate"]["assumptions"] == ["no two polyphase components tie in their norm"]
    assert 0 < result["certificate"]["tie_margin"] < 1


def test_checkpoint_of_other_images_is_refused(checkpoints, capsys, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    config = json.loads((checkpoints / "mlp" / "config.json").read_text())
    config["config"]["canvas"] = 40
    (damaged / "config.json").write_text(json.dumps(config))
    assert main(["--checkpoint", str(damaged), "--out", str(tmp_path / "out")]) == 1
    assert "damaged holds no checkpoint" in capsys.readouterr().err.replace("/checkpoints/last", "")


def test_the_study_reuses_what_it_trained(tmp_path):
    arms = tuple(arm for arm in ARMS if arm.name == "MLP")
    plan = AuditPlan(directory=tmp_path / "shards")
    config = StudyConfig(folder=tmp_path, epochs=1, images=8, arms=arms, map_arms=(), plan=plan)
    first, _ = run_study(config)
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second, audits = run_study(config)
    assert len(audits) == 1
    assert second.networks == first.networks
    kept = {"checkpoints", "shards"}
    results = {path: time for path, time in stored.items() if kept & set(path.parts)}
    assert len(results) >= 2
    assert all(path.stat().st_mtime_ns == time for path, time in results.items())
    assert first.headline == "Finished so far: MLP."
    with pytest.raises(ValueError, match="cannot be resumed"):
        run_study(dataclasses.replace(config, plan=dataclasses.replace(plan, seed=1)))


def test_leaving_the_study_stops_the_training_under_way_and_keeps_it(tmp_path):
    arms = tuple(arm for arm in ARMS if arm.name in ("MLP", "dense, pooled"))[::-1]
    config = StudyConfig(folder=tmp_path, epochs=20, images=8, arms=arms)
    with Trainings() as trainings:
        networks = networks_of(config, trainings)
        assert next(networks).name == "MLP"
        under_way = tmp_path / "networks" / "dense-pooled"
        while not (under_way / "config.json").exists():
            time.sleep(0.01)
    assert 0 < load_checkpoint(under_way).step < 20 * (1297 // 8)


def test_terminal_tables_fit_100_columns(own, capsys, tmp_path):
    assert main(columns(own, "--protocol", "adversarial")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-3])) <= 100
    assert console_for().width == 100
