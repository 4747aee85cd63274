"""How much probabilities change under a shift."""

import jax.numpy as jnp
from jaxtyping import Array, Float


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
      A number between 0 and 1, or `n` of them.

    Raises:
      ValueError: if the shapes differ or have no axis of classes.

    Example:
      >>> import jax.numpy as jnp
      >>> before, after = jnp.array([[0.75, 0.25]]), jnp.array([[0.5, 0.5]])
      >>> print(mean_absolute_change(before, after))
      0.25

    Reference:
      Azulay and Weiss, "Why do deep convolutional networks generalize so poorly to small image
      transformations?" (2019), https://arxiv.org/abs/1805.12177: mean absolute change (MAC).
    """
    before, after = jnp.asarray(before), jnp.asarray(after)
    if before.shape != after.shape or before.ndim < 2:
        raise ValueError(
            f"probabilities have shapes {before.shape} and {after.shape}; "
            "allowed are two of the same (*pairs, n, classes)"
        )
    top = jnp.argmax(before, axis=-1, keepdims=True)
    change = jnp.abs(jnp.take_along_axis(after - before, top, axis=-1)[..., 0])
    per = jnp.mean(change.reshape(-1, change.shape[-1]), axis=0)
    return per if per_image else jnp.mean(per)
