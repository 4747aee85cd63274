"""Writes into views: those that torchax loses are refused, the others are PyTorch's."""

import jax
import numpy as np
import pytest

import jaxinv
from tests.interop.torch_or_skip import nn, outputs_of, signal

pytestmark = pytest.mark.usefixtures("x64")
SHAPE = (2, 3, 8, 8)


class Writes(nn.Module):
    """A function as a module."""

    def __init__(self, fun):
        super().__init__()
        self.fun = fun

    def forward(self, x):
        return self.fun(x)


def _rows_of_a_view(x):
    x.view(len(x), -1)[:, 3] = 7
    return x


def _halves(x):
    first, _ = x.flatten(1).chunk(2, 1)
    first.mul_(2)
    return x + 1


def _base(x):
    rows = x[0].view(-1)
    x[0] = 1
    return rows


def _squeezed_and_unsqueezed(x):
    x.unsqueeze(0).relu_()
    return {"x": x}


def _slices(x):
    x[:, 1].relu_()
    part = x[:, :2]
    part[:, 0] = 1
    return x + part[:, :1]


def _zeroed_whole(x):
    first = x[:, 0] + 1
    return first.zero_() + x[:, 1]


def _disjoint(x):
    first, second = x.clone().unbind(1)[:2]
    return first.relu_() + second


def _view_alone(x):
    y = x.view(len(x), -1)
    y += 1
    return y.relu_()


def _zeroed(x):
    x[:, 1].zero_()
    return x


def _filled(x):
    x[:, :2].masked_fill_(x[:, :2] > 0, 2.0)
    return x + 1


def _silu(x):
    nn.functional.silu(x[..., 1:], inplace=True)
    return x


def _narrowed(x):
    x.narrow(1, 0, 1).mul_(3)
    return x


LOST = [
    _rows_of_a_view,
    _halves,
    _base,
    _squeezed_and_unsqueezed,
    _zeroed,
    _filled,
    _silu,
    _narrowed,
]


@pytest.mark.parametrize("write", LOST)
def test_writes_that_torchax_would_lose_are_refused(write):
    module = nn.Sequential(Writes(lambda x: write(x.clone())))
    params, apply = jaxinv.from_pytorch(module.eval())
    with pytest.raises(ValueError, match=r"^(0 \(Writes\)|Sequential) .* writes into a view"):
        jax.eval_shape(apply, params, signal(SHAPE))


@pytest.mark.parametrize("write", [_slices, _zeroed_whole, _disjoint, _view_alone])
def test_writes_that_torchax_keeps_are_pytorchs(write):
    module = Writes(lambda x: write(x.clone())).eval()
    params, apply = jaxinv.from_pytorch(module, example=signal(SHAPE))
    np.testing.assert_array_equal(apply(params, signal(SHAPE)), outputs_of(module, signal(SHAPE)))
