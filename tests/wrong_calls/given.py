"""What the calls are made with."""

import jax
import jax.numpy as jnp
import numpy as np

NAN, INF = float("nan"), float("inf")
KEY = jax.random.key(0)
IMAGES = np.arange(128.0, dtype=np.float32).reshape(2, 8, 8, 1)
TWO = np.array([0, 1])


def x():
    return jnp.ones((1, 8, 8, 2))


def net(x):
    return x.reshape(len(x), -1)[:, :2]


def same(x):
    return x


def row(*values, dtype=jnp.uint8):
    """A signal with one channel."""
    return jnp.asarray(values, dtype).reshape(1, -1, 1)


def flat(y):
    return np.asarray(y, np.float64).ravel()


# What is no key, and what an error calls it.
NO_KEYS = {
    "a seed": (3, "key is a int"),
    "two keys": (jax.random.split(KEY, 2), "of shape (2,)"),
    "half a key": (np.zeros(1, np.uint32), "of shape (1,)"),
    "an image": (IMAGES, "of shape (2, 8, 8, 1)"),
    "nothing": (None, "key is a NoneType"),
}
