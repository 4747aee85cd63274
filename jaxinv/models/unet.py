"""A U-Net: down, up again, with every map of the way down handed across."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.layers.activations import Activation
from jaxinv.layers.convolution import Conv
from jaxinv.layers.downsample import Downsample
from jaxinv.layers.lowpass import ideal_upsample
from jaxinv.layers.normalisation import Norm
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, circular_or, crop_or_pad, padding_per_axis
from jaxinv.layers.polyphase import polyphase_upsample
from jaxinv.layers.transpose import ConvTranspose


class UNet(nn.Module):
    """Logits for every position: levels of two convolutions, downsampling, and the way back up.

    The way up is the counterpart of the way down: maps sampled at phases chosen from the data are
    put back at those phases, ideally filtered ones are interpolated ideally, others go through a
    transposed convolution. With CIRCULAR padding and `"aps"`, `"lps"`, `"ideal"` or `"none"` the
    network commutes with every shift, with other downsampling with multiples of `2^(levels - 1)`.

    Attributes:
      widths: features of each level, from the top.
      num_classes: logits a position.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis; the paper's is VALID.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = UNet((4, 8), num_classes=2)
      >>> net.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))[0].shape
      (1, 8, 8, 2)

    Reference:
      Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image
      segmentation" (2015), https://arxiv.org/abs/1505.04597
    """

    widths: Sequence[int] = (64, 128, 256, 512, 1024)
    num_classes: int = 2
    padding: Padding = "SAME"
    downsample: str = "max"
    activation: str | Callable[[Array], Array] = "relu"
    norm: str = "none"

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *t k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, *out, num_classes)`."""
        check_options(self)
        handed = []
        for level, features in enumerate(self.widths):
            x = self._convolve_twice(x, features, f"down{level}", train)
            if level < len(self.widths) - 1:
                small, phase = Downsample(
                    self.downsample, padding=self.padding, name=f"downsample{level}"
                )(x, train=train, return_phase=True)
                handed.append((x, phase))
                x = small
        for level in reversed(range(len(handed))):
            across, phase = handed[level]
            x = self._enlarge(x, phase, self.widths[level], f"up{level}")
            sizes = [
                small if name == "VALID" else large
                for name, small, large in zip(
                    padding_per_axis(self.padding, x.ndim - 2),
                    x.shape[1:-1],
                    across.shape[1:-1],
                    strict=True,
                )
            ]
            across, x = crop_or_pad(across, sizes), crop_or_pad(x, sizes)
            x = jnp.concatenate([across, x], axis=-1)
            x = self._convolve_twice(x, self.widths[level], f"merge{level}", train)
        return Conv(self.num_classes, 1, name="logits")(x)

    def _convolve_twice(self, x, features, name, train):
        for half in range(2):
            x = Conv(features, 3, padding=self.padding, name=f"{name}_conv{half}")(x)
            x = Norm(self.norm, name=f"{name}_norm{half}")(x, train=train)
            x = Activation(self.activation, name=f"{name}_activation{half}")(x)
        return x

    def _enlarge(self, x, phase, features, name):
        circular = circular_or("SAME", self.padding, x.ndim - 2)
        if self.downsample == "none":
            return Conv(features, 2, padding=circular, name=name)(x)
        if self.downsample == "ideal":
            return Conv(features, 2, padding=circular, name=name)(ideal_upsample(x))
        if phase is not None:
            x = polyphase_upsample(x, phase, 2)
            return Conv(features, 2, padding=circular, name=name)(x)
        return ConvTranspose(features, 2, padding=circular, name=name)(x)
