"""PyTorch with torchax; what imports this is skipped where they do not work together."""

import pytest

try:
    import torch
    import torchax  # noqa: F401
except Exception as error:  # torchax fails in its own way with each torch that it does not know
    pytest.skip(
        f"torchax cannot be imported: pip install '.[torch]' ({error})", allow_module_level=True
    )

import numpy as np
from torch import nn

__all__ = ["generic", "nn", "outputs_of", "signal", "torch"]


def generic(module):
    """The module in evaluation mode and 64 bits, with random weights, all of them positive."""
    numbers = np.random.default_rng(0)
    module = module.eval().double()
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(numbers.uniform(0.2, 1.0, tuple(tensor.shape))))
    return module


def signal(shape, seed=1):
    """Random images."""
    return np.random.default_rng(seed).normal(size=shape)


def outputs_of(module, images):
    """What PyTorch computes."""
    with torch.no_grad():
        outputs = module(torch.from_numpy(images.copy()))
    return torch.utils._pytree.tree_map(lambda tensor: tensor.numpy(), outputs)
