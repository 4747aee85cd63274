"""What PyTorch spells its own way: proved as it is, and the orbit of it is PyTorch at each shift.

The verdicts are reasoned by hand and held to PyTorch run at every shift of 6 x 6 or 8 x 8 images.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from tests.interop.torch_networks import Calls
from tests.interop.torch_or_skip import generic, nn, outputs_of, signal, torch
from tests.sweeps import few
from tests.symmetry import measured

pytestmark = pytest.mark.usefixtures("x64")
F = nn.functional
CHANNELS, SIZE = 4, 8


class Squeezed(nn.Module):
    """Squeeze and excitation, as MobileNetV3 has it."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(CHANNELS, 2, 1), nn.Conv2d(2, CHANNELS, 1)

    def forward(self, x):
        scale = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))
        return x * F.hardsigmoid(scale)


class Windows(nn.Module):
    """Attention within windows of 4 x 4 that were rolled by 2, as in Swin; masked or not."""

    def __init__(self, masked):
        super().__init__()
        self.masked, self.attention = masked, nn.MultiheadAttention(CHANNELS, 2, batch_first=True)

    def forward(self, x):
        rolled = torch.roll(x, (-2, -2), (2, 3))
        mask = self.across_the_border(x) if self.masked else None
        tokens = self.partition(rolled)
        tokens, _ = self.attention(tokens, tokens, tokens, attn_mask=mask, need_weights=False)
        y = tokens.view(-1, SIZE // 4, SIZE // 4, 4, 4, CHANNELS).permute(0, 5, 1, 3, 2, 4)
        return torch.roll(y.reshape(x.shape), (2, 2), (2, 3))

    def partition(self, x):
        n, channels, _, _ = x.shape
        y = x.view(n, channels, SIZE // 4, 4, SIZE // 4, 4).permute(0, 2, 4, 3, 5, 1)
        return y.reshape(-1, 16, channels)

    def across_the_border(self, x):
        region = x.new_zeros((1, 1, SIZE, SIZE))
        for count, (rows, columns) in enumerate(
            itertools.product((slice(0, -4), slice(-4, -2), slice(-2, None)), repeat=2)
        ):
            region[:, :, rows, columns] = count
        region = self.partition(region)[..., 0]
        different = region[:, None] - region[:, :, None]
        return different.masked_fill(different != 0, -100.0).repeat_interleave(2, 0)


class Case(NamedTuple):
    """A module, what is proved of it, and along which dimensions its output moves."""

    make: object
    kind: str
    period: int
    dims: tuple = (2, 3)


def circular(*args, **options):
    return nn.Conv2d(CHANNELS, *args, padding_mode="circular", **options)


def fun(function):
    return functools.partial(Calls, function)


NOWHERE, BROKEN = (None, None), ("broken", SIZE, (None, None))
CASES = {
    "circular": Case(lambda: circular(3, 3, padding=1), "equivariant", 1),
    "circular even": Case(lambda: circular(3, (4, 2), padding="same"), "equivariant", 1),
    "circular stride": Case(lambda: circular(3, 3, padding=1, stride=2), "equivariant", 2),
    "circular depthwise": Case(
        lambda: circular(4, 3, padding=2, dilation=2, groups=4), "equivariant", 1
    ),
    "CircularPad2d": Case(
        lambda: nn.Sequential(nn.CircularPad2d((2, 0, 1, 1)), nn.Conv2d(4, 3, 3)), "equivariant", 1
    ),
    "zeros": Case(lambda: nn.Conv2d(4, 3, 3, padding=1), *BROKEN),
    "reflect": Case(lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), *BROKEN),
    "ConvTranspose2d": Case(
        lambda: nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), "equivariant", 1
    ),
    "global context": Case(
        fun(
            lambda x: (
                x + F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[2:], mode="bilinear")
            )
        ),
        "equivariant",
        1,
    ),
    "Upsample nearest": Case(lambda: nn.Upsample(scale_factor=2), "equivariant", 1),
    "Upsample size": Case(lambda: nn.Upsample((16, 24)), "equivariant", 1),
    "Upsample bilinear": Case(lambda: nn.Upsample(scale_factor=2, mode="bilinear"), *BROKEN),
    "interpolate down": Case(
        fun(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear")), "equivariant", 2
    ),
    "interpolate area": Case(
        fun(lambda x: F.interpolate(x, size=4, mode="area")), "equivariant", 2
    ),
    "AdaptiveAvgPool2d 1": Case(lambda: nn.AdaptiveAvgPool2d(1), "invariant", 1, NOWHERE),
    "AdaptiveAvgPool2d 4": Case(lambda: nn.AdaptiveAvgPool2d(4), "equivariant", 2),
    "AdaptiveAvgPool2d 3": Case(lambda: nn.AdaptiveAvgPool2d(3), *BROKEN),
    "AdaptiveMaxPool2d 1": Case(lambda: nn.AdaptiveMaxPool2d(1), "invariant", 1, NOWHERE),
    "AdaptiveMaxPool2d 4": Case(lambda: nn.AdaptiveMaxPool2d(4), "equivariant", 2),
    "MaxPool2d padded": Case(lambda: nn.MaxPool2d(3, 2, 1), *BROKEN),
    "AvgPool2d": Case(lambda: nn.AvgPool2d(2), "equivariant", 2),
    "ChannelShuffle": Case(lambda: nn.ChannelShuffle(2), "equivariant", 1),
    "shuffled by views": Case(
        fun(lambda x: x.view(-1, 2, 2, SIZE, SIZE).transpose(1, 2).contiguous().view(x.shape)),
        "equivariant",
        1,
    ),
    "PixelShuffle": Case(lambda: nn.PixelShuffle(2), "equivariant", 1),
    "PixelUnshuffle": Case(lambda: nn.PixelUnshuffle(2), "equivariant", 2),
    "Unfold": Case(lambda: nn.Unfold(2, stride=2), "equivariant", 2, (2, 2)),
    "Unfold circular": Case(
        lambda: nn.Sequential(nn.CircularPad2d(1), nn.Unfold(3)), "equivariant", 1, (2, 2)
    ),
    "Fold of patches": Case(
        lambda: nn.Sequential(nn.Unfold(2, stride=2), nn.Softmax(1), nn.Fold(SIZE, 2, stride=2)),
        "equivariant",
        2,
    ),
    "Fold padded": Case(
        lambda: nn.Sequential(nn.Unfold(3, padding=1), nn.Fold(SIZE, 3, padding=1)), *BROKEN
    ),
    "Tensor.unfold": Case(
        fun(lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))), "equivariant", 2
    ),
    "Hardswish": Case(nn.Hardswish, "equivariant", 1),
    "squeeze and excitation": Case(Squeezed, "equivariant", 1),
    "normalised channels": Case(
        fun(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)),
        "equivariant",
        1,
    ),
    "GroupNorm": Case(lambda: nn.GroupNorm(2, 4), "equivariant", 1),
    "roll": Case(fun(lambda x: torch.roll(x, (1, -2), (2, 3))), "equivariant", 1),
    "windows": Case(lambda: Windows(masked=False), "equivariant", 4),
    "windows masked": Case(lambda: Windows(masked=True), *BROKEN),
    "rows written": Case(fun(lambda x: _with_rows_of_zeros(x)), *BROKEN),
    "Flatten and Linear": Case(lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), *BROKEN),
}
QUICK = (
    *("circular stride", "Upsample nearest", "Upsample bilinear", "AdaptiveMaxPool2d 4"),
    *("Fold of patches", "squeeze and excitation", "windows", "PixelShuffle"),
)


