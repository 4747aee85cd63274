"""Downsampling after a small low-pass filter: BlurPool and its max-pooling form."""

import math
from collections.abc import Sequence

import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.padding import Padding, pad, padding_per_axis, window_padding
from jaxinv.layers.pooling import max_pool
from jaxinv.layers.spatial import per_axis, spatial_rank, summed_in_float32

FILTERS: tuple[str, ...] = ("binomial", "rectangular", "triangular")
MAX_TAPS = 7


def blur_filter(kind: str = "binomial", taps: int = 3) -> Float[np.ndarray, "k"]:
    """The taps of a low-pass filter, with sum one (gain 1 at frequency zero).

    Binomial: row `k - 1` of Pascal's triangle, whose gain at frequency w is `cos(w / 2)^(k - 1)`,
    zero at Nyquist. Rectangular: `k` equal taps. Triangular: `min(i + 1, k - i)`.

    Args:
      kind: one of `FILTERS`.
      taps: number of taps, 1 to 7; one tap is the identity.

    Returns:
      `(taps,)` in float64.

    Raises:
      ValueError: if the kind or the number of taps is not allowed.

    Example:
      >>> blur_filter("binomial", 3)
      array([0.25, 0.5 , 0.25])

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486
    """
    if kind not in FILTERS:
        raise ValueError(f"filter is {kind!r}; allowed are {', '.join(FILTERS)}")
    (taps,) = per_axis(taps, 1, "taps", least=0)
    if not 1 <= taps <= MAX_TAPS:
        raise ValueError(f"filter has {taps} taps; allowed are 1 to {MAX_TAPS}")
    weights = {
        "binomial": [math.comb(taps - 1, i) for i in range(taps)],
        "rectangular": [1] * taps,
        "triangular": [min(i + 1, taps - i) for i in range(taps)],
    }[kind]
    return np.asarray(weights, np.float64) / sum(weights)


@summed_in_float32
def blur_pool(
    x: Float[Array, "n *s c"],
    stride: int | Sequence[int] = 2,
    *,
    kind: str = "binomial",
    taps: int | Sequence[int] = 3,
    padding: Padding = "REFLECT",
) -> Float[Array, "n *t c"]:
    """Low-pass filters every channel along every spatial axis, then keeps every stride-th value.

    `y[i] = sum_j f[j] x[i * stride + j - floor((k - 1) / 2)]`, axis by axis. It commutes with the
    same shifts as plain subsampling, multiples of the stride; what it changes is the size of the
    error at all others, which shrinks with the energy above the new Nyquist frequency.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: step, for all axes or one each.
      kind: one of `FILTERS`.
      taps: number of taps, 1 to 7, for all axes or one each; one tap leaves an axis unfiltered.
      padding: one of `PADDINGS`, or one for each axis.

    Returns:
      `(n, *ceil(spatial / stride), c)`, but for VALID and FULL padding; of the same type, float32
      for whole numbers; summed in float32 at least.

    Raises:
      ValueError: if an argument is not allowed or the filter is larger than the padded map.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([0.0, 4.0, 0.0, 0.0]).reshape(1, 4, 1)
      >>> blur_pool(x, 2, padding="CIRCULAR").ravel()
      Array([1., 1.], dtype=float32)

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486
    """
    rank = spatial_rank(x)
    steps, counts = per_axis(stride, rank, "stride"), per_axis(taps, rank, "taps", least=0)
    names = padding_per_axis(padding, rank)
    filters = [blur_filter(kind, count).astype(x.dtype) for count in counts]
    for index, (step, weights, name) in enumerate(zip(steps, filters, names, strict=True)):
        axis, count = index + 1, len(weights)
        widths = [(0, 0)] * rank
        widths[index] = window_padding(x.shape[axis], count, stride=step, padding=name)
        padded = pad(x, widths, padding=name)
        span = (padded.shape[axis] - count) // step * step + 1
        # A sum of shifted slices: on CPU a fifth of the time of a depthwise convolution.
        taken = [lax.slice_in_dim(padded, tap, tap + span, step, axis) for tap in range(count)]
        x = weights[0] * taken[0]
        for weight, part in zip(weights[1:], taken[1:], strict=True):
            x = x + weight * part
    return x


def smoothed(
    x: Float[Array, "n *s c"], taps: int | Sequence[int], padding: Padding
) -> Float[Array, "n *s c"]:
    """The map behind a binomial filter, or as it is, whatever its type, for a single tap."""
    padding_per_axis(padding, spatial_rank(x))  # also where it goes unused
    if all(count == 1 for count in per_axis(taps, spatial_rank(x), "taps", least=0)):
        return x
    return blur_pool(x, 1, taps=taps, padding=padding)


def max_blur_pool(
    x: Float[Array, "n *s c"],
    window: int | Sequence[int] = 2,
    *,
    stride: int | Sequence[int] = 2,
    kind: str = "binomial",
    taps: int | Sequence[int] = 3,
    padding: Padding = "REFLECT",
) -> Float[Array, "n *t c"]:
    """Max pooling taken apart: the maximum at stride 1, which keeps every shift, then `blur_pool`.

    Args:
      x: signal `(n, *spatial, c)`.
      window: positions of the maximum, for all axes or one each.
      stride: step of the subsampling.
      kind: one of `FILTERS`.
      taps: number of taps, 1 to 7, for all axes or one each.
      padding: one of `PADDINGS`, or one for each axis, for the maximum (SAME: minus infinity) and
        the filter.

    Returns:
      `(n, *ceil(spatial / stride), c)`, but for VALID and FULL padding.

    Raises:
      ValueError: as `max_pool` and `blur_pool`.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([0.0, 4.0, 0.0, 0.0]).reshape(1, 4, 1)
      >>> max_blur_pool(x, padding="CIRCULAR").ravel()
      Array([3., 1.], dtype=float32)

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486
    """
    x = max_pool(x, window, padding=padding)
    return blur_pool(x, stride, kind=kind, taps=taps, padding=padding)
