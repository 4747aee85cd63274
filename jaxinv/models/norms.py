"""Normalisation by name, for networks that take it as an argument."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxinv.layers.spatial import naming

NORMS = ("none", "batch", "layer")


class Norm(nn.Module):
    """A normalisation by name; each commutes with every integer shift in evaluation.

    Attributes:
      kind: `"batch"` (running statistics in `"batch_stats"`, PyTorch's epsilon and momentum),
        `"layer"` (over the channels of each position), `"none"`.
      zero_scale: starts with a scale of zero, so that a residual branch starts as nothing.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> Norm("layer").init_with_output(jax.random.key(0), jnp.ones((1, 4, 2)))[0].shape
      (1, 4, 2)

    Reference:
      Ioffe and Szegedy (2015), https://arxiv.org/abs/1502.03167; Ba, Kiros and Hinton (2016),
      https://arxiv.org/abs/1607.06450
    """

    kind: str = "batch"
    zero_scale: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *s c"]:
        """Normalises.

        Args:
          x: signal `(n, *spatial, c)`.
          train: whether batch statistics are taken from `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if the name is unknown.
        """
        scale = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        if self.kind == "none":
            return x
        if self.kind == "batch":
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                scale_init=scale,
                name="batch",
            )(x)
        if self.kind == "layer":
            return nn.LayerNorm(epsilon=1e-6, scale_init=scale, name="layer")(x)
        with naming(self):
            raise ValueError(f"norm is {self.kind!r}; allowed are {', '.join(NORMS)}")
