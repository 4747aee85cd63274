"""Local pooling: the maximum or the mean of a sliding window, with a stride."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxinv.layers.padding import Padding, pad, window_paddings
from jaxinv.layers.spatial import per_axis, spatial_rank, summed_in_float32


def _reduce_windows(x, window, stride, padding, neutral, combine: Callable):
    rank = spatial_rank(x)
    windows = per_axis(window, rank, "window")
    strides = per_axis(stride, rank, "stride")
    widths = window_paddings(x.shape[1:-1], windows, strides=strides, padding=padding)
    x = pad(x, widths, padding=padding, fill=neutral)
    # A concrete neutral element lets lax choose the primitive that knows its derivative.
    initial = np.asarray(neutral, x.dtype)
    return lax.reduce_window(x, initial, combine, (1, *windows, 1), (1, *strides, 1), "VALID")


def max_pool(
    x: Shaped[Array, "n *s c"],
    window: int | Sequence[int] = 2,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "VALID",
) -> Shaped[Array, "n *t c"]:
    """The largest value of each window: `y[i] = max_j x[i * stride + j - before]`.

    At stride 1 with CIRCULAR padding it commutes with every circular shift; at stride s with
    multiples of s only, and only if s divides the size.

    Args:
      x: signal `(n, *spatial, c)`.
      window: positions of the window along each axis, or for all.
      stride: step of the window.
      padding: one of `PADDINGS`, or one for each axis; SAME and FULL fill with the least value of
        the type, minus infinity for floats, which never wins.

    Returns:
      `(n, *out, c)`, of the same type.

    Raises:
      ValueError: if window or stride is below 1, the window is larger than the padded map, or the
        map is complex, which has no order.

    Example:
      >>> import jax.numpy as jnp
      >>> max_pool(jnp.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 4, 1), 2, stride=2).ravel()
      Array([5., 3.], dtype=float32)

    Reference:
      Scherer, Mueller and Behnke, "Evaluation of pooling operations in convolutional
      architectures for object recognition" (2010), doi:10.1007/978-3-642-15825-4_10
    """
    spatial_rank(x)
    return _reduce_windows(x, window, stride, padding, _least(x.dtype), lax.max)


def _least(dtype):
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"input has dtype {dtype}; allowed are types with an order")
    if dtype == jnp.bool_:
        return False
    return -np.inf if jnp.issubdtype(dtype, jnp.floating) else int(jnp.iinfo(dtype).min)


@summed_in_float32
def avg_pool(
    x: Float[Array, "n *s c"],
    window: int | Sequence[int] = 2,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "VALID",
) -> Float[Array, "n *t c"]:
    """The mean of each window, a rectangular low-pass filter followed by subsampling.

    `y[i] = mean_j x[i * stride + j - before]`; padded positions count. It commutes with the same
    shifts as `max_pool`.

    Args:
      x: signal `(n, *spatial, c)`.
      window: positions of the window along each axis, or for all.
      stride: step of the window.
      padding: one of `PADDINGS`, or one for each axis; SAME and FULL fill with zeros.

    Returns:
      `(n, *out, c)`, of the same type, float32 for whole numbers; summed in float32 at least.

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
