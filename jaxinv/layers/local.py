"""The locally connected layer: a convolution whose positions do not share their weights."""

import math
from collections.abc import Sequence
from itertools import product

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxinv.layers.options import check_options
from jaxinv.layers.padding import Padding, pad, window_paddings
from jaxinv.layers.spatial import in_one_float, naming, per_axis, spatial_rank, strided


def patches(
    x: Float[Array, "n *s c"],
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
) -> Float[Array, "n *t kc"]:
    """The neighbourhood of each position, laid out along the channels: `(n, *out, taps * c)`.

    `y[n, i, j * c + d] = x[n, i * stride + j - before, d]` with the taps `j` in row-major order.

    Example:
      >>> import jax.numpy as jnp
      >>> patches(jnp.arange(4.0).reshape(1, 4, 1), 2, padding="VALID")[0]
      Array([[0., 1.],
             [1., 2.],
             [2., 3.]], dtype=float32)
    """
    rank = spatial_rank(x)
    taps = per_axis(window, rank, "window")
    strides = per_axis(stride, rank, "stride")
    widths = window_paddings(x.shape[1:-1], taps, strides=strides, padding=padding)
    x = pad(x, widths, padding=padding)
    rows = zip(x.shape[1:-1], taps, strides, strict=True)
    counts = [(size - k) // s + 1 for size, k, s in rows]
    shifted = [strided(x, offsets, counts, strides) for offsets in product(*map(range, taps))]
    return jnp.concatenate(shifted, axis=-1)


def locally_connected(
    x: Float[Array, "n *s c"],
    kernel: Float[Array, "*t kc f"],
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
) -> Float[Array, "n *t f"]:
    """A convolution with a kernel of its own at each position; commutes with no shift.

    `y[n, i, f] = sum_{j, d} kernel[i, j * c + d, f] * x[n, i * stride + j - before, d]`.

    Args:
      x: signal `(n, *spatial, c)`.
      kernel: `(*out, taps * c, f)`.
      window: taps along each axis, or for all.
      stride: step of the window.
      padding: one of `PADDINGS`, or one for each axis.

    Returns:
      `(n, *out, f)`.

    Raises:
      ValueError: as `patches`, or if the kernel belongs to another size of map.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((1, 3, 1))
      >>> place = jnp.arange(3.0).reshape(3, 1, 1)
      >>> locally_connected(x, place, window=1).ravel()
      Array([0., 1., 2.], dtype=float32)

    Reference:
      LeCun, "Generalization and network design strategies" (1989), for the unshared twin.
    """
    seen = patches(x, window, stride=stride, padding=padding)
    if kernel.shape[:-1] != seen.shape[1:]:
        raise ValueError(
            f"kernel has shape {kernel.shape}; this map needs {seen.shape[1:]} and the features"
        )
    seen, kernel = in_one_float(seen, kernel)
    rank = spatial_rank(x)
    batch = tuple(range(rank))
    numbers = (((rank + 1,), (rank,)), (tuple(d + 1 for d in batch), batch))
    # dot_general puts the positions it maps over first; the batch goes back to the front.
    return jnp.moveaxis(lax.dot_general(seen, kernel, numbers), rank, 0)


class LocallyConnected(nn.Module):
    """A layer with the local windows of a convolution, but unshared weights and biases.

    It is equivariant to no shift: the twin that shows what weight sharing is good for.

    Attributes:
      features: output channels.
      kernel_size: taps along each spatial axis, or for all of them.
      stride: step of the window.
      padding: one of `jaxinv.layers.PADDINGS`, or one for each axis.
      use_bias: adds a learned constant to each position and channel.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = LocallyConnected(2)
      >>> variables = layer.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
      >>> variables["params"]["kernel"].shape
      (8, 8, 9, 2)

    Reference:
      LeCun, "Generalization and network design strategies" (1989).
    """

    features: int
    kernel_size: int | Sequence[int] = 3
    stride: int | Sequence[int] = 1
    padding: Padding = "SAME"
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *t f"]:
        """Maps `(n, *spatial, c)`, of the sizes at initialisation, to `(n, *out, features)`."""
        check_options(self)
        with naming(self):
            rank = spatial_rank(x)
            taps = per_axis(self.kernel_size, rank, "kernel_size")
            strides = per_axis(self.stride, rank, "stride")
            widths = window_paddings(x.shape[1:-1], taps, strides=strides, padding=self.padding)
            sizes = [
                (size + sum(width) - k) // s + 1
                for size, width, k, s in zip(x.shape[1:-1], widths, taps, strides, strict=True)
            ]
            fan_in = math.prod(taps) * x.shape[-1]
            # He's initialisation: positions are no part of a unit's fan-in.
            init = nn.initializers.variance_scaling(
                2.0, "fan_in", "truncated_normal", in_axis=-2, batch_axis=tuple(range(rank))
            )
            kernel = self.param("kernel", init, (*sizes, fan_in, self.features))
            y = locally_connected(x, kernel, window=taps, stride=strides, padding=self.padding)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (*sizes, self.features))
        return y
