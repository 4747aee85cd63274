"""Biscione and Bowers (2021): cosine similarity of each layer's activations under translation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact
from jaxinv.magnitudes import directions
from jaxinv.metrics.equivariance import cosine_invariance
from jaxinv.orbit import OrbitMode, orbit


class CosineProfile(NamedTuple):
    """Cosine invariance of one layer.

    Attributes:
      similarity: mean cosine between an image and its shifted copy, one per shift.
      baseline: mean cosine between different images, unshifted: what no invariance at all gives.
    """

    similarity: Float[Array, " shifts"]
    baseline: Float[Array, ""]


def cosine_profile(
    features: Callable,
    images: Num[Array, "n h w c"],
    shifts: Sequence[Sequence[int]],
    *,
    mode: OrbitMode = "constant",
    axes: Sequence[int] = (1, 2),
) -> dict[str, CosineProfile]:
    r"""Cosine invariance of each layer at chosen shifts.

    .. math::

      \frac{1}{N} \sum_n \cos( f_\ell(x_n), f_\ell(T_t x_n) )

    1 for an invariant layer. An equivariant layer's activations move and score low until they
    are pooled, so the profile says where a network becomes invariant, not where it loses track.

    Args:
      features: maps a batch of images to a pytree of activations `(n, ...)`, such as a dictionary
        by layer (`jaxinv.metrics.layer_outputs` makes one of any Flax model).
      images: the images.
      shifts: the shifts, in pixels.
      mode: what enters at the border; objects on black as published are `"constant"`.
      axes: the spatial dimensions.

    Returns:
      One profile per layer, by its path in the pytree.

    Raises:
      ValueError: if there are not two images for the baseline; and as `jaxinv.orbit`.

    Example:
      >>> import jax.numpy as jnp
      >>> images = jnp.eye(4).reshape(2, 2, 4, 1)
      >>> features = lambda x: {"pixels": x, "mean": x.mean((1, 2))}
      >>> profiles = cosine_profile(features, images, [(0, 0), (0, 1)], mode="wrap")
      >>> print({name: p.similarity.round(2).tolist() for name, p in profiles.items()})
      {"['mean']": [1.0, 1.0], "['pixels']": [1.0, 0.0]}

    Reference:
      Biscione and Bowers, "Convolutional neural networks are not invariant to translation, but
      they can learn to be" (2021), https://arxiv.org/abs/2110.05861: cosine similarity analysis.
    """
    if jnp.ndim(images) == 0 or jnp.shape(images)[0] < 2:
        raise ValueError("one image has no other to compare with; give at least two")
    base = features(jnp.asarray(images))

    def similarities(x):
        return jax.tree.map(lambda a, b: jnp.mean(cosine_invariance(a, b)), base, features(x))

    at_shifts = orbit(similarities, axes=axes, mode=mode, shifts=shifts)(images)
    profiles = {}
    paths = jax.tree_util.tree_leaves_with_path(at_shifts)
    for (path, similarity), activations in zip(paths, jax.tree.leaves(base), strict=True):
        profiles[jax.tree_util.keystr(path)] = CosineProfile(similarity, _baseline(activations))
    return profiles


def _baseline(activations):
    flat = as_inexact(activations).reshape(activations.shape[0], -1)
    unit = directions(flat)
    count = flat.shape[0]
    # Two images without activations are alike: zeros get a direction of their own.
    zero = ~jnp.any(flat, axis=-1, keepdims=True)
    unit = jnp.concatenate([unit, zero.astype(unit.dtype)], axis=-1)
    # The sum over all pairs is that of the mean direction with itself, less the n equal pairs.
    total = jnp.sum(jnp.sum(unit, axis=0) ** 2) - jnp.sum(unit**2)
    return total / (count * (count - 1))
