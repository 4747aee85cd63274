"""Residual networks: CIFAR's ResNet-20/32/56 and ImageNet's ResNet-18/50 as one composition."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.layers.activations import Activation
from jaxinv.layers.convolution import Conv
from jaxinv.layers.downsample import Downsample, subsample
from jaxinv.layers.heads import Head
from jaxinv.layers.normalisation import Norm
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, crop_or_pad, window_paddings
from jaxinv.layers.pooling import max_pool
from jaxinv.layers.spatial import naming
from jaxinv.models.convnet import STRIDED_STEMS, Classifier

SHORTCUTS: tuple[str, ...] = ("projection", "zeros")
STEMS: tuple[str, ...] = ("cifar", "imagenet")
EXPANSION = 4


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut; both branches are downsampled in the same way.

    Downsampling other than by stride comes after the activation of the first 3 x 3 convolution
    (Zhang 2019), and the phases that polyphase sampling chooses there are used for the shortcut
    too (Chaman and Dokmanic 2021).

    Attributes:
      features: channels of the 3 x 3 convolutions.
      stride: how many times smaller the block makes the map.
      bottleneck: 1 x 1, 3 x 3, 1 x 1 convolutions in place of two of 3 x 3.
      shortcut: `"projection"` (1 x 1 convolution) or `"zeros"` (channels of zeros) where the
        shape changes.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> block = ResidualBlock(8, stride=2)
      >>> block.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 4)))[0].shape
      (1, 4, 4, 8)

    Reference:
      He et al., "Deep residual learning for image recognition" (2015),
      https://arxiv.org/abs/1512.03385
    """

    features: int
    stride: int = 1
    bottleneck: bool = False
    shortcut: str = "projection"
    padding: Padding = "SAME"
    downsample: str = "stride"
    activation: str | Callable[[Array], Array] = "relu"
    norm: str = "batch"

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *t f"]:
        """Maps `(n, *spatial, c)` to `(n, *out, features)`, with a bottleneck 4 * features."""
        check_options(self)
        features = self.features * (EXPANSION if self.bottleneck else 1)
        windows = (1, 3, 1) if self.bottleneck else (3, 3)
        spatial = 1 if self.bottleneck else 0  # the convolution that downsampling belongs to
        y, skip, phase = x, x, None
        for index, window in enumerate(windows):
            last = index == len(windows) - 1
            here = index == spatial and self.stride > 1
            if index == spatial:
                # The map that skipped lies on the one that was convolved before both are thinned.
                sizes = y.shape[1:-1]
                each = (window,) * len(sizes)
                widths = window_paddings(
                    sizes, each, strides=(1,) * len(sizes), padding=self.padding
                )
                grown = [n + sum(w) - window + 1 for n, w in zip(sizes, widths, strict=True)]
                skip = crop_or_pad(skip, grown)
            y = Conv(
                features if last else self.features,
                window,
                self.stride if here and self.downsample == "stride" else 1,
                padding=self.padding,
                use_bias=False,
                name=f"conv{index + 1}",
            )(y)
            y = Norm(self.norm, name=f"norm{index + 1}")(y, train=train)
            if not last:
                y = Activation(self.activation, name=f"activation{index + 1}")(y)
            if here and self.downsample == "stride":
                skip = subsample(skip, self.stride)
            elif here:
                sampler = Downsample(
                    self.downsample, self.stride, padding=self.padding, name="downsample"
                )
                y, phase = sampler(y, train=train, return_phase=True)
                skip = sampler(skip, phase)
        if self.stride > 1 or skip.shape[-1] != features:
            skip = self._match_channels(skip, features, train)
        y = y + crop_or_pad(skip, y.shape[1:-1])
        return Activation(self.activation, name="activation")(y)

    def _match_channels(self, skip, features, train):
        if self.shortcut == "projection":
            skip = Conv(features, 1, use_bias=False, name="shortcut_conv")(skip)
            return Norm(self.norm, name="shortcut_norm")(skip, train=train)
        missing = features - skip.shape[-1]
        with naming(self):
            if self.shortcut != "zeros":
                raise ValueError(
                    f"shortcut is {self.shortcut!r}; allowed are {', '.join(SHORTCUTS)}"
                )
            if missing < 0:
                raise ValueError(f"shortcut of zeros cannot take {-missing} channels away")
        sides = (missing // 2, missing - missing // 2)
        return jnp.pad(skip, [(0, 0)] * (skip.ndim - 1) + [sides])


class ResNet(nn.Module):
    """A stem, stages of residual blocks, each but the first downsampling, then a head.

    Attributes:
      blocks: number of blocks of each stage.
      width: features of the first stage; they double from stage to stage.
      bottleneck: blocks with a bottleneck.
      stem: `"cifar"`: one 3 x 3 convolution; `"imagenet"`: 7 x 7 with stride 2, then max pooling
        3 x 3 with stride 2.
      shortcut: `"projection"` or `"zeros"`.
      num_classes: outputs.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`, in the stem and at the start of each stage.
      head: one of `jaxinv.layers.HEADS`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = ResNet((1, 1), width=4, downsample="aps", padding="CIRCULAR")
      >>> net.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))[0].shape
      (1, 10)

    Reference:
      He et al., "Deep residual learning for image recognition" (2015),
      https://arxiv.org/abs/1512.03385
    """

    blocks: Sequence[int] = (3, 3, 3)
    width: int = 16
    bottleneck: bool = False
    stem: str = "cifar"
    shortcut: str = "projection"
    num_classes: int = 10
    padding: Padding = "SAME"
    downsample: str = "stride"
    head: str = "gap"
    activation: str | Callable[[Array], Array] = "relu"
    norm: str = "batch"

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, num_classes)`."""
        check_options(self)
        x = self._stem(x, train)
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                x = ResidualBlock(
                    self.width * 2**stage,
                    2 if stage > 0 and block == 0 else 1,
                    self.bottleneck,
                    self.shortcut,
                    self.padding,
                    self.downsample,
                    self.activation,
                    self.norm,
                    name=f"layer{stage + 1}_{block}",
                )(x, train=train)
        x = Head(self.head, name="head")(x)
        return Classifier(self.num_classes, name="classifier")(x, train=train)

    def _stem(self, x, train):
        with naming(self):
            if self.stem not in STEMS:
                raise ValueError(f"stem is {self.stem!r}; allowed are {', '.join(STEMS)}")
        large = self.stem == "imagenet"
        strided = large and self.downsample in STRIDED_STEMS
        x = Conv(
            self.width,
            7 if large else 3,
            2 if strided else 1,
            padding=self.padding,
            use_bias=False,
            name="conv1",
        )(x)
        x = Norm(self.norm, name="norm1")(x, train=train)
        x = Activation(self.activation, name="activation1")(x)
        if strided:
            return max_pool(x, 3, stride=2, padding=self.padding)
        if large:
            halve = [
                Downsample(self.downsample, padding=self.padding, name=f"downsample{i}")
                for i in range(2)
            ]
            x = halve[0](x, train=train)
            x = halve[1](max_pool(x, 3, padding=self.padding), train=train)
        return x
