"""Downsampling by name: one argument of a network decides how it halves its maps."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from jaxinv.layers.adaptive import AdaptivePolyphaseSampling, LearnablePolyphaseSampling
from jaxinv.layers.blur import blur_pool, max_blur_pool
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


def _tiled(pool: Callable) -> Callable:
    """A pool whose windows tile the map.

    They look beyond the border only where the stride does not divide the size; circular maps have
    no border.
    """

    def tiled(x, stride, padding):
        tiling = circular_or("VALID", padding, spatial_rank(x))
        return pool(x, stride, stride=stride, padding=tiling)

    return tiled


# What samples at fixed places, as functions of (x, stride, padding).
_FIXED: dict[str, Callable] = {
    "stride": lambda x, stride, padding: subsample(x, stride),
    "max": _tiled(max_pool),
    "avg": _tiled(avg_pool),
    "blur": lambda x, stride, padding: blur_pool(x, stride, padding=padding),
    "maxblur": lambda x, stride, padding: max_blur_pool(x, stride, stride=stride, padding=padding),
    "ideal": lambda x, stride, padding: ideal_lowpass(x, stride, subsample=True),
    "none": lambda x, stride, padding: x,
}


class Downsample(nn.Module):
    """Makes a map smaller by `stride`, in the way that `kind` names.

    Attributes:
      kind: one of `DOWNSAMPLES`. `"stride"` keeps every stride-th position, `"max"` and `"avg"`
        pool windows of `stride` positions, `"blur"` and `"maxblur"` filter before (`blur_pool`,
        `max_blur_pool`), `"aps"` and `"lps"` choose the phase from the data (adaptive and learnable
        polyphase sampling), `"ideal"` filters ideally, `"none"` leaves the map as it is.
      stride: the factor. Of `n` positions `"stride"` and `"blur"` keep `ceil(n / stride)`, the
        polyphase kinds `floor`, pools as many windows as fit, with CIRCULAR padding `ceil`; where
        it does not divide `n` no kind keeps a symmetry, and the certificate says so.
      padding: border of the filters that look beyond their own position, one of
        `jaxinv.layers.PADDINGS`, or one for each axis.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.arange(4.0).reshape(1, 4, 1)
      >>> Downsample("max").apply({}, x).ravel()
      Array([1., 3.], dtype=float32)
      >>> Downsample("aps").apply({}, x, return_phase=True)[1]
      Array([1], dtype=int32)
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
        return_phase: bool = False,
    ) -> Any:
        """Maps `(n, *spatial, c)` to a smaller map, with `return_phase` also to phases `(n,)`.

        Args:
          x: signal `(n, *spatial, c)`.
          phase: the phases that another branch of the network chose, to be used again.
          train: whether random choices may be made.
          return_phase: return the phases that were chosen as well, None where there is no choice.
        """
        with naming(self):
            per_axis(self.stride, spatial_rank(x), "stride")  # also where it goes unused
            if self.kind == "aps":
                x, phase = AdaptivePolyphaseSampling(self.stride, name="aps")(x, phase)
            elif self.kind == "lps":
                sampling = LearnablePolyphaseSampling(self.stride, name="lps")
                x, phase = sampling(x, phase, train=train)
            elif self.kind in _FIXED:
                x, phase = _FIXED[self.kind](x, self.stride, self.padding), None
            else:
                allowed = ", ".join(DOWNSAMPLES)
                raise ValueError(f"downsample is {self.kind!r}; allowed are {allowed}")
        return (x, phase) if return_phase else x
