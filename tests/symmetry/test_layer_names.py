"""Names of layers in frameworks that write none, and of layers that compute their kernels."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxinv

IMAGES = jax.ShapeDtypeStruct((1, 6, 4, 3), jnp.float32)
CIRCULAR = {"padding": "CIRCULAR"}


class Network(nnx.Module):
    def __init__(self, conv):
        self.stem = conv(3, 4, (3, 3), rngs=nnx.Rngs(0), **CIRCULAR)
        self.blocks = nnx.List([conv(4, 4, (3, 3), rngs=nnx.Rngs(0), **CIRCULAR)])
        self.head = nnx.Linear(4, 2, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.head(nnx.relu(self.blocks[0](nnx.relu(self.stem(x)))).mean((1, 2)))


def standardised(kernel):
    axes = (0, 1, 2)
    return (kernel - kernel.mean(axes)) / jnp.sqrt(kernel.var(axes) + 1e-5)


class StandardisedConv(nnx.Conv):
    """A convolution of its own kernel, less its mean and by its deviation."""

    def __call__(self, x):
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
        kernel = standardised(self.kernel[...])
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)


class LinenConv(nn.Conv):
    """As the reference code of weight standardisation has it."""

    def param(self, name, *args, **kwargs):
        value = super().param(name, *args, **kwargs)
        return standardised(value) if name == "kernel" else value


class LinenNetwork(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = LinenConv(4, (3, 3), name="stem", **CIRCULAR)(x)
        x = LinenConv(4, (3, 3), **CIRCULAR)(nn.relu(x))
        return nn.Dense(2, name="head")(x.mean((1, 2)))


network = Network(nnx.Conv)
held = {"plain": [network], "computed": Network(StandardisedConv)}
equinox = eqx.nn.Sequential([eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0))])
linen = LinenNetwork()
variables = linen.init(jax.random.key(0), jnp.zeros(IMAGES.shape))


def in_a_global(x):
    return network(x)


def in_a_container(x):
    return held["plain"][0](x)


def called_by_another(x):
    return in_a_global(x)


def in_an_inner_function(x):
    def inner(y):
        return network(y)

    return inner(x)


def of_equinox(x):
    return jax.vmap(equinox)(jnp.moveaxis(x, -1, 1)).mean((2, 3))


NETWORK = ["stem", "blocks/0", "reduce_sum", "head"]
NAMED = {
    in_a_global: NETWORK,
    in_a_container: NETWORK,
    called_by_another: NETWORK,
    in_an_inner_function: NETWORK,
    of_equinox: ["0", "reduce_sum"],
    held["computed"]: NETWORK,
    jax.jit(lambda x: held["computed"](x)): NETWORK,
    jax.jit(lambda x: linen.apply(variables, x)): [
        "stem",
        "LinenConv_0",
        "reduce_sum",
        "head",
    ],
}


@pytest.mark.parametrize("fun", NAMED, ids=lambda fun: getattr(fun, "__name__", "module"))
def test_rows_have_the_names_of_layers(fun):
    certificate = jaxinv.certify(fun, IMAGES)
    assert [step.layer for step in certificate.steps] == NAMED[fun]


def test_a_layer_is_not_named_by_another_ones_parameters():
    """The product of two layers' kernels belongs to neither, and the image names nothing."""

    def fun(params, x):
        mixed = x @ (params["a"]["kernel"] @ params["b"]["kernel"])
        return mixed, x @ params["a"]["kernel"]

    params = {name: {"kernel": jax.ShapeDtypeStruct((3, 3), jnp.float32)} for name in ("a", "b")}
    certificate = jaxinv.certify(fun, params, IMAGES, argnums=1)
    assert [step.layer for step in certificate.steps] == ["dot_general", "a"]
