"""One more pixel along the diagonal, embedded in black or cropped.

Azulay and Weiss, "Why do deep convolutional networks generalize so poorly to small image
transformations?" (2019).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxinv.arguments import per_axis
from jaxinv.metrics.change import mean_absolute_change
from jaxinv.metrics.predictions import (
    classifier,
    nan_if_undefined,
    predicted_classes,
    probabilities,
)
from jaxinv.metrics.protocols.pairs import Sample, SampleMean, at_crops, crop, mean_of_samples
from jaxinv.shift_options import check_axes
from jaxinv.symmetry.processor_convolution import quick_in_loops


class OnePixel(NamedTuple):
    """What one more pixel does.

    Attributes:
      top1_change: share of pairs whose predicted class differs.
      mean_absolute_change: mean absolute change in the probability of the class predicted first.
    """

    top1_change: Float[Array, "..."] | SampleMean
    mean_absolute_change: Float[Array, "..."] | SampleMean


def embed(
    images: Num[Array, "n h w c"], *, canvas: int | Sequence[int], axes: Sequence[int] = (1, 2)
) -> Num[Array, "n h2 w2 c"]:
    """Surrounds images by black so that crops of `canvas` show them whole, at every place.

    A crop of the result that begins at `canvas - size - p` shows the image at place `p` of a
    black canvas: embedding is cropping from a larger black image.

    Args:
      images: the images.
      canvas: positions of the canvas, at least those of the images plus one.
      axes: the spatial dimensions.

    Returns:
      Images of `2 * canvas - size` positions.

    Raises:
      ValueError: if the canvas leaves no place to move to.

    Example:
      >>> import jax.numpy as jnp
      >>> print(embed(jnp.array([5, 6]), canvas=4, axes=(0,)))
      [0 0 5 6 0 0]

    Reference:
      Azulay and Weiss (2019), https://arxiv.org/abs/1805.12177: the protocol "embedding".
    """
    images = jnp.asarray(images)
    dims = check_axes(axes, images.ndim, "images")
    margins = [(0, 0)] * images.ndim
    for dim, n in zip(dims, per_axis(canvas, len(dims), "canvas"), strict=True):
        room = n - images.shape[dim]
        if room < 1:
            raise ValueError(
                f"a canvas of {n} leaves no place to move images of {images.shape[dim]} positions"
            )
        margins[dim] = (room, room)
    return jnp.pad(images, margins)


def one_pixel_change(
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    size: int | Sequence[int],
    axes: Sequence[int] = (1, 2),
    sample: Sample | None = None,
) -> OnePixel:
    r"""Effect of one pixel along the diagonal, over all places of the window or over random ones.

    .. math::

      \operatorname{mean}_{n, s} [\hat y(V_s x_n) \ne \hat y(V_{s + 1} x_n)], \qquad
      \operatorname{mean}_{n, s} | p_k(V_{s + 1} x_n) - p_k(V_s x_n) |, \quad
      k = \hat y(V_s x_n)

    with windows :math:`V_s x = x[s : s + n]`. For the protocol "crop" give larger images, for
    "embedding in black" those of `embed`, with `size` the canvas.

    Args:
      fun: the classifier: a batch of windows to logits `(n, classes)`.
      images: larger images.
      size: positions of a window, one number for all axes or one each.
      axes: the spatial dimensions.
      sample: draw places for each image, as published, instead of taking all.

    Returns:
      Both numbers, averaged over images and places; with `sample` an `SampleMean` of each.

    Raises:
      ValueError: if the window leaves no place to move to.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> fun = lambda x: x[:, 0, 0, :]
      >>> images = jnp.zeros((1, 3, 3, 2)).at[0, 1, 1, 1].set(jnp.log(3.0))
      >>> change = one_pixel_change(fun, images, size=1)  # two of four diagonal steps meet it
      >>> print(f"{change.top1_change:.3f} {change.mean_absolute_change:.3f}")
      0.500 0.125
      >>> drawn = one_pixel_change(fun, images, size=1, sample=Sample(jax.random.key(0), 400))
      >>> print(f"{drawn.top1_change.value:.1f}")
      0.5

    Reference:
      Azulay and Weiss (2019), https://arxiv.org/abs/1805.12177.
    """
    fun, places = classifier(fun, logits=True), _places(images, size, axes)
    if sample is None:
        starts = list(itertools.product(*(range(p + 1) for p in places)))
        logits = at_crops(fun, images, starts, size=size, axes=axes)
        grid = logits.reshape(*(p + 1 for p in places), *logits.shape[1:])
        before = grid[tuple(slice(0, -1) for _ in places)]
        after = grid[tuple(slice(1, None) for _ in places)]
        return _change(before, after)
    images = jnp.asarray(images)

    def window(image, start):
        return crop(image[None], start, size=size, axes=axes)[0]

    def draw(key):
        starts = jax.random.randint(key, (images.shape[0], len(places)), 0, jnp.array(places))
        before = fun(jax.vmap(window)(images, starts))
        after = fun(jax.vmap(window)(images, starts + 1))
        return _change(before, after)

    return OnePixel(*map(mean_of_samples, jax.lax.map(quick_in_loops(draw), sample.keys())))


def _places(images, size, axes):
    dims = check_axes(axes, jnp.ndim(images), "images")
    sizes = per_axis(size, len(dims), "size")
    places = tuple(jnp.shape(images)[d] - n for d, n in zip(dims, sizes, strict=True))
    if min(places) < 1:
        raise ValueError(
            f"a window of {sizes} leaves no place to move in images of shape {jnp.shape(images)}"
        )
    return places


def _change(before, after):
    classes = jnp.stack([predicted_classes(before), predicted_classes(after)])
    differs = jnp.mean(classes[0] != classes[1], dtype=float)
    change = mean_absolute_change(probabilities(before), probabilities(after))
    return OnePixel(nan_if_undefined(differs, classes), change)
