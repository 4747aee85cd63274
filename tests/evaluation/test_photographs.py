"""Folders of photographs from the command line: what the network sees at each shift."""

import json
import re

import numpy as np
import pytest

from jaxinv import data
from jaxinv.evaluation.protocols import run_protocol
from jaxinv.evaluation.subject import of_function
from jaxinv.report.cli import main
from tests.data.photos import photograph, write

SIZES = [(30, 40), (50, 36), (33, 33), (41, 70), (60, 31)]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
FRAMED = ("--size", "24", "--crop", "16")

NETWORKS = """
import jax.numpy as jnp
import numpy as np

kernel = np.random.default_rng(0).normal(size=(16 * 16 * 3, 4)).astype(np.float32)

def places(images):
    return images.reshape(len(images), -1) @ kernel

def grey(images):
    assert images.shape[-1] == 1
    return places(jnp.repeat(images, 3, -1))

def ten(images):
    return images.reshape(len(images), -1)[:, :10]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with networks and photographs of two classes, one of them damaged."""
    (tmp_path / "photo_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXINV_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "photos", SIZES)
    (tmp_path / "photos" / "bee" / "cut.jpg").write_bytes(b"no picture")
    return tmp_path


def evaluate(*words):
    return main(["--out", "out", "--no-certify", "--no-layers", *words])


def results_of(folder):
    return json.loads((folder / "out" / "results.json").read_text())


def brute_force(files, max_shift):
    """What the network says of each photograph at each shift, cut out one by one."""
    import photo_networks

    shifts = range(-max_shift, max_shift + 1)
    said = np.empty((len(shifts), len(shifts), len(files)), int)
    for number, file in enumerate(files):
        larger = data.read_photograph(file, size=24, crop=16, margin=max_shift)
        for i, down in enumerate(shifts):
            for j, right in enumerate(shifts):
                top, left = max_shift - down, max_shift - right
                window = larger[top : top + 16, left : left + 16].astype(np.float32)
                window = (window / 255 - np.float32(MEAN)) / np.float32(STD)
                said[i, j, number] = photo_networks.places(window[None]).argmax()
    return said


@pytest.mark.usefixtures("settings_stay")
@pytest.mark.parametrize("memory", ["1GiB", "6kB"])
def test_shifts_read_the_photographs_beyond_the_crop(own, memory, capsys):
    scale = ["--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
    words = ["--apply", "photo_networks:places", "--images", "photos", *FRAMED, *scale]
    assert evaluate(*words, "--mode", "crop", "--max-shift", "3", "--memory", memory) == 0
    said = capsys.readouterr()
    with np.load(own / "out" / "maps.npz") as maps:
        found = maps["photo_networks:places/predictions"]
    files = [file for file in sorted((own / "photos").rglob("*.jpg")) if file.name != "cut.jpg"]
    np.testing.assert_array_equal(found, brute_force(files, 3))
    dataset = results_of(own)["dataset"]
    assert (dataset["images"], dataset["classes"]) == (5, 2)
    assert dataset["class_names"] == ["ant", "bee"]
    page = (own / "out" / "report.html").read_text()
    assert re.search(r"image \d+, a (ant|bee): (ant|bee) becomes (ant|bee|2|3) at", page)
    assert re.match("bee/cut.jpg: cannot be read as a picture", dataset["left_out"][0])
    (network,) = results_of(own)["networks"]
    assert network["origin"]["mean"] == list(MEAN)
    assert "1 that cannot be read left out" in " ".join(said.out.split())
    assert "has 4 outputs; the classes of photos (2) are taken" in said.err


@pytest.mark.usefixtures("settings_stay")
def test_without_classes_all_is_reported_that_needs_none(own):
    (own / "flat").mkdir()
    for number, size in enumerate(SIZES):
        photograph(number, *size).save(own / "flat" / f"{number}.png")
    words = ["--apply", "photo_networks:grey", "--images", "flat", "--grey", *FRAMED]
    assert evaluate(*words, "--max-shift", "2", "--split", "all[:4]") == 0
    results = results_of(own)
    (network,) = results["networks"]
    assert results["dataset"]["images"] == 4
    assert "centred" not in network["figures"]
    assert 0 < network["figures"]["consistency"]["value"] < 1
    assert network["curve"]["consistency"][0] == 1
    assert network["flips"]
    assert max(network["radial"]["sensitivity"]) > 0


@pytest.mark.usefixtures("settings_stay")
def test_other_data_sets_are_resized_and_cropped_too(own):
    words = ["--apply", "photo_networks:ten", "--dataset", "digits", "--images", "3", *FRAMED]
    assert evaluate(*words, "--max-shift", "1", "--mode", "crop") == 0
    assert results_of(own)["dataset"]["shape"] == [18, 18, 1]


WRONG = [
    (["--images", "nowhere"], "nowhere is no folder"),
    (["--images", "photos"], "differ in size"),
    (["--images", "photos", *FRAMED, "--strict"], "1 of 6 photographs cannot be read"),
    (["--images", "photos", "--dataset", "digits"], "name two sources; allowed is one"),
    (
        ["--images", "photos", *FRAMED, "--mode", "crop", "--max-shift", "5"],
        "shifts of 5 pixels read beyond",
    ),
    (["--images", "photos", *FRAMED, "--classes", "no.txt"], "classes no.txt cannot be read"),
    (["--images", "photos", "--size", "big"], "size is 'big'; allowed are numbers such as 256 or"),
    (["--images", "photos", "--size", "0"], "size is 0; allowed are whole numbers from 1"),
    (["--images", "photos", *FRAMED, "--mean", "0.5"], "mean and std belong together"),
    (["--images", "photos", *FRAMED, "--mean", "0.5,1", "--std", "1"], "mean and std need one"),
    (["--images", "photos", *FRAMED, "--mean", "0", "--std", "0"], "std positive"),
    (["--images", "photos", *FRAMED, "--mean", "0,0", "--std", "1,1"], "each of the 3 channels"),
    (["--images", "photos", "--preprocess", "cifar"], "preprocess"),
    (["--images", "photos", "--interpolation", "bicubic"], "bicubic needs a size to resize to"),
    (["--strict"], "strict is for images that name a folder of photographs"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_options_are_told_in_one_line(own, words, message, capsys):
    assert evaluate("--apply", "photo_networks:places", *words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error


OF_NETWORKS = [
    (["--images", "photos"], "images names a folder, which needs a checkpoint, apply or torch"),
    (["--size", "24"], "size needs a checkpoint or apply"),
    (["--preprocess", "imagenet"], "preprocess needs a checkpoint or apply"),
    (["--grey"], "grey needs a checkpoint or apply"),
]


@pytest.mark.parametrize(("words", "message"), OF_NETWORKS)
def test_options_that_need_a_network(words, message, capsys):
    assert evaluate(*words) == 1
    assert message in capsys.readouterr().err


def test_protocols_on_crops_read_the_photograph_beyond(own):
    """Zhang's consistency is that of all pairs of windows; the last offset is never drawn."""
    margin = 2
    source = data.photographs("photos", size=24, crop=16, margin=margin)
    subject = of_function("photo_networks:places", None)
    found = run_protocol("zhang2019", subject, source, margin=margin)
    files = [file for file in sorted((own / "photos").rglob("*.jpg")) if file.name != "cut.jpg"]
    import photo_networks

    agree = []
    for file in files:
        larger = data.read_photograph(file, size=24, crop=16, margin=margin) / np.float32(255)
        places = [(top, left) for top in range(4) for left in range(4)]
        windows = np.stack([larger[t : t + 16, left : left + 16] for t, left in places])
        said = photo_networks.places(windows).argmax(-1)
        agree.append((said[:, None] == said).mean())
    assert found["crop_consistency_exact"].value == pytest.approx(np.mean(agree), abs=1e-6)
    assert np.mean(agree) < 1
