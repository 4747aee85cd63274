"""Strides of feature maps, as a program states them."""

from collections.abc import Callable, Sequence

import jax
from jaxtyping import Array

from jaxinv.symmetry.fields import field_of
from jaxinv.symmetry.tracing import trace
from jaxinv.symmetry.values import LINE_LENGTH, Value
from jaxinv.symmetry.walk import line_of, walk


def proved_strides(
    layers: Callable, x: Array | jax.ShapeDtypeStruct, dims: Sequence[int], maps: Sequence[bool]
) -> list[tuple[int | None, ...]]:
    """Pixels per position of outputs.

    Args:
      layers: a function of images with a tuple of outputs.
      x: the images, or their shape and dtype.
      dims: their spatial dimensions, and those of the outputs that are maps.
      maps: which outputs are maps.

    Returns:
      Per output and axis the stride, or None where the program does not state it.
    """
    unknown: tuple[int | None, ...] = (None,) * len(dims)
    if min(x.shape[d] for d in dims) < 2:
        return [unknown] * len(maps)
    traced = trace(layers, (x,), argnums=0, axes=dims)
    values = walk(traced, line_of(traced.sizes, bordered=False)).values
    return [
        tuple(_stride_along(values[number], a, dim) for a, dim in enumerate(dims)) if m else unknown
        for number, m in zip(traced.program.outputs, maps, strict=True)
    ]


def _stride_along(value: Value, axis: int, dim: int) -> int | None:
    """Pixels per position of a dimension; None unless it alone moves with the axis, forwards."""
    row, windows = value.dims[dim], list(value.windows(axis))
    if len(windows) != 1 or row != (windows[0][1],) or windows[0][1].rate < 0:
        return None
    field = field_of(value, axis, LINE_LENGTH, dim)
    return int(field.stride) if field and field.stride.denominator == 1 else None
