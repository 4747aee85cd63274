"""`from_pytorch`: what is refused, in one line that names the part and says what would work."""

import sys
import types

import jax
import pytest

import jaxinv
from tests.interop.torch_networks import Calls
from tests.interop.torch_or_skip import nn, signal, torch

pytestmark = pytest.mark.usefixtures("x64")
F = nn.functional
SHAPE = (2, 3, 8, 8)


class DropPath(nn.Module):
    def forward(self, x):
        return x * torch.rand(len(x), 1, 1, 1) if self.training else x


class Functional(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.1, self.training)


TRAINED = {
    "dropout": (lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout()), r"1 \(Dropout\)"),
    "statistics": (
        lambda: nn.Sequential(nn.Sequential(nn.BatchNorm2d(3))),
        r"0\.0 \(BatchNorm2d\)",
    ),
    "instance": (lambda: nn.Sequential(nn.InstanceNorm2d(3)), r"0 \(InstanceNorm2d\)"),
    "own": (lambda: nn.Sequential(DropPath()), r"0 \(DropPath\)"),
    "root": (Functional, r"the module \(Functional\)"),
    "attention": (lambda: nn.Sequential(nn.MultiheadAttention(2, 1, 0.1)), r"0 \(Multihead"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_mode_is_refused_where_it_means_something(name):
    make, named = TRAINED[name]
    with pytest.raises(ValueError, match=rf"^{named}.* is in training mode.*call module.eval"):
        jaxinv.from_pytorch(make())
    jaxinv.from_pytorch(make().eval())


def test_training_mode_that_means_nothing_is_none():
    params, apply = jaxinv.from_pytorch(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).double())
    assert apply(params, signal(SHAPE)).shape == (2, 4, 8, 8)


OUTSIDE = torch.ones(8, 8)
FAILING = {
    "no lowering": (F.rrelu, "has no lowering"),
    "antialiased": (
        lambda x: F.interpolate(x, size=5, mode="bilinear", antialias=True),
        "antialiased interpolation",
    ),
    "adaptive": (lambda x: F.adaptive_max_pool2d(x, 3), r"max pooling of \(8, 8\) to \(3, 3\)"),
    "branch": (lambda x: x if x.sum() > 0 else -x, "asks for values.*traced"),
    "own error": (lambda x: x.view(7), "reshape|size|shape"),
    "tensors that no module holds": (lambda x: x + OUTSIDE, "no module holds.*register_buffer"),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_run_is_named(name):
    fun, said = FAILING[name]
    module = nn.Sequential(nn.Identity(), nn.Sequential(Calls(fun)))
    params, apply = jaxinv.from_pytorch(module.eval())
    with pytest.raises(
        ValueError, match=rf"^1\.0 \(Calls\) cannot be run in JAX: .*({said})"
    ) as caught:
        jax.eval_shape(apply, params, signal(SHAPE))
    assert "\n" not in str(caught.value)
    # The scope of the module that failed is left.
    params, apply = jaxinv.from_pytorch(nn.Sequential(nn.ReLU()))
    certificate = jaxinv.certify(apply, params, signal(SHAPE), argnums=1, axes=(2, 3))
    assert [step.layer for step in certificate.steps] == ["0"]


class Catches(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.after = nn.Sequential(Calls(lambda x: x.view(7))), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        try:
            return self.inner(x)
        except Exception:
            return self.after(x)


def test_names_stay_right_after_an_error_that_the_module_caught():
    params, apply = jaxinv.from_pytorch(
        nn.Sequential(Catches(), nn.Conv2d(3, 3, 1)).eval().double()
    )
    certificate = jaxinv.certify(apply, params, signal(SHAPE), argnums=1, axes=(2, 3))
    assert [step.layer for step in certificate.steps][-1] == "1"


WRONG = {
    "a number": (3, "module is a int; allowed is a torch.nn.Module"),
    "a class": (nn.ReLU, "module is a type"),
    "a state dict": ({}, "module is a dict"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_module(name):
    value, said = WRONG[name]
    with pytest.raises(ValueError, match=said):
        jaxinv.from_pytorch(value)


def _with_a_script():
    return torch.jit.trace(nn.ReLU(), torch.zeros(2))


def _quantised():
    kind = types.new_class("Linear", (nn.Linear,))
    kind.__module__ = "torch.ao.nn.quantized.dynamic.modules.linear"
    return kind(2, 2)


HELD = {
    "a script": (_with_a_script, "TopLevelTracedModule.* is compiled"),
    "meta": (lambda: nn.Conv2d(3, 3, 1, device="meta"), "Conv2d.*weight is on the meta device"),
    "lazy": (lambda: nn.LazyConv2d(3, 1), "LazyConv2d.*weight has no shape yet"),
    "quantised": (_quantised, "Linear.* is quantised"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Lazy modules")
@pytest.mark.parametrize("name", HELD)
def test_parts_that_hold_no_plain_numbers(name):
    make, said = HELD[name]
    with pytest.raises(ValueError, match=rf"^0\.1 \({said}"):
        jaxinv.from_pytorch(nn.Sequential(nn.Sequential(nn.ReLU(), make())).eval())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_is_refused():
    scripted = torch.jit.trace(nn.ReLU(), torch.zeros(2))
    with pytest.raises(ValueError, match=r"allowed is a torch\.nn\.Module, not compiled"):
        jaxinv.from_pytorch(scripted)


def test_without_torchax_one_line_says_so(monkeypatch):
    from jaxinv.interop import operations

    operations.environment.cache_clear()
    monkeypatch.setitem(sys.modules, "torchax.tensor", None)
    with pytest.raises(ValueError, match=r"needs torchax.*pip install 'jaxinv\[torch\]'"):
        jaxinv.from_pytorch(nn.ReLU())


def test_outputs_that_are_no_arrays_are_refused():
    params, apply = jaxinv.from_pytorch(Calls(lambda x: (x, "text")).eval())
    with pytest.raises(ValueError, match=r"^Calls .* returns a str; allowed are tensors, numbers"):
        apply(params, signal(SHAPE))
