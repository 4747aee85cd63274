"""A convolution: by `lax`, or on a processor by matrix products or by its taps.

Merged cosets make large batches of small maps, on which XLA's convolutions for processors reach
less than half of the speed of its matrix products, and a third of it in the backward pass. Its
depthwise convolutions take ten times as long as the sum over the taps, in both passes. Where the
kernel is larger than the map, as in the last stage of a ResNet on small images and at corners cut
from a map, it exchanges the two, and may take a hundred times as long.
"""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# With fewer products to an output along the last axis of a kernel, gathering the operands of a
# matrix product costs more than it saves.
LEAST_PRODUCTS = 64
# Below this many multiplications neither way takes time worth a longer program.
LEAST_WORK = 2**22
# A depthwise convolution pays off that many times sooner, and one whose kernel is the larger.
SOONER = 16
# A sum over more places of a kernel makes a long program.
MOST_TAPS = 128
# What is gathered, and what comes of it before it is added up, shall fit into the caches.
PART_BYTES = 8 * 2**20
# How many times as many rows of an image as there are in the result may be multiplied.
MOST_WASTE = 1.4


def convolve(x: Array, w: Array, *, groups: tuple[int, int] = (1, 1), **params: Any) -> Array:
    """`lax.conv_general_dilated`, in the way that is quicker here.

    Args:
      x: the images.
      w: the kernel.
      groups: feature groups and batch groups.
      **params: what `lax.conv_general_dilated` takes besides.

    Returns:
      The convolution. By matrix products it may differ from that of `lax` in rounding.
    """
    slow = xla_is_slow(x.shape, w.shape, groups=groups, **params)
    if (
        jax.default_backend() == "cpu"
        and _sums_in_its_dtype(x, w, params)
        and (slow or (groups == (1, 1) and _has_stride_one(params)))
    ):
        numbers = params["dimension_numbers"]
        padded = _padded(x, params)
        product = _product(padded.shape, w.shape, params)
        count = x.shape[numbers.lhs_spec[0]]
        enough = product.work(count) >= max(1, LEAST_WORK // SOONER)
        if enough if slow else product.pays_off(count):
            way = product.in_parts if groups == (1, 1) else product.by_taps
            return _thinned(_channels_last(way, padded, w, numbers), params)
    return lax.conv_general_dilated(
        x, w, feature_group_count=groups[0], batch_group_count=groups[1], **params
    )


def xla_is_slow(
    images: Sequence[int], kernel: Sequence[int], *, groups: tuple[int, int], **params: Any
) -> bool:
    """Whether XLA takes many times as long on a processor as it might.

    Args:
      images: the shape of the images.
      kernel: that of the kernel.
      groups: feature groups and batch groups.
      **params: what `lax.conv_general_dilated` takes besides.

    Returns:
      Whether a convolution is depthwise, or dense with a kernel larger than the map.
    """
    lhs_spec, rhs_spec, _ = params["dimension_numbers"]
    extent = math.prod(kernel[dim] for dim in rhs_spec[2:])
    size = math.prod(images[dim] for dim in lhs_spec[2:])
    channels, features = images[lhs_spec[1]], kernel[rhs_spec[0]]
    depthwise = groups == (channels, 1) and channels == features > 1 and extent <= MOST_TAPS
    return all(n == 1 for n in params["lhs_dilation"]) and (
        depthwise or (groups == (1, 1) and extent > size)
    )


def _padded(x: Array, params: dict[str, Any]) -> Array:
    pads = [(0, 0, 0)] * x.ndim
    for dim, (low, high) in zip(
        params["dimension_numbers"].lhs_spec[2:], params["padding"], strict=True
    ):
        pads[dim] = (low, high, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


def _thinned(y: Array, params: dict[str, Any]) -> Array:
    """What a stride leaves of a convolution of stride 1."""
    steps = [1] * y.ndim
    for dim, step in zip(
        params["dimension_numbers"].out_spec[2:], params["window_strides"], strict=True
    ):
        steps[dim] = step
    return y[tuple(slice(None, None, step) for step in steps)]


def _product(image: Sequence[int], kernel: Sequence[int], params: dict[str, Any]):
    lhs_spec, rhs_spec, _ = params["dimension_numbers"]
    return _MatrixProduct(
        tuple(image[dim] for dim in lhs_spec[2:]),
        tuple(kernel[dim] for dim in _kernel_order(rhs_spec)),
        params["rhs_dilation"],
        params["precision"],
    )


def _kernel_order(rhs_spec: Sequence[int]) -> tuple[int, ...]:
    return (*rhs_spec[2:], rhs_spec[1], rhs_spec[0])


def _channels_last(convolve: Callable, x: Array, w: Array, numbers: Any) -> Array:
    """A convolution of images and kernels whose channels are last, for any order."""
    lhs_spec, rhs_spec, out_spec = numbers
    images = jnp.transpose(x, (lhs_spec[0], *lhs_spec[2:], lhs_spec[1]))
    y = convolve(images, jnp.transpose(w, _kernel_order(rhs_spec)))
    order = (out_spec[0], *out_spec[2:], out_spec[1])
    return jnp.transpose(y, sorted(range(len(order)), key=order.__getitem__))


def _sums_in_its_dtype(x: Array, w: Array, params: dict[str, Any]) -> bool:
    # In half precision partial sums would be rounded on their way.
    return (
        x.dtype == w.dtype
        and x.dtype in (jnp.float32, jnp.float64)
        and params["preferred_element_type"] in (None, x.dtype)
    )


def _has_stride_one(params: dict[str, Any]) -> bool:
    """Whether it has a stride of 1 and no padding."""
    return all(n == 1 for n in (*params["window_strides"], *params["lhs_dilation"])) and all(
        tuple(pads) == (0, 0) for pads in params["padding"]
    )


def _images_at_a_time(count: int, bytes_of_one: int) -> int:
    """As many as the caches hold, in equal parts where that is possible."""
    room = max(1, PART_BYTES // max(1, bytes_of_one))
    if room >= count:
        return count
    return next((n for n in range(room, room // 2, -1) if count % n == 0), room)


@dataclass(frozen=True)
class _MatrixProduct:
    r"""How one matrix product makes a convolution, for images and kernels with channels last.

    The operands along the last axis are gathered; the product is taken for all rows of the kernel
    at once, whose results are then shifted and added:

    .. math:: y[i, j] = \sum_a z_a[i + a, j], \qquad z_a[i, j] = \sum_b x[i, j + b]\, w[a, b]

    On small images too much of `z` would be left over; there the operands of all rows are gathered,
    and nothing is left to add.
    """

    sizes: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    dilation: tuple[int, ...]
    precision: Any

    def pays_off(self, images: int) -> bool:
        """Whether that many images are enough work, and enough of it in each product."""
        return (
            len(self.counts) > 0
            and self.work(images) >= max(1, LEAST_WORK)
            and math.prod(self.kernel_shape[-3:-1]) >= LEAST_PRODUCTS
        )

    def work(self, images: int) -> int:
        """Multiplications for that many images."""
        return images * math.prod(self.counts) * math.prod(self.kernel_shape)

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Positions of the result along each axis."""
        extents = self.kernel_shape[:-2]
        return tuple(
            max(0, size - (extent - 1) * step)
            for size, extent, step in zip(self.sizes, extents, self.dilation, strict=True)
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
        # Gathering again in the backward pass costs little; held, it would take the memory that
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
            start = place * self.dilation[axis]
            x = lax.slice_in_dim(x, start, start + self.counts[axis], axis=1 + axis)
        return x
