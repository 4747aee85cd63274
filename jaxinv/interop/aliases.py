"""Whether a PyTorch module writes into a memory that several of its tensors show.

To PyTorch a view and its base are one memory. torchax copies for most views: what is written into
one is then missing in the other, without an error. A run on PyTorch's meta device, which has shapes
and no numbers, tells beforehand.
"""

from typing import Any


def may_copy() -> set[Any]:
    """PyTorch's functions that copy or give a view, as the strides of the tensor have it."""
    import torch

    names = ("contiguous", "flatten", "ravel", "reshape", "reshape_as")
    kinds = (torch, torch.Tensor)
    return {getattr(kind, name) for kind in kinds for name in names if hasattr(kind, name)}


def writes_into_views(
    fun: Any, *args: Any, device: str = "meta", **kwargs: Any
) -> list[bool] | None:
    """Runs a function of PyTorch, to see whether it writes into a memory that has views.

    Returns:
      None if it does not; else of each call of a function of `may_copy` whether it copied.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torchax.ops.ops_registry import all_torch_functions

    viewed: dict[int, Any] = {}  # the memories are held, so that none has the number of another
    found = within = False
    copies: list[bool] = []
    recorded = may_copy()

    def see(tensor):
        memory = tensor.untyped_storage()
        viewed[memory._cdata] = memory

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal within
            versions = [(tensor, tensor._version) for tensor in _tensors(args)]
            within = func in all_torch_functions  # torchax runs it in its own way
            outputs = func(*args, **(kwargs or {}))
            within = False
            if func in recorded:
                memories = [t.untyped_storage()._cdata for t in (args[0], outputs)]
                copies.append(memories[0] != memories[1])
            for tensor, version in versions:
                # What does nothing, such as a flatten of one dimension, may be a copy in torchax.
                if tensor is outputs and tensor._version == version:
                    see(tensor)
            return outputs

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal found
            kwargs = kwargs or {}
            for number, parameter in enumerate(func._schema.arguments):
                if parameter.alias_info is not None and parameter.alias_info.is_write:
                    value = args[number] if number < len(args) else kwargs.get(parameter.name)
                    memories = (t.untyped_storage()._cdata for t in _tensors([value]))
                    found |= not within and any(memory in viewed for memory in memories)
            outputs = func(*args, **kwargs)
            for output in func._schema.returns:
                if output.alias_info is not None and not output.alias_info.is_write:
                    for tensor in _tensors([outputs]):
                        see(tensor)
            return outputs

    with torch.no_grad(), torch.device(device), Functions(), Operations():
        fun(*args, **kwargs)
    return copies if found else None


def _tensors(values: Any) -> list[Any]:
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor)]
