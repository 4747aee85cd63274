"""Which writes of a PyTorch module reach another tensor that is read later.

To PyTorch a view and its base are one memory. torchax keeps slices so, and copies for all other
views: what is written into one of two is then missing in the other, without an error. A run on
PyTorch's meta device, which has shapes and no numbers, tells beforehand.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

_SLICES = ("aten::slice.Tensor", "aten::select.int", "aten::alias")


class StaleReadError(Exception):
    """A tensor is read that would not hold what was written into another."""


def aliases() -> Any:
    """A context that raises `StaleReadError` where a write is read that torchax keeps from there.

    Tensors that torchax keeps together share a cell with the version of the memory that they show.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Aliases(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return _run(func, args, kwargs or {})

    return Aliases()


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs an operation of PyTorch, and notes what it reads, writes and returns views of."""
    parameters = func._schema.arguments
    given = [*zip(parameters, args, strict=False)]
    given += [(parameter, kwargs.get(parameter.name)) for parameter in parameters[len(args) :]]
    tensors = [(parameter, t) for parameter, value in given for t in _tensors(value)]
    check_read(tensor for _, tensor in tensors)
    outputs = func(*args, **kwargs)
    for parameter, tensor in tensors:
        if parameter.alias_info is not None and parameter.alias_info.is_write:
            _cell(tensor)[0] = tensor._version + 1  # PyTorch counts after this returns
            _writes(tensor).append((tensor._version + 1, tensor))
    if any(output.alias_info is not None for output in func._schema.returns):
        shown = _cell(args[0])
        for view in _tensors(outputs):
            if not hasattr(view, "shown"):
                view.shown = shown if func.name() in _SLICES else shown.copy()
    return outputs


def check_read(tensors: Iterable[Any]) -> None:
    """Raises `StaleReadError` if torchax would not have what one of some tensors holds."""
    for tensor in _tensors(list(tensors)):
        if _cell(tensor)[0] == tensor._version:
            continue
        later = [other for version, other in _writes(tensor) if version > _cell(tensor)[0]]
        if any(_cell(other) is not _cell(tensor) and _overlap(tensor, other) for other in later):
            raise StaleReadError(
                "it writes into a view and reads the same memory by another tensor, which torchax "
                "keeps apart"
            )


def _tensors(value: Any) -> list[Any]:
    import torch

    values = value if isinstance(value, list | tuple) else [value]
    return [item for item in values if isinstance(item, torch.Tensor)]


def _cell(tensor: Any) -> list[int]:
    """The version of its memory that a tensor shows to torchax."""
    if not hasattr(tensor, "shown"):
        tensor.shown = [tensor._version]
    return tensor.shown


def _writes(tensor: Any) -> list[tuple[int, Any]]:
    """What was written into its memory: the version since then, and by which tensor."""
    base = tensor if tensor._base is None else tensor._base
    if not hasattr(base, "writes"):
        base.writes = []
    return base.writes


def _overlap(one: Any, two: Any) -> bool:
    """Whether two views of a memory have a number in common."""
    base = one if one._base is None else one._base
    marked = np.zeros(base.untyped_storage().nbytes() // base.element_size(), bool)

    def part(view):
        strides = tuple(stride * marked.itemsize for stride in view.stride())
        start = marked[view.storage_offset() :]
        return np.lib.stride_tricks.as_strided(start, tuple(view.shape), strides)

    part(one)[...] = True
    return bool(part(two).any())
