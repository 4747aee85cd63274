"""Writes into views reach every tensor that shows the same memory, as in PyTorch."""

import jax
import numpy as np
import pytest

import jaxinv
from jaxinv.interop.aliases import writes_into_views
from tests.interop.torch_or_skip import nn, outputs_of, signal, torch

pytestmark = pytest.mark.usefixtures("x64")
F = nn.functional
SHAPE = (2, 3, 8, 8)


class Writes(nn.Module):
    """A function of a copy of the images, as a module."""

    def __init__(self, fun):
        super().__init__()
        self.fun = fun

    def forward(self, x):
        return self.fun(x.clone())


def _rows_of_a_view(x):
    x.view(len(x), -1)[:, 3] = 7
    return x


def _halves(x):
    first, _ = x.flatten(1).chunk(2, 1)
    first.mul_(2)
    return x + 1


def _base_read_by_a_view(x):
    rows = x[0].view(-1)
    x[0] = 1
    return rows


def _base_written_whole(x):
    rows = x.view(-1)
    x.relu_()
    return rows


def _squeezed_and_unsqueezed(x):
    x.unsqueeze(0).relu_()
    return x


def _slices(x):
    x[:, 1].relu_()
    part = x[:, :2]
    part[:, 0] = 1
    return x + part[:, :1]


def _zeroed(x):
    x[:, 1].zero_()
    return x


def _filled(x):
    x[:, :2].masked_fill_(x[:, :2] > 0, 2.0)
    x.transpose(1, 2)[:, 3].fill_(3)
    return x + 1


def _copied(x):
    y = torch.zeros_like(x)
    y[:, :, 1:].copy_(x[:, :, :-1])
    y.diagonal(dim1=2, dim2=3).mul_(0.5)
    return y


def _indexed(x):
    rows = x.view(len(x), -1)
    rows[:, [1, 2]] = 0
    rows[:, torch.tensor([4, 5])] = x[:, 0, 0, :2]
    rows[rows > 1] = 1
    return x


def _scattered(x):
    x.view(2, -1).scatter_(1, torch.tensor([[0, 5], [7, 9]]), 2.0)
    return x


def _made(x):
    scale = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=x.dtype)
    scale[:, 0].zero_()
    places = torch.arange(2, device=x.device)
    return x[..., :2, :2] * scale + places


def _in_place_by_option(x):
    F.silu(x[..., 1:], inplace=True)
    F.relu6(input=x[:, :1], inplace=True)
    F.dropout(x, 0.5, False, inplace=True)
    return x


def _by_other_names(x):
    x.view(-1)[3:].multiply_(2).subtract_(1).clip_(-1, 1).square_()
    x.narrow(1, 0, 1).negative_()
    return x


def _flattened_to_itself(x):
    rows = x.reshape(-1)
    same = rows.flatten()
    same.relu_()
    return rows


def _beside_functions_of_this_package(x):
    x[:, 0].zero_()
    weight = torch.arange(6, dtype=x.dtype).reshape(3, 1, 2, 1)
    y = F.linear(F.conv_transpose2d(x, weight, groups=3), torch.ones(8, 8, dtype=x.dtype))
    columns = F.unfold(y[..., 1:, :], 2, stride=2)
    return F.adaptive_max_pool2d(F.fold(columns, (8, 8), 2, stride=2), 2)


def _before_functions_that_write(x):
    x[:, 0].zero_()
    y = F.pad(x, (1, 2, 0, 1), mode="circular")
    y = F.pad(y, (1, 1, 1, 1), mode="reflect")
    z = F.pad(x, (1, 1, 1, 1), mode="replicate")
    z = F.instance_norm(z) + F.group_norm(z, 3) + F.local_response_norm(z, 2)
    tokens = z.flatten(2).transpose(1, 2)
    tokens = F.scaled_dot_product_attention(tokens, tokens, tokens)
    return (
        y.mean()
        + F.layer_norm(tokens, (3,))
        + torch.einsum("nti,nsj->nij", tokens, tokens)[:, 0, :1, None]
    )


def _what_may_be_a_copy(x):
    copied = x.permute(0, 2, 3, 1).reshape(-1, 3)
    copied[:, 0] = 0
    viewed = x.reshape(len(x), -1)
    viewed[:, 5] = 1
    return x + copied.view(len(x), 8, 8, 3).permute(0, 3, 1, 2)


def _the_same_tensor(x):
    torch.as_tensor(x).mul_(2)
    torch.asarray(x, dtype=x.dtype)[0].add_(1)
    x.to(x.dtype)[:, 0] = 1
    x.float().double().mul_(3)
    torch.asarray(x, copy=True).mul_(5)
    return x.contiguous().mul_(2) + x + torch.as_tensor([1.0, 2.5] * 4)


