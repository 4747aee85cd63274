"""Published CIFAR ResNets by both ways in: as a PyTorch module, and as this package's own."""

from pathlib import Path

import jax
import numpy as np
import pytest

import jaxinv
from jaxinv import data, metrics, models
from jaxinv.models.weights import read_state_dict
from jaxinv.shifts import translate
from tests.interop.torch_or_skip import nn, torch
from tests.sweeps import few

F = nn.functional
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = 20
SHIFTS = ((0, 0), (1, 0), (0, -1), (-2, 3))


class Block(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.stride = 1 if before == after else 2
        self.conv1 = nn.Conv2d(before, after, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.added = (after - before) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        thinned = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(thinned, (0, 0, 0, 0, self.added, self.added)))


class ResNet(nn.Module):
    """He et al. (2015), section 4.2, with the names of the published weights."""

    def __init__(self, blocks):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = (16, 16, 32, 64)
        for stage in (1, 2, 3):
            before, after = widths[stage - 1 : stage + 1]
            stages = [Block(before, after), *(Block(after, after) for _ in range(blocks - 1))]
            setattr(self, f"layer{stage}", nn.Sequential(*stages))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def test_images():
    if not (SHARED / "tfds" / "cifar10_partial").is_dir():
        pytest.skip("the CIFAR images are not in ../shared/data")
    test = data.load("cifar10_partial", split=f"test1k[:{IMAGES}]", data_dir=SHARED / "tfds")
    return data.normalise(test.images, mean=MEAN, std=STD), test.labels


@pytest.mark.parametrize("depth", few([20, 32, 56], 20))
def test_both_ways_in_give_the_same_figures(depth, test_images):
    files = list((SHARED / "weights").glob(f"resnet{depth}-*.npz"))
    if not files:
        pytest.skip(f"the weights of resnet{depth} are not in ../shared/data")
    images, labels = test_images
    state = {
        k.removeprefix("module."): torch.tensor(v) for k, v in read_state_dict(files[0]).items()
    }
    module = ResNet((depth - 2) // 6).eval()
    module.load_state_dict(state)
    params, converted = jaxinv.from_pytorch(module)
    model = models.create(f"resnet{depth}")
    variables = models.from_torch(files[0], model)

    moved = np.concatenate([translate(images, t, mode="constant") for t in SHIFTS])
    logits = [
        jax.jit(converted)(params, moved.transpose(0, 3, 1, 2)),
        jax.jit(model.apply)(variables, moved),
    ]
    logits = [np.reshape(y, (len(SHIFTS), len(images), -1)) for y in logits]
    scale = np.abs(logits[1]).max()
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5 * scale)
    figures = [
        (
            metrics.mean_accuracy(y, labels),
            metrics.worst_case_accuracy(y, labels),
            metrics.consistency(y),
        )
        for y in logits
    ]
    assert figures[0] == figures[1]
    assert figures[0][0] > 0.8

    certificates = [
        jaxinv.certify(converted, params, images[:1].transpose(0, 3, 1, 2), argnums=1, axes=(2, 3)),
        jaxinv.certify(model.apply, variables, images[:1], argnums=1),
    ]
    ends = [(c.kind, c.first_end.reason, c.interior_ends.before.interior) for c in certificates]
    assert ends[0] == ends[1]
