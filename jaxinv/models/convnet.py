"""Plain ConvNets: stages of convolutions, each followed by downsampling, then a head.

LeNet, Simard's net, VGG, the all-convolutional net and the audio net are this one composition
with other arguments; `jaxinv.models.registry` holds them.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxinv.layers.activations import Activation
from jaxinv.layers.convolution import Conv
from jaxinv.layers.downsample import Downsample
from jaxinv.layers.heads import Head
from jaxinv.layers.local import LocallyConnected
from jaxinv.layers.normalisation import Norm
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding

# With these the stem's stride is that of its convolution, as published; the others replace it.
STRIDED_STEMS: tuple[str, ...] = ("stride", "max", "avg")


class Classifier(nn.Module):
    """Dense layers with an activation between them, the last one without: the logits.

    Attributes:
      num_classes: outputs.
      hidden: units of the layers before.
      activation: one of `jaxinv.layers.ACTIVATIONS` that needs no map, or a function.
      dropout: share of hidden units silenced in training (random stream `"dropout"`).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> Classifier(10, (32,)).init_with_output(jax.random.key(0), jnp.zeros((2, 8)))[0].shape
      (2, 10)
    """

    num_classes: int
    hidden: Sequence[int] = ()
    activation: str | Callable[[Array], Array] = "relu"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "n d"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps features `(n, d)` to logits `(n, num_classes)`; dropout is active in training."""
        check_options(self)
        for index, units in enumerate(self.hidden):
            x = nn.Dense(units, name=f"dense{index}")(x)
            x = Activation(self.activation)(x)
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="logits")(x)


class MLP(nn.Module):
    """Dense layers on the flattened signal: no symmetry at all, the other end of the scale.

    Attributes:
      num_classes: outputs.
      dense: units of the hidden layers.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      dropout: share of hidden units silenced in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> MLP().init_with_output(jax.random.key(0), jnp.zeros((2, 8, 8, 1)))[0].shape
      (2, 10)
    """

    num_classes: int = 10
    dense: Sequence[int] = (256, 128)
    activation: str | Callable[[Array], Array] = "relu"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, num_classes)`."""
        check_options(self)
        x = Head("flatten", name="head")(x)
        return Classifier(
            self.num_classes, self.dense, self.activation, self.dropout, name="classifier"
        )(x, train=train)


class ConvNet(nn.Module):
    """Stages of convolutions, each made smaller at its end, then a head and a classifier.

    Which shifts it commutes with is decided by its arguments alone: CIRCULAR padding keeps every
    shift, `downsample` thins them to multiples of the product of the strides or not at all, and
    the heads `"gap"`, `"gmp"` and `"attention"` turn what is left into invariance.

    Attributes:
      widths: features of each convolution, stage by stage.
      kernels: taps of the filters: one number, or one for each convolution.
      num_classes: outputs.
      dense: units of the hidden layers of the classifier.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis, for convolutions and filters.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`, at the end of a stage; `"stride"` is the
        stride of the stage's last convolution.
      factor: how many times smaller a stage makes the map.
      downsamplings: number of stages that downsample, from the first; all of them if `None`.
      head: one of `jaxinv.layers.HEADS`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`.
      stem_stride: how many times smaller the first convolution makes the map: its stride if
        `downsample` is `"stride"`, `"max"` or `"avg"`, done by that layer otherwise.
      local: locally connected layers in place of convolutions, the unshared twin.
      dropout: share of hidden units of the classifier silenced in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = ConvNet(widths=((4,), (8,)), padding="CIRCULAR", head="gap")
      >>> net.init_with_output(jax.random.key(0), jnp.zeros((2, 8, 8, 1)))[0].shape
      (2, 10)
    """

    widths: Sequence[Sequence[int]] = ((16,), (32,))
    kernels: int | Sequence[Sequence[int]] = 5
    num_classes: int = 10
    dense: Sequence[int] = (128,)
    padding: Padding = "SAME"
    downsample: str = "max"
    factor: int = 2
    downsamplings: int | None = None
    head: str = "flatten"
    activation: str | Callable[[Array], Array] = "relu"
    norm: str = "none"
    stem_stride: int = 1
    local: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, num_classes)`.

        Args:
          x: signals `(n, *spatial, c)`.
          train: whether batch statistics are taken from `x` and dropout is active.
        """
        check_options(self)
        if isinstance(self.kernels, Sequence):
            given, needed = (tuple(map(len, each)) for each in (self.kernels, self.widths))
            if given != needed:
                raise ValueError(
                    f"ConvNet: kernels are given for {given} convolutions of the stages; allowed "
                    f"are one number, or one for each of {needed}"
                )
        layer = LocallyConnected if self.local else Conv
        thinned = len(self.widths) if self.downsamplings is None else self.downsamplings
        index = 0
        for stage, widths in enumerate(self.widths):
            for place, features in enumerate(widths):
                ends = stage < thinned and place == len(widths) - 1
                # How the convolution strides, and by how much a layer after it downsamples.
                stride, after = 1, self.factor if ends else 1
                if index == 0 and self.downsample in STRIDED_STEMS:
                    stride = self.stem_stride
                elif index == 0:
                    after *= self.stem_stride
                if self.downsample == "stride":
                    stride, after = stride * after, 1
                window = self.kernels
                if isinstance(window, Sequence):
                    window = window[stage][place]
                x = layer(features, window, stride, padding=self.padding, name=f"conv{index}")(x)
                x = Norm(self.norm, name=f"norm{index}")(x, train=train)
                x = Activation(self.activation, name=f"activation{index}")(x)
                if after > 1:
                    x = Downsample(
                        self.downsample, after, padding=self.padding, name=f"downsample{index}"
                    )(x, train=train)
                index += 1
        x = Head(self.head, name="head")(x)
        return Classifier(
            self.num_classes, self.dense, self.activation, self.dropout, name="classifier"
        )(x, train=train)
