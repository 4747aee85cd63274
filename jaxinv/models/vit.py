"""A vision transformer whose tokenisation, position embedding and head are arguments."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.layers.activations import Activation
from jaxinv.layers.heads import Head
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding
from jaxinv.layers.spatial import naming
from jaxinv.models.convnet import Classifier
from jaxinv.models.convnext import Patchify


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron over tokens, normalised before, with residuals.

    Tokens enter as a set: the block commutes with every permutation of them.

    Attributes:
      heads: attention heads.
      expansion: width of the perceptron in units of the features.
      activation: one of `jaxinv.layers.ACTIVATIONS` that needs no map, or a function.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> TransformerBlock(2).init_with_output(jax.random.key(0), jnp.zeros((1, 5, 8)))[0].shape
      (1, 5, 8)

    Reference:
      Vaswani et al., "Attention is all you need" (2017), https://arxiv.org/abs/1706.03762
    """

    heads: int
    expansion: int = 4
    activation: str | Callable[[Array], Array] = "gelu"

    @nn.compact
    def __call__(self, x: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
        """Applies the block to tokens `(n, tokens, d)`."""
        check_options(self)
        with naming(self):
            if x.shape[-1] % self.heads:
                raise ValueError(
                    f"heads is {self.heads}; allowed are divisors of the {x.shape[-1]} features"
                )
        y = nn.LayerNorm(epsilon=1e-6, name="norm1")(x)
        x = x + nn.MultiHeadDotProductAttention(self.heads, name="attention")(y)
        y = nn.LayerNorm(epsilon=1e-6, name="norm2")(x)
        y = nn.Dense(self.expansion * x.shape[-1], name="widen")(y)
        y = Activation(self.activation, name="activation")(y)
        return x + nn.Dense(x.shape[-1], name="narrow")(y)


class ViT(nn.Module):
    """Patches as tokens, transformer blocks, and a head over the grid of tokens.

    Without position embedding and with a pooling head it is invariant to shifts by multiples of
    the patch; with `downsample="aps"` and `padding="CIRCULAR"` besides, to every shift.

    Attributes:
      patch: side of a patch.
      features: width of a token.
      depth: number of blocks.
      heads: attention heads.
      position_embedding: adds a learned embedding of the position to each token.
      num_classes: outputs.
      head: `"token"`, an extra token read at the end, or one of `jaxinv.layers.HEADS`.
      downsample: `"stride"` for patches that tile the image, `"aps"` for the tokenisation that
        chooses its grid from the data, or another of `jaxinv.layers.DOWNSAMPLES`.
      padding: border of the tokenisation where it is not by tiles.
      activation: one of `jaxinv.layers.ACTIVATIONS` that needs no map, or a function.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = ViT(patch=4, features=8, depth=1, heads=2, position_embedding=False, head="gap")
      >>> net.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))[0].shape
      (1, 10)

    Reference:
      Dosovitskiy et al., "An image is worth 16x16 words" (2020), https://arxiv.org/abs/2010.11929;
      Touvron et al., "Training data-efficient image transformers" (2020),
      https://arxiv.org/abs/2012.12877, for the small one; Rojas-Gomez et al., "Making vision
      transformers truly shift-equivariant" (2023), https://arxiv.org/abs/2305.16316
    """

    patch: int = 16
    features: int = 384
    depth: int = 12
    heads: int = 6
    position_embedding: bool = True
    num_classes: int = 10
    head: str = "token"
    downsample: str = "stride"
    padding: Padding = "CIRCULAR"
    activation: str | Callable[[Array], Array] = "gelu"

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n k"]:
        """Maps signals `(n, *spatial, c)` to logits `(n, num_classes)`."""
        check_options(self)
        x = Patchify(self.features, self.patch, self.padding, self.downsample, name="patchify")(
            x, train=train
        )
        grid = x.shape
        x = x.reshape(grid[0], -1, grid[-1])
        near_zero = nn.initializers.normal(0.02)
        if self.head == "token":
            token = self.param("token", near_zero, (1, 1, grid[-1]))
            x = jnp.concatenate([jnp.broadcast_to(token, (grid[0], 1, grid[-1])), x], axis=1)
        if self.position_embedding:
            x = x + self.param("position", near_zero, (1, *x.shape[1:]))
        for index in range(self.depth):
            x = TransformerBlock(self.heads, activation=self.activation, name=f"block{index}")(x)
        x = nn.LayerNorm(epsilon=1e-6, name="norm")(x)
        x = x[:, 0] if self.head == "token" else Head(self.head, name="head")(x.reshape(grid))
        return Classifier(self.num_classes, name="classifier")(x, train=train)
