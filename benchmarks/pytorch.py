"""The same networks in PyTorch, with the weights copied, in a loop over shifts and in batches."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.case import Case
from benchmarks.timing import Contender
from jaxinv.layers import blur_filter
from jaxinv.layers.padding import window_padding
from jaxinv.models.convnet import STRIDED_STEMS, ConvNet
from jaxinv.models.resnet import ResNet

_PAD_MODES = {"SAME": "constant", "VALID": "constant", "CIRCULAR": "circular"}


class Twin(torch.nn.Module):
    """A `ConvNet` or `ResNet` of this package in PyTorch; images are channels first.

    Args:
      model: the flax module.
      variables: its variables.
      dtype: of the weights.

    Raises:
      ValueError: if the network has a part that is not written here.
    """

    def __init__(self, model: Any, variables: Any, dtype: torch.dtype):
        super().__init__()
        if not isinstance(model, ConvNet | ResNet) or model.padding not in _PAD_MODES:
            raise ValueError("networks without a twin in PyTorch: allowed are ConvNet and ResNet")
        self.model = model
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
            name = ".".join(entry.key for entry in path[1:])
            value = torch.tensor(np.asarray(leaf, np.float64)).to(dtype)
            if value.ndim > 2:  # (*window, in, out) to (out, in, *window)
                value = value.movedim((-1, -2), (0, 1)).contiguous()
            elif value.ndim == 2:
                value = value.T.contiguous()
            self.register_buffer(name.replace(".", "/"), value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of images (N, C, *spatial)."""
        maps = self._convnet(x) if isinstance(self.model, ConvNet) else self._resnet(x)
        if self.model.head == "flatten":
            features = maps.movedim(1, -1).flatten(1)  # channels last, as the weights were made
        elif self.model.head == "gap":
            features = maps.flatten(2).mean(-1)
        else:
            raise ValueError(f"head {self.model.head} has no twin in PyTorch")
        hidden = getattr(self.model, "dense", ())
        for index in range(len(hidden)):
            features = F.relu(self._dense(features, f"classifier/dense{index}"))
        return self._dense(features, "classifier/logits")

    def _convnet(self, x: torch.Tensor) -> torch.Tensor:
        net = self.model
        index = 0
        thinned = len(net.widths) if net.downsamplings is None else net.downsamplings
        for stage, widths in enumerate(net.widths):
            for place in range(len(widths)):
                stem = net.stem_stride if index == 0 else 1
                x = F.relu(self._norm(self._conv(x, f"conv{index}", stem), f"norm{index}"))
                if place == len(widths) - 1 and stage < thinned:
                    x = self._downsample(x, net.factor)
                index += 1
        return x

    def _resnet(self, x: torch.Tensor) -> torch.Tensor:
        net = self.model
        large = net.stem == "imagenet"
        strided = large and net.downsample in STRIDED_STEMS
        x = F.relu(self._norm(self._conv(x, "conv1", 2 if strided else 1), "norm1"))
        if strided:
            x = self._max_pool(x, 3, 2)
        elif large:
            x = self._downsample(x, 2)
            x = self._downsample(self._max_pool(x, 3, 1), 2)
        for stage, count in enumerate(net.blocks):
            for block in range(count):
                x = self._block(x, f"layer{stage + 1}_{block}/", 2 if stage and not block else 1)
        return x

    def _block(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        net = self.model
        y, skip = x, x
        convolutions = 3 if net.bottleneck else 2
        thinning = 1 if net.bottleneck else 0
        for index in range(convolutions):
            here = index == thinning and stride > 1
            strided = here and net.downsample == "stride"
            y = self._conv(y, f"{name}conv{index + 1}", stride if strided else 1)
            y = self._norm(y, f"{name}norm{index + 1}")
            if index < convolutions - 1:
                y = F.relu(y)
            if strided:
                skip = skip[(..., *[slice(None, None, stride)] * (x.ndim - 2))]
            elif here:
                y, skip = self._downsample(y, stride), self._downsample(skip, stride)
        if skip.shape != y.shape or stride > 1:
            if net.shortcut == "projection":
                skip = self._conv(skip, f"{name}shortcut_conv", 1)
                skip = self._norm(skip, f"{name}shortcut_norm")
            else:
                missing = y.shape[1] - skip.shape[1]
                sides = (missing // 2, missing - missing // 2)
                skip = F.pad(skip, [0, 0] * (x.ndim - 2) + list(sides))
        return F.relu(y + skip)

    def _get(self, name: str) -> Any:
        return self._buffers.get(name)

    def _dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self._get(f"{name}/kernel"), self._get(f"{name}/bias"))

    def _conv(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        kernel = self._get(f"{name}/kernel")
        x = self._pad(x, tuple(kernel.shape[2:]), stride, self.model.padding)
        convolve = {3: F.conv1d, 4: F.conv2d}[x.ndim]
        return convolve(x, kernel, self._get(f"{name}/bias"), stride)

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        leaves = ("mean", "var", "scale", "bias")
        mean, variance, scale, bias = (self._get(f"{name}/batch/{leaf}") for leaf in leaves)
        if mean is None:
            return x
        return F.batch_norm(x, mean, variance, scale, bias, eps=1e-5)

    def _downsample(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        kind = self.model.downsample
        tiling = "CIRCULAR" if self.model.padding == "CIRCULAR" else "VALID"
        if kind == "none":
            return x
        if kind == "max":
            return self._max_pool(x, factor, factor, tiling)
        if kind == "blur" and factor == 2 and x.ndim == 4:
            taps = torch.tensor(blur_filter(), dtype=x.dtype, device=x.device)
            channels = x.shape[1]
            window = (taps[:, None] * taps).expand(channels, 1, -1, -1)
            x = self._pad(x, tuple(window.shape[2:]), factor, self.model.padding)
            return F.conv2d(x, window, stride=factor, groups=channels)
        raise ValueError(f"downsampling {kind} by {factor} has no twin in PyTorch")

    def _max_pool(
        self, x: torch.Tensor, window: int, stride: int, padding: str | None = None
    ) -> torch.Tensor:
        padding = padding or self.model.padding
        x = self._pad(x, (window,) * (x.ndim - 2), stride, padding, fill=-float("inf"))
        return {3: F.max_pool1d, 4: F.max_pool2d}[x.ndim](x, window, stride)

    def _pad(self, x, window, stride, padding, fill=0.0) -> torch.Tensor:
        sides: list[int] = []
        for size, taps in zip(reversed(x.shape[2:]), reversed(window), strict=True):
            sides += window_padding(size, taps, stride=stride, padding=padding)
        if not any(sides):
            return x
        mode = _PAD_MODES[padding]
        return F.pad(x, sides, mode, fill) if mode == "constant" else F.pad(x, sides, mode)


def torch_contenders(
    case: Case, variables: Any, x: jax.Array, shifts: np.ndarray, settings: Any
) -> tuple[list[Contender], str]:
    """A loop over shifts and batches of shifts, and which torch it is.

    Both are timed with channels first and channels last in memory; the quicker counts. In bfloat16
    there are two ways: all of it in that type, and autocast, which keeps weights and normalisation
    in float32.
    """
    cuda = jax.default_backend() == "gpu"
    if cuda and not torch.cuda.is_available():
        return [], "PyTorch sees no GPU"
    device = torch.device("cuda" if cuda else "cpu")
    torch.backends.cudnn.benchmark = True
    rows = [tuple(map(int, shift)) for shift in shifts]
    ways = {"": getattr(torch, settings.dtype)}
    if settings.dtype == "bfloat16":
        ways[", autocast"] = torch.float32
    formats = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    contenders = []
    for layout, (way, dtype) in itertools.product(settings.torch_layouts, ways.items()):
        if layout == "channels last" and x.ndim != 4:
            continue
        memory_format = formats[layout]
        images = torch.tensor(np.asarray(x, np.float64)).to(dtype).movedim(-1, 1).to(device)
        twin = Twin(case.create(), variables, dtype).to(device).eval()
        laid_out = _laid_out(twin, memory_format)
        run = _over_shifts(laid_out, images, memory_format, autocast=way, mode=case.mode)
        for chunk in ((1,) if settings.loops else ()) + settings.torch_chunks:
            if chunk > len(rows):
                continue
            group = "PyTorch loop" if chunk == 1 else "PyTorch batched"
            some = rows[: len(rows) // chunk * chunk]
            contenders.append(
                Contender(
                    f"{group}, {chunk}, {layout}{way}",
                    functools.partial(run, some, chunk),
                    scale=case.count / len(some),
                    group=group,
                    setting=f"{layout}{way}" if chunk == 1 else f"{chunk}, {layout}{way}",
                    shifts=len(some),
                )
            )
    return contenders, f"torch {torch.__version__}"


def _laid_out(twin: Twin, memory_format: torch.memory_format) -> Twin:
    other = Twin.__new__(Twin)
    torch.nn.Module.__init__(other)
    other.model = twin.model
    for name, value in twin.named_buffers():
        four = value.ndim == 4
        other.register_buffer(
            name, value.contiguous(memory_format=memory_format) if four else value
        )
    return other


def _moved(images: torch.Tensor, shift, axes, mode: str) -> torch.Tensor:
    """The images translated; what enters is zero unless they are rolled."""
    moved = torch.roll(images, shift, axes)
    if mode == "constant":
        for t, axis in zip(shift, axes, strict=True):
            n = moved.shape[axis]
            moved.narrow(axis, 0 if t > 0 else n - abs(t), abs(t)).zero_()
    return moved


def _over_shifts(network, images, memory_format, *, autocast, mode) -> Callable[..., np.ndarray]:
    images = images.contiguous(memory_format=memory_format)
    axes = tuple(range(2, images.ndim))
    device = images.device.type

    def run(shifts, chunk):
        outs = []
        with (
            torch.inference_mode(),
            torch.autocast(device, torch.bfloat16, enabled=bool(autocast)),
        ):
            for start in range(0, len(shifts), chunk):
                part = [_moved(images, t, axes, mode) for t in shifts[start : start + chunk]]
                batch = part[0] if chunk == 1 else torch.cat(part)
                outs.append(network(batch.contiguous(memory_format=memory_format)))
            joined = torch.cat(outs)
        return joined.to("cpu", torch.float64).numpy()  # waits for the device

    return run
