"""From an orbit's outputs to predicted classes, with the checks that all metrics share."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, Shaped

from jaxinv.arguments import as_array, as_inexact, check_callable, check_classes, is_known


def predicted_classes(outputs: Shaped[Array, "..."]) -> Int[Array, "*shifts n"]:
    """The class with the largest logit at each shift of each image.

    Args:
      outputs: logits or probabilities of shape `(*shifts, n, classes)`, floating point; or
        predictions of shape `(*shifts, n)`, whole numbers, which are returned as they are.

    Returns:
      The predicted classes. Of equal logits, the first wins. Where a logit is not finite nothing
      is predicted: -1, which the metrics turn into NaN.

    Raises:
      ValueError: if there is no axis of images left, or no class to choose from.

    Example:
      >>> import jax.numpy as jnp
      >>> print(predicted_classes(jnp.array([[0.1, 0.9], [0.8, 0.2]])))
      [1 0]
    """
    outputs = as_array(outputs, "outputs", "logits or class numbers")
    if jnp.issubdtype(outputs.dtype, jnp.floating):
        if outputs.ndim < 2 or outputs.shape[-1] == 0:
            raise ValueError(
                f"logits have shape {outputs.shape}; allowed is (*shifts, images, classes)"
            )
        return jnp.where(jnp.all(jnp.isfinite(outputs), -1), jnp.argmax(outputs, axis=-1), -1)
    if not jnp.issubdtype(outputs.dtype, jnp.integer):
        raise ValueError(f"outputs have dtype {outputs.dtype}; allowed are logits or class numbers")
    if outputs.ndim < 1:
        raise ValueError("predictions are a single number; allowed is shape (*shifts, images)")
    return outputs


def classifier(fun: Callable, *, logits: bool = False) -> Callable:
    """The function of a batch of images, which is to say one class of each.

    Others would be read as more shifts, and one of their axes as that of the images.

    Args:
      fun: the function.
      logits: whether it has to return logits, of which class numbers say too little.

    Returns:
      The same function; it raises ValueError where it returns anything but logits (n, classes) of n
      images, or class numbers (n,).

    Example:
      >>> import jax.numpy as jnp
      >>> classifier(lambda x: x[:, 0])(jnp.ones((2, 3)))
      Traceback (most recent call last):
      ValueError: outputs are float32 of (2,); allowed are logits (2, classes) or class numbers (2,)
    """
    check_callable(fun)

    @functools.wraps(fun, updated=())
    def of_images(images):
        n, which = jnp.shape(images)[0], "logits or class numbers"
        outputs = as_array(fun(images), "outputs", which)
        scores = bool(jnp.issubdtype(outputs.dtype, jnp.floating))
        if outputs.shape[:1] != (n,) or outputs.ndim != 1 + scores or (logits and not scores):
            numbers = "" if logits else f" or class numbers ({n},)"
            raise ValueError(
                f"outputs are {outputs.dtype} of {outputs.shape}; allowed are logits "
                f"({n}, classes){numbers}"
            )
        return outputs

    return of_images


def correct_predictions(
    outputs: Shaped[Array, "..."], labels: Int[Array, " n"]
) -> Shaped[Array, "*shifts n"]:
    """Whether each prediction is right.

    Args:
      outputs: logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes, one per image.

    Returns:
      Booleans `(*shifts, n)`; False where nothing is predicted because an output is not finite.

    Raises:
      ValueError: if there is not one label per image, a class number from 0.

    Example:
      >>> import jax.numpy as jnp
      >>> print(correct_predictions(jnp.array([[1, 0], [1, 1]]), jnp.array([1, 0])))
      [[ True  True]
       [ True False]]
    """
    return hits(outputs, labels) == 1


def hits(outputs: Shaped[Array, "..."], labels: Int[Array, " n"]) -> Float[Array, "*shifts n"]:
    """1 for a right prediction, 0 for a wrong one, NaN where there is none or no such class.

    Raises:
      ValueError: if there are no images or no shifts, or not one label per image, a class number.

    Example:
      >>> import jax.numpy as jnp
      >>> print(hits(jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, jnp.nan]]), jnp.array([0, 0, 0])))
      [ 1.  0. nan]
    """
    outputs = as_array(outputs, "outputs", "logits or class numbers")
    predictions = predicted_classes(outputs)
    flatten_shifts(predictions)  # raises for none
    classes = outputs.shape[-1] if jnp.issubdtype(outputs.dtype, jnp.floating) else None
    labels = check_labels(labels, predictions.shape[-1:], classes=classes)
    known = (predictions >= 0) & (labels >= 0) & (True if classes is None else labels < classes)
    return jnp.where(known, (predictions == labels).astype(float), jnp.nan)


def check_labels(
    labels: Int[Array, "..."],
    shape: tuple[int, ...],
    *,
    classes: int | None = None,
    void: int | None = None,
) -> Int[Array, "..."]:
    """Returns the true classes as an array, one for each image.

    Args:
      labels: class numbers; may be traced, and their values are then not looked at.
      shape: that of the images.
      classes: how many classes there are, where that is known.
      void: a number that stands for no class and is allowed too.

    Raises:
      ValueError: if they are no whole numbers, have another shape, or name no class.
    """
    array = as_array(labels, "labels", "class numbers, whole and from 0")
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"labels have dtype {array.dtype}; allowed are class numbers, whole and from 0"
        )
    if array.shape != shape:
        count = f"the {shape[0]} images" if len(shape) == 1 else f"images of shape {shape}"
        raise ValueError(f"labels have shape {array.shape}; there must be one for each of {count}")
    if is_known(array):
        check_classes(np.asarray(array), classes, void=void)
    return array


def nan_if_undefined(
    values: Float[Array, "..."],
    predictions: Int[Array, "..."],
    *,
    axis: int | None = None,
) -> Float[Array, "..."]:
    """The values, with NaN for what rests on a prediction of -1: on an output that is not finite.

    `axis` is the axis of predictions that each value rests on; None means all of them.

    Example:
      >>> import jax.numpy as jnp
      >>> print(nan_if_undefined(jnp.array([1.0, 0.5]), jnp.array([[0, -1], [0, 1]]), axis=0))
      [ 1. nan]
    """
    return jnp.where(jnp.any(predictions < 0, axis=axis), jnp.nan, values)


def probabilities(logits: Num[Array, "*shifts n classes"]) -> Float[Array, "*shifts n classes"]:
    """Softmax in float32 at least, NaN for an image with a logit that is not finite."""
    logits = as_inexact(logits, "logits")
    finite = jnp.all(jnp.isfinite(logits), axis=-1, keepdims=True)
    return jnp.where(finite, jax.nn.softmax(logits), jnp.nan)


def flatten_shifts(values: Shaped[Array, "*shifts n"]) -> Shaped[Array, "shifts n"]:
    """Joins the leading axes of shifts into one; no axis of shifts counts as one shift.

    Raises:
      ValueError: if there are no shifts or no images.
    """
    if jnp.ndim(values) == 0 or jnp.size(values) == 0:
        raise ValueError(
            f"there are no images or no shifts in an array of shape {jnp.shape(values)}"
        )
    return jnp.reshape(values, (-1, jnp.shape(values)[-1]))
