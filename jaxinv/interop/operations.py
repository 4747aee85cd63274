"""The operations of torchax, with what it lacks and where it differs from PyTorch."""

import functools
import math
from collections.abc import Callable

import torch
from torch.nn import functional
from torch.nn.modules.utils import _pair
from torchax.tensor import Environment


@functools.cache
def environment() -> Environment:
    """An environment of torchax of this package's own."""
    env = Environment()
    env.override_op_definition(functional.fold, _fold)
    for rank in (1, 2, 3):
        convolve = getattr(functional, f"conv_transpose{rank}d")
        env.override_op_definition(convolve, functools.partial(_conv_transpose, convolve))
        env.override_op_definition(
            getattr(functional, f"adaptive_max_pool{rank}d"),
            functools.partial(_adaptive_max_pool, getattr(functional, f"max_pool{rank}d"), rank),
        )
    return env


def _conv_transpose(
    convolve: Callable, images, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, *rest, **named
):
    """torchax takes the kernels of several groups in another order: input channels first."""
    if groups > 1:
        each = weight.reshape(groups, -1, *weight.shape[1:])
        weight = each.transpose(0, 1).reshape(weight.shape)
    return convolve(images, weight, bias, stride, padding, output_padding, groups, *rest, **named)


def _fold(columns, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The transpose of `unfold`: a transposed convolution that puts each number in its place."""
    size, window, dilation, padding, stride = map(
        _pair, (output_size, kernel_size, dilation, padding, stride)
    )
    spans = [
        n + 2 * p - d * (k - 1) - 1
        for n, k, d, p in zip(size, window, dilation, padding, strict=True)
    ]
    area = math.prod(window)
    maps = columns.reshape(-1, area, *(n // s + 1 for n, s in zip(spans, stride, strict=True)))
    images = functional.conv_transpose2d(
        maps,
        torch.eye(area, dtype=columns.dtype).reshape(area, 1, *window),
        stride=stride,
        padding=padding,
        output_padding=[n % s for n, s in zip(spans, stride, strict=True)],
        dilation=dilation,
    )
    return images.reshape(*columns.shape[:-2], columns.shape[-2] // area, *size)


def _adaptive_max_pool(pool: Callable, rank: int, images, output_size, return_indices=False):
    """Maxima over windows of one size; torchax has none."""
    wanted = output_size if isinstance(output_size, tuple) else (output_size,) * rank
    sizes = images.shape[-len(wanted) :]
    wanted = [n or size for n, size in zip(wanted, sizes, strict=True)]
    if return_indices or any(size % n for n, size in zip(wanted, sizes, strict=True)):
        raise NotImplementedError(f"adaptive max pooling of {tuple(sizes)} to {tuple(wanted)}")
    windows = [size // n for n, size in zip(wanted, sizes, strict=True)]
    return pool(images, windows, windows)
