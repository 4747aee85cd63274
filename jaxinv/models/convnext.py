"""ConvNeXt and, with other arguments, its alias-free form."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.layers.activations import MICHAELI_POLYNOMIAL, MICHAELI_SCALE, Activation
from jaxinv.layers.convolution import Conv
from jaxinv.layers.downsample import Downsample
from jaxinv.layers.heads import Head
from jaxinv.layers.lowpass import lowpass_for_product
from jaxinv.layers.normalisation import Norm
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, crop_or_pad
from jaxinv.layers.spatial import naming
from jaxinv.models.convnet import Classifier


class ResidualPolynomial(nn.Module):
    """Adds a learned quadratic of a map to it, in which one factor of the square is low-passed.

    `x + gain * out_scale * (a0 + a1 u + a2 u L(u))` with `u = in_scale * x`. L keeps so few
    frequencies that nothing of the product folds into the band that a subsampling by `stride`
    keeps: no finer grid is needed. The gain starts at 0.

    Attributes:
      stride: the subsampling that follows, behind an ideal filter.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.ones((1, 8, 8, 3))
      >>> y, _ = ResidualPolynomial(4).init_with_output(jax.random.key(0), x)
      >>> bool((y == x).all())
      True

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085
    """

    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *s c"]:
        """Applies the polynomial to a signal `(n, *spatial, c)`."""
        check_options(self)
        channels = (x.shape[-1],)
        start = nn.initializers.constant(MICHAELI_SCALE)
        before, after = (self.param(name, start, ()) for name in ("in_scale", "out_scale"))
        first = jnp.asarray(MICHAELI_POLYNOMIAL)[:, None]
        a0, a1, a2 = self.param("coefficients", lambda _: jnp.broadcast_to(first, (3, *channels)))
        u = x * before
        y = a0 + a1 * u + a2 * (u * lowpass_for_product(u, self.stride))
        return x + self.param("gain", nn.initializers.zeros, ()) * (y * after)


class Patchify(nn.Module):
    """A convolution whose windows tile the map, or the same at stride 1 followed by downsampling.

    With `downsample="aps"` it is the shift-equivariant tokenisation of Rojas-Gomez et al.: of all
    the grids of patches, the one whose tokens have the largest norm.

    Attributes:
      features: output channels.
      patch: side of a patch, and how many times smaller the map becomes.
      padding: border of the convolution at stride 1; tiles have none.
      downsample: `"stride"` for tiles, any other of `jaxinv.layers.DOWNSAMPLES` for the second.
      polynomial: a `ResidualPolynomial` between the convolution and the downsampling.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> patchify = Patchify(8, patch=4)
      >>> patchify.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))[0].shape
      (1, 2, 2, 8)

    Reference:
      Rojas-Gomez et al., "Making vision transformers truly shift-equivariant" (2023),
      https://arxiv.org/abs/2305.16316
    """

    features: int
    patch: int = 4
    padding: Padding = "SAME"
    downsample: str = "stride"
    polynomial: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *t f"]:
        """Maps `(n, *spatial, c)` to `(n, *floor(spatial / patch), features)` for tiles.

        Args:
          x: signal `(n, *spatial, c)`.
          train: whether a learnable sampler draws its phases.

        Raises:
          ValueError: if a patch is larger than the map, or a polynomial has no place because the
            convolution itself has the stride, with the layer's name.
        """
        check_options(self)
        with naming(self):
            if self.polynomial and (self.downsample == "stride" or self.patch < 2):
                raise ValueError(
                    f"a polynomial before the downsampling needs another than 'stride' and a patch "
                    f"from 2; downsample is {self.downsample!r} and patch {self.patch}"
                )
        if self.downsample == "stride":
            return Conv(self.features, self.patch, self.patch, padding="VALID", name="conv")(x)
        x = Conv(self.features, self.patch, padding=self.padding, name="conv")(x)
        if self.polynomial:
            x = ResidualPolynomial(self.patch, name="polynomial")(x)
        return Downsample(self.downsample, self.patch, padding=self.padding, name="downsample")(
            x, train=train
        )


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7 convolution, normalisation, two dense layers over channels, scaled residual.

    Attributes:
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`.
      layer_scale: the scale of the residual branch at the start.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> ConvNeXtBlock().init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 4)))[0].shape
      (1, 8, 8, 4)

    Reference:
      Liu et al., "A ConvNet for the 2020s" (2022), https://arxiv.org/abs/2201.03545
    """

    padding: Padding = "SAME"
    activation: str | Callable[[Array], Array] = "gelu"
    norm: str = "layer"
    layer_scale: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *t c"]:
        """Maps `(n, *spatial, c)` to a map of the same channels."""
        check_options(self)
        channels = x.shape[-1]
        y = Conv(channels, 7, padding=self.padding, groups="depthwise", name="conv")(x)
        y = Norm(self.norm, name="norm")(y, train=train)
        y = nn.Dense(4 * channels, name="widen")(y)
        y = Activation(self.activation, name="activation")(y)
        y = nn.Dense(channels, name="narrow")(y)
        y = y * self.param("scale", nn.initializers.constant(self.layer_scale), (channels,))
        return crop_or_pad(x, y.shape[1:-1]) + y


