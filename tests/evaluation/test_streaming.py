"""Evaluations whose images and results are not held in memory: the numbers stay."""

import dataclasses
import gc
import json
import tempfile

import numpy as np
import pytest

from jaxinv import data
from jaxinv.evaluation import summary
from jaxinv.evaluation.audit import AuditPlan, audit_network
from jaxinv.evaluation.seeds import seeds_rows
from jaxinv.evaluation.sweep import BYTES, IMAGES, Interrupted, SweepOptions, sweep
from jaxinv.report.cli import main

FIGURES = (
    summary.figures_of,
    summary.curve_of,
    summary.radial_of,
    summary.flips_of,
    summary.worst_shift_of,
)


@pytest.fixture
def many():
    """Thirty images of three classes, in memory and as a stream that counts what it reads."""
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (30, 8, 8, 1)).astype(np.uint8)
    labels = generator.integers(0, 3, 30).astype(np.int32)
    held = data.Dataset(images, labels, "noise", "test", 3, (0.0,), (1.0,))
    read = []

    def rows_of(rows):
        read.append(len(rows))
        return images[rows], labels[rows]

    streamed = data.Streamed(rows_of, range(30), (8, 8, 1), 3, name="noise", split="test")
    return held, streamed, read


def plain(value):
    """Dataclasses and arrays as numbers and lists of them."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def assert_close(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
    else:
        assert found == expected


@pytest.mark.parametrize("images_at_once", [0, 8, 29])
@pytest.mark.parametrize("kept", [True, False])
def test_results_in_files_are_those_in_memory(peak_subject, many, tmp_path, images_at_once, kept):
    held, streamed, _ = many
    directory = tmp_path / "shards" if kept else None
    options = SweepOptions(max_shift=1, batch=4)
    whole = sweep(peak_subject.apply, held, options=options)
    memory = images_at_once * 9 * BYTES
    stored = dataclasses.replace(options, memory=memory)
    found = sweep(peak_subject.apply, streamed, options=stored, directory=directory)
    sizes = [part.count for part in found.parts()]
    assert sizes == {0: [4] * 7 + [2], 8: [8, 8, 8, 6], 29: [28, 2]}[images_at_once]
    for figures in FIGURES:
        assert_close(plain(figures(found)), plain(figures(whole)))
    maps, expected = summary.maps_of(found), summary.maps_of(whole)
    for name in expected:
        assert maps[name].dtype == expected[name].dtype
        np.testing.assert_allclose(maps[name], expected[name], rtol=1e-6, atol=1e-7)
    assert isinstance(maps["predictions"], np.memmap)
    assert summary.compare(("a", "b"), found, whole)[0]["only_first"] == 0
    for name in (*IMAGES, "labels"):  # read whole for those who ask
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_files_that_nobody_finds_again_are_gone(peak_subject, many, tmp_path, monkeypatch):
    _, streamed, _ = many
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = SweepOptions(max_shift=1, batch=4, memory=0)
    found = sweep(peak_subject.apply, streamed, options=options)
    maps = summary.maps_of(found)
    assert len(list(tmp_path.iterdir())) == 2
    del found, maps
    gc.collect()
    assert list(tmp_path.iterdir()) == []

    def fails(images):
        return np.nan * peak_subject.apply(images)

    with pytest.raises(ValueError, match="outputs are NaN"):
        sweep(fails, streamed, options=options)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_stream_has_what_was_finished(peak_subject, many, tmp_path):
    _, streamed, read = many
    done = []

    def stop(images):
        done.append(images)
        if len(done) == 3:
            raise KeyboardInterrupt

    options = SweepOptions(max_shift=1, batch=4, memory=0)
    with pytest.raises(Interrupted) as stopped:
        sweep(peak_subject.apply, streamed, options=options, directory=tmp_path, progress=stop)
    assert stopped.value.sweep.count == 12
    assert len(list(stopped.value.sweep.parts())) == 3
    summary.figures_of(stopped.value.sweep)
    del read[:]
    sweep(peak_subject.apply, streamed, options=options, directory=tmp_path)
    assert max(read) == 4
    assert len(list(tmp_path.rglob("*.npz"))) == 8


def test_an_audit_of_a_stream(make_subject, many):
    held, streamed, read = many
    subject = make_subject("gap")
    names = ("all-shifts", "zhang2019")
    plan = AuditPlan(SweepOptions(batch=8), protocols=names)
    stored = dataclasses.replace(plan, options=dataclasses.replace(plan.options, memory=0))
    whole, found = (
        audit_network(subject, held, plan=plan),
        audit_network(subject, streamed, plan=stored),
    )
    assert max(read) <= 30
    assert len(found.pictures) == len(whole.pictures)
    for pair, expected in zip(found.pictures, whole.pictures, strict=True):
        np.testing.assert_array_equal(pair, expected)
    assert_close(plain(found.result), plain(whole.result))
    of_a_run = [
        dataclasses.replace(made, result=dataclasses.replace(made.result, run="run"))
        for made in (whole, found)
    ]
    assert_close(plain(seeds_rows(of_a_run[::-1])), plain(seeds_rows(of_a_run)))


NETWORK = """
import jax.numpy as jnp

def columns(images):
    return jnp.stack([images[:, :, i::3].sum((1, 2, 3)) for i in range(3)], -1)
"""


def test_the_command_with_and_without_memory(many, tmp_path, monkeypatch, capsys):
    held, _, _ = many
    (tmp_path / "streamed_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    np.savez(tmp_path / "noise.npz", x_test=held.images, y_test=held.labels)
    given = ["--apply", "streamed_network:columns", "--dataset", str(tmp_path / "noise.npz")]
    given += ["--max-shift", "1", "--batch", "8", "--no-certify", "--no-layers"]
    found = []
    for memory in ("32MiB", "0"):
        out = tmp_path / memory
        assert main([*given, "--memory", memory, "--out", str(out)]) == 0
        results = json.loads((out / "results.json").read_text())
        maps = np.load(out / "maps.npz")
        found.append((results | {"run": None}, {name: maps[name].tolist() for name in maps.files}))
    assert_close(found[1], found[0])
    assert main([*given, "--memory", "much", "--out", str(tmp_path / "out")]) == 1
    assert "memory is 'much'; allowed are numbers of bytes" in capsys.readouterr().err


def test_images_without_classes_are_held_to_what_a_network_says_of_them(
    many, tmp_path, monkeypatch
):
    from PIL import Image

    held, _, _ = many
    (tmp_path / "streamed_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(held.images[:5, ..., 0]):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{number}.png")
    given = ["--apply", "streamed_network:columns", "--dataset", str(tmp_path / "pictures")]
    given += ["--split", "train", "--no-certify", "--no-layers"]
    found = []
    for memory in ("32MiB", "0"):
        out = tmp_path / memory
        assert main([*given, "--memory", memory, "--out", str(out)]) == 0
        (network,) = json.loads((out / "results.json").read_text())["networks"]
        found.append(network["figures"])
    assert_close(found[1], found[0])
    assert "centred" not in found[0]
    # By definition: the share of shifts at which a network says what it says of the unshifted.
    images = held.images[:5] / 255
    said = np.array(
        [
            np.stack([np.roll(images, t, (1, 2))[:, :, i::3].sum((1, 2, 3)) for i in range(3)])
            for t in np.ndindex(8, 8)
        ]
    ).argmax(1)
    assert found[0]["mean"]["value"] == pytest.approx((said == said[0]).mean(), abs=1e-6)
