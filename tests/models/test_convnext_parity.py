"""ConvNeXt and the alias-free ConvNeXt of Michaeli et al. in PyTorch, in the same weights."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.models.convnext import ConvNeXt
from jaxinv.models.registry import options

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
functional = torch.nn.functional
SIZE = 32
SMALL = {"blocks": (1, 2), "widths": (4, 6), "num_classes": 5}


def convolution(x, layer, *, stride=1, groups=1, circular=False):
    """Channels first; circular or zero padding of `floor((k - 1) / 2)` before, as published."""
    kernel = layer["kernel"].permute(3, 2, 0, 1)
    k = kernel.shape[-1]
    if circular:
        before, after = (k - 1) // 2, k // 2
        x = functional.pad(x, (before, after, before, after), mode="circular")
    padding = 0 if circular or stride > 1 else k // 2
    return functional.conv2d(x, kernel, layer["bias"], stride, padding, groups=groups)


def dense(x, layer):
    return functional.linear(x, layer["kernel"].T, layer["bias"])


def layer_norm(x, layer):
    """Over the channels of each position, as timm's LayerNorm2d."""
    y = functional.layer_norm(
        x.permute(0, 2, 3, 1), x.shape[1:2], layer["scale"], layer["bias"], 1e-6
    )
    return y.permute(0, 3, 1, 2)


def alias_free_norm(x, layer):
    """The published "CHW2": the mean over channels, the deviation over the whole map."""
    x = x - x.mean(1, keepdim=True)
    x = x / torch.sqrt((x**2).mean((1, 2, 3), keepdim=True) + 1e-6)
    return layer["scale"][:, None, None] * x + layer["bias"][:, None, None]


def keep(x, cutoff, *, nyquist=0.0):
    """An ideal filter by FFT: frequencies below `cutoff` of the Nyquist frequency, the edge so."""
    for axis in (2, 3):
        n = x.shape[axis]
        k = torch.fft.fftfreq(n, 1 / n).abs().round()
        edge = n * cutoff / 2
        gain = torch.where(k < edge, 1.0, torch.where(k == edge, nyquist, 0.0)).to(x.dtype)
        shape = [1, 1, 1, 1]
        shape[axis] = n
        x = torch.fft.ifft(torch.fft.fft(x, dim=axis) * gain.reshape(shape), dim=axis).real
    return x


def finer(x):
    """Zeros in between, then an ideal filter that gives each half of the edge to either sign."""
    n, c, h, w = x.shape
    y = x.new_zeros(n, c, 2 * h, 2 * w)
    y[:, :, ::2, ::2] = x
    return keep(4 * y, 0.5, nyquist=0.5)


def quadratic(u, layer, other):
    a0, a1, a2 = layer["coefficients"]
    return a0 + a1 * u + a2 * u * other


def gelu_block(x, layer):
    y = layer_norm(convolution(x, layer["conv"], groups=x.shape[1]), layer["norm"]["layer"])
    y = functional.gelu(dense(y.permute(0, 2, 3, 1), layer["widen"]))
    return x + (layer["scale"] * dense(y, layer["narrow"])).permute(0, 3, 1, 2)


def alias_free_block(x, layer):
    """As published: the finer grid, both dense layers on it, the filter, the old grid."""
    y = convolution(x, layer["conv"], groups=x.shape[1], circular=True)
    y = finer(alias_free_norm(y, layer["norm"]))
    y = dense(y.permute(0, 2, 3, 1), layer["widen"])
    polynomial = layer["activation"]["polynomial"]
    u = polynomial["in_scale"] * y
    y = dense(polynomial["out_scale"] * quadratic(u, polynomial, u), layer["narrow"])
    y = keep(y.permute(0, 3, 1, 2), 0.5)[:, :, ::2, ::2]
    return x + layer["scale"][:, None, None] * y


def residual_polynomial(x, layer):
    """The published residual activation of the stem, a cutoff of 0.75."""
    u = layer["in_scale"] * x
    low = keep(u, 0.75).permute(0, 2, 3, 1)
    y = quadratic(u.permute(0, 2, 3, 1), layer, low).permute(0, 3, 1, 2)
    return x + layer["gain"] * layer["out_scale"] * y


def published(params, x, *, alias_free):
    """The logits of the network that the papers' code computes."""
    norm = alias_free_norm if alias_free else lambda x, layer: layer_norm(x, layer["layer"])
    block = alias_free_block if alias_free else gelu_block
    for stage, count in enumerate(SMALL["blocks"]):
        factor, layer = (4 if stage == 0 else 2), params[f"patchify{stage}"]
        if stage > 0:
            x = norm(x, params[f"norm{stage}"])
        if alias_free:
            x = convolution(x, layer["conv"], circular=True)
            if stage == 0:
                x = residual_polynomial(x, layer["polynomial"])
            x = keep(x, 1 / factor)[:, :, ::factor, ::factor]
        else:
            x = convolution(x, layer["conv"], stride=factor)
        if stage == 0:
            x = norm(x, params["norm0"])
        for index in range(count):
            x = block(x, params[f"stage{stage}_{index}"])
    pooled, last = x.mean((2, 3)), params["norm"]
    pooled = functional.layer_norm(pooled, pooled.shape[1:], last["scale"], last["bias"], 1e-6)
    return dense(pooled, params["classifier"]["logits"])


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_tiny_alias_free"])
def test_logits_are_those_of_the_published_network(name):
    model = ConvNeXt(**{**options(name), **SMALL})
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = random.normal(size=(2, SIZE, SIZE, 3))
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(x))["params"]
        params = jax.tree.map(lambda a: random.normal(size=a.shape) / 3, shapes)
        logits = np.asarray(jax.jit(model.apply)({"params": params}, x))
    flat = flax.traverse_util.flatten_dict(params)
    theirs = {k: torch.from_numpy(np.asarray(v)) for k, v in flat.items()}
    expected = published(
        flax.traverse_util.unflatten_dict(theirs),
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
        alias_free=name.endswith("alias_free"),
    ).numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-14 * np.abs(expected).max())
