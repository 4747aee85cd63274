"""Equivariance of a network's feature maps over all shifts that their stride allows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jaxinv.evaluation.layers import spatial_layers
from jaxinv.evaluation.results import Estimate
from jaxinv.evaluation.subject import Subject
from jaxinv.metrics.layers import window_error
from jaxinv.shifts import translate

SHIFTS_AT_ONCE = 16


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
    rows = [np.arange(0, p - s + 1, s) for p, s in zip(x.shape[1:-1], stride, strict=True)]
    shifts = np.stack(np.meshgrid(*rows, indexing="ij"), -1).reshape(-1, len(rows))
    # A loop in Python: on the processor XLA runs convolutions inside its own loops several times
    # slower than outside. The first shifts come again where the last are fewer.
    errors = []
    for start in range(0, len(shifts), SHIFTS_AT_ONCE):
        some = shifts[np.arange(start, start + SHIFTS_AT_ONCE) % len(shifts)]
        errors.append(_largest_error(features, x, some, stride, whole))
    worst = float(np.max(jax.device_get(errors)))  # NaN, where one of them is
    return Estimate(worst, None, None, len(images), "relative"), stride


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _largest_error(features, x, shifts, stride, whole):
    base = features(x)

    def error(shift):
        by = tuple(shift // np.array(stride))
        return window_error(features(translate(x, tuple(shift))), base, by, whole)

    return jax.vmap(error)(shifts).max()
