"""Convolution in any padding mode: the layer that shares its weights between positions."""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, pad, padding_per_axis, window_paddings
from jaxinv.layers.spatial import in_one_float, naming, per_axis, spatial_rank


def dimension_numbers(rank: int) -> lax.ConvDimensionNumbers:
    """Channels-last layout of `lax` convolutions: `(n, *spatial, c)` and `(*window, in, out)`."""
    spatial = tuple(range(1, rank + 1))
    kernel = (rank + 1, rank, *range(rank))
    return lax.ConvDimensionNumbers((0, rank + 1, *spatial), kernel, (0, rank + 1, *spatial))


def convolve(
    x: Float[Array, "n *s c"],
    kernel: Float[Array, "*k d f"],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Array, "n *t f"]:
    """Cross-correlates `x` with a kernel, as every ConvNet does, in any padding mode.

    `y[n, i, f] = sum_{j, d} kernel[j, d, f] * x[n, i * stride + j * dilation - before, d]` with
    `before` from `window_padding`. With CIRCULAR padding and stride s it commutes with every
    circular shift by a multiple of s if s divides the size; with VALID and FULL padding it
    commutes with shifts of a signal that stays away from the border.

    Args:
      x: signal `(n, *spatial, c)` with 1 to 3 spatial axes.
      kernel: `(*window, c / groups, f)`.
      stride: step of the window, for all axes or one each.
      padding: one of `PADDINGS`, or one for each axis.
      dilation: distance between the taps of the kernel.
      groups: number of groups of channels that do not see one another; `c` is depthwise.

    Returns:
      `(n, *out, f)`: `ceil(size / stride)` positions an axis unless padding is VALID or FULL;
      of the type that signal and kernel have in common, float32 for whole numbers.

    Raises:
      ValueError: if stride or dilation is below 1, the groups do not divide the channels, the
        kernel does not fit the input's rank or channels, or it is larger than the padded map.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
      >>> right_neighbour = jnp.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)
      >>> convolve(x, right_neighbour, padding="CIRCULAR").ravel()
      Array([2., 4., 8., 1.], dtype=float32)

    Reference:
      Kayhan and van Gemert, "On translation invariance in CNNs" (2020),
      https://arxiv.org/abs/2003.07064, for what the paddings do to the symmetry.
    """
    rank = spatial_rank(x)
    strides = per_axis(stride, rank, "stride")
    dilations = per_axis(dilation, rank, "dilation")
    if kernel.ndim != rank + 2:
        raise ValueError(f"kernel has shape {kernel.shape}; {rank} spatial axes need {rank + 2}")
    channels, features = x.shape[-1], kernel.shape[-1]
    _check_groups(groups, channels, features)
    if kernel.shape[-2] * groups != channels:
        raise ValueError(
            f"kernel reads {kernel.shape[-2]} channels in {groups} groups, the input has {channels}"
        )
    names = padding_per_axis(padding, rank)
    spans = [(n - 1) * apart + 1 for n, apart in zip(kernel.shape[:-2], dilations, strict=True)]
    widths = window_paddings(x.shape[1:-1], spans, strides=strides, padding=names)
    x, kernel = in_one_float(x, kernel)
    # Zeros are left to the convolution itself; every other border is put there first.
    zeros = [name not in ("CIRCULAR", "REFLECT", "EDGE") for name in names]
    put = [(0, 0) if z else width for width, z in zip(widths, zeros, strict=True)]
    x = pad(x, put, padding=names)
    widths = [width if z else (0, 0) for width, z in zip(widths, zeros, strict=True)]
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        widths,
        rhs_dilation=dilations,
        dimension_numbers=dimension_numbers(rank),
        feature_group_count=groups,
    )


def _check_groups(groups: int, channels: int, features: int) -> None:
    (groups,) = per_axis(groups, 1, "groups")
    if channels % groups or features % groups:
        raise ValueError(
            f"groups is {groups}; allowed are divisors of both {channels} input channels and "
            f"{features} features"
        )


class Conv(nn.Module):
    """`convolve` with learned weights, for signals of 1 to 3 spatial axes.

    Commutes with every circular shift by multiples of `stride` if `padding="CIRCULAR"` and the
    stride divides the size. SAME (zeros), REFLECT and EDGE padding break that at the border;
    VALID and FULL do not, for signals that stay away from it.

    Attributes:
      features: output channels.
      kernel_size: taps along each spatial axis, or for all of them.
      stride: step of the window.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      dilation: distance between taps.
      groups: groups of channels, or `"depthwise"`: one a channel.
      use_bias: adds a learned constant to each channel.
      kernel_init: initialiser of the kernel.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> conv = Conv(8, padding="CIRCULAR")
      >>> variables = conv.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
      >>> conv.apply(variables, jnp.zeros((1, 16, 16, 3))).shape
      (1, 16, 16, 8)
    """

    features: int
    kernel_size: int | Sequence[int] = 3
    stride: int | Sequence[int] = 1
    padding: Padding = "SAME"
    dilation: int | Sequence[int] = 1
    groups: int | Literal["depthwise"] = 1
    use_bias: bool = True
    kernel_init: jax.nn.initializers.Initializer = jax.nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t f"]:
        """Maps `(n, *spatial, c)` to `(n, *out, features)`."""
        check_options(self)
        with naming(self):
            window = per_axis(self.kernel_size, spatial_rank(x), "kernel_size")
            channels = x.shape[-1]
            groups = channels if self.groups == "depthwise" else self.groups
            _check_groups(groups, channels, self.features)
            kernel = self.param(
                "kernel", self.kernel_init, (*window, channels // groups, self.features)
            )
            y = convolve(
                x,
                kernel,
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
                groups=groups,
            )
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,))
        return y