WRITES = [
    _the_same_tensor,
    _what_may_be_a_copy,
    _before_functions_that_write,
    _rows_of_a_view,
    _halves,
    _base_read_by_a_view,
    _base_written_whole,
    _squeezed_and_unsqueezed,
    _slices,
    _zeroed,
    _filled,
    _copied,
    _indexed,
    _scattered,
    _made,
    _in_place_by_option,
    _by_other_names,
    _flattened_to_itself,
    _beside_functions_of_this_package,
]


@pytest.mark.parametrize("write", WRITES)
def test_writes_into_views_are_pytorchs(write):
    module = nn.Sequential(Writes(write)).eval()
    x = torch.empty(SHAPE, dtype=torch.float64, device="meta")
    assert writes_into_views(module, x) is not None
    params, apply = jaxinv.from_pytorch(module)
    x = signal(SHAPE)
    np.testing.assert_allclose(jax.jit(apply)(params, x), outputs_of(module, x), rtol=1e-9)


def _view_alone(x):
    y = x.view(len(x), -1) + 1
    y += 1
    return y.relu_()


def _padded(x):
    """Where PyTorch writes part by part, and torchax does not."""
    return F.pad(x, (1, 1, 2, 0), mode="circular")


def _without_views(x):
    return F.relu(x, inplace=True).add_(1).mul_(2)


def _copies(x):
    other, places = x.transpose(2, 3), torch.arange(8)
    x.to(x.dtype, copy=True).mul_(2)
    other.contiguous().mul_(2)
    scale = places.type_as(x).mul_(2)
    return {"x": x * scale, "other": other, "places": places}


@pytest.mark.parametrize("write", [_view_alone, _without_views, _padded, _copies])
def test_other_writes_are_torchax_own(write):
    module = Writes(write).eval()
    assert writes_into_views(module, torch.empty(SHAPE, device="meta")) is None
    params, apply = jaxinv.from_pytorch(module, example=signal(SHAPE))
    jax.tree.map(
        np.testing.assert_array_equal,
        apply(params, signal(SHAPE)),
        outputs_of(module, signal(SHAPE)),
    )


class Zeroed(nn.Module):
    """A part of its weights is zero wherever it is read, as in Swin's second version."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular", stride=2)

    def forward(self, x):
        bias = self.conv.bias.clone()
        bias[:2].zero_()
        y = self.conv(x) + bias[:, None, None]
        y.flatten(2)[..., 0:] *= 2
        return {"map": y * y.detach(), "mean": y.mean((2, 3))}


def test_gradients_names_and_certificates_of_writes_into_views():
    module = Zeroed().double().eval()
    params, apply = jaxinv.from_pytorch(module)
    x = signal(SHAPE)

    def loss(params, x):
        return sum((y**2).sum() for y in apply(params, x).values())

    mine = jax.jit(jax.grad(loss, (0, 1)))(params, x)
    theirs = torch.from_numpy(x).requires_grad_()
    sum((y**2).sum() for y in module(theirs).values()).backward()
    np.testing.assert_allclose(mine[1], theirs.grad, rtol=1e-9)
    np.testing.assert_allclose(mine[0]["conv.bias"], module.conv.bias.grad, rtol=1e-9)
    certificate = jaxinv.certify(apply, params, x, argnums=1, axes=(2, 3))
    found = {(output.kind, output.period) for output in certificate.outputs}
    assert found == {("equivariant", (2, 2)), ("invariant", (2, 2))}
    assert certificate.steps[0].layer == "conv"
    moved = apply(params, np.roll(x, (2, 4), (2, 3)))
    np.testing.assert_allclose(moved["map"], np.roll(apply(params, x)["map"], (1, 2), (2, 3)))


class Writer(nn.Module):
    """Writes into its inputs and its buffers, after a look at their values."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.arange(4, dtype=torch.float64))

    def forward(self, x):
        if x.sum() > 1e9:
            return x
        self.seen[1:].add_(1)
        x.view(-1)[3:].mul_(2)
        return x * self.seen[2]


def test_writes_into_inputs_and_buffers_by_code_that_asks_for_values():
    x = signal(SHAPE)
    params, apply = jaxinv.from_pytorch(Writer().eval())
    np.testing.assert_allclose(apply(params, x), outputs_of(Writer().eval(), x))


def test_a_write_that_cannot_be_replaced_is_refused():
    def write(x):
        x.as_strided((2, 4), (192, 2)).fill_(9)
        return x

    params, apply = jaxinv.from_pytorch(nn.Sequential(Writes(write)).eval())
    with pytest.raises(ValueError, match=r"^0 \(Writes\) cannot be run in JAX: .*strided") as told:
        jax.eval_shape(apply, params, signal(SHAPE))
    assert "\n" not in str(told.value)
