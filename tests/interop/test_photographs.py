"""Photographs seen by a PyTorch network: the command, and PyTorch with torchvision alone."""

import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxinv.commands import main as jaxinv_command
from jaxinv.report.cli import main as evaluate
from tests.data.photos import write
from tests.interop.torch_networks import Edges
from tests.interop.torch_or_skip import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-networks.md"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE = ["--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
# The shorter side, the crop, the interpolation, and how the command is told.
FRAMINGS = {
    "imagenet": (256, 224, "bilinear", ["--preprocess", "imagenet"]),
    "half": (128, 112, "bilinear", ["--size", "128", "--crop", "112", *SCALE]),
    "cubic": (
        *(120, 112, "bicubic"),
        ["--size", "120", "--crop", "112", "--interpolation", "bicubic", *SCALE],
    ),
}


@functools.cache
def resized(file, size, interpolation):
    """A photograph after torchvision's Resize."""
    transforms = pytest.importorskip("torchvision", reason="it shows photographs").transforms
    method = transforms.InterpolationMode(interpolation)
    return transforms.Resize(size, method)(Image.open(file).convert("RGB"))


def shown(file, size, crop, interpolation, offset=(0, 0)):
    """What torchvision's evaluation shows of a photograph, the window moved by an offset."""
    from torchvision.transforms import functional

    picture = resized(file, size, interpolation)
    if offset == (0, 0):
        picture = functional.center_crop(picture, crop)
    else:
        starts = [round((n - crop) / 2) for n in (picture.height, picture.width)]
        top, left = (start + by for start, by in zip(starts, offset, strict=True))
        picture = functional.crop(picture, top, left, crop, crop)
    return functional.normalize(functional.to_tensor(picture), MEAN, STD)


def balanced(images):
    """A network with random weights that gives each class to some of the images."""
    torch.manual_seed(0)
    module = Edges().eval()
    with torch.no_grad():
        module.fc.weight /= module(images).std(0)[:, None]
        module.fc.bias.zero_()
        module.fc.bias -= module(images).mean(0)
    return module


def held_to_torch(folder, count, max_shift, framing):
    """The command's predictions and PyTorch's, each (shifts, shifts, photographs)."""
    files = write(folder / "photos", [(300, 400), (375, 281)] * (count // 2), kinds=("a", "b", "c"))
    size, crop, interpolation, told = FRAMINGS[framing]

    def batch(files, *offset):
        return torch.stack([shown(file, size, crop, interpolation, *offset) for file in files])

    module = balanced(batch(files[:60]))
    torch.save(module.state_dict(), folder / "weights.pt")
    words = ["--torch", "tests.interop.torch_networks:Edges", "--params", "weights.pt"]
    words += ["--images", "photos", *told, "--mode", "crop", "--max-shift", str(max_shift)]
    assert evaluate([*words, "--out", "out", "--no-layers", "--no-certify", "--no-share"]) == 0
    with np.load(folder / "out" / "maps.npz") as maps:
        found = maps["tests.interop.torch_networks:Edges/predictions"]
    # A shift moves the content, the window the other way.
    steps = range(max_shift, -max_shift - 1, -1)
    with torch.no_grad():
        plain = [
            [module(batch(files, (down, right))).argmax(1) for right in steps] for down in steps
        ]
    return found, np.array(plain)


@pytest.mark.usefixtures("settings_stay")
@pytest.mark.parametrize(
    ("count", "max_shift", "framing"),
    [
        (12, 1, "half"),
        (12, 1, "cubic"),
        pytest.param(300, 0, "imagenet", marks=pytest.mark.slow),
        pytest.param(300, 2, "half", marks=pytest.mark.slow),
    ],
)
def test_predictions_are_those_of_torchvision_and_a_loop(
    count, max_shift, framing, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXINV_CACHE", str(tmp_path / "cache"))
    found, plain = held_to_torch(tmp_path, count, max_shift, framing)
    assert found.shape == plain.shape == (2 * max_shift + 1, 2 * max_shift + 1, count)
    assert len(np.unique(plain)) >= 4
    assert max_shift == 0 or (plain != plain[max_shift, max_shift]).any()
    assert (found == plain)[max_shift, max_shift].mean() >= 0.995
    assert (found == plain).mean() >= 0.995


@pytest.mark.slow
@pytest.mark.usefixtures("settings_stay")
def test_the_pages_commands_go_from_photographs_to_a_report(tmp_path, monkeypatch, capsys):
    models = pytest.importorskip("torchvision", reason="the page's network is torchvision's").models
    section = PAGE.read_text().split("## Photographs\n")[1]
    torch.save(models.mobilenet_v3_small(weights=None).state_dict(), tmp_path / "weights.pt")
    write(tmp_path / "photographs", [(300, 400), (375, 281)], kinds=("n2", "n1"))
    lines = [f"n{number} kind {number}" for number in range(1000)]
    (tmp_path / "classes.txt").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXINV_CACHE", str(tmp_path / "cache"))
    for command in re.findall(r"^jaxinv (.*)", section, re.MULTILINE):
        assert jaxinv_command(command.split()) == 0
    assert re.search(r"^features.0.0 +mobilenetv3.py:", capsys.readouterr().out, re.MULTILINE)
    results = json.loads((tmp_path / "runs/mobilenet/results.json").read_text())
    assert (results["dataset"]["images"], results["dataset"]["classes"]) == (2, 1000)
    assert (tmp_path / "runs/mobilenet/report.html").exists()