def _with_rows_of_zeros(x):
    y = x.clone()
    y[:, :, ::3, 1:3] = 0
    return y


class OrbitInPyTorch(measured.Orbit):
    """The outputs of PyTorch at shifted inputs."""

    def __init__(self, module, shape):
        self.module, self.axes, self.lengths = module, (2, 3), shape[2:]
        self.inputs, self.known = [signal(shape, seed) for seed in range(3)], {}
        self.generic = range(1, 3)

    def at(self, shift, *, start=0):
        key = start, tuple(t % n for t, n in zip(shift, self.lengths, strict=True))
        if key not in self.known:
            moved = np.roll(self.inputs[start], key[1], self.axes)
            self.known[key] = [outputs_of(self.module, moved)]
        return self.known[key]


@pytest.mark.parametrize("name", few(CASES, *QUICK))
def test_the_certificate_and_the_orbit_are_what_pytorch_does(name):
    case = CASES[name]
    module = generic(case.make())
    truth = OrbitInPyTorch(module, (1, CHANNELS, SIZE, SIZE))
    params, apply = jaxinv.from_pytorch(module)
    x = truth.inputs[0]
    certificate = jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3))
    assert (certificate.kind, certificate.period) == (case.kind, (case.period, case.period))
    assert certificate.dims == case.dims
    assert not list(measured.violations(truth, certificate.outputs, every=True))
    assert not list(measured.finer_symmetry(truth, certificate.outputs))
    outputs = jaxinv.orbit(functools.partial(apply, params), axes=(2, 3))(x)
    for shift in np.ndindex(SIZE, SIZE):
        np.testing.assert_allclose(outputs[shift], truth.at(shift)[0], rtol=1e-8, atol=1e-8)


def assert_parity(module, shape):
    module = generic(module)
    params, apply = jaxinv.from_pytorch(module)
    x = signal(shape)
    np.testing.assert_allclose(apply(params, x), outputs_of(module, x), rtol=1e-9, atol=1e-9)


GROUPED = [
    (rank, groups, stride, dilation)
    for rank in (1, 2, 3)
    for groups in (1, 2, 4)
    for stride, dilation in ((1, 2), (2, 1))
]


