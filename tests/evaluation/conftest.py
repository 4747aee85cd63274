"""A small data set and networks whose behaviour under shifts is known in closed form."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import data
from jaxinv.data import Dataset
from jaxinv.evaluation.subject import Subject, of_module


@pytest.fixture(scope="session")
def dataset():
    """Six random 8x8 images of three classes."""
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2], np.int32)
    return Dataset(images, labels, "noise", "test", 3, (0.0,), (1.0,))


class Net(nn.Module):
    """Circular convolution, stride 2, then a dense layer or the mean over positions."""

    head: str

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.Conv(4, (3, 3), padding="CIRCULAR", name="conv0")(x))
        x = nn.Conv(4, (3, 3), strides=2, padding="CIRCULAR", name="conv1")(x)
        x = x.reshape(len(x), -1) if self.head == "flatten" else jnp.mean(x, (1, 2))
        return nn.Dense(3, name="logits")(x)


@pytest.fixture(scope="session")
def make_subject(dataset):
    """A function from a head to a network with random weights."""

    def make(head="flatten", name=None):
        module = Net(head)
        variables = module.init(jax.random.key(1), jnp.zeros((1, 8, 8, 1)))
        return of_module(module, variables, name=name or head)

    return make


@pytest.fixture(scope="session")
def peak_subject():
    """Says which third of the columns holds the most light: shifts to the side change it."""

    def apply(images):
        columns = jnp.sum(images, axis=(1, 3))
        return jnp.stack([jnp.sum(columns[:, i::3], axis=1) for i in range(3)], axis=-1) / 255

    return Subject("peak", "peak", apply)


@pytest.fixture(scope="session")
def digits():
    """A few real digits."""
    return data.load("digits", split="test[:2]")
