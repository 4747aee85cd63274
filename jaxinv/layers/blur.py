"""Downsampling after a small low-pass filter: BlurPool and its max-pooling form."""

import math
from collections.abc import Sequence

import flax.linen as nn
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.padding import pad, window_padding
from jaxinv.layers.pooling import max_pool
from jaxinv.layers.spatial import naming, per_axis, spatial_rank

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
    if not 1 <= taps <= MAX_TAPS:
        raise ValueError(f"filter has {taps} taps; allowed are 1 to {MAX_TAPS}")
    weights = {
        "binomial": [math.comb(taps - 1, i) for i in range(taps)],
        "rectangular": [1] * taps,
        "triangular": [min(i + 1, taps - i) for i in range(taps)],
    }[kind]
    return np.asarray(weights, np.float64) / sum(weights)


def blur_pool(
    x: Float[Array, "n *s c"],
    stride: int | Sequence[int] = 2,
    *,
    kind: str = "binomial",
    taps: int = 3,
    padding: str = "REFLECT",
) -> Float[Array, "n *t c"]:
    """Low-pass filters every channel along every spatial axis, then keeps every stride-th value.

    `y[i] = sum_j f[j] x[i * stride + j - floor((k - 1) / 2)]`, axis by axis. It commutes with the
    same shifts as plain subsampling, multiples of the stride; what it changes is the size of the
    error at all others, which shrinks with the energy above the new Nyquist frequency.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: step, for all axes or one each.
      kind: one of `FILTERS`.
      taps: number of taps along each axis, 1 to 7.
      padding: one of `PADDINGS`.

    Returns:
      `(n, *ceil(spatial / stride), c)`, but for VALID and FULL padding.

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
    weights = blur_filter(kind, taps).astype(x.dtype)
    for axis, step in enumerate(per_axis(stride, rank, "stride"), start=1):
        widths = [(0, 0)] * rank
        widths[axis - 1] = window_padding(x.shape[axis], taps, stride=step, padding=padding)
        padded = pad(x, widths, padding=padding)
        span = (padded.shape[axis] - taps) // step * step + 1
        # A sum of shifted slices: on CPU a fifth of the time of a depthwise convolution.
        taken = [lax.slice_in_dim(padded, tap, tap + span, step, axis) for tap in range(taps)]
        x = weights[0] * taken[0]
        for weight, part in zip(weights[1:], taken[1:], strict=True):
            x = x + weight * part
    return x


class BlurPool(nn.Module):
    """`blur_pool` as a module: period `stride` under circular shifts, small errors in between.

    Attributes:
      stride: step, for all axes or one each.
      kind: `"binomial"`, `"rectangular"` or `"triangular"`.
      taps: number of taps along each axis, 1 to 7.
      padding: one of `jaxinv.layers.PADDINGS`.

    Example:
      >>> import jax.numpy as jnp
      >>> BlurPool(stride=3)(jnp.zeros((1, 9, 12, 3))).shape
      (1, 3, 4, 3)

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486
    """

    stride: int | Sequence[int] = 2
    kind: str = "binomial"
    taps: int = 3
    padding: str = "REFLECT"

    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t c"]:
        """Applies `blur_pool`.

        Args:
          x: signal `(n, *spatial, c)`.

        Returns:
          `(n, *out, c)`.

        Raises:
          ValueError: as `blur_pool`, with the layer's name.
        """
        with naming(self):
            return blur_pool(x, self.stride, kind=self.kind, taps=self.taps, padding=self.padding)


class MaxBlurPool(nn.Module):
    """Max pooling taken apart: the maximum at stride 1, which keeps every shift, then `BlurPool`.

    Attributes:
      window: positions of the maximum.
      stride: step of the subsampling.
      kind: `"binomial"`, `"rectangular"` or `"triangular"`.
      taps: number of taps along each axis, 1 to 7.
      padding: one of `jaxinv.layers.PADDINGS`, for the maximum (SAME: minus infinity) and the
        filter.

    Example:
      >>> import jax.numpy as jnp
      >>> MaxBlurPool()(jnp.zeros((1, 8, 8, 3))).shape
      (1, 4, 4, 3)

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486
    """

    window: int | Sequence[int] = 2
    stride: int | Sequence[int] = 2
    kind: str = "binomial"
    taps: int = 3
    padding: str = "REFLECT"

    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t c"]:
        """Applies the maximum, the filter and the subsampling.

        Args:
          x: signal `(n, *spatial, c)`.

        Returns:
          `(n, *out, c)`.

        Raises:
          ValueError: as `max_pool` and `blur_pool`, with the layer's name.
        """
        with naming(self):
            x = max_pool(x, self.window, padding=self.padding)
            return blur_pool(x, self.stride, kind=self.kind, taps=self.taps, padding=self.padding)
