"""Normalisation by name, and the one whose statistics do not alias."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.spatial import naming, summed_in_float32
from jaxinv.magnitudes import magnitude

NORMS: tuple[str, ...] = ("none", "batch", "layer", "alias_free")


@summed_in_float32
def alias_free_norm(x: Float[Array, "n *s c"], *, epsilon: float = 1e-6) -> Float[Array, "n *s c"]:
    """Takes the mean over channels from each position and divides by one scale for the whole map.

    `y = (x - mean_c(x)) / sqrt(mean_{s, c}((x - mean_c(x))^2) + epsilon)`. Layer normalisation
    divides each position by a value of its own, which is a product of signals and widens the
    band; here the divisor is one number for each signal, so that fractional shifts commute.

    Args:
      x: signal `(n, *spatial, c)`.
      epsilon: added to the variance.

    Returns:
      An array of the same shape and type, float32 for whole numbers; summed in float32 at least.

    Raises:
      ValueError: if `x` has no spatial axis or is complex.

    Example:
      >>> import jax.numpy as jnp
      >>> alias_free_norm(jnp.array([[[1.0, -1.0], [3.0, -3.0]]]), epsilon=4.0)[0, 1]  # 3 / 3
      Array([ 1., -1.], dtype=float32)

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085
    """
    if jnp.iscomplexobj(x):
        raise ValueError(f"input has dtype {x.dtype}; allowed are real numbers")
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    over = tuple(range(1, x.ndim))
    scale = jnp.maximum(magnitude(centred, over), 1)
    centred = centred / scale
    variance = jnp.mean(centred * centred, axis=over, keepdims=True)
    return centred * lax.rsqrt(variance + epsilon / scale / scale)


class Norm(nn.Module):
    """A normalisation by name; each commutes with every whole shift in evaluation.

    Attributes:
      kind: `"batch"` (running statistics in `"batch_stats"`, PyTorch's epsilon and momentum),
        `"layer"` (over the channels of each position), `"alias_free"` (`alias_free_norm`: with
        fractional shifts as well), `"none"`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> Norm("layer").init_with_output(jax.random.key(0), jnp.ones((1, 4, 2)))[0].shape
      (1, 4, 2)

    Reference:
      Ioffe and Szegedy (2015), https://arxiv.org/abs/1502.03167; Ba, Kiros and Hinton (2016),
      https://arxiv.org/abs/1607.06450
    """

    kind: str = "batch"

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"], *, train: bool = False) -> Float[Array, "n *s c"]:
        """Normalises `(n, *spatial, c)`, in training with the statistics of the batch."""
        if self.kind == "none":
            return x
        if self.kind == "batch":
            return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name="batch")(x)
        if self.kind == "layer":
            return nn.LayerNorm(epsilon=1e-6, name="layer")(x)
        with naming(self):
            if self.kind != "alias_free":
                raise ValueError(f"norm is {self.kind!r}; allowed are {', '.join(NORMS)}")
            scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
            bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
            return alias_free_norm(x) * scale + bias
