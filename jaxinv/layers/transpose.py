"""Transposed convolution: the learned way up, in any padding mode."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.convolution import dimension_numbers
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, pad, padding_per_axis
from jaxinv.layers.spatial import in_one_float, naming, per_axis, spatial_rank

TRANSPOSED_PADDINGS: tuple[str, ...] = ("SAME", "CIRCULAR", "FULL")


def convolve_transposed(
    x: Float[Array, "n *s c"],
    kernel: Float[Array, "*k c f"],
    *,
    stride: int | Sequence[int] = 2,
    padding: Padding = "SAME",
) -> Float[Array, "n *t f"]:
    """Spreads each value over a window of the finer map: the adjoint of a strided convolution.

    `y[n, stride * i + j - before, f] += x[n, i, d] * kernel[j, d, f]` with
    `before = floor((k - stride) / 2)`, 0 if the window is shorter than the stride. FULL keeps all
    that is written, `(size - 1) * stride + k` positions an axis; SAME cuts it to
    `size * stride`; CIRCULAR wraps what falls beyond the border round to the other side. With
    CIRCULAR padding it commutes with every shift: `x` by `t`, `y` by `stride * t`.

    Args:
      x: signal `(n, *spatial, c)`.
      kernel: `(*window, c, f)`.
      stride: factor, for all axes or one each.
      padding: `"SAME"`, `"CIRCULAR"` or `"FULL"`, or one for each axis.

    Returns:
      `(n, *out, f)`.

    Raises:
      ValueError: if the stride is below 1, the padding has no transposed form, or the kernel does
        not fit the input.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, 2.0]).reshape(1, 2, 1)
      >>> convolve_transposed(x, jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1),
      ...                     padding="CIRCULAR").ravel()
      Array([201.,  10., 102.,  20.], dtype=float32)

    Reference:
      Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016),
      https://arxiv.org/abs/1603.07285
    """
    rank = spatial_rank(x)
    strides = per_axis(stride, rank, "stride")
    names = padding_per_axis(padding, rank)
    if not set(names) <= set(TRANSPOSED_PADDINGS):
        raise ValueError(f"padding is {padding!r}; allowed are {', '.join(TRANSPOSED_PADDINGS)}")
    if kernel.ndim != rank + 2 or kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"kernel has shape {kernel.shape}; a map of shape {x.shape} needs {rank} window sizes, "
            f"{x.shape[-1]} channels and the features"
        )
    x, kernel = in_one_float(x, kernel)
    windows = kernel.shape[:-2]
    spread = partial(
        lax.conv_general_dilated,
        rhs=kernel[(slice(None, None, -1),) * rank],
        window_strides=(1,) * rank,
        lhs_dilation=strides,
        dimension_numbers=dimension_numbers(rank),
    )
    full = [name == "FULL" for name in names]
    before = [max((k - s) // 2, 0) for k, s in zip(windows, strides, strict=True)]
    # Values of the neighbouring period (or zeros) whose windows reach into the map.
    reach = [
        (-(-(k - 1 - b) // s), 1 + -(-(b - 1) // s))
        for k, s, b in zip(windows, strides, before, strict=True)
    ]
    if not any(full) and all(k <= s for k, s in zip(windows, strides, strict=True)):
        # No window reaches into another's place, so what is there is not read.
        names = ("CIRCULAR",) * rank
    put = [(0, 0) if whole else r for r, whole in zip(reach, full, strict=True)]
    kept = [(k - 1, k - 1) if whole else (0, 0) for k, whole in zip(windows, full, strict=True)]
    y = spread(pad(x, put, padding=names), padding=kept)
    if all(full):
        return y
    starts, stops = [0] * rank, list(y.shape[1:-1])
    for axis, (size, (low, _), s, b, k) in enumerate(
        zip(x.shape[1:-1], reach, strides, before, windows, strict=True)
    ):
        if not full[axis]:
            starts[axis] = low * s + b - (k - 1)
            stops[axis] = starts[axis] + size * s
    return lax.slice(y, (0, *starts, 0), (y.shape[0], *stops, y.shape[-1]))


class ConvTranspose(nn.Module):
    """`convolve_transposed` with learned weights: makes a map `stride` times larger.

    Attributes:
      features: output channels.
      kernel_size: taps along each spatial axis, or for all of them.
      stride: factor, for all axes or one each.
      padding: `"SAME"`, `"CIRCULAR"` or `"FULL"`, or one for each axis.
      use_bias: adds a learned constant to each channel.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = ConvTranspose(4)
      >>> layer.init_with_output(jax.random.key(0), jnp.zeros((1, 5, 5, 3)))[0].shape
      (1, 10, 10, 4)

    Reference:
      Dumoulin and Visin (2016), https://arxiv.org/abs/1603.07285
    """

    features: int
    kernel_size: int | Sequence[int] = 2
    stride: int | Sequence[int] = 2
    padding: Padding = "SAME"
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t f"]:
        """Maps `(n, *spatial, c)` to `(n, *out, features)`."""
        check_options(self)
        with naming(self):
            window = per_axis(self.kernel_size, spatial_rank(x), "kernel_size")
            init = jax.nn.initializers.he_normal()
            kernel = self.param("kernel", init, (*window, x.shape[-1], self.features))
            y = convolve_transposed(x, kernel, stride=self.stride, padding=self.padding)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,))
        return y
