"""Audits of networks with real-valued maps: every figure against a loop over all shifts."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxinv
from jaxinv.data import Dataset
from jaxinv.evaluation.sweep import Interrupted, SweepOptions
from jaxinv.evaluation.values import ValueSweep, value_sweep
from jaxinv.metrics import maps
from jaxinv.report.cli import main
from jaxinv.report.terminal import console_for, show

RNG = np.random.default_rng(0)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 1, 2)).astype(np.float32))
IMAGES = RNG.random((4, 6, 8, 1)).astype(np.float32)
TARGETS = RNG.normal(size=(4, 6, 8, 2)).astype(np.float32)
SHIFTS = list(np.ndindex(6, 8))


def network(x):
    """Changes with the shift: two by two positions have one value."""
    y = jax.lax.conv_general_dilated(
        jnp.float32(x), KERNEL, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.repeat(jnp.repeat(y, 2, axis=1), 2, axis=2)


def upscaled(x):
    """Twice as many positions, which never change."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def outputs():
    """The outputs at every shift, moved back, by definition."""
    return np.array(
        [np.roll(network(np.roll(IMAGES, t, (1, 2))), (-t[0], -t[1]), (1, 2)) for t in SHIFTS]
    )


def decibels(squares, peak):
    return 10 * np.log10(peak**2 / squares)


@pytest.fixture(scope="module")
def found():
    return jaxinv.audit({"net": network}, IMAGES, targets=TARGETS, peak=2.0, layers=False, batch=3)


def test_figures_by_definition(found):
    said = outputs()
    change, error = said - said[0], said - TARGETS
    at = {
        "change": np.abs(change).mean((1, 2, 3, 4)),
        "squared_change": (change**2).mean((1, 2, 3, 4)),
        "error": np.abs(error).mean((1, 2, 3, 4)),
        "squared_error": (error**2).mean((1, 2, 3, 4)),
    }
    figures = {name: figure.value for name, figure in found.figures["net"].items()}
    expected = {
        "change": at["change"].mean(),
        "worst_change": at["change"].max(),
        "psnr": decibels(at["squared_change"].mean(), 2),
        "worst_psnr": decibels(at["squared_change"].max(), 2),
        "error": at["error"][0],
        "mean_error": at["error"].mean(),
        "worst_error": at["error"].max(),
        "squared_error": at["squared_error"][0],
        "target_psnr": decibels(at["squared_error"][0], 2),
        "worst_target_psnr": decibels(at["squared_error"].max(), 2),
    }
    assert figures.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-5, err_msg=name)
    arrays = found.maps["net"]
    for name, values in at.items():
        np.testing.assert_allclose(arrays[name].ravel(), values, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(arrays["deviation"], said.std(0)[:3], rtol=1e-4, atol=1e-6)
    aligned = jaxinv.orbit(network, align=True)(IMAGES)
    np.testing.assert_allclose(arrays["change"], maps.mean_absolute_change(aligned), atol=1e-6)
    np.testing.assert_allclose(arrays["psnr"], maps.psnr(aligned, peak=2.0), rtol=1e-5)
    assert np.isinf(arrays["psnr"][0, 0])
    np.testing.assert_allclose(
        arrays["target_psnr"].ravel(), decibels(at["squared_error"], 2), rtol=1e-5
    )
    (result,) = found.results.networks
    worst = SHIFTS.index(tuple(np.mod(result.worst_shift, (6, 8))))
    np.testing.assert_allclose(at["change"][worst], at["change"].max(), rtol=1e-5)
    assert result.curve["change"][0] == 0
    np.testing.assert_allclose(result.curve["error"][0], at["error"][0], rtol=1e-5)
    assert figures["change"] == pytest.approx(found.figures["net"]["change"].value)
    low, high = found.figures["net"]["change"].low, found.figures["net"]["change"].high
    assert low < figures["change"] < high


def test_what_is_shown_speaks_of_values_alone(found, tmp_path, capsys):
    written = [path.name for path in found.save(tmp_path)]
    assert {"report.html", "curve.png", "networks.csv"} <= set(written)
    assert not {"accuracy.png", "confidence.png"} & set(written)
    page = (tmp_path / "report.html").read_text()
    assert "Where the output flickers" in page
    assert "deviation" in page
    show(found.results, console_for())
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 100
    assert "changes by" in found.results.headline
    assert "Proved" in found.results.headline
    seen = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    for text in (seen, table):
        for word in ("accuracy", "IoU", "class", "right on", "consistent", "predict"):
            assert word not in text, word
    assert (found.results.values, found.results.maps) == (True, False)


def test_what_is_drawn(found):
    (axes,) = found.plot("curve")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), found.results.networks[0].curve["change"])
    for quantity in ("accuracy", "confidence"):
        with pytest.raises(ValueError, match=f"outputs are values, without {quantity}"):
            found.plot(quantity)


def test_pictures_show_the_worst_shift_of_each_image(found):
    said = outputs()
    change = np.abs(said - said[0]).mean((2, 3, 4))
    shown = found.networks[0].map_pictures
    assert len(shown) == 3
    for picture in shown:
        at = SHIFTS.index(tuple(np.mod(picture.shift, (6, 8))))
        np.testing.assert_allclose(change[at, picture.index], change[:, picture.index].max())
        np.testing.assert_allclose(picture.after, said[at, picture.index], atol=1e-6)
        np.testing.assert_allclose(picture.before, said[0, picture.index], atol=1e-6)


