"""Local pooling: the maximum or the mean of a sliding window, with a stride."""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.padding import pad, window_padding
from jaxinv.layers.spatial import naming, per_axis, spatial_rank


def _reduce_windows(x, window, stride, padding, neutral, combine: Callable):
    rank = spatial_rank(x)
    windows = per_axis(window, rank, "window")
    strides = per_axis(stride, rank, "stride")
    widths = [
        window_padding(size, k, stride=s, padding=padding)
        for size, k, s in zip(x.shape[1:-1], windows, strides, strict=True)
    ]
    x = pad(x, widths, padding=padding, fill=neutral)
    # A concrete neutral element lets lax choose the primitive that knows its derivative.
    initial = np.asarray(neutral, x.dtype)
    return lax.reduce_window(x, initial, combine, (1, *windows, 1), (1, *strides, 1), "VALID")


def max_pool(
    x: Float[Array, "n *s c"],
    window: int | Sequence[int] = 2,
    *,
    stride: int | Sequence[int] = 1,
    padding: str = "VALID",
) -> Float[Array, "n *t c"]:
    """The largest value of each window: `y[i] = max_j x[i * stride + j - before]`.

    At stride 1 with CIRCULAR padding it commutes with every circular shift; at stride s with
    multiples of s only, and only if s divides the size.

    Args:
      x: signal `(n, *spatial, c)`.
      window: positions of the window along each axis, or for all.
      stride: step of the window.
      padding: one of `PADDINGS`; SAME and FULL fill with minus infinity, which never wins.

    Returns:
      `(n, *out, c)`.

    Raises:
      ValueError: if window or stride is below 1 or the window is larger than the padded map.

    Example:
      >>> import jax.numpy as jnp
      >>> max_pool(jnp.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 4, 1), 2, stride=2).ravel()
      Array([5., 3.], dtype=float32)

    Reference:
      Scherer, Mueller and Behnke, "Evaluation of pooling operations in convolutional
      architectures for object recognition" (2010), doi:10.1007/978-3-642-15825-4_10
    """
    return _reduce_windows(x, window, stride, padding, -np.inf, lax.max)


def avg_pool(
    x: Float[Array, "n *s c"],
    window: int | Sequence[int] = 2,
    *,
    stride: int | Sequence[int] = 1,
    padding: str = "VALID",
) -> Float[Array, "n *t c"]:
    """The mean of each window, a rectangular low-pass filter followed by subsampling.

    `y[i] = mean_j x[i * stride + j - before]`; padded positions count. It commutes with the same
    shifts as `max_pool`.

    Args:
      x: signal `(n, *spatial, c)`.
      window: positions of the window along each axis, or for all.
      stride: step of the window.
      padding: one of `PADDINGS`; SAME and FULL fill with zeros.

    Returns:
      `(n, *out, c)`.

    Raises:
      ValueError: if window or stride is below 1 or the window is larger than the padded map.

    Example:
      >>> import jax.numpy as jnp
      >>> avg_pool(jnp.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 4, 1), 2, stride=2).ravel()
      Array([3. , 2.5], dtype=float32)

    Reference:
      LeCun et al., "Gradient-based learning applied to document recognition" (1998),
      doi:10.1109/5.726791
    """
    total = _reduce_windows(x, window, stride, padding, 0.0, lax.add)
    return total / math.prod(per_axis(window, spatial_rank(x), "window"))


class MaxPool(nn.Module):
    """`max_pool` as a module: period `stride` under circular shifts.

    Attributes:
      window: positions of the window.
      stride: step of the window.
      padding: one of `jaxinv.layers.PADDINGS`.

    Example:
      >>> import jax.numpy as jnp
      >>> MaxPool()(jnp.zeros((1, 8, 8, 3))).shape
      (1, 4, 4, 3)
    """

    window: int | Sequence[int] = 2
    stride: int | Sequence[int] = 2
    padding: str = "VALID"

    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t c"]:
        """Applies `max_pool`.

        Args:
          x: signal `(n, *spatial, c)`.

        Returns:
          `(n, *out, c)`.

        Raises:
          ValueError: as `max_pool`, with the layer's name.
        """
        with naming(self):
            return max_pool(x, self.window, stride=self.stride, padding=self.padding)


class AvgPool(nn.Module):
    """`avg_pool` as a module: period `stride` under circular shifts.

    Attributes:
      window: positions of the window.
      stride: step of the window.
      padding: one of `jaxinv.layers.PADDINGS`.

    Example:
      >>> import jax.numpy as jnp
      >>> AvgPool()(jnp.zeros((1, 8, 8, 3))).shape
      (1, 4, 4, 3)
    """

    window: int | Sequence[int] = 2
    stride: int | Sequence[int] = 2
    padding: str = "VALID"

    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t c"]:
        """Applies `avg_pool`.

        Args:
          x: signal `(n, *spatial, c)`.

        Returns:
          `(n, *out, c)`.

        Raises:
          ValueError: as `avg_pool`, with the layer's name.
        """
        with naming(self):
            return avg_pool(x, self.window, stride=self.stride, padding=self.padding)