@pytest.mark.parametrize(
    ("rank", "groups", "stride", "dilation"), few(GROUPED, (1, 2, 2, 1), (2, 2, 1, 2))
)
def test_transposed_convolutions_of_groups(rank, groups, stride, dilation):
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[rank - 1]
    module = kind(4, 8, 3, stride=stride, padding=1, groups=groups, dilation=dilation)
    assert_parity(module, (2, 4, 5, 4, 3)[: rank + 2])


FOLDS = list(itertools.product((2, (3, 2)), (1, (2, 3)), (0, (1, 2)), (1, (2, 1))))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), few(FOLDS, ((3, 2), (2, 3), (1, 2), (2, 1)))
)
def test_folds(kernel, stride, padding, dilation):
    windows = (kernel, dilation, padding, stride)
    assert_parity(Calls(lambda x: F.fold(F.unfold(x, *windows), (8, 9), *windows)), (2, 3, 8, 9))
    assert_parity(Calls(lambda x: F.fold(F.unfold(x, 2)[0], (4, 5), 2)), (1, 3, 4, 5))


def test_adaptive_maxima():
    for module in (nn.AdaptiveMaxPool2d((2, None)), nn.AdaptiveMaxPool2d(1)):
        assert_parity(module, (2, 3, 4, 6))
    assert_parity(nn.AdaptiveMaxPool1d(2), (2, 3, 6))
    assert_parity(nn.AdaptiveMaxPool3d((2, 1, 3)), (2, 3, 4, 2, 6))


def test_means_over_windows_beyond_the_border_and_constants_of_mixed_numbers():
    for kernel, stride, padding in ((3, 2, 1), ((3, 2), (2, 3), (1, 0))):
        assert_parity(nn.AvgPool2d(kernel, stride, padding, ceil_mode=True), (1, 2, 8, 7))
    assert_parity(nn.AvgPool1d(3, 2, ceil_mode=True), (2, 2, 8))
    assert_parity(Calls(lambda x: x * torch.tensor([[1], [2.5]]) + x.new_tensor([0, 0.5])), (2, 2))


def test_constants_are_of_the_kind_that_pytorch_says():
    for data in (np.arange(3), [np.float32(1), np.float32(2)], [[1], [2.5]]):
        module = Calls(lambda x, data=data: (torch.tensor(data), torch.as_tensor(data)))
        params, apply = jaxinv.from_pytorch(module)
        kinds = [str(constant.dtype) for constant in module(None)]
        assert [f"torch.{constant.dtype}" for constant in apply(params, signal((1,)))] == kinds


RESIZED = [
    ((2, 1), "bilinear", False, (SIZE, 1)),
    ((1, 0.5), "bilinear", False, (1, 2)),
    ((1, 1.3), "bicubic", False, (1, SIZE)),
    ((1.5, 1), "bicubic", True, (SIZE, 1)),
]


@pytest.mark.parametrize(("scale", "mode", "corners", "period"), RESIZED)
def test_an_axis_that_keeps_its_size_keeps_its_symmetry(scale, mode, corners, period):
    options = {"scale_factor": scale, "mode": mode, "align_corners": corners}
    module = Calls(lambda x: F.interpolate(x, **options))
    assert_parity(module, (1, 2, SIZE, SIZE))
    params, apply = jaxinv.from_pytorch(module)
    x = signal((1, 2, SIZE, SIZE))
    assert jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3)).period == period


def assert_gradient(fun, x):
    module = Calls(fun).eval()
    params, apply = jaxinv.from_pytorch(module)
    theirs = torch.from_numpy(x.copy()).requires_grad_()
    module(theirs).sum().backward()
    mine = jax.jit(jax.grad(lambda x: apply(params, x).sum()))(x)
    np.testing.assert_allclose(mine, theirs.grad, rtol=1e-9, atol=1e-12)


def test_derivatives_of_dilated_maxima_and_where_deviations_are_zero():
    x = np.round(signal((1, 2, 9, 8)))  # of equal numbers the first
    x[:, :, 3] = 0
    assert_gradient(lambda x: F.max_pool2d(x, (3, 2), 2, 1, (2, 3), ceil_mode=True), x)
    assert_gradient(lambda x: F.normalize(x, dim=3) + x.std(3)[..., None], x)
    params, apply = jaxinv.from_pytorch(nn.MaxPool2d(2, 1, dilation=(1, 2)))
    orbit = jaxinv.orbit(functools.partial(apply, params), axes=(2, 3))
    x = signal((1, 1, 3, 4))
    rolled = [(s, jnp.roll(x, s, (2, 3))) for s in np.ndindex(3, 4)]
    each = jax.jit(jax.grad(lambda x: apply(params, x).sum()))
    expected = sum(jnp.roll(each(y), [-n for n in s], (2, 3)) for s, y in rolled)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda x: orbit(x).sum()))(x), expected, rtol=1e-9)


def test_all_shifts_of_a_shifted_window_cost_one_a_window():
    params, apply = jaxinv.from_pytorch(generic(Windows(masked=False)))
    x = jax.ShapeDtypeStruct((1, CHANNELS, SIZE, SIZE), "float64")
    assert jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3)).cost < 17
