"""Photographs seen by a PyTorch network: the command, and PyTorch with torchvision alone."""

import numpy as np
import pytest
from PIL import Image

from jaxinv.report.cli import main as evaluate
from tests.data.photos import write
from tests.interop.torch_networks import Edges
from tests.interop.torch_or_skip import torch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def shown(file, offset=(0, 0)):
    """What torchvision's evaluation shows of a photograph, the window moved by an offset."""
    transforms = pytest.importorskip("torchvision", reason="it shows them").transforms
    functional = transforms.functional
    picture = functional.resize(Image.open(file).convert("RGB"), 256)
    if offset == (0, 0):
        picture = functional.center_crop(picture, 224)
    else:
        starts = [round((n - 224) / 2) for n in (picture.height, picture.width)]
        top, left = (start + by for start, by in zip(starts, offset, strict=True))
        picture = functional.crop(picture, top, left, 224, 224)
    return functional.normalize(functional.to_tensor(picture), MEAN, STD)


def balanced(files):
    """A network with random weights that gives each class to some of the photographs."""
    torch.manual_seed(0)
    module = Edges().eval()
    with torch.no_grad():
        said = module(torch.stack([shown(file) for file in files[:60]]))
        module.fc.weight /= said.std(0)[:, None]
        module.fc.bias.zero_()
        module.fc.bias -= module(torch.stack([shown(file) for file in files[:60]])).mean(0)
    return module


def held_to_torch(folder, count, max_shift):
    """The command's predictions and PyTorch's, each (shifts, shifts, photographs)."""
    files = write(folder / "photos", [(300, 400), (375, 281)] * (count // 2), kinds=("a", "b", "c"))
    module = balanced(files)
    torch.save(module.state_dict(), folder / "weights.pt")
    words = ["--torch", "tests.interop.torch_networks:Edges", "--params", "weights.pt"]
    words += ["--images", "photos", "--preprocess", "imagenet", "--mode", "crop"]
    assert evaluate([*words, "--max-shift", str(max_shift), "--out", "out", "--no-layers"]) == 0
    with np.load(folder / "out" / "maps.npz") as maps:
        found = maps["tests.interop.torch_networks:Edges/predictions"]
    # A shift moves the content, the window the other way.
    steps = range(max_shift, -max_shift - 1, -1)
    with torch.no_grad():
        plain = [
            [
                module(torch.stack([shown(file, (down, right)) for file in files])).argmax(1)
                for right in steps
            ]
            for down in steps
        ]
    return found, np.array(plain)


@pytest.mark.usefixtures("settings_stay")
@pytest.mark.parametrize(
    ("count", "max_shift"), [(12, 1), pytest.param(300, 2, marks=pytest.mark.slow)]
)
def test_predictions_are_those_of_torchvision_and_a_loop(count, max_shift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXINV_CACHE", str(tmp_path / "cache"))
    found, plain = held_to_torch(tmp_path, count, max_shift)
    assert found.shape == plain.shape == (2 * max_shift + 1, 2 * max_shift + 1, count)
    assert len(np.unique(plain)) >= 4
    assert (plain != plain[max_shift, max_shift]).any()
    assert (found == plain)[max_shift, max_shift].mean() >= 0.995
    assert (found == plain).mean() >= 0.995
