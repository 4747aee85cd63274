"""Consistency of random crop pairs, and the sweep along the diagonal.

Zhang, "Making convolutional networks shift-invariant again" (2019).
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from jaxinv.arguments import per_axis
from jaxinv.metrics.consistency import consistency
from jaxinv.metrics.predictions import classifier, correct_predictions, probabilities
from jaxinv.metrics.protocols.pairs import (
    Sample,
    SampleMean,
    at_crops,
    check_all_pairs,
    crop,
    sampled_consistency,
)
from jaxinv.shift_options import check_axes


def crop_consistency(
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    size: int | Sequence[int],
    offsets: int | Sequence[int] | None = None,
    axes: Sequence[int] = (1, 2),
    per_image: bool = False,
    sample: Sample | None = None,
    shared: bool = True,
) -> Float[Array, "..."] | SampleMean:
    r"""Consistency over pairs of crops: all of them, exactly, or random ones as published.

    .. math::

      \frac{1}{N |O|^2} \sum_n \sum_{a, b \in O} [\hat y(x_n[a : a + s]) = \hat y(x_n[b : b + s])]

    Published: `size=224` of images of 256, with `offsets=32` (0 to 31; the last, 32, is never
    drawn), five pairs, each shared by a batch.

    Args:
      fun: the classifier: a batch of crops to logits `(n, classes)` or predictions `(n,)`.
      images: larger images.
      size: `s`, positions of a crop, one number for all axes or one each.
      offsets: how many offsets from 0 along each axis; None means all that fit less one, as
        published.
      axes: the spatial dimensions.
      per_image: return each image's chance, over all pairs.
      sample: draw pairs instead of taking all.
      shared: draw one pair for the whole batch, as published, or one per image.

    Returns:
      A share between 0 and 1, or `n` of them; with `sample` an `SampleMean`.

    Raises:
      ValueError: if the crops do not lie within the images, or `per_image` comes with `sample`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> fun = lambda x: (x[:, 0, 0, 0] > 1).astype(int)
      >>> image = jnp.array([0, 0, 2, 2, 0]).reshape(1, 1, 5, 1)
      >>> print(crop_consistency(fun, image, size=(1, 1), offsets=(1, 4)))
      0.5
      >>> drawn = Sample(jax.random.key(0), draws=400)
      >>> print(crop_consistency(fun, image, size=(1, 1), sample=drawn).value.round(1))
      0.5

    Reference:
      Zhang (2019), section 4.2, https://arxiv.org/abs/1904.11486; `validate_shift` of
      https://github.com/adobe/antialiased-cnns.
    """
    fun, counts = classifier(fun), _offsets(images, size, offsets, axes)
    if sample is None:
        starts = list(itertools.product(*map(range, counts)))
        return consistency(at_crops(fun, images, starts, size=size, axes=axes), per_image=per_image)
    check_all_pairs(per_image)
    return sampled_consistency(
        sample.key,
        fun,
        images,
        view=functools.partial(crop, size=size, axes=axes),
        low=0,
        high=counts,
        dimensions=len(counts),
        pairs=sample.draws,
        shared=shared,
    )


class DiagonalSweep(NamedTuple):
    """What a classifier says of crops along the diagonal.

    Attributes:
      probability: of the true class, `(steps, n)`.
      runner_up: the largest probability of any other class, `(steps, n)`.
      correct: whether the prediction is right, `(steps, n)`.
      variation: standard deviation of `probability` over the steps, averaged over images.
    """

    probability: Float[Array, "steps n"]
    runner_up: Float[Array, "steps n"]
    correct: Bool[Array, "steps n"]
    variation: Float[Array, ""]


def diagonal_sweep(
    fun: Callable,
    images: Num[Array, "n h w c"],
    labels: Int[Array, " n"],
    *,
    size: int | Sequence[int],
    axes: Sequence[int] = (1, 2),
) -> DiagonalSweep:
    r"""Zhang's diagonal: the probability of the true class as the crop moves down and right.

    .. math::

      p[d, n] = \mathrm{softmax}(f(x_n[d : d + s]))_{y_n}, \quad d = 0, \dots, P - s

    Published: 33 crops of 224 in images of 256.

    Args:
      fun: the classifier: a batch of crops to logits `(n, classes)`.
      images: larger images.
      labels: the true classes.
      size: `s`, positions of a crop.
      axes: the spatial dimensions.

    Returns:
      Probabilities and correctness at each step, and how much the probability varies.

    Raises:
      ValueError: if the crops do not lie within the images, or labels do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> fun = lambda x: x[:, 0, 0, :]
      >>> images = jnp.zeros((1, 3, 3, 2)).at[0, 1, 1, 0].set(9.0)
      >>> print(diagonal_sweep(fun, images, jnp.array([0]), size=1).correct[:, 0])
      [ True  True  True]
      >>> print(diagonal_sweep(fun, images, jnp.array([1]), size=1).correct[:, 0])
      [False False False]

    Reference:
      Zhang (2019), figure 6, https://arxiv.org/abs/1904.11486; `validate_diagonal` of
      https://github.com/adobe/antialiased-cnns.
    """
    dims = check_axes(axes, jnp.ndim(images), "images")
    sizes = per_axis(size, len(dims), "size")
    steps = 1 + min(jnp.shape(images)[d] - n for d, n in zip(dims, sizes, strict=True))
    if steps < 1:
        raise ValueError(
            f"crops of {sizes} do not lie within images of shape {jnp.shape(images)}; "
            "allowed are those no larger"
        )
    starts = [(d,) * len(dims) for d in range(steps)]
    logits = at_crops(classifier(fun, logits=True), images, starts, size=size, axes=axes)
    correct = correct_predictions(logits, labels)
    likely = probabilities(logits)
    truth = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    probability = jnp.sum(likely, axis=-1, where=truth)
    runner_up = jnp.max(likely, axis=-1, where=~truth, initial=0)
    variation = jnp.mean(jnp.std(probability, axis=0))
    return DiagonalSweep(probability, runner_up, correct, variation)


def _offsets(images, size, offsets, axes):
    dims = check_axes(axes, jnp.ndim(images), "images")
    sizes = per_axis(size, len(dims), "size")
    if offsets is None:
        return tuple(max(1, jnp.shape(images)[d] - n) for d, n in zip(dims, sizes, strict=True))
    counts = per_axis(offsets, len(dims), "offsets")
    for dim, n, count in zip(dims, sizes, counts, strict=True):
        if not 1 <= count <= jnp.shape(images)[dim] - n + 1:
            raise ValueError(
                f"{count} offsets of windows of {n} do not lie within dimension {dim} of "
                f"{jnp.shape(images)[dim]} positions"
            )
    return counts
