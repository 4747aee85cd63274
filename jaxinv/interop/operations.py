"""The operations of torchax, with what it lacks and where it differs from PyTorch.

PyTorch is imported where it is used: the package does not need it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.interop.aliases import may_copy


@functools.cache
def environment() -> Any:
    """An environment of torchax of this package's own."""
    import torch
    from torchax.tensor import Environment, Tensor

    env = Environment()
    env.override_op_definition(torch.ops.aten.detach.default, Tensor.detach)
    env.override_op_definition(torch.ops.aten.mT.default, lambda x: x.transpose(-2, -1))
    interpolate = torch.nn.functional.interpolate
    known = env._ops[interpolate]
    resize = functools.partial(_interpolate, known.func)
    env._ops[interpolate] = dataclasses.replace(known, func=resize)
    for rank in (1, 2, 3):
        average = getattr(torch.ops.aten, f"avg_pool{rank}d")
        pool = functools.partial(_average_pool, rank, env._ops[average].func)
        env._ops[average] = dataclasses.replace(env._ops[average], func=pool)
    make = env._ops[torch.tensor].func
    env._ops[torch.tensor] = dataclasses.replace(
        env._ops[torch.tensor], func=functools.partial(_made, make)
    )
    env.override_op_definition(
        torch.Tensor.new_tensor,
        lambda x, data, *, dtype=None, **_: env.dispatch(
            torch.tensor, (), (data,), {"dtype": dtype or x.dtype, "device": "jax"}
        ),
    )
    for function, definition in _functions().items():
        env.override_op_definition(function, definition)
    return env


def _functions() -> dict[Any, Callable]:
    """PyTorch's functions that are run by others of its functions."""
    from torch.nn import functional

    found: dict[Any, Callable] = {functional.fold: _fold, functional.linear: _linear}
    for rank in (1, 2, 3):
        convolve = getattr(functional, f"conv_transpose{rank}d")
        found[convolve] = functools.partial(_conv_transpose, convolve)
        pool = getattr(functional, f"max_pool{rank}d")
        adaptive = getattr(functional, f"adaptive_max_pool{rank}d")
        found[adaptive] = functools.partial(_adaptive_max_pool, pool, rank)
    return found


def in_environment(env: Any, fun: Callable, *args: Any) -> Any:
    """Runs a function by torchax."""
    with env:
        return fun(*args)


def without_writes(copies: list[bool], env: Any, fun: Callable, *args: Any) -> Any:
    """Runs a function by torchax after PyTorch has put other operations in the place of its writes.

    PyTorch does that below its functions, so those that torchax has of its own are not run. To it
    all arrays of JAX are contiguous, so what copies where strides are mixed is told by `copies`.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    functions = _functions() | {torch.nn.functional.pad: _pad}
    recorded, copied = may_copy(), iter(copies)

    def made(*args, **kwargs):
        constant = env.dispatch(torch.tensor, (), args, kwargs)
        return torch.empty(constant.shape, dtype=constant.dtype).copy_(constant)

    def place(index):
        if isinstance(index, tuple):
            return tuple(map(place, index))
        return made(index) if isinstance(index, list) else index

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if func is torch.tensor:
                return made(*args, **kwargs)
            if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
                return func(args[0], place(args[1]), *args[2:])
            outputs = functions.get(func, func)(*args, **kwargs)
            return outputs.clone() if func in recorded and next(copied) else outputs

    class Checked(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func._schema.is_mutable:
                raise NotImplementedError(f"a write by {func}")
            return func(*args, **(kwargs or {}))

    def decomposed(*args):
        # Only where derivatives are taken does PyTorch see the writes within its own functions.
        vjp: Any = torch.func.vjp
        return vjp(lambda x: (x, fun(*args)), torch.zeros(()), has_aux=True)[2]

    with env._dispatch_mode, Checked(), Functions():
        return torch.func.functionalize(decomposed)(*args)


def _linear(input, weight, bias=None):
    """With PyTorch's names of its arguments; torchax has others."""
    import torch

    y = torch.matmul(input, weight.transpose(-1, -2) if weight.ndim > 1 else weight)
    return y if bias is None else y + bias


def _pad(x, pad, mode="constant", value=None):
    """Circular padding by one concatenation of an axis, where PyTorch writes part by part."""
    import torch

    if mode != "circular":
        return torch.nn.functional.pad(x, pad, mode, value)
    for axis, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        ends = x.narrow(-axis, x.shape[-axis] - before, before), x.narrow(-axis, 0, after)
        x = torch.cat([ends[0], x, ends[1]], -axis)
    return x


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


def _interpolate(interpolate: Callable, input, size=None, *args, **kwargs):
    """Of one position copies in any mode; torchax weighs it by numbers that sum to one."""
    if kwargs.get("antialias") or (len(args) > 4 and args[4]):
        raise NotImplementedError("antialiased interpolation")
    sizes = (size,) * (input.ndim - 2) if isinstance(size, int) else size
    if sizes is not None and all(n == 1 for n in input.shape[2:]):
        return jnp.broadcast_to(input, (*input.shape[:2], *sizes))
    return interpolate(input, sizes, *args, **kwargs)


def _average_pool(
    rank: int,
    pool: Callable,
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """A window that `ceil_mode` lets reach beyond the padding counts what it sees of both."""
    rest = ceil_mode, count_include_pad, divisor_override
    if not ceil_mode or not count_include_pad or divisor_override is not None:
        return pool(x, kernel_size, stride, padding, *rest)
    spaces = [(0, 0)] * (x.ndim - rank)
    zeros = [padding] if isinstance(padding, int) else list(padding)
    each = zeros * (rank // len(zeros))
    sums = pool(x, kernel_size, stride, padding, True, True, 1)
    padded = jnp.pad(jnp.ones_like(x), spaces + [(n, n) for n in each], constant_values=1)
    counts = pool(padded, kernel_size, stride, 0, True, True, 1)
    return sums / counts[(..., *(slice(n) for n in sums.shape[-rank:]))]


def _made(make: Callable, data, *, dtype=None, **options):
    """Of numbers of several kinds the widest decides, as in PyTorch; in torchax the first."""
    import torch

    kinds = {type(number) for number in jax.tree.leaves(data)}
    if dtype is None and kinds and kinds <= {bool, int, float, complex}:
        kind = max(kinds, key=(bool, int, float, complex).index)
        dtype = torch.get_default_dtype() if kind is float else kind
    return make(data, dtype=dtype, **options)


def _adaptive_max_pool(pool: Callable, rank: int, x, output_size, return_indices=False):
    """Maxima over windows of one size; torchax has none."""
    sizes = x.shape[-rank:]
    given = output_size if isinstance(output_size, tuple) else (output_size,) * rank
    wanted = [n or size for n, size in zip(given, sizes, strict=True)]
    if return_indices or any(size % n for n, size in zip(wanted, sizes, strict=True)):
        raise NotImplementedError(f"adaptive max pooling of {tuple(sizes)} to {tuple(wanted)}")
    windows = [size // n for n, size in zip(wanted, sizes, strict=True)]
    return pool(x, windows, windows)
