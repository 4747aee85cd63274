"""Chaman and Dokmanic (2021): consistency of circularly shifted pairs."""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxinv.arguments import whole_number
from jaxinv.metrics.consistency import consistency
from jaxinv.metrics.predictions import classifier
from jaxinv.metrics.protocols.pairs import Sample, SampleMean, check_all_pairs, sampled_consistency
from jaxinv.orbit import orbit
from jaxinv.shift_options import check_axes
from jaxinv.shifts import translate


def circular_consistency(
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    max_shift: int = 3,
    published: bool = False,
    axes: Sequence[int] = (1, 2),
    per_image: bool = False,
    sample: Sample | None = None,
    shared: bool = True,
) -> Float[Array, "..."] | SampleMean:
    r"""Consistency over pairs of circular shifts up to `max_shift`.

    .. math::

      \frac{1}{N |T|^2} \sum_n \sum_{s, t \in T} [\hat y(T_s x_n) = \hat y(T_t x_n)],
      \quad T = \{-m, \dots, m\}^d

    over all pairs, exactly; or with `sample` over random ones, as published. The published code
    draws with `numpy.random.randint(-m, m)`, which never yields `+m`: 36 shifts instead of 49 for
    m = 3. With `published=True` it is the exact number that this code estimates.

    Args:
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: the images.
      max_shift: `m`, in pixels; published are 3 for 32 pixels and 32 for 224.
      published: leave out the shifts `+m`, as the published code does.
      axes: the spatial dimensions.
      per_image: return each image's chance, over all pairs.
      sample: draw pairs instead of taking all.
      shared: draw one pair for the whole batch, as published, or one per image.

    Returns:
      A share between 0 and 1, or `n` of them; with `sample` an `SampleMean`.

    Raises:
      ValueError: if `max_shift` is below 1, an axis is out of range, or `per_image` comes with
        `sample`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> fun = lambda x: (x[:, 0, 0, 0] > 0).astype(int)
      >>> image = jnp.zeros((1, 1, 8, 1)).at[0, 0, 7, 0].set(1)  # in sight at the shift +1
      >>> print(f"{circular_consistency(fun, image, max_shift=1):.3f}")
      0.556
      >>> drawn = Sample(jax.random.key(0), draws=100)
      >>> print(circular_consistency(fun, image, max_shift=1, published=True, sample=drawn).value)
      1.0

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214; `evaluate_circular` of
      https://github.com/achaman2/truly_shift_invariant_cnns.
    """
    dims = check_axes(axes, jnp.ndim(images), "images")
    low = -whole_number(max_shift, "max_shift")
    end = max_shift if published else max_shift + 1
    if sample is None:
        shifts = list(itertools.product(range(low, end), repeat=len(dims)))
        outputs = orbit(classifier(fun), axes=axes, shifts=shifts)(images)
        return consistency(outputs, per_image=per_image)
    check_all_pairs(per_image)
    return sampled_consistency(
        sample.key,
        fun,
        images,
        view=functools.partial(translate, axes=axes),
        low=low,
        high=end,
        dimensions=len(dims),
        pairs=sample.draws,
        shared=shared,
    )
