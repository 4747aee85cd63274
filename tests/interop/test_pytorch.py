"""`from_pytorch`: PyTorch's numbers, the user's names and lines, and the module left alone."""

import collections
import dataclasses
import linecache
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.interop import pytorch
from tests.interop.torch_networks import Calls
from tests.interop.torch_or_skip import generic, nn, outputs_of, signal, torch

pytestmark = pytest.mark.usefixtures("x64")
F = nn.functional
SHAPE = (2, 3, 8, 8)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, padding_mode="circular")
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        self.gain = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x):
        y = self.act(self.norm(self.conv(x)))  # first in a block
        y = self.act(y * self.gain - 0.5)  # scaled
        return x + y


class Network(nn.Module):
    """Nested and repeated modules, one that is called as a function, indices as a buffer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=2)
        self.layers = nn.Sequential(Block(4), nn.Sequential(Block(4)))
        self.mixed = nn.Conv2d(4, 4, 1)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("order", torch.tensor([2, 0, 1, 3]))
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = self.layers(self.stem(x))  # through containers
        x = F.conv2d(x, self.mixed.weight)[:, self.order]  # functional
        x = self.drop(x.flatten(2).mean(2))  # pooled
        return self.fc(x)  # dense


@pytest.fixture(scope="module")
def module():
    return generic(Network())


def test_numbers_are_those_of_pytorch(module):
    params, apply = jaxinv.from_pytorch(module)
    x = signal(SHAPE)
    expected = outputs_of(module, x)
    np.testing.assert_allclose(apply(params, x), expected, rtol=1e-9)
    np.testing.assert_allclose(jax.jit(apply)(params, x), expected, rtol=1e-9)
    by_one = jax.vmap(lambda image: apply(params, image[None])[0])
    np.testing.assert_allclose(by_one(x), expected, rtol=1e-9)


def test_float32_has_parity(module):
    params, apply = jaxinv.from_pytorch(Network().eval())
    x = signal(SHAPE).astype(np.float32)
    assert {str(leaf.dtype) for leaf in params.values()} == {"float32"}
    assert apply(params, x).dtype == "float32"
    module = Network().eval()
    module.load_state_dict(
        {name: torch.tensor(np.asarray(v)) for name, v in params.items()}, strict=False
    )
    np.testing.assert_allclose(apply(params, x), outputs_of(module, x), atol=1e-4)


def test_gradients_are_those_of_pytorch(module):
    params, apply = jaxinv.from_pytorch(module)
    x = signal(SHAPE)
    mine = jax.grad(lambda p, x: jnp.sum(apply(p, x) ** 2), (0, 1))(params, x)
    theirs = torch.from_numpy(x).requires_grad_()
    (module(theirs) ** 2).sum().backward()
    np.testing.assert_allclose(mine[1], theirs.grad, rtol=1e-8)
    for name, weight in module.named_parameters():
        if weight.grad is not None:
            np.testing.assert_allclose(mine[0][name], weight.grad, rtol=1e-8)


def test_parameters_have_the_names_of_the_state_dict(module):
    params, _ = jaxinv.from_pytorch(module)
    integers = {"order", *(name for name in module.state_dict() if name.endswith("_tracked"))}
    assert set(params) == set(module.state_dict()) - integers


def test_rows_have_the_users_names_and_lines(module):
    params, apply = jaxinv.from_pytorch(module)
    x = jax.ShapeDtypeStruct(SHAPE, "float64")
    certificate = jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3))
    assert (certificate.kind, certificate.period) == ("invariant", (2, 2))
    comments = {}
    for step in certificate.steps:
        file, _, number = step.where.partition(":")
        assert __file__.endswith(file), step
        comment = linecache.getline(__file__, int(number)).partition("# ")[2].strip()
        comments.setdefault(step.layer, []).append(comment)
    inside = {
        "conv": ["first in a block"],
        "norm": ["first in a block"],
        "gain": ["scaled"],
        "act": ["first in a block", "scaled"],
    }
    blocks = ("layers.0", "layers.1.0")
    assert comments == {
        "stem": ["through containers"],
        **{f"{block}.{name}": lines for block in blocks for name, lines in inside.items()},
        "mixed.weight": ["functional"],
        "reduce_sum": ["pooled"],
        "fc": ["dense"],
    }


def test_modules_of_pytorch_alone_have_names_and_no_lines():
    padded = nn.Conv2d(3, 4, 3, padding=1).double()
    params, apply = jaxinv.from_pytorch(nn.Sequential(padded, nn.ReLU()))
    certificate = jaxinv.certify(apply, params, signal(SHAPE), argnums=1, axes=(2, 3))
    assert [(step.layer, step.where) for step in certificate.steps] == [("0", ""), ("1", "")]
    assert "The symmetry ends at 0: zero padding of 1 meets the border." in str(certificate)
    params, apply = jaxinv.from_pytorch(padded)
    certificate = jaxinv.certify(apply, params, signal(SHAPE), argnums=1, axes=(2, 3))
    assert certificate.first_end.place == "conv_general_dilated"


def test_a_part_of_a_larger_function_is_named_within_it(module):
    params, apply = jaxinv.from_pytorch(nn.Sequential(nn.Conv2d(3, 3, 1)).double())

    def twice(params, x):
        for name in ("one", "two"):
            with jax.named_scope(name):
                x = apply(params, x)
        return x

    certificate = jaxinv.certify(twice, params, signal(SHAPE), argnums=1, axes=(2, 3))
    assert [step.layer for step in certificate.steps] == ["one/0", "two/0"]


class Masked(nn.Module):
    """A module with parts, whose own code ends the symmetry."""

    def __init__(self):
        super().__init__()
        self.part = nn.ReLU()

    def forward(self, x):
        return self.part(x) * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


def test_the_own_code_of_a_module_with_parts_is_named_where_it_matters():
    params, apply = jaxinv.from_pytorch(nn.Sequential(Masked(), nn.ReLU()))
    certificate = jaxinv.certify(apply, params, signal(SHAPE), argnums=1, axes=(2, 3))
    assert certificate.first_end.place.startswith("0 (test_pytorch.py:")


class Keeps(nn.Module):
    """Code that keeps what it has computed."""

    def __init__(self):
        super().__init__()
        self.scale, self.grid, self.known = torch.tensor([2.0, 3.0]), None, {}

    def forward(self, x):
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1], dtype=x.dtype) + x.mean()
        self.known.setdefault(x.shape, x * self.scale[0])
        return self.known[x.shape] + self.grid + torch.zeros(x.shape[-1])


def test_the_module_is_left_alone_and_leaves_the_function_alone():
    module = Keeps().eval()
    params, apply = jaxinv.from_pytorch(module)
    x = signal(SHAPE)
    first = jax.jit(apply)(params, x)
    np.testing.assert_array_equal(first, jax.jit(lambda x: apply(params, x))(x))
    assert (module.grid, module.known) == (None, {})
    assert not module._forward_pre_hooks
    assert not module._forward_hooks
    np.testing.assert_allclose(first, outputs_of(module, x), rtol=1e-6)

    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout()).eval().double()
    params, apply = jaxinv.from_pytorch(module)
    before = apply(params, x)
    with torch.no_grad():
        module.train()[0].weight.zero_()
    np.testing.assert_array_equal(apply(params, x), before)


def test_weights_with_norms_and_two_names():
    parametrizations = nn.utils.parametrizations
    module = nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 3, 1)),
        parametrizations.spectral_norm(nn.Conv2d(3, 3, 1)),
        nn.Conv2d(3, 3, 1),
        nn.Conv2d(3, 3, 1),
    )
    module[3].weight = module[2].weight
    module = generic(module)
    params, apply = jaxinv.from_pytorch(module)
    assert {"2.weight", "3.weight"} & set(params) == {"2.weight"}
    np.testing.assert_allclose(apply(params, signal(SHAPE)), outputs_of(module, signal(SHAPE)))


def test_random_numbers_are_the_same_in_each_call():
    params, apply = jaxinv.from_pytorch(RandomAlways())
    x = signal(SHAPE)
    before = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[2]  # noqa: NPY002
    np.testing.assert_allclose(jax.jit(apply)(params, x), apply(params, x), rtol=1e-12)
    after = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[2]  # noqa: NPY002
    assert before == after


class Hooked(nn.Module):
    """Features kept by a hook, and a function, that refer to the module from outside."""

    def __init__(self):
        super().__init__()
        self.conv, self.features = nn.Conv2d(3, 4, 3), {}
        self.conv.register_forward_hook(lambda *_: self.features.setdefault("conv", _[-1]))
        self.scaled = lambda x: x * self.conv.bias[0]

    def forward(self, x, mask=1):
        return self.conv(self.scaled(x)) * mask + self.features.pop("conv")


def test_functions_that_refer_to_the_module_refer_to_its_copy():
    module = generic(Hooked())
    params, apply = jaxinv.from_pytorch(module)
    x, mask = signal(SHAPE), np.linspace(0, 1, 6)
    found = jax.jit(lambda x: apply(params, x, mask=mask))(x)
    assert module.features == {}
    with torch.no_grad():
        expected = module(torch.from_numpy(x), mask=torch.from_numpy(mask))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    none = apply({name: jnp.zeros_like(value) for name, value in params.items()}, x)
    np.testing.assert_array_equal(none, 0)


class RandomAlways(nn.Module):
    def forward(self, x):
        libraries = random.random() + np.random.random()  # noqa: NPY002
        return F.dropout(x) * libraries * torch.rand(1, generator=torch.default_generator)[0]


def test_an_example_tells_pytorch_and_jax_apart(monkeypatch):
    x = signal(SHAPE).astype(np.float32)
    jaxinv.from_pytorch(Network().eval(), example=x)
    monkeypatch.setattr(pytorch, "_copy", lambda module, tensors: module)
    module = Counts().eval()
    with pytest.raises(ValueError, match="Counts does not compute in JAX what it does in PyTorch"):
        jaxinv.from_pytorch(module, example=x)


Mean = collections.namedtuple("Mean", "value")


@dataclasses.dataclass
class Both:
    map: torch.Tensor
    mean: Mean


ORDERED = collections.OrderedDict
# What a module returns, and the same in containers of JAX.
OUTPUTS = {
    "dict": 2 * (lambda x: {"map": x, "aux": (x.mean(), [x[0]])},),
    "ordered": 2 * (lambda x: ORDERED(map=x, aux=x.mean()),),
    "named": 2 * (lambda x: Mean(x.mean()),),
    "of PyTorch": (lambda x: x.max(2), lambda x: (x.max(2), x.argmax(2))),
    "dataclass": (
        lambda x: Both(x, Mean(x.mean())),
        lambda x: {"map": x, "mean": Mean(x.mean())},
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_in_containers_of_jax(name):
    fun, expected = OUTPUTS[name]
    x = signal(SHAPE)
    params, apply = jaxinv.from_pytorch(Calls(fun).eval(), example=x)
    jax.tree.map(np.testing.assert_allclose, jax.jit(apply)(params, x), expected(x))


class Counts(nn.Module):
    """Another function in each call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls
