"""The operations of torchax, with what it lacks and where it differs from PyTorch.

PyTorch is imported where it is used: the package does not need it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any


@functools.cache
def environment() -> Any:
    """An environment of torchax of this package's own."""
    from torch.nn import functional
    from torchax.tensor import Environment

    env = Environment()
    env.override_op_definition(functional.fold, _fold)
    env.override_op_definition(functional.linear, _linear)
    for rank in (1, 2, 3):
        convolve = getattr(functional, f"conv_transpose{rank}d")
        env.override_op_definition(convolve, functools.partial(_conv_transpose, convolve))
        env.override_op_definition(
            getattr(functional, f"adaptive_max_pool{rank}d"),
            functools.partial(_adaptive_max_pool, getattr(functional, f"max_pool{rank}d"), rank),
        )
    return env


def _linear(input, weight, bias=None):
    """With PyTorch's names of its arguments; torchax has others."""
    import torch

    y = torch.matmul(input, weight.transpose(-1, -2) if weight.ndim > 1 else weight)
    return y if bias is None else y + bias


def _conv_transpose(
    convolve: Callable, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, *rest
):
    """Of several groups torchax takes the kernels in another order, input channels first."""
    if groups > 1:
        by_group = weight.reshape(groups, -1, *weight.shape[1:])
        weight = by_group.transpose(0, 1).reshape(weight.shape)
    return convolve(x, weight, bias, stride, padding, output_padding, groups, *rest)


def _fold(columns, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The transpose of `unfold`: a transposed convolution that puts each number in its place."""
    import torch

    size, window, dilation, padding, stride = map(
        torch.nn.modules.utils._pair, (output_size, kernel_size, dilation, padding, stride)
    )
    spans = [
        n + 2 * p - d * (k - 1) - 1
        for n, k, d, p in zip(size, window, dilation, padding, strict=True)
    ]
    area = math.prod(window)
    maps = columns.reshape(-1, area, *(n // s + 1 for n, s in zip(spans, stride, strict=True)))
    images = torch.nn.functional.conv_transpose2d(
        maps,
        torch.eye(area, dtype=columns.dtype).reshape(area, 1, *window),
        stride=stride,
        padding=padding,
        output_padding=[n % s for n, s in zip(spans, stride, strict=True)],
        dilation=dilation,
    )
    return images.reshape(*columns.shape[:-2], columns.shape[-2] // area, *size)


def _adaptive_max_pool(pool: Callable, rank: int, x, output_size, return_indices=False):
    """Maxima over windows of one size; torchax has none."""
    sizes = x.shape[-rank:]
    given = output_size if isinstance(output_size, tuple) else (output_size,) * rank
    wanted = [n or size for n, size in zip(given, sizes, strict=True)]
    if return_indices or any(size % n for n, size in zip(wanted, sizes, strict=True)):
        raise NotImplementedError(f"adaptive max pooling of {tuple(sizes)} to {tuple(wanted)}")
    windows = [size // n for n, size in zip(wanted, sizes, strict=True)]
    return pool(x, windows, windows)
