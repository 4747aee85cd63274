"""Random pairs of views of an image, as the field draws them, and all views, exactly."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Num, PRNGKeyArray, Shaped

from jaxinv.arguments import as_inexact, check_key, per_axis, whole_number
from jaxinv.metrics.predictions import classifier, nan_if_undefined, predicted_classes
from jaxinv.orbit import orbit
from jaxinv.shift_options import check_axes
from jaxinv.symmetry.processor_convolution import quick_in_loops


class SampleMean(NamedTuple):
    """A sampled number.

    Attributes:
      value: the mean of the samples.
      standard_error: that of the mean, about the exact value for these images; NaN of one sample.
    """

    value: Float[Array, "..."]
    standard_error: Float[Array, "..."]


class Sample(NamedTuple):
    """Random draws in place of all cases, as published protocols make them.

    Attributes:
      key: random key.
      draws: how many: pairs or places for each image, or shifts.
    """

    key: PRNGKeyArray
    draws: int = 1

    def keys(self) -> PRNGKeyArray:
        """One key for each draw."""
        check_key(self.key)
        return jax.random.split(self.key, whole_number(self.draws, "draws"))


def check_all_pairs(per_image: bool) -> None:
    """Raises ValueError where numbers per image are asked of random pairs."""
    if per_image:
        raise ValueError("per_image is True; with sample allowed is False: it needs all pairs")


def mean_of_samples(samples: Float[Array, "samples *rest"]) -> SampleMean:
    """The mean of independent samples and its standard error.

    Args:
      samples: one row per sample.

    Returns:
      The estimate; NaN for the error of a single sample.

    Raises:
      ValueError: if there are no samples.

    Example:
      >>> import jax.numpy as jnp
      >>> estimate = mean_of_samples(jnp.array([0.0, 1.0, 0.0, 1.0]))
      >>> print(estimate.value, estimate.standard_error.round(3))
      0.5 0.289
    """
    samples = as_inexact(samples, "samples")
    if samples.ndim == 0 or samples.shape[0] == 0:
        raise ValueError("there are no samples to average")
    count = samples.shape[0]
    if count == 1:
        return SampleMean(samples[0], jnp.full_like(samples[0], jnp.nan))
    error = jnp.std(samples, axis=0, ddof=1) / jnp.sqrt(count)
    return SampleMean(jnp.mean(samples, axis=0), error)


def sampled_consistency(
    key: PRNGKeyArray,
    fun: Callable,
    images: Num[Array, "n ..."],
    *,
    view: Callable,
    low: int | Sequence[int],
    high: int | Sequence[int],
    dimensions: int = 2,
    pairs: int = 1,
    shared: bool = False,
) -> SampleMean:
    r"""How often two random views of an image get the same prediction.

    .. math::

      \frac{1}{S N} \sum_{s, n} [\hat y(V_{a_{sn}} x_n) = \hat y(V_{b_{sn}} x_n)],
      \quad a, b \sim U\{\mathrm{low}, \dots, \mathrm{high} - 1\}

    Args:
      key: random key.
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: the batch.
      view: `view(batch, offset)` returns the batch as seen at an offset, one whole number per
        dimension, traced.
      low: the smallest offset, one for all dimensions or one each.
      high: the offset after the largest, as in `numpy.random.randint`.
      dimensions: how many numbers an offset has.
      pairs: how many pairs are drawn for each image.
      shared: draw one pair for the whole batch, as published code does, instead of one per
        image. The expectation is the same, the variance larger.

    Returns:
      The share of agreeing pairs, with its standard error (NaN for one pair). NaN where an output
      is not finite.

    Raises:
      ValueError: if there are no images, no pair is asked for, or no offset is allowed.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> estimate = sampled_consistency(
      ...     jax.random.key(0), lambda x: (x[:, 0] > 0).astype(int), jnp.array([[0, 0, 1, 1]]),
      ...     view=lambda x, t: jnp.roll(x, t[0], 1), low=0, high=4, dimensions=1, pairs=400)
      >>> print(estimate.value.round(1))
      0.5

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019), section 4.2,
      https://arxiv.org/abs/1904.11486.
    """
    lowest, highest = (np.array(per_axis(v, dimensions, "offset")) for v in (low, high))
    pairs = whole_number(pairs, "pairs")
    if not np.all(lowest < highest):
        raise ValueError(f"no offset lies from {low} to below {high}")
    images = jnp.asarray(images)
    if images.ndim == 0 or images.shape[0] == 0:
        raise ValueError(f"there are no images in an array of shape {images.shape}")

    classes = classifier(fun)

    def predict(one):
        count = () if shared else (images.shape[0],)
        offsets = jax.random.randint(one, (*count, dimensions), lowest, highest)
        if shared:
            return predicted_classes(classes(view(images, offsets)))
        seen = jax.vmap(lambda image, offset: view(image[None], offset)[0])(images, offsets)
        return predicted_classes(classes(seen))

    def agreement(pair_key):
        first, second = jax.random.split(pair_key)
        seen = jnp.stack([predict(first), predict(second)])
        return nan_if_undefined(jnp.mean(seen[0] == seen[1], dtype=float), seen)

    check_key(key)
    return mean_of_samples(lax.map(quick_in_loops(agreement), jax.random.split(key, pairs)))


def crop(
    images: Shaped[Array, "..."],
    start: Sequence[int] | Array,
    *,
    size: int | Sequence[int],
    axes: Sequence[int] = (1, 2),
) -> Shaped[Array, "..."]:
    """The window of `size` that begins at `start` along each spatial axis; `start` may be traced.

    Raises:
      ValueError: if an axis is out of range or the window does not fit.
    """
    dims = check_axes(axes, jnp.ndim(images), "images")
    starts, shape = [jnp.zeros((), jnp.int32)] * jnp.ndim(images), list(jnp.shape(images))
    sizes = per_axis(size, len(dims), "size")
    for i, (dim, n) in enumerate(zip(dims, sizes, strict=True)):
        starts[dim] = jnp.asarray(start[i], jnp.int32)
        if not 1 <= n <= shape[dim]:
            raise ValueError(
                f"a window of {n} does not fit dimension {dim} of {shape[dim]} positions; "
                f"allowed are 1 to {shape[dim]}"
            )
        shape[dim] = n
    return lax.dynamic_slice(images, starts, shape)


def at_crops(
    fun: Callable,
    images: Shaped[Array, "..."],
    starts: Sequence[Sequence[int]],
    *,
    size: int | Sequence[int],
    axes: Sequence[int] = (1, 2),
) -> Shaped[Array, "crops ..."]:
    r"""A function at chosen windows of larger images.

    .. math::

      \mathrm{out}[s] = f(x[s, \dots, s + n - 1])

    Args:
      fun: a function of a batch of windows.
      images: larger images.
      starts: first positions of each window, one tuple each.
      size: positions of the windows, one number for all axes or one each.
      axes: the spatial dimensions.

    Returns:
      The outputs, with one leading axis for the windows.

    Raises:
      ValueError: if a window does not lie within the images.

    Example:
      >>> import jax.numpy as jnp
      >>> print(at_crops(jnp.sum, jnp.arange(8), [(0,), (5,)], size=3, axes=(0,)))
      [ 3 18]

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019), section 4.2,
      https://arxiv.org/abs/1904.11486.
    """
    images = jnp.asarray(images)
    dims = check_axes(axes, images.ndim, "images")
    sizes = per_axis(size, len(dims), "size")
    listed = [per_axis(tuple(start), len(dims), "start") for start in starts]
    if not listed:
        raise ValueError("starts is empty; it needs at least one window")
    limits = []
    for i, (dim, n) in enumerate(zip(dims, sizes, strict=True)):
        length, along = images.shape[dim], [start[i] for start in listed]
        if n < 1 or not 0 <= min(along) <= max(along) <= length - n:
            raise ValueError(
                f"windows of {n} that begin at {min(along)} to {max(along)} do not lie within "
                f"dimension {dim} of {length} positions"
            )
        # The orbit's windows lie evenly about the centre: an even number of them along each
        # axis is reached by a position at the end that is never read.
        limits.append((max(along) + 1) // 2)
        wide = n + 2 * limits[-1]
        padding = [(0, max(0, wide - length)) if d == dim else (0, 0) for d in range(images.ndim)]
        images = lax.slice_in_dim(jnp.pad(images, padding), 0, wide, axis=dim)
    shifts = [tuple(m - s for m, s in zip(limits, start, strict=True)) for start in listed]
    return orbit(fun, axes=axes, mode="crop", max_shift=tuple(limits), shifts=shifts)(images)
