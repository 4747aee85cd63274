"""Downsampling by name: one argument of a network decides how it halves its maps."""

import flax.linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from jaxinv.layers.adaptive import AdaptivePolyphaseSampling, LearnablePolyphaseSampling
from jaxinv.layers.blur import blur_pool
from jaxinv.layers.lowpass import ideal_lowpass
from jaxinv.layers.padding import Padding, circular_or
from jaxinv.layers.pooling import avg_pool, max_pool
from jaxinv.layers.spatial import naming, per_axis, spatial_rank

DOWNSAMPLES: tuple[str, ...] = (
    "stride",
    "max",
    "avg",
    "blur",
    "maxblur",
    "aps",
    "lps",
    "ideal",
    "none",
)


def subsample(x: Float[Array, "n *s c"], stride: int) -> Float[Array, "n *t c"]:
    """Every `stride`-th position of each spatial axis, from the first: `y[i] = x[i * stride]`.

    It commutes with circular shifts by multiples of the stride if that divides the size.

    Args:
      x: signal `(n, *spatial, c)`.
      stride: the step.

    Returns:
      `(n, *ceil(spatial / stride), c)`.

    Raises:
      ValueError: if the stride is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> subsample(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
      Array([0., 2., 4.], dtype=float32)

    Reference:
      Azulay and Weiss, "Why do deep convolutional networks generalize so poorly to small image
      transformations?" (2019), https://arxiv.org/abs/1805.12177
    """
    rank = spatial_rank(x)
    strides = per_axis(stride, rank, "stride")
    return lax.slice(x, (0,) * x.ndim, x.shape, (1, *strides, 1))


class Downsample(nn.Module):
    """Makes a map smaller by `stride`, in the way that `kind` names.

    Attributes:
      kind: one of `DOWNSAMPLES`. `"stride"` keeps every stride-th position, `"max"` and `"avg"`
        pool windows of `stride` positions, `"blur"` and `"maxblur"` filter before (`BlurPool`,
        `MaxBlurPool`), `"aps"` and `"lps"` choose the phase from the data (adaptive and learnable
        polyphase sampling), `"ideal"` filters ideally, `"none"` leaves the map as it is.
      stride: the factor. Of `n` positions `"stride"` and `"blur"` keep `ceil(n / stride)`, the
        polyphase kinds `floor`, pools as many windows as fit, with CIRCULAR padding `ceil`; where
        it does not divide `n` no kind keeps a symmetry, and the certificate says so.
      padding: border of the filters that look beyond their own position, one of
        `jaxinv.layers.PADDINGS`, or one for each axis.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.zeros((1, 8, 8, 3))
      >>> (y, phase), _ = Downsample("max").init_with_output(jax.random.key(0), x)
      >>> y.shape, phase
      ((1, 4, 4, 3), None)
    """

    kind: str = "max"
    stride: int = 2
    padding: Padding = "SAME"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n *s c"],
        phase: Int[Array, "n"] | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "n *t c"], Int[Array, "n"] | None]:
        """Downsamples.

        Args:
          x: signal `(n, *spatial, c)`.
          phase: the phases another branch of the network chose, to be used again.
          train: whether random choices may be made.

        Returns:
          The smaller map and the phases chosen from the data, `None` where there is no choice.

        Raises:
          ValueError: if the name is unknown, or as the layer it names.
        """
        with naming(self):
            rank = spatial_rank(x)
            per_axis(self.stride, rank, "stride")  # also where it goes unused
            # Windows of pools tile the map, so they look beyond the border only where the stride
            # does not divide the size; circular maps have no border.
            tiling = circular_or("VALID", self.padding, rank)
            if self.kind == "none":
                return x, None
            if self.kind == "stride":
                return subsample(x, self.stride), None
            if self.kind == "max":
                return max_pool(x, self.stride, stride=self.stride, padding=tiling), None
            if self.kind == "avg":
                return avg_pool(x, self.stride, stride=self.stride, padding=tiling), None
            if self.kind == "blur":
                return blur_pool(x, self.stride, padding=self.padding), None
            if self.kind == "maxblur":
                x = max_pool(x, self.stride, padding=self.padding)
                return blur_pool(x, self.stride, padding=self.padding), None
            if self.kind == "ideal":
                return ideal_lowpass(x, self.stride, subsample=True), None
            if self.kind == "aps":
                return AdaptivePolyphaseSampling(self.stride, name="aps")(x, phase)
            if self.kind == "lps":
                return LearnablePolyphaseSampling(self.stride, name="lps")(x, phase, train=train)
            raise ValueError(f"downsample is {self.kind!r}; allowed are {', '.join(DOWNSAMPLES)}")
