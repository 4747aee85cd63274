"""MobileNetV2: inverted residuals, whose strides lie in the depthwise convolutions."""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxinv.layers.activations import Activation
from jaxinv.layers.convolution import Conv
from jaxinv.layers.downsample import Downsample
from jaxinv.layers.heads import Head
from jaxinv.layers.normalisation import Norm
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, crop_or_pad

# Expansion, features, number of blocks and stride of the first of them (Sandler et al., table 2).
STAGES: tuple[tuple[int, int, int, int], ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def scaled(features: int, width: float) -> int:
    """Features times a width multiplier, as a multiple of 8 and not below nine tenths of that.

    Example:
      >>> scaled(32, 1.0), scaled(24, 0.35)
      (32, 8)
    """
    wanted = features * width
    rounded = max(8, math.floor(wanted / 8 + 0.5) * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class InvertedResidual(nn.Module):
    """A 1 x 1 convolution to more channels, a depthwise 3 x 3, and a linear 1 x 1 to few.

    Downsampling other than by stride comes after the activation of the depthwise convolution, as
    Zhang (2019) places it. A block of stride 1 that keeps the channels adds its input.

    Attributes:
      features: channels of the output.
      stride: how many times smaller the block makes the map.
      expansion: channels of the depthwise convolution, in multiples of the input's; for 1 there is
        no convolution before it.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`; without one the convolutions have biases.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> block = InvertedResidual(8, stride=2)
      >>> block.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 4)))[0].shape
      (1, 4, 4, 8)

    Reference:
      Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018),
      https://arxiv.org/abs/1801.04381
    """

    features: int
    stride: int = 1
    expansion: int = 6
    padding: Padding = "SAME"
    downsample: str = "stride"
    activation: str | Callable[[Array], Array] = "relu6"
    norm: str = "batch"

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *t f"]:
        """Maps `(n, *spatial, c)` to `(n, *out, features)`."""
        check_options(self)
        channels, plain = x.shape[-1], self.norm == "none"
        strided = self.downsample == "stride"
        y = x
        if self.expansion > 1:
            y = Conv(self.expansion * channels, 1, use_bias=plain, name="expand")(y)
            y = Norm(self.norm, name="expand_norm")(y, train=train)
            y = Activation(self.activation, name="expand_activation")(y)
        y = Conv(
            y.shape[-1],
            3,
            self.stride if strided else 1,
            padding=self.padding,
            groups="depthwise",
            use_bias=plain,
            name="depthwise",
        )(y)
        y = Norm(self.norm, name="depthwise_norm")(y, train=train)
        y = Activation(self.activation, name="depthwise_activation")(y)
        if self.stride > 1 and not strided:
            y = Downsample(self.downsample, self.stride, padding=self.padding, name="downsample")(
                y, train=train
            )
        y = Conv(self.features, 1, use_bias=plain, name="project")(y)
        y = Norm(self.norm, name="project_norm")(y, train=train)
        if self.stride == 1 and channels == self.features:
            y = crop_or_pad(x, y.shape[1:-1]) + y
        return y


class MobileNetV2(nn.Module):
    """A strided convolution, stages of inverted residuals, a 1 x 1 convolution, then a head.

    Weights that were trained with TensorFlow need `padding="SAME_UPPER"`, those that have the
    normalisation in their kernels and biases `norm="none"`.

    Attributes:
      stages: expansion, features, number of blocks and stride of the first of them, of each stage.
      stem_features: features of the first convolution.
      last_features: features of the last convolution.
      width: multiplier of all features, those of the last convolution if above 1.
      num_classes: outputs.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`, in place of all strides, that of the stem too.
      head: one of `jaxinv.layers.HEADS`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`; without one the convolutions have biases.
      dropout: share of the values before the last layer silenced in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> stages = (1, 8, 1, 1), (2, 8, 2, 2)
      >>> net = MobileNetV2(stages, stem_features=8, last_features=16, padding="CIRCULAR")
      >>> net.init_with_output(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))[0].shape
      (1, 10)

    Reference:
      Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018),
      https://arxiv.org/abs/1801.04381
    """

    stages: Sequence[Sequence[int]] = STAGES
    stem_features: int = 32
    last_features: int = 1280
    width: float = 1.0
    num_classes: int = 10
    padding: Padding = "SAME"
    downsample: str = "stride"
    head: str = "gap"
    activation: str | Callable[[Array], Array] = "relu6"
    norm: str = "batch"
    dropout: float = 0.2

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, num_classes)`."""
        check_options(self)
        for stage in self.stages:
            if len(stage) != 4:
                raise ValueError(
                    f"MobileNetV2: a stage is {tuple(stage)}; allowed are four numbers: expansion, "
                    "features, blocks, stride"
                )
        strided = self.downsample == "stride"
        x = Conv(
            scaled(self.stem_features, self.width),
            3,
            2 if strided else 1,
            padding=self.padding,
            use_bias=self.norm == "none",
            name="stem",
        )(x)
        x = Norm(self.norm, name="stem_norm")(x, train=train)
        x = Activation(self.activation, name="stem_activation")(x)
        if not strided:
            x = Downsample(self.downsample, padding=self.padding, name="downsample")(x, train=train)
        blocks = [
            (expansion, features, stride if first else 1)
            for expansion, features, count, stride in self.stages
            for first in (True, *(False,) * (count - 1))
        ]
        for index, (expansion, features, stride) in enumerate(blocks):
            x = InvertedResidual(
                scaled(features, self.width),
                stride,
                expansion,
                self.padding,
                self.downsample,
                self.activation,
                self.norm,
                name=f"block{index:02}",
            )(x, train=train)
        last = scaled(self.last_features, max(self.width, 1.0))
        x = Conv(last, 1, use_bias=self.norm == "none", name="last")(x)
        x = Norm(self.norm, name="last_norm")(x, train=train)
        x = Activation(self.activation, name="last_activation")(x)
        x = Head(self.head, name="head")(x)
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="logits")(x)
