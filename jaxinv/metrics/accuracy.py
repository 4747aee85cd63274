"""Accuracy at each shift, on average over shifts, and at the worst shift of each image."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxinv.metrics.predictions import flatten_shifts, hits


def accuracy_map(
    outputs: Shaped[Array, "..."], labels: Int[Array, " n"]
) -> Float[Array, "*shifts"]:
    r"""Accuracy at each shift.

    .. math::

      a[t] = \frac{1}{N} \sum_n [\hat y[t, n] = y[n]]

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes, one per image.

    Returns:
      Shares between 0 and 1, one per shift: a picture for two spatial axes. NaN where an output
      is not finite.

    Raises:
      ValueError: if the shapes do not fit, or a label is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> print(accuracy_map(jnp.array([[1, 0], [1, 1]]), jnp.array([1, 0])))
      [1.  0.5]

    Reference:
      Azulay and Weiss, "Why do deep convolutional networks generalize so poorly to small image
      transformations?" (2019), https://arxiv.org/abs/1805.12177.
    """
    return jnp.mean(hits(outputs, labels), axis=-1)


def mean_accuracy(
    outputs: Shaped[Array, "..."], labels: Int[Array, " n"], *, per_image: bool = False
) -> Float[Array, "..."]:
    r"""Accuracy for a shift drawn at random, averaged exactly over all of them.

    .. math::

      \frac{1}{|T|} \sum_t a[t]

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes, one per image.
      per_image: return each image's share of right shifts, for intervals over images.

    Returns:
      A share between 0 and 1, or `n` of them; NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit, or a label is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> print(mean_accuracy(jnp.array([[1, 0], [1, 1]]), jnp.array([1, 0])))
      0.75

    Reference:
      Engstrom et al., "Exploring the landscape of spatial robustness" (2019),
      https://arxiv.org/abs/1712.02779: the random transformation.
    """
    shares = jnp.mean(flatten_shifts(hits(outputs, labels)), axis=0)
    return shares if per_image else jnp.mean(shares)


def worst_case_accuracy(
    outputs: Shaped[Array, "..."], labels: Int[Array, " n"], *, per_image: bool = False
) -> Float[Array, "..."]:
    r"""Share of images that are right at *every* shift.

    .. math::

      \frac{1}{N} \sum_n \min_t \, [\hat y[t, n] = y[n]]

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes, one per image.
      per_image: return 0 or 1 for each image.

    Returns:
      A share between 0 and 1, or `n` zeros and ones; NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit, or a label is no class.

    Example:
      >>> import jax.numpy as jnp
      >>> print(worst_case_accuracy(jnp.array([[1, 0], [1, 1]]), jnp.array([1, 0])))
      0.5

    Reference:
      Engstrom et al., "Exploring the landscape of spatial robustness" (2019),
      https://arxiv.org/abs/1712.02779: the adversary that tries every transformation.
    """
    right = jnp.min(flatten_shifts(hits(outputs, labels)), axis=0)
    return right if per_image else jnp.mean(right)
