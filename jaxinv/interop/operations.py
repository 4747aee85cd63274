"""The operations of torchax, with what it lacks and where it differs from PyTorch.

PyTorch is imported where it is used: the package does not need it.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.interop.aliases import may_copy


@functools.cache
def environment() -> Any:
    """An environment of torchax of this package's own."""
    import torch
    from torchax.tensor import Environment, Tensor

    env = Environment()
    env.override_op_definition(torch.ops.aten.detach.default, Tensor.detach)
    env.override_op_definition(torch.ops.aten.mT.default, lambda x: x.transpose(-2, -1))
    # torchax converts the tensor itself, and gives a copy, in which what is written is lost.
    copied = Tensor.numpy
    Tensor.type_as = lambda self, other: self.to(other.dtype)
    Tensor.numpy = lambda self: np.asarray(self.jax()) if self._env is env else copied(self)
    # What PyTorch copies is another tensor; what it does not copy, `aliases.py` sees.
    convert = env._torch_Tensor_to
    env._torch_Tensor_to = lambda args, kwargs: _another(convert(args, kwargs))
    env.override_op_definition(torch.Tensor.contiguous, lambda x, **_: _another(x))

    def override(function, definition, *args):
        known = env._ops[function]
        fun = functools.partial(definition, *args, known.func)
        env._ops[function] = dataclasses.replace(known, func=fun)

    functional, aten = torch.nn.functional, torch.ops.aten
    override(functional.interpolate, _interpolate)
    override(torch.tensor, _made)
    override(aten.linalg_vector_norm, _norm)
    env.override_op_definition(aten.std.correction, lambda x, *a, **k: _root(x.var(*a, **k)))
    env.override_op_definition(
        aten.std_mean.correction,
        lambda x, dim=None, *, correction=None, keepdim=False: (
            _root(x.var(dim, correction=correction, keepdim=keepdim)),
            x.mean(dim, keepdim=keepdim),
        ),
    )
    override(functional.max_pool2d, _max_pool, 2)
    for rank in (1, 2, 3):
        override(getattr(aten, f"avg_pool{rank}d"), _average_pool, rank)
    for rank in (2, 3):
        override(getattr(aten, f"max_pool{rank}d_with_indices"), _max_pool, rank)

    def make(data, dtype=None):
        return env.dispatch(torch.tensor, (), (data,), {"dtype": dtype, "device": "jax"})

    env.override_op_definition(
        torch.Tensor.new_tensor, lambda x, data, *, dtype=None, **_: make(data, dtype or x.dtype)
    )
    for function in (torch.as_tensor, torch.asarray):
        env.override_op_definition(function, functools.partial(_as_tensor, make))
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

    def made(data, dtype=None, **_):
        constant = env.dispatch(torch.tensor, (), (data,), {"dtype": dtype})
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
            if func in (torch.as_tensor, torch.asarray):
                return _as_tensor(made, *args, **kwargs)
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
        # Only where derivatives are taken does PyTorch see the writes within its own functions, and
        # only into what was made there.
        vjp: Any = torch.func.vjp
        clones = functools.partial(torch.utils._pytree.tree_map_only, torch.Tensor, torch.clone)
        return vjp(lambda x: (x, fun(*clones(args))), torch.zeros(()), has_aux=True)[2]

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


