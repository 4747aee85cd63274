"""Networks of several kinds, certified by their names in tests of the command."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx


class Linen(nn.Module):
    """Circular convolution, dropout, a pool of 2, normalisation, a mean."""

    padding: str = "CIRCULAR"

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.Conv(4, (3, 3), padding=self.padding)(x))
        x = nn.avg_pool(nn.Dropout(0.5, deterministic=not train)(x), (2, 2), (2, 2))
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(10)(x.mean((1, 2)))


linen = Linen()
padded = Linen("SAME")


class Nnx(nnx.Module):
    """A convolution without padding, and dropout."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), padding="VALID", rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(nnx.relu(self.conv(x)))


def nnx_network():
    """A module, made when asked for."""
    return Nnx(nnx.Rngs(0))


def with_options(*, seed=0, **kwargs):
    """A module made with its defaults, as torchvision's functions make theirs."""
    return Nnx(nnx.Rngs(seed), **kwargs)


equinox = eqx.nn.Sequential(
    [eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0)), eqx.nn.Dropout(0.5), eqx.nn.Lambda(jnp.tanh)]
)


def rolled(x, scale=1, kind="roll"):
    """A function with options."""
    return jnp.roll(x, scale, 1) if kind == "roll" else x.mean((1, 2))


def raises(x):
    """A network with an error of its own."""
    raise RuntimeError("no such thing")


number = 3


def made(features=2):
    """A function that makes a network with its defaults."""
    return nn.Conv(features, (3, 3), padding="CIRCULAR")


def gives_nothing():
    """A function that makes no network."""
