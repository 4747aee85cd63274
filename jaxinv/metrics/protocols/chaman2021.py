"""Chaman and Dokmanic (2021): consistency of circularly shifted pairs."""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PRNGKeyArray

from jaxinv.metrics.consistency import consistency
from jaxinv.metrics.numbers import whole_number
from jaxinv.metrics.protocols.pairs import Estimate, sampled_consistency
from jaxinv.orbit import orbit
from jaxinv.shifts import check_axes, translate


def circular_consistency(
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    max_shift: int = 3,
    published: bool = False,
    axes: Sequence[int] = (1, 2),
    per_image: bool = False,
) -> Float[Array, "..."]:
    r"""Exact consistency over pairs of circular shifts up to `max_shift`.

    .. math::

      \frac{1}{N |T|^2} \sum_n \sum_{s, t \in T} [\hat y(T_s x_n) = \hat y(T_t x_n)],
      \quad T = \{-m, \dots, m\}^d

    The published code draws with `numpy.random.randint(-m, m)`, which never yields `+m`: 36
    shifts instead of 49 for m = 3. `published=True` is the expectation of that estimator.

    Args:
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: the images.
      max_shift: `m`, in pixels; published are 3 for 32 pixels and 32 for 224.
      published: leave out the shifts `+m`, as the published code does.
      axes: the spatial dimensions.
      per_image: return each image's chance.

    Returns:
      A share between 0 and 1, or `n` of them.

    Raises:
      ValueError: if `max_shift` is below 1 or an axis is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> fun = lambda x: (x[:, 0, 0, 0] > 0).astype(int)
      >>> image = jnp.zeros((1, 1, 8, 1)).at[0, 0, 7, 0].set(1)  # in sight at the shift +1
      >>> print(f"{circular_consistency(fun, image, max_shift=1):.3f}")
      0.556
      >>> print(circular_consistency(fun, image, max_shift=1, published=True))
      1.0

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214; `evaluate_circular` of
      https://github.com/achaman2/truly_shift_invariant_cnns.
    """
    dims = check_axes(axes, jnp.ndim(images), "images")
    end = _end(max_shift, published)
    along = range(-max_shift, end)
    shifts = list(itertools.product(along, repeat=len(dims)))
    return consistency(orbit(fun, axes=axes, shifts=shifts)(images), per_image=per_image)


def sampled_circular_consistency(
    key: PRNGKeyArray,
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    max_shift: int = 3,
    published: bool = True,
    axes: Sequence[int] = (1, 2),
    pairs: int = 1,
    shared: bool = True,
) -> Estimate:
    r"""Chaman and Dokmanic's consistency: random pairs of circular shifts.

    .. math::

      \frac{1}{S N} \sum_{s, n} [\hat y(T_{a_s} x_n) = \hat y(T_{b_s} x_n)]

    Args:
      key: random key.
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: the images.
      max_shift: `m`, in pixels.
      published: never draw `+m`, as the published code; False draws from `-m` to `m`.
      axes: the spatial dimensions.
      pairs: how many pairs are drawn.
      shared: one pair for the whole batch, as published, or one per image.

    Returns:
      The share of agreeing pairs, with its standard error (NaN for one pair).

    Raises:
      ValueError: if `max_shift` is below 1 or an axis is out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> constant = lambda x: jnp.zeros(x.shape[0], int)
      >>> images = jnp.ones((2, 8, 8, 1))
      >>> print(sampled_circular_consistency(jax.random.key(0), constant, images).value)
      1.0

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214.
    """
    dims = check_axes(axes, jnp.ndim(images), "images")
    end = _end(max_shift, published)
    return sampled_consistency(
        key,
        fun,
        images,
        view=functools.partial(_roll, axes=axes),
        low=-max_shift,
        high=end,
        dimensions=len(dims),
        pairs=pairs,
        shared=shared,
    )


def _roll(images, shift, axes):
    return translate(images, shift, axes=axes)


def _end(max_shift, published):
    max_shift = whole_number(max_shift, "max_shift")
    return max_shift if published else max_shift + 1