class ConvNeXt(nn.Module):
    """Stages of ConvNeXt blocks behind patch embeddings.

    The alias-free form of Michaeli et al., which commutes with fractional circular shifts as well,
    is `padding="CIRCULAR", downsample="ideal", activation="filtered_scaled_polynomial",
    norm="alias_free", stem_polynomial=True`.

    Attributes:
      blocks: number of blocks of each stage.
      widths: features of each stage.
      patch: factor of the stem; each further stage makes the map half as large.
      num_classes: outputs.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      downsample: one of `jaxinv.layers.DOWNSAMPLES`, in the stem and between stages.
      head: one of `jaxinv.layers.HEADS`.
      activation: one of `jaxinv.layers.ACTIVATIONS`, or a function.
      norm: one of `jaxinv.layers.NORMS`.
      layer_scale: the scale of the residual branches at the start.
      stem_polynomial: adds a `ResidualPolynomial` of the stem's convolution to it, before it is
        downsampled.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = ConvNeXt((1, 1), (4, 8), patch=2)
      >>> net.init_with_output(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))[0].shape
      (1, 10)

    Reference:
      Liu et al., "A ConvNet for the 2020s" (2022), https://arxiv.org/abs/2201.03545; Michaeli,
      Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085
    """

    blocks: Sequence[int] = (3, 3, 9, 3)
    widths: Sequence[int] = (96, 192, 384, 768)
    patch: int = 4
    num_classes: int = 10
    padding: Padding = "SAME"
    downsample: str = "stride"
    head: str = "gap"
    activation: str | Callable[[Array], Array] = "gelu"
    norm: str = "layer"
    layer_scale: float = 1e-6
    stem_polynomial: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, num_classes)`."""
        check_options(self)
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"ConvNeXt: blocks {self.blocks} and widths {self.widths} have different lengths; "
                "allowed are those of the same stages"
            )
        for stage, (count, features) in enumerate(zip(self.blocks, self.widths, strict=True)):
            if stage > 0:
                x = Norm(self.norm, name=f"norm{stage}")(x, train=train)
            x = Patchify(
                features,
                self.patch if stage == 0 else 2,
                self.padding,
                self.downsample,
                self.stem_polynomial and stage == 0,
                name=f"patchify{stage}",
            )(x, train=train)
            if stage == 0:
                x = Norm(self.norm, name="norm0")(x, train=train)
            for block in range(count):
                x = ConvNeXtBlock(
                    self.padding,
                    self.activation,
                    self.norm,
                    self.layer_scale,
                    name=f"stage{stage}_{block}",
                )(x, train=train)
        x = Head(self.head, name="head")(x)
        x = nn.LayerNorm(epsilon=1e-6, name="norm")(x)
        return Classifier(self.num_classes, name="classifier")(x, train=train)
