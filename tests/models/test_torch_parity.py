"""The same networks in PyTorch, random weights: what torch computes is what jaxinv computes."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import models

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
nn = torch.nn


def conv(a, b, k, s=1, p=None):
    return nn.Conv2d(a, b, k, s, (k - 1) // 2 if p is None else p, bias=False)


class Block(nn.Module):
    """torchvision's BasicBlock and Bottleneck, with their names."""

    def __init__(self, before, width, stride, bottleneck):
        super().__init__()
        after = width * 4 if bottleneck else width
        if bottleneck:
            sizes = [(before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1)]
        else:
            sizes = [(before, width, 3, stride), (width, width, 3, 1)]
        self.count = len(sizes)
        for i, size in enumerate(sizes, start=1):
            setattr(self, f"conv{i}", conv(*size))
            setattr(self, f"bn{i}", nn.BatchNorm2d(size[1]))
        self.downsample = None
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        skip = x if self.downsample is None else self.downsample(x)
        return (y + skip).relu()


class TorchResNet(nn.Module):
    """torchvision's ResNet, with its names."""

    def __init__(self, blocks, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = 64
        for stage, count in enumerate(blocks):
            layers = []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(Block(before, 64 * 2**stage, stride, bottleneck))
                before = 64 * 2**stage * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.stages = len(blocks)
        self.fc = nn.Linear(before, 10)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


class TorchVGG(nn.Module):
    """torchvision's VGG-11, with its names; the dense layers narrow."""

    def __init__(self, batch_norm):
        super().__init__()
        layers, before = [], 3
        for step in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
            if step == "M":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers.append(nn.Conv2d(before, step, 3, padding=1))
            layers += [nn.BatchNorm2d(step)] if batch_norm else []
            layers.append(nn.ReLU())
            before = step
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 4, 32),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(32, 16),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(16, 10),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class TorchMobileNetV2(nn.Module):
    """torchvision's MobileNetV2 with fewer blocks, with its names."""

    def __init__(self, stages):
        super().__init__()

        def unit(a, b, k, s=1, groups=1):
            convolution = nn.Conv2d(a, b, k, s, (k - 1) // 2, groups=groups, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(b), nn.ReLU6())

        layers, before = [unit(3, 32, 3, 2)], 32
        for expansion, after, count, stride in stages:
            for block in range(count):
                wide = expansion * before
                block_stride = stride if block == 0 else 1
                parts = [unit(before, wide, 1)] if expansion > 1 else []
                parts += [unit(wide, wide, 3, block_stride, wide)]
                parts += [nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after)]
                inner = nn.Module()
                inner.conv = nn.Sequential(*parts)
                inner.added = block_stride == 1 and before == after
                layers.append(inner)
                before = after
        layers.append(unit(before, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 10))

    def forward(self, x):
        for layer in self.features:
            if hasattr(layer, "conv"):
                y = layer.conv(x)
                x = x + y if layer.added else y
            else:
                x = layer(x)
        return self.classifier(x.mean((2, 3)))


MOBILE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2))


def randomise(module):
    """Running statistics and affine parameters away from their starting values."""
    torch.manual_seed(0)
    for name, value in module.state_dict().items():
        if value.ndim == 1 and not name.startswith(("fc", "classifier")):
            value.uniform_(0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize(
    ("theirs", "name", "options", "size"),
    [
        (lambda: TorchResNet((2, 2, 2, 2), False), "resnet18", {}, 64),
        (lambda: TorchResNet((3, 4, 6, 3), True), "resnet50", {}, 33),
        (lambda: TorchMobileNetV2(MOBILE), "mobilenet_v2", {"stages": MOBILE}, 33),
        (lambda: TorchVGG(False), "vgg11", {"dense": (32, 16)}, 64),
        (lambda: TorchVGG(True), "vgg11", {"dense": (32, 16), "norm": "batch"}, 64),
    ],
)
def test_logits_are_those_of_torch(theirs, name, options, size):
    theirs = randomise(theirs())
    model = models.create(name, **options)
    variables = models.from_torch(theirs.state_dict(), model)
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    y = np.asarray(model.apply(variables, jnp.asarray(x)))
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
