"""A convolution as a matrix product, or as a sum over its taps, with channels last."""

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# What is gathered, and what comes of it before it is added up, shall fit into the caches.
PART_BYTES = 8 * 2**20
# How many times as many rows of an image as there are in the result may be multiplied.
MOST_WASTE = 1.4


def _images_at_a_time(count: int, bytes_of_one: int) -> int:
    """As many as the caches hold, in equal parts where that is possible."""
    room = max(1, PART_BYTES // max(1, bytes_of_one))
    if room >= count:
        return count
    return next((n for n in range(room, room // 2, -1) if count % n == 0), room)


@dataclass(frozen=True)
class MatrixProduct:
    r"""How one matrix product makes a convolution, for images and kernels with channels last.

    The operands along the last axis are gathered; the product is taken for all rows of the kernel
    at once, whose results are then shifted and added, for a stride of 1:

    .. math:: y[i, j] = \sum_a z_a[i + a, j], \qquad z_a[i, j] = \sum_b x[i, j + b]\, w[a, b]

    On small images, or with a stride, too much of `z` would be left over; there the operands of all
    rows are gathered, and nothing is left to add.
    """

    sizes: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    precision: Any

    def work(self, images: int) -> int:
        """Multiplications for that many images."""
        return images * math.prod(self.counts) * math.prod(self.kernel_shape)

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Positions of the result along each axis."""
        extents = self.kernel_shape[:-2]
        return tuple(
            max(0, (size - (extent - 1) * step - 1) // stride + 1)
            for size, extent, step, stride in zip(
                self.sizes, extents, self.dilation, self.strides, strict=True
            )
        )

    @functools.cached_property
    def added(self) -> int:
        """How many axes of the kernel, from the first on, are rows that are added."""
        axes = len(self.sizes) - 1
        wasteful = math.prod(self.sizes[:axes]) > MOST_WASTE * math.prod(self.counts[:axes])
        return 0 if wasteful else axes

    @property
    def values_of_one(self) -> int:
        """Numbers gathered for an image, and products."""
        *extents, channels, features = self.kernel_shape
        gathered = math.prod(extents[self.added :]) * channels
        products = math.prod(extents[: self.added]) * features
        return math.prod(self.sizes[: self.added] + self.counts[self.added :]) * (
            gathered + products
        )

    def in_parts(
        self, images: Float[Array, "n *sizes c"], kernel: Float[Array, "*extents c k"]
    ) -> Float[Array, "n *counts k"]:
        """The convolution of stride 1 without padding, of as many images as the caches hold."""
        count = images.shape[0]
        together = _images_at_a_time(count, self.values_of_one * images.dtype.itemsize)
        if together == count:
            return self.convolve(images, kernel)
        # Gathering again where it is transposed costs little; held, it would take the memory that
        # the parts save.
        one = jax.checkpoint(lambda image: self.convolve(image[None], kernel)[0])
        return lax.map(one, images, batch_size=together)

    def convolve(
        self, images: Float[Array, "n *sizes c"], kernel: Float[Array, "*extents c k"]
    ) -> Float[Array, "n *counts k"]:
        """The same of all images."""
        *extents, _, features = self.kernel_shape
        near = [
            self._moved(images, at, range(self.added, len(extents)))
            for at in itertools.product(*map(range, extents[self.added :]))
        ]
        gathered = jnp.concatenate(near, axis=-1)
        depth = gathered.shape[-1]
        by_row = jnp.reshape(kernel, (-1, depth, features))
        products = lax.dot(
            jnp.reshape(gathered, (-1, depth)),
            jnp.reshape(jnp.moveaxis(by_row, 0, 1), (depth, -1)),
            precision=self.precision,
        )
        products = jnp.reshape(products, (*gathered.shape[:-1], -1, features))
        rows = [
            self._moved(
                lax.index_in_dim(products, index, axis=-2, keepdims=False), at, range(self.added)
            )
            for index, at in enumerate(itertools.product(*map(range, extents[: self.added])))
        ]
        return functools.reduce(operator.add, rows)

    def by_taps(
        self, images: Float[Array, "n *sizes c"], kernel: Float[Array, "*extents 1 c"]
    ) -> Float[Array, "n *counts c"]:
        """The depthwise convolution: what each place of the kernel sees, times its numbers."""
        extents = self.kernel_shape[:-2]
        terms = (
            self._moved(images, at, range(len(extents))) * kernel[at][0]
            for at in itertools.product(*map(range, extents))
        )
        return functools.reduce(operator.add, terms)

    def _moved(self, x: Array, at: Sequence[int], axes: Sequence[int]) -> Array:
        """What a place of the kernel sees along some axes."""
        for place, axis in zip(at, axes, strict=True):
            start, stride = place * self.dilation[axis], self.strides[axis]
            end = start + (self.counts[axis] - 1) * stride + 1
            x = lax.slice_in_dim(x, start, end, stride, axis=1 + axis)
        return x
