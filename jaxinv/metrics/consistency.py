"""How often two shifts of an image get the same prediction: exactly, over all pairs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxinv.arguments import per_axis
from jaxinv.metrics.predictions import (
    flatten_shifts,
    hits,
    nan_if_undefined,
    predicted_classes,
)


def consistency(outputs: Shaped[Array, "..."], *, per_image: bool = False) -> Float[Array, "..."]:
    r"""The chance that a random pair of shifts gets the same prediction.

    .. math::

      \frac{1}{N} \sum_n \sum_k p_{nk}^2, \qquad
      p_{nk} = \frac{1}{|T|} \sum_t [\hat y[t, n] = k]

    which is the mean over all pairs of shifts, both drawn independently. The field draws one
    such pair per image; this is that estimator's expectation. A constant classifier is perfectly
    consistent: report it next to accuracy, or see `consistent_accuracy`.

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      per_image: return each image's chance, for intervals over images.

    Returns:
      A share between 0 and 1, or `n` of them; NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> print(consistency(jnp.array([[1, 0], [1, 1]])))  # one image always, the other half
      0.75

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019), section 4.2,
      https://arxiv.org/abs/1904.11486.
    """
    predictions = flatten_shifts(predicted_classes(outputs))
    chances = nan_if_undefined(jax.vmap(_same_pair, in_axes=1)(predictions), predictions, axis=0)
    return chances if per_image else jnp.mean(chances)


def consistent_accuracy(
    outputs: Shaped[Array, "..."], labels: Int[Array, " n"], *, per_image: bool = False
) -> Float[Array, "..."]:
    r"""The chance that a random pair of shifts is right both times.

    .. math::

      \frac{1}{N} \sum_n a_n^2, \qquad a_n = \frac{1}{|T|} \sum_t [\hat y[t, n] = y[n]]

    Consistency that a constant classifier cannot earn.

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`.
      labels: the true classes, one per image.
      per_image: return each image's chance.

    Returns:
      A share between 0 and 1, or `n` of them. At most `consistency` and at most `mean_accuracy`.
      NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> print(consistent_accuracy(jnp.array([[1, 0], [1, 1]]), jnp.array([0, 0])))
      0.125

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019), supplement,
      https://arxiv.org/abs/1904.11486: agreement counted for right predictions only.
    """
    chances = jnp.mean(flatten_shifts(hits(outputs, labels)), axis=0) ** 2
    return chances if per_image else jnp.mean(chances)


def top1_change(
    outputs: Shaped[Array, "..."],
    *,
    step: tuple[int, ...] | None = None,
    periodic: bool = True,
    per_image: bool = False,
) -> Float[Array, "..."]:
    r"""How often the prediction changes under a shift by one more pixel.

    .. math::

      \frac{1}{N |T|} \sum_n \sum_t [\hat y[t, n] \ne \hat y[t + e, n]]

    Args:
      outputs: an orbit's logits `(*shifts, n, classes)` or predictions `(*shifts, n)`, on the
        full grid of shifts.
      step: `e`, one whole number per axis of shifts, such as `(1, 1)` for the diagonal. None
        averages over the unit steps along each axis of several shifts.
      periodic: the shifts are all those of a torus, whose last is followed by its first. False
        counts only the pairs inside the grid: right for an orbit with `max_shift`.
      per_image: return each image's share.

    Returns:
      A share between 0 and 1, or `n` of them; NaN where an output is not finite.

    Raises:
      ValueError: if the step has the wrong length, is zero, or leaves no pair inside the grid.

    Example:
      >>> import jax.numpy as jnp
      >>> predictions = jnp.array([[0], [0], [1], [1]])  # four shifts of one image
      >>> print(top1_change(predictions))  # two of the four neighbours on the circle
      0.5
      >>> print(top1_change(predictions, periodic=False).round(3))
      0.333

    Reference:
      Azulay and Weiss, "Why do deep convolutional networks generalize so poorly to small image
      transformations?" (2019), https://arxiv.org/abs/1805.12177: P(top-1 change).
    """
    predictions = predicted_classes(outputs)
    axes = predictions.ndim - 1
    if axes == 0:
        raise ValueError("there is no axis of shifts; outputs must be those of an orbit")
    if step is not None and not any(per_axis(step, axes, "step")):
        raise ValueError(f"step is {step}; allowed are {axes} whole numbers, not all zero")
    several = [a for a in range(axes) if predictions.shape[a] > 1] or range(axes)
    units = [tuple(int(a == b) for b in range(axes)) for a in several]
    steps = units if step is None else [per_axis(step, axes, "step")]
    changes = [flatten_shifts(_changed(predictions, e, periodic)) for e in steps]
    shares = jnp.mean(jnp.stack([jnp.mean(c, axis=0, dtype=float) for c in changes]), axis=0)
    shares = nan_if_undefined(shares, flatten_shifts(predictions), axis=0)
    return shares if per_image else jnp.mean(shares)


def _same_pair(predictions):
    """Mean over all pairs: of each prediction, the share of shifts that agree with it."""
    ordered = jnp.sort(predictions)
    first = jnp.searchsorted(ordered, ordered, side="left")
    last = jnp.searchsorted(ordered, ordered, side="right")
    return jnp.mean((last - first) / predictions.size)


def _changed(predictions, step, periodic):
    moved = jnp.roll(predictions, [-e for e in step], range(len(step)))
    changed = predictions != moved
    if periodic:
        return changed
    inside = tuple(
        slice(max(0, -e), max(0, size - max(0, e)))
        for e, size in zip(step, predictions.shape[:-1], strict=True)
    )
    changed = changed[inside]
    if changed.size == 0:
        raise ValueError(f"step {step} leaves no pair in a grid of {predictions.shape[:-1]} shifts")
    return changed