@pytest.mark.parametrize("mode", ["wrap", "crop", "constant"])
def test_more_positions_than_pixels(mode):
    images = RNG.random((2, 9, 9, 1)).astype(np.float32)
    targets = np.asarray(upscaled(images)) + 0.5
    options = {} if mode == "wrap" else {"mode": mode, "max_shift": 1}
    got = jaxinv.audit(upscaled, images, targets=targets, layers=False, certify=False, **options)
    figures = {name: figure.value for name, figure in got.figures["upscaled"].items()}
    assert figures["worst_change"] == 0
    assert figures["worst_psnr"] == np.inf
    np.testing.assert_allclose([figures["error"], figures["worst_error"]], 0.5, rtol=1e-6)


def test_without_targets_the_change_alone_is_measured():
    got = jaxinv.audit({"net": network}, IMAGES, outputs="values", layers=False, certify=False)
    assert got.figures["net"].keys() == {"change", "worst_change", "psnr", "worst_psnr"}
    change = np.abs(outputs() - outputs()[0]).mean()
    np.testing.assert_allclose(got.figures["net"]["change"].value, change, rtol=1e-5)
    assert "error" not in str(got)
    steady = jaxinv.audit(
        {"a": network, "b": lambda x: 2 * x}, IMAGES, outputs="values", layers=False, certify=False
    )
    assert steady.results.headline.startswith("Of 2 networks, the output of b changes least")


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path):
    calls = []

    def stop_at_second(images):
        calls.append(images)
        if len(calls) == 2:
            raise KeyboardInterrupt

    pairs = Dataset(IMAGES, TARGETS, "pairs", "test", 0, (0.0,), (1.0,))
    options = SweepOptions(batch=1)
    with pytest.raises(Interrupted) as stopped:
        value_sweep(network, pairs, options=options, directory=tmp_path, progress=stop_at_second)
    assert stopped.value.sweep.count == 2
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(shards) == 2
    found = value_sweep(network, pairs, options=options, directory=tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in shards.items())
    whole = value_sweep(network, pairs, options=options)
    assert len(found.first) == 3
    for field in dataclasses.fields(ValueSweep):
        one, other = (getattr(sweep, field.name) for sweep in (found, whole))
        jax.tree.map(np.testing.assert_array_equal, one, other)
    value_sweep(network, pairs, options=options, directory=tmp_path, labelled=False)
    assert len(list(tmp_path.rglob("*.npz"))) == 8


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder ./pairs of pictures and targets twice their size, and networks on them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "networks_of_values.py").write_text(
        "import jax.numpy as jnp\n"
        "def upscaled(x):\n"
        "    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)\n"
    )
    images = RNG.integers(0, 256, (3, 6, 8)).astype(np.uint8)
    targets = 255 - images.repeat(2, axis=1).repeat(2, axis=2)
    for part, arrays in (("images", images), ("targets", targets)):
        (tmp_path / "pairs" / "test" / part).mkdir(parents=True)
        for number, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / "pairs" / "test" / part / f"{number}.png")
    return images


def figures_in(out):
    (network,) = json.loads((out / "results.json").read_text())["networks"]
    return {name: figure["value"] for name, figure in network["figures"].items()}


def test_evaluate_reads_targets_from_a_folder(pictures, tmp_path, capsys):
    options = ["--apply", "networks_of_values:upscaled", "--no-layers", "--max-shift", "1"]
    assert main([*options, "--dataset", "./pairs", "--out", str(tmp_path / "out")]) == 0
    assert "worst change" in capsys.readouterr().out
    figures = figures_in(tmp_path / "out")
    error = np.abs(pictures / 255 - (255 - pictures) / 255).mean()
    np.testing.assert_allclose(figures["error"], error, rtol=1e-5)
    assert figures["worst_change"] == 0
    assert figures["psnr"] is None  # infinite
    assert list((tmp_path / "out" / "shards").rglob("0*.npz"))
    assert main([*options, "--dataset", "./pairs", "--outputs", "classes"]) == 1
    assert "targets are values; give labels" in capsys.readouterr().err
    # Of a data set without targets the change alone.
    digits = ["--images", "2", "--outputs", "values", "--out", str(tmp_path / "digits")]
    assert main([*options, *digits]) == 0
    assert figures_in(tmp_path / "digits").keys() == {
        "change",
        "worst_change",
        "psnr",
        "worst_psnr",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": TARGETS, "labels": np.zeros(4, int)}, "allowed is one of them"),
        ({"targets": TARGETS, "outputs": "classes"}, "targets are values; give labels"),
        ({"labels": np.zeros(4, int), "outputs": "values"}, "labels are classes; give targets"),
        ({"outputs": "depth"}, "outputs is 'depth'; allowed are 'classes' and 'values'"),
        ({"targets": TARGETS[:3]}, "maps for each of the 4 images"),
        ({"targets": (TARGETS * 9).astype(int)}, "needed are real numbers"),
        ({"targets": TARGETS[..., :1]}, r"targets have shape \(6, 8, 1\)"),
        ({"targets": TARGETS[:, :3]}, r"targets have shape \(3, 8, 2\)"),
        ({"targets": TARGETS, "peak": 0}, "peak is 0"),
        ({"peak": 2.0}, "peak is 2.0; it is for outputs that are values"),
        ({"targets": TARGETS, "protocols": "zhang2019"}, "needs a class for each image"),
        ({"targets": TARGETS, "networks": lambda x: x.mean((1, 2))}, "values are maps"),
        ({"outputs": "values", "networks": lambda x: network(x) / 0}, "NaN, infinite"),
        ({"outputs": "values", "networks": lambda x: jnp.cumsum(x, 1)}, "not proved to move"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    given = {"networks": network, "images": IMAGES, "layers": False, "certify": False} | options
    with pytest.raises(ValueError, match=message):
        jaxinv.audit(**given)
