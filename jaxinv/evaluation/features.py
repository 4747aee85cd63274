"""Equivariance of a network's feature maps over all shifts that their stride allows."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jaxinv.evaluation.layers import spatial_layers, window_error
from jaxinv.evaluation.results import Estimate
from jaxinv.evaluation.subject import Subject
from jaxinv.shifts import translate


def feature_error(
    subject: Subject, images: Shaped[np.ndarray, "n h w c"], *, place: int = -1
) -> tuple[Estimate, tuple[int, ...]] | None:
    """The largest equivariance error of one feature map over all circular shifts.

    Args:
      subject: the network.
      images: a few images.
      place: which of the outputs with positions; the last one, before pooling or flattening, if
        not given; 0 is the first layer.

    Returns:
      The largest relative error, and the stride whose multiples were tried; None for a network
      that has no such output or does not say what its layers are.

    Example:
      >>> import flax.linen as nn
      >>> from jaxinv.evaluation.subject import of_module
      >>> conv = nn.Conv(2, (3, 3), strides=2, padding="CIRCULAR")
      >>> images = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
      >>> net = of_module(conv, conv.init(jax.random.key(0), images), name="conv")
      >>> error, stride = feature_error(net, images)
      >>> error.value < 1e-5, stride
      (True, (2, 2))
    """
    layers = list(spatial_layers(subject, images).values())
    if not -len(layers) <= place < len(layers):
        return None
    features, stride = layers[place]
    x = jnp.asarray(images, jnp.float32)
    whole = tuple(p // s for p, s in zip(x.shape[1:-1], stride, strict=True))
    rows = [range(0, p - s + 1, s) for p, s in zip(x.shape[1:-1], stride, strict=True)]
    base = None
    errors = []
    # Shift by shift from here: on the processor XLA runs convolutions inside loops several times
    # slower than outside.
    for t in itertools.product(*rows):
        moved = _moved(features, x, jnp.array(t))
        base = moved if base is None else base  # the first shift is the one by nothing
        by = jnp.array([a // s for a, s in zip(t, stride, strict=True)])
        errors.append(_error(moved, base, by, whole))
    worst = max(map(float, jax.device_get(errors)))
    return Estimate(worst, None, None, len(images), "relative"), stride


@functools.partial(jax.jit, static_argnums=0)
def _moved(features, x, shift):
    return features(translate(x, tuple(shift)))


@functools.partial(jax.jit, static_argnums=3)
def _error(moved, base, by, whole):
    return window_error(moved, base, tuple(by), whole)
