"""Errors of `certify` and `orbit` that say the way out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxinv

X = jnp.zeros((1, 8, 8, 3))
DOORS = {"certify": jaxinv.certify, "orbit": lambda fun, *args, **o: jaxinv.orbit(fun, **o)(*args)}


@pytest.fixture(params=DOORS)
def door(request):
    return DOORS[request.param]


def test_the_image_is_another_argument(door):
    net = nn.Conv(2, (3, 3))
    variables = net.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="argument 1 has such axes: argnums=1"):
        door(net.apply, variables, X)
    # The kernel has such axes too, so nothing says which argument is the image.
    with pytest.raises(ValueError, match=r"allowed are -1 to 0$"):
        door(lambda b, k, x: x, jnp.zeros(3), jnp.zeros((3, 3, 3, 2)), X)
    with pytest.raises(ValueError, match=r"allowed are -2 to 1$"):
        door(lambda x: x, jnp.zeros((8, 8)))


@pytest.mark.parametrize("axes", [1, "12"])
def test_axes_that_are_no_whole_numbers(axes):
    with pytest.raises(ValueError, match="allowed is a sequence of whole numbers"):
        jaxinv.certify(lambda x: x, X, axes=axes)


def test_a_linen_module_without_variables(door):
    net = nn.Conv(2, (3, 3), padding="CIRCULAR")
    with pytest.raises(ValueError, match="fun is the Flax module Conv; give its apply"):
        door(net, X)
    bound = net.bind(net.init(jax.random.key(0), X))
    door(bound, X)


class Dropping(nnx.Module):
    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(x)


def test_an_nnx_module_in_training():
    net = Dropping(nnx.Rngs(0))
    with pytest.raises(Exception, match="Cannot mutate") as found:
        jaxinv.certify(net, X)
    assert "fun.eval()" in "".join(found.value.__notes__)
    net.eval()
    assert jaxinv.certify(net, X).kind == "equivariant"


def test_channels_first():
    with pytest.warns(UserWarning, match=r"where channels come first, axes=\(2, 3\)"):
        jaxinv.certify(lambda x: x, jnp.zeros((1, 3, 16, 16)))
    jaxinv.certify(lambda x: x, jnp.zeros((1, 3, 16, 16)), axes=(2, 3))
    jaxinv.certify(lambda x: x, jnp.zeros((1, 3, 16, 3)))
