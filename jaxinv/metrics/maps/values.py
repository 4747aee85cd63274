"""Real-valued maps at shifts: by how much they change, and where."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact, real_number
from jaxinv.magnitudes import magnitude, norm
from jaxinv.metrics.maps.labels import shifts_joined
from jaxinv.metrics.numbers import as_index, index_of


def mean_absolute_change(
    outputs: Num[Array, "..."], *, spatial: int = 2, origin: Sequence[int] | None = None
) -> Float[Array, "*shifts"]:
    r"""Mean absolute difference to the unshifted output at each shift, of real-valued maps.

    .. math::

      \frac{1}{N |P| C} \sum_{n, p, c} | f(T_t x_n)[p + t, c] - f(x_n)[p, c] |

    Args:
      outputs: an aligned orbit's maps `(*shifts, n, *positions, channels)`.
      spatial: number of axes of positions.
      origin: index of the zero shift in the leading axes; None means the first of each.

    Returns:
      Numbers from 0, in units of the output; NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit, or the origin does not index the leading axes.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[[1.0], [2.0]]], [[[1.0], [4.0]]]])  # two shifts, two positions
      >>> print(mean_absolute_change(maps, spatial=1))
      [0. 1.]

    Reference:
      Karras et al., "Alias-free generative adversarial networks" (2021),
      https://arxiv.org/abs/2106.12423: EQ-T, whose squares are absolute values here.
    """
    change, shifts = _change(outputs, spatial, origin)
    return jnp.mean(jnp.abs(change).reshape(*shifts, -1), axis=-1)


def psnr(
    outputs: Num[Array, "..."],
    *,
    peak: float,
    spatial: int = 2,
    origin: Sequence[int] | None = None,
) -> Float[Array, "*shifts"]:
    r"""Peak signal-to-noise ratio at each shift, of real-valued maps to the unshifted output.

    .. math::

      10 \log_{10} \frac{\mathrm{peak}^2}{\frac{1}{N |P| C} \sum_{n, p, c} (\dots)^2}

    Args:
      outputs: an aligned orbit's maps `(*shifts, n, *positions, channels)`.
      peak: the largest value that an output can have, such as 1 or 255.
      spatial: number of axes of positions.
      origin: index of the zero shift in the leading axes; None means the first of each.

    Returns:
      Decibels; infinite where nothing changes, NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit, the origin does not index the leading axes, or the peak
        is not above 0.

    Example:
      >>> import jax.numpy as jnp
      >>> maps = jnp.array([[[[1.0], [0.5]]], [[[1.0], [0.7]]]])
      >>> print(psnr(maps, peak=1.0, spatial=1).round(1))
      [inf 17.]

    Reference:
      Karras et al., "Alias-free generative adversarial networks" (2021),
      https://arxiv.org/abs/2106.12423: EQ-T, at each shift.
    """
    top = real_number(peak, "peak")
    if not top > 0:
        raise ValueError(f"peak is {peak}; allowed are numbers above 0")
    change, shifts = _change(outputs, spatial, origin)
    root = norm(change.reshape(*shifts, -1), axis=-1) * (math.prod(shifts) / change.size) ** 0.5
    return 20 * (math.log10(top) - jnp.log10(root))


def deviation(
    outputs: Num[Array, "..."], *, spatial: int = 2
) -> Float[Array, "n *positions channels"]:
    r"""Where a real-valued output flickers: its standard deviation over shifts, place by place.

    .. math::

      \sqrt{\frac{1}{|T|} \sum_t (f_t[n, p, c] - \bar f[n, p, c])^2}

    Args:
      outputs: an aligned orbit's maps `(*shifts, n, *positions, channels)`.
      spatial: number of axes of positions.

    Returns:
      A picture for each image and channel; NaN where an output is not finite.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> print(deviation(jnp.array([[[[1.0], [2.0]]], [[[1.0], [4.0]]]]), spatial=1)[0, :, 0])
      [0. 1.]

    Reference:
      Karras et al., "Alias-free generative adversarial networks" (2021),
      https://arxiv.org/abs/2106.12423: EQ-T, here position by position.
    """
    values = as_inexact(outputs, "outputs")
    flat = shifts_joined(values, spatial + 1)
    change = flat - flat[0]  # what no shift changes has no deviation, without rounding
    unit = magnitude(change, (0,))
    return unit[0] * jnp.std(change / unit, axis=0)


def _change(outputs, spatial: int, origin: Sequence[int] | None):
    """The difference to the unshifted output, and the shape of the shifts."""
    values = as_inexact(outputs, "outputs")
    leading = values.ndim - spatial - 2
    if leading < 1 or values.size == 0:
        raise ValueError(
            f"outputs have shape {values.shape}; allowed is (*shifts, n, *positions, channels) "
            f"with {spatial} axes of positions"
        )
    shifts = values.shape[:leading]
    at = (0,) * leading if origin is None else as_index(origin)
    if len(at) != leading:
        raise ValueError(f"origin {at} must index the {leading} axes of shifts of {values.shape}")
    return values - values[index_of(at, shifts)], shifts
