"""A grid of translations and rotations, and the worst of a few.

Engstrom et al., "Exploring the landscape of spatial robustness" (2019).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from jaxinv.arguments import check_key, number_or_nan, per_axis, whole_number
from jaxinv.metrics.accuracy import mean_accuracy, worst_case_accuracy
from jaxinv.metrics.predictions import (
    check_labels,
    classifier,
    correct_predictions,
    hits,
    predicted_classes,
)
from jaxinv.metrics.protocols.pairs import SampleMean, mean_of_samples
from jaxinv.symmetry.processor_convolution import quick_in_loops


class SpatialRobustness(NamedTuple):
    """Accuracy under a set of transformations; NaN where an output is not finite.

    Attributes:
      natural: accuracy without a transformation.
      average: accuracy under a random one of the set.
      worst: share of images that are right under all of the set.
      correct: whether each image is right under each transformation, `(set, n)`.
    """

    natural: Float[Array, ""]
    average: Float[Array, ""]
    worst: Float[Array, ""]
    correct: Bool[Array, "set n"]


def rotate_translate(
    images: Num[Array, "n h w c"],
    shift: Float[Array, "2"] | Sequence[float],
    degrees: Float[Array, ""] | float,
) -> Float[Array, "n h w c"]:
    r"""Rotates about the centre, then translates; bilinear, with black beyond the border.

    .. math::

      y = T_t R_\theta x

    as in the published code two steps of bilinear interpolation, on a canvas large enough that
    what leaves the image in the first can come back in the second.

    Args:
      images: batch of images.
      shift: `t`, in pixels, down and right; may be fractional and traced.
      degrees: `theta`, counter-clockwise as seen; may be traced.

    Returns:
      The transformed images, floating point.

    Raises:
      ValueError: if the images have not four dimensions, or the shift not two entries.

    Example:
      >>> import jax.numpy as jnp
      >>> image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
      >>> print(rotate_translate(image, (0, 0), 90.0)[0, :, :, 0].round().astype(int))
      [[2 4]
       [1 3]]

    Reference:
      Engstrom et al. (2019), https://arxiv.org/abs/1712.02779;
      https://github.com/MadryLab/adversarial_spatial.
    """
    images, shift = jnp.asarray(images), jnp.asarray(shift, float)
    if images.ndim != 4 or shift.shape != (2,):
        raise ValueError(
            f"images of shape {images.shape} and shift of shape {shift.shape}; "
            "allowed are (n, h, w, c) and 2 numbers"
        )
    images = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    height, width = images.shape[1:3]
    # Half the diagonal holds every rotation; the shift moves parts of it back into sight.
    margin = (int(np.ceil(np.hypot(height, width))) + 1) // 2
    rows = jnp.arange(-margin, height + margin) - (height - 1) / 2
    columns = jnp.arange(-margin, width + margin) - (width - 1) / 2
    row, column = jnp.meshgrid(rows, columns, indexing="ij")
    angle = jnp.deg2rad(jnp.asarray(degrees, float))
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    rotated_from = (
        cosine * row + sine * column + (height - 1) / 2,
        -sine * row + cosine * column + (width - 1) / 2,
    )
    moved_from = (
        (jnp.arange(height) + margin - shift[0])[:, None] + jnp.zeros(width),
        (jnp.arange(width) + margin - shift[1])[None, :] + jnp.zeros((height, 1)),
    )

    def resample(image, coordinates):
        return map_coordinates(image, coordinates, order=1, mode="constant", cval=0.0)

    def transform(image):
        return resample(resample(image, rotated_from), moved_from)

    over_channels = jax.vmap(transform, in_axes=-1, out_axes=-1)
    return jax.vmap(over_channels)(images)


def transformation_grid(
    *, limits: Sequence[float] = (3, 3, 30), steps: Sequence[int] = (5, 5, 31)
) -> Float[np.ndarray, "grid 3"]:
    r"""Engstrom's grid: evenly spaced shifts down, shifts right and angles.

    Published: 5 x 5 x 31 within 3 pixels and 30 degrees, 775 transformations. With an odd number
    of steps each the identity is one of them.

    Args:
      limits: largest shift down and right in pixels, largest angle in degrees.
      steps: how many values of each.

    Returns:
      One row `(down, right, degrees)` per transformation.

    Raises:
      ValueError: if there are not three of each, or a number of steps is below 1.

    Example:
      >>> grid = transformation_grid()
      >>> grid.shape, grid[0].tolist(), grid[-1].tolist()
      ((775, 3), [-3.0, -3.0, -30.0], [3.0, 3.0, 30.0])

    Reference:
      Engstrom et al. (2019), section 4, https://arxiv.org/abs/1712.02779.
    """
    three = np.shape(limits) == np.shape(steps) == (3,)
    finite = three and np.isfinite(list(map(number_or_nan, limits))).all()
    if not finite or min(per_axis(steps, 3, "steps")) < 1:
        raise ValueError(
            f"limits are {limits} and steps {steps}; allowed are three finite numbers, and three "
            "whole ones from 1"
        )
    values = [np.linspace(-most, most, n) for most, n in zip(limits, steps, strict=True)]
    return np.array(list(itertools.product(*values)), np.float32)


def spatial_grid(
    fun: Callable,
    images: Num[Array, "n h w c"],
    labels: Int[Array, " n"],
    *,
    grid: Float[Array, "grid 3"] | None = None,
) -> SpatialRobustness:
    r"""Accuracy over a grid of translations and rotations, and of the worst of each image.

    .. math::

      \frac{1}{N} \sum_n \min_{g \in G} [\hat y(T_g x_n) = y_n]

    Args:
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: batch of images.
      labels: the true classes.
      grid: rows `(down, right, degrees)`; None means `transformation_grid()`.

    Returns:
      Natural, average and worst-case accuracy, and the table behind them.

    Raises:
      ValueError: if the grid has not three columns, or labels do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> fun = lambda x: (x[:, 1, 1, 0] > 0.5).astype(int)
      >>> image = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1.0)
      >>> result = spatial_grid(fun, image, jnp.array([1]), grid=jnp.array([[0, 0, 45], [0, 1, 0]]))
      >>> print(result.natural, result.average, result.worst)
      1.0 0.5 0.0

    Reference:
      Engstrom et al. (2019), section 4, https://arxiv.org/abs/1712.02779.
    """
    grid, fun = _rows(transformation_grid() if grid is None else grid), classifier(fun)

    def predict(g):
        return predicted_classes(fun(rotate_translate(images, g[:2], g[2])))

    predictions = jax.lax.map(quick_in_loops(predict), grid)
    return SpatialRobustness(
        mean_accuracy(fun(jnp.asarray(images)), labels),
        mean_accuracy(predictions, labels),
        worst_case_accuracy(predictions, labels),
        correct_predictions(predictions, labels),
    )


def expected_worst_of(correct: Bool[Array, "set n"], *, tries: int = 10) -> Float[Array, ""]:
    r"""Exact accuracy against the worst of a few random transformations of a finite set.

    .. math::

      \frac{1}{N} \sum_n \left( \frac{1}{|G|} \sum_g c[g, n] \right)^k

    the chance that `k` independent draws are all right.

    Args:
      correct: whether each image is right under each transformation, such as those of
        `spatial_grid`, or an orbit's `correct_predictions` with the shifts flattened.
      tries: `k`; 10 in the paper.

    Returns:
      A share between 0 and 1.

    Raises:
      ValueError: if the table has not two axes, or tries is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> print(expected_worst_of(jnp.array([[True, True], [True, False]]), tries=2))
      0.625

    Reference:
      Engstrom et al. (2019), section 4, https://arxiv.org/abs/1712.02779: worst-of-k.
    """
    correct = jnp.asarray(correct)
    if correct.ndim != 2 or correct.size == 0 or correct.dtype != bool:
        raise ValueError(
            f"correct has shape {correct.shape} and dtype {correct.dtype}; "
            "allowed are booleans of shape (transformations, n)"
        )
    return jnp.mean(jnp.mean(correct, axis=0, dtype=float) ** whole_number(tries, "tries"))


def worst_of(
    key: PRNGKeyArray,
    fun: Callable,
    images: Num[Array, "n h w c"],
    labels: Int[Array, " n"],
    *,
    tries: int = 10,
    limits: Sequence[float] = (3, 3, 30),
    grid: Float[Array, "grid 3"] | None = None,
    repeats: int = 1,
) -> SampleMean:
    r"""Accuracy against the worst of `tries` random transformations of each image.

    .. math::

      \frac{1}{N} \sum_n \prod_{i \le k} [\hat y(T_{g_{in}} x_n) = y_n]

    Args:
      key: random key.
      fun: the classifier: a batch of images to logits `(n, classes)` or predictions `(n,)`.
      images: batch of images.
      labels: the true classes.
      tries: `k`; 10 in the paper.
      limits: largest shift down and right in pixels, largest angle in degrees; the paper draws
        uniformly within them.
      grid: draw rows of this grid instead, whose expectation `expected_worst_of` gives exactly.
      repeats: how often the whole attack is repeated, for the standard error.

    Returns:
      The accuracy, with its standard error (NaN for one repeat); NaN where an output is not finite.

    Raises:
      ValueError: if there are not three limits, or three columns in the grid, a number is below 1,
        or outputs or labels do not fit.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> constant = lambda x: jnp.zeros(x.shape[0], int)
      >>> images, labels = jnp.ones((2, 4, 4, 1)), jnp.array([0, 1])
      >>> print(worst_of(jax.random.key(0), constant, images, labels, tries=2).value)
      0.5

    Reference:
      Engstrom et al. (2019), section 4, https://arxiv.org/abs/1712.02779: worst-of-10.
    """
    tries, repeats = whole_number(tries, "tries"), whole_number(repeats, "repeats")
    if np.shape(limits) != (3,) or not np.isfinite(list(map(number_or_nan, limits))).all():
        raise ValueError(f"limits are {limits}; allowed are three finite numbers")
    images = jnp.asarray(images)
    labels = check_labels(labels, images.shape[:1])
    most = jnp.asarray(limits, float)
    rows, fun = None if grid is None else _rows(grid), classifier(fun)

    def transform(image, g):
        return rotate_translate(image[None], g[:2], g[2])[0]

    def attempt(one):
        if rows is None:
            drawn = jax.random.uniform(one, (images.shape[0], 3), minval=-most, maxval=most)
        else:
            drawn = rows[jax.random.randint(one, (images.shape[0],), 0, rows.shape[0])]
        return hits(fun(jax.vmap(transform)(images, drawn)), labels)

    check_key(key)
    keys = jax.random.split(key, (repeats, tries))
    right = jax.lax.map(quick_in_loops(attempt), keys.reshape(-1)).reshape(repeats, tries, -1)
    return mean_of_samples(jnp.mean(jnp.min(right, axis=1), axis=-1))


def _rows(grid):
    """Transformations, one a row."""
    rows = jnp.asarray(grid, float)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows):
        raise ValueError(f"grid has shape {rows.shape}; allowed is (transformations, 3)")
    return rows
