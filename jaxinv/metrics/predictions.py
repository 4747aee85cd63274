"""From an orbit's outputs to predicted classes, with the checks that all metrics share."""

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


def predicted_classes(outputs: Shaped[Array, "..."]) -> Int[Array, "*shifts n"]:
    r"""The class that each output predicts.

    .. math::

      \hat y[t, n] = \arg\max_k \mathrm{logits}[t, n, k]

    Args:
      outputs: logits or probabilities of shape `(*shifts, n, classes)`, floating point; or
        predictions of shape `(*shifts, n)`, whole numbers, which are returned as they are.

    Returns:
      The predicted classes. Of equal logits, the first wins.

    Raises:
      ValueError: if there is no axis of images left, or no class to choose from.

    Example:
      >>> import jax.numpy as jnp
      >>> print(predicted_classes(jnp.array([[0.1, 0.9], [0.8, 0.2]])))
      [1 0]

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486, section 4.2: agreement of the arg max.
    """
    outputs = jnp.asarray(outputs)
    if jnp.issubdtype(outputs.dtype, jnp.floating):
        if outputs.ndim < 2 or outputs.shape[-1] == 0:
            raise ValueError(
                f"logits have shape {outputs.shape}; allowed is (*shifts, images, classes)"
            )
        return jnp.argmax(outputs, axis=-1)
    if not jnp.issubdtype(outputs.dtype, jnp.integer):
        raise ValueError(f"outputs have dtype {outputs.dtype}; allowed are logits or class numbers")
    if outputs.ndim < 1:
        raise ValueError("predictions are a single number; allowed is shape (*shifts, images)")
    return outputs


def correct_predictions(
    outputs: Shaped[Array, "..."], labels: Int[Array, " n"]
) -> Shaped[Array, "*shifts n"]:
    r"""Whether each prediction is right.

    .. math::

      c[t, n] = [\hat y[t, n] = y[n]]

    Args:
      outputs: logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes, one per image.

    Returns:
      Booleans.

    Raises:
      ValueError: if there is not one label per image.

    Example:
      >>> import jax.numpy as jnp
      >>> print(correct_predictions(jnp.array([[1, 0], [1, 1]]), jnp.array([1, 0])))
      [[ True  True]
       [ True False]]

    Reference:
      Engstrom et al., "Exploring the landscape of spatial robustness" (2019),
      https://arxiv.org/abs/1712.02779.
    """
    predictions = predicted_classes(outputs)
    labels = jnp.asarray(labels)
    if labels.shape != predictions.shape[-1:]:
        raise ValueError(
            f"labels have shape {labels.shape}; there must be one for each of the "
            f"{predictions.shape[-1]} images"
        )
    return predictions == labels


def flatten_shifts(values: Shaped[Array, "*shifts n"]) -> Shaped[Array, "shifts n"]:
    """Joins the leading axes of shifts into one.

    Args:
      values: one value per shift and image; no axis of shifts counts as one shift.

    Returns:
      The same values with one axis of shifts.

    Raises:
      ValueError: if there are no shifts or no images.

    Example:
      >>> import jax.numpy as jnp
      >>> flatten_shifts(jnp.zeros((3, 4, 5))).shape
      (12, 5)
    """
    values = jnp.asarray(values)
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"there are no images or no shifts in an array of shape {values.shape}")
    return values.reshape(-1, values.shape[-1])
