"""How far the output moves when the input does: maps over shifts and their radial profiles."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact
from jaxinv.magnitudes import divided, norm
from jaxinv.metrics.numbers import as_index, index_of
from jaxinv.shifts import centred_shift


def sensitivity_map(
    outputs: Float[Array, "*shifts n features"],
    *,
    origin: Sequence[int] | None = None,
    normalise: bool = True,
) -> Float[Array, "*shifts"]:
    r"""Translation-sensitivity map: the distance of each shift's output from the unshifted one.

    .. math::

      d[t] = \frac{1}{N} \sum_n \lVert f(T_t x_n) - f(x_n) \rVert_2

    With `normalise`, divided by the distance of outputs of different images,
    :math:`\frac{1}{N (N - 1)} \sum_{n \ne m} \lVert f(x_n) - f(x_m) \rVert_2`, so that 0 is
    perfect invariance and 1 means that a shift changes the output as much as another image does.
    Maps of networks with outputs of different scale can then be compared.

    Args:
      outputs: an orbit's outputs; further axes of features are allowed after the images.
      origin: index of the zero shift in the leading axes. None means the first, which is where a
        `wrap` orbit has it; with `max_shift=m` it is `(m, m)`.
      normalise: divide by the distance between images.

    Returns:
      One distance per shift, zero at the origin; NaN where an output is not finite, and where all
      images have the same outputs to normalise by.

    Raises:
      ValueError: if the origin is no index of the axes of shifts, there are no outputs, or not two
        images to normalise by.

    Example:
      >>> import jax.numpy as jnp
      >>> outputs = jnp.array([[[0.0], [2.0]], [[1.0], [2.0]]])  # 2 shifts, 2 images, 1 feature
      >>> print(sensitivity_map(outputs))
      [0.   0.25]

    Reference:
      Kauderer-Abrams, "Quantifying translation-invariance in convolutional neural networks"
      (2017), https://arxiv.org/abs/1801.01450; the scale by the distance between images is ours.
    """
    outputs = as_inexact(outputs, "outputs")
    if origin is None:
        if outputs.ndim < 3:
            raise ValueError(
                f"outputs have shape {outputs.shape}; allowed is (*shifts, n, features)"
            )
        origin = (0,) * (outputs.ndim - 2)
    origin = as_index(origin)
    if not 0 < len(origin) <= outputs.ndim - 2:
        raise ValueError(
            f"origin {origin} must index each axis of shifts in outputs of shape {outputs.shape}"
        )
    if outputs.size == 0:
        raise ValueError(f"outputs have shape {outputs.shape}; there is nothing to compare")
    shifts, images = outputs.shape[: len(origin)], outputs.shape[len(origin)]
    if normalise and images < 2:
        raise ValueError("one image has no distance to others; use normalise=False")
    flat = outputs.reshape(*shifts, images, -1)
    base = flat[index_of(origin, shifts)]
    finite = jnp.isfinite(flat).all(axis=(-2, -1)) & jnp.isfinite(base).all()
    distances = jnp.where(finite, jnp.mean(norm(flat - base, axis=-1), axis=-1), jnp.nan)
    if not normalise:
        return distances
    # Image by image: all pairs at once would take n * n * features numbers.
    between = jax.lax.map(lambda one: jnp.sum(norm(base - one, axis=-1)), base)
    scale = jnp.sum(between) / (images * (images - 1))
    return jnp.where(scale == 0, jnp.nan, divided(distances, scale))


def radial_profile(
    values: Num[Array, "*shifts"],
    *,
    origin: Sequence[int] | None = None,
    periodic: bool = True,
) -> tuple[Float[Array, " radii"], Float[Array, " radii"]]:
    r"""The mean of a map over the shifts of each length, rounded to whole pixels.

    .. math::

      r(\rho) = \operatorname{mean}
      \{ v[t] : \rho - \tfrac12 \le \lVert t \rVert_2 < \rho + \tfrac12 \}

    Args:
      values: a map over a full grid of shifts, such as `sensitivity_map` or `accuracy_map`.
      origin: index of the zero shift. None means the first for a torus, else the middle.
      periodic: the shifts are those of a torus, where `P - 1` is as far as 1.

    Returns:
      The radii that occur, in pixels from 0, and the mean of the map at each.

    Raises:
      ValueError: if the map has no entries, or the origin has not one index per axis.

    Example:
      >>> import jax.numpy as jnp
      >>> radii, means = radial_profile(jnp.array([0.0, 1.0, 3.0, 2.0]))
      >>> print(radii, means)  # shifts 1 and 3 of 4 are both one pixel away
      [0. 1. 2.] [0.  1.5 3. ]

    Reference:
      Kauderer-Abrams, "Quantifying translation-invariance in convolutional neural networks"
      (2017), https://arxiv.org/abs/1801.01450: radial translation-sensitivity functions.
    """
    values = as_inexact(values)
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"values have shape {values.shape}; allowed is a map over shifts")
    if origin is None:
        origin = [0 if periodic else size // 2 for size in values.shape]
    lengths = []
    for size, start in zip(values.shape, index_of(origin, values.shape), strict=True):
        along = np.arange(size) - start
        lengths.append(np.abs(centred_shift(along, size) if periodic else along))
    squares = sum(np.meshgrid(*(along**2 for along in lengths), indexing="ij"))
    radii, ring = np.unique(np.floor(np.sqrt(squares) + 0.5), return_inverse=True)
    sums = jax.ops.segment_sum(values.reshape(-1), ring.reshape(-1), num_segments=len(radii))
    counts = np.bincount(ring.reshape(-1), minlength=len(radii))
    return jnp.asarray(radii, float), sums / counts