def _interpolate(
    known: Callable,
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Axis by axis: what keeps an axis as it is, or has one position of it, reads no other."""
    if antialias:
        raise NotImplementedError("antialiased interpolation")
    cubic, rank = mode == "bicubic", input.ndim - 2
    if not (cubic or mode.endswith("linear")) or not jnp.issubdtype(input.dtype, jnp.inexact):
        options = scale_factor, mode, align_corners, recompute_scale_factor, antialias
        return known(input, size, *options)
    y = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    sizes, scales = (_each(value, rank) for value in (size, scale_factor))
    for axis, (m, scale) in enumerate(zip(sizes, scales, strict=True), 2):
        n = y.shape[axis]
        m = math.floor(n * scale) if m is None else m
        if n == 1:
            y = jnp.repeat(y, m, axis)
            continue
        if align_corners:
            at = np.linspace(0, n - 1, m)
        else:
            step = n / m if scale is None or recompute_scale_factor else 1 / scale
            at = (np.arange(m) + 0.5) * step - 0.5
            at = at if cubic else np.maximum(at, 0)
        if np.array_equal(at, np.arange(n)):
            continue
        shape = (m,) + (1,) * (y.ndim - 1 - axis)
        parts = []
        for tap in (-1, 0, 1, 2) if cubic else (0, 1):
            place = np.floor(at) + tap
            weights = (_cubic if cubic else _hat)(np.abs(at - place)).reshape(shape)
            part = jnp.take(y, np.clip(place, 0, n - 1).astype(int), axis)
            parts.append(part * weights.astype(y.dtype))
        y = sum(parts)
    return y.astype(input.dtype)


def _hat(far):
    return 1 - far


def _cubic(far):
    """The kernel of Keys with PyTorch's parameter."""
    near = (1.25 * far - 2.25) * far**2 + 1
    return np.where(far <= 1, near, ((-0.75 * far + 3.75) * far - 6) * far + 3)


def _norm(known: Callable, x, ord=2, *args, **kwargs):
    if ord != 2 or jnp.iscomplexobj(x):
        return known(x, ord, *args, **kwargs)
    return _root(known(x * x, 1, *args, **kwargs))


def _root(squares):
    """A root with no derivative at zero, as norms and deviations of PyTorch have it."""
    return (squares + (squares == 0)) ** 0.5 * (squares != 0)


def _each(value, rank):
    """An option of each axis."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values * (rank // len(values))


def _max_pool(
    rank: int,
    pool: Callable,
    input,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    **options,
):
    """With gaps in the window, which JAX does not differentiate, a maximum of strided slices.

    The derivative is of the first of equal numbers, as in PyTorch.
    """
    windows = kernel_size, stride, padding, dilation, ceil_mode
    found = functools.partial(pool, **options)
    if all(gap == 1 for gap in _each(dilation, rank)):
        return found(input, *windows)
    shaped = jax.eval_shape(lambda x: found(x, *windows), input)
    sizes = jax.tree.leaves(shaped)[0].shape[-rank:]
    each = [_each(value, rank) for value in (kernel_size, stride or kernel_size, dilation, padding)]
    spaces, slices = [(0, 0)] * (input.ndim - rank), []
    for n, m, k, step, gap, before in zip(input.shape[-rank:], sizes, *each, strict=True):
        read = (m - 1) * step + 1
        spaces.append((before, max(0, read + gap * (k - 1) - n - before)))
        slices.append([slice(gap * i, gap * i + read, step) for i in range(k)])
    floating = jnp.issubdtype(input.dtype, jnp.floating)
    lowest = -jnp.inf if floating else jnp.iinfo(input.dtype).min
    padded = jnp.pad(input, spaces, constant_values=lowest)
    y, *others = (padded[(..., *places)] for places in itertools.product(*slices))
    for part in others:
        y = jnp.where((part > y) | (part != part), part, y)
    if isinstance(shaped, tuple):
        return y, found(jax.lax.stop_gradient(input), *windows)[1]
    return y


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
    sums = pool(x, kernel_size, stride, padding, True, True, 1)
    padded = jnp.pad(
        jnp.ones_like(x), spaces + [(n, n) for n in _each(padding, rank)], constant_values=1
    )
    counts = pool(padded, kernel_size, stride, 0, True, True, 1)
    return sums / counts[(..., *(slice(n) for n in sums.shape[-rank:]))]


def _made(make: Callable, data, *, dtype=None, **options):
    """PyTorch says of which kind the numbers are; torchax takes the first one's."""
    import torch
    from torchax.ops.mappings import j2t_dtype

    def blank(value):
        shaped = isinstance(value, jax.Array)
        return torch.zeros(value.shape, dtype=j2t_dtype(value.dtype)) if shaped else value

    if dtype is None:
        with _natively():
            dtype = torch.tensor(jax.tree.map(blank, data)).dtype
    return make(data, dtype=dtype, **options)


@contextlib.contextmanager
def _natively():
    """PyTorch's own operations, on the processor."""
    import torch
    from torch.utils._mode_utils import no_dispatch

    with warnings.catch_warnings(action="ignore"), no_dispatch(), torch._C.DisableTorchFunction():
        yield


def _as_tensor(make: Callable, data, *, dtype=None, copy=None, **_):
    """The tensor itself, where PyTorch does not copy it."""
    import torch

    if not isinstance(data, torch.Tensor):
        return make(data, dtype=dtype)
    tensor = data if dtype in (None, data.dtype) else data.to(dtype)
    return tensor.clone() if copy else tensor


def _another(tensor):
    """A tensor of the same numbers."""
    from torchax.tensor import Tensor

    return Tensor(tensor.jax(), tensor._env) if hasattr(tensor, "jax") else tensor


def _adaptive_max_pool(pool: Callable, rank: int, x, output_size, return_indices=False):
    """Maxima over windows of one size; torchax has none."""
    sizes = x.shape[-rank:]
    given = output_size if isinstance(output_size, tuple) else (output_size,) * rank
    wanted = [n or size for n, size in zip(given, sizes, strict=True)]
    if return_indices or any(size % n for n, size in zip(wanted, sizes, strict=True)):
        raise NotImplementedError(f"adaptive max pooling of {tuple(sizes)} to {tuple(wanted)}")
    windows = [size // n for n, size in zip(wanted, sizes, strict=True)]
    return pool(x, windows, windows)
