"""Which writes of a PyTorch module reach another tensor that is read later.

To PyTorch a view and its base are one memory. torchax keeps what is indexed so, for some of the
operations that write, and copies for all other views: what is written into one of two is then
missing in the other, without an error. A run on PyTorch's meta device, which has shapes and no
numbers, tells beforehand.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

_SLICES = ("aten::slice.Tensor", "aten::select.int", "aten::alias")


class StaleReadError(Exception):
    """A tensor is read that would not hold what was written into another."""


@contextlib.contextmanager
def aliases() -> Iterator[None]:
    """A context that raises `StaleReadError` where a write is read that torchax keeps from there.

    Tensors that torchax keeps together share a cell with the version of the memory that they show.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    indexing = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
    given: list[list[Any]] = [[]]

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if func in indexing:
                outputs = func(*args, **kwargs)
                for output in _tensors(outputs):
                    output.is_part = output._is_view()
                return outputs
            given.append(_tensors([*args, *kwargs.values()]))
            try:
                outputs = func(*args, **kwargs)
            finally:
                arguments = given.pop()
            for output in _tensors(outputs):
                # A view by any function but an index is a copy in torchax.
                if not any(output is argument for argument in arguments):
                    output.shown = _cell(output).copy()
            return outputs

    class Aliases(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return _run(func, args, kwargs or {}, given[-1])

    with Functions(), Aliases():
        yield


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Any]) -> Any:
    """Runs an operation of PyTorch, and notes what it reads, writes and returns views of.

    Args:
      func: the operation.
      args: its arguments.
      kwargs: those by name.
      given: the tensors that the function was called with of which it is a part.
    """
    parameters = func._schema.arguments
    values = [*zip(parameters, args, strict=False)]
    values += [(parameter, kwargs.get(parameter.name)) for parameter in parameters[len(args) :]]
    tensors = [(parameter, t) for parameter, value in values for t in _tensors(value)]
    check_read(tensor for _, tensor in tensors)
    outputs = func(*args, **kwargs)
    for parameter, tensor in tensors:
        if parameter.alias_info is not None and parameter.alias_info.is_write:
            whole = not getattr(tensor, "is_part", False) or _writes_through(func)
            if not whole and any(tensor is other for other in given):
                name = func.overloadpacket.__name__
                raise StaleReadError(f"it writes into a view by {name}, which torchax does not")
            _cell(tensor)[0] = tensor._version + 1  # PyTorch counts after this returns
            _writes(tensor).append((tensor._version + 1, tensor))
    if any(output.alias_info is not None for output in func._schema.returns):
        shown = _cell(args[0])
        for view in _tensors(outputs):
            if not hasattr(view, "shown"):
                view.shown = shown if func.name() in _SLICES else shown.copy()
    return outputs


def _writes_through(func: Any) -> bool:
    """Whether what an operation writes into a part reaches the whole in torchax."""
    from torchax.ops.ops_registry import all_aten_ops

    known = all_aten_ops.get(func) or all_aten_ops.get(func.overloadpacket)
    return known is not None and known.is_view_op


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
