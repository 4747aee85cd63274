"""How much probabilities change under a shift."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxinv.arguments import is_known
from jaxinv.metrics.numbers import two_alike

# How far probabilities in half precision may exceed 1 by rounding.
ROUNDING = 0.01


def mean_absolute_change(
    before: Float[Array, "*pairs n classes"],
    after: Float[Array, "*pairs n classes"],
    *,
    per_image: bool = False,
) -> Float[Array, "..."]:
    r"""Mean absolute change in the probability of the class that was predicted before.

    .. math::

      \frac{1}{N} \sum_n \left| p_{k(n)}(x'_n) - p_{k(n)}(x_n) \right|, \quad
      k(n) = \arg\max_k p_k(x_n)

    Args:
      before: probabilities (after the softmax) of the images.
      after: probabilities of the same images after a shift; the same shape.
      per_image: average over the leading axes only.

    Returns:
      A number between 0 and 1, or `n` of them; NaN where a probability is not finite.

    Raises:
      ValueError: if the shapes differ or have no axis of classes, or a number is no probability.

    Example:
      >>> import jax.numpy as jnp
      >>> before, after = jnp.array([[0.75, 0.25]]), jnp.array([[0.5, 0.5]])
      >>> print(mean_absolute_change(before, after))
      0.25

    Reference:
      Azulay and Weiss, "Why do deep convolutional networks generalize so poorly to small image
      transformations?" (2019), https://arxiv.org/abs/1805.12177: mean absolute change (MAC).
    """
    before, after = two_alike(before, after, "probabilities")
    if before.ndim < 2:
        raise ValueError(
            f"probabilities have shape {before.shape}; allowed is (*pairs, n, classes)"
        )
    if is_known(before, after):
        known = np.stack([before, after])
        if (known < 0).any() or (known > 1 + ROUNDING).any():
            raise ValueError(
                f"probabilities are {known.min():.3g} to {known.max():.3g}; "
                "allowed are numbers from 0 to 1, after the softmax"
            )
    top = jnp.argmax(before, axis=-1, keepdims=True)
    change = jnp.abs(jnp.take_along_axis(after - before, top, axis=-1)[..., 0])
    finite = jnp.all(jnp.isfinite(before) & jnp.isfinite(after), axis=-1)
    change = jnp.where(finite, change, jnp.nan)
    per = jnp.mean(change.reshape(-1, change.shape[-1]), axis=0)
    return per if per_image else jnp.mean(per)
