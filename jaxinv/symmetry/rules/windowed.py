"""A kernel that slides along a dimension: where its outputs stand, and what they read.

Convolutions and pools compute all their outputs at stride 1 on the torus, then keep those that the
stride does (`layout.strided`).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxinv.symmetry.bounds import Valid
from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.kernels import Geometry
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.relayout import Context, periodic_slice
from jaxinv.symmetry.values import Torus, Value, Window, positions


def adds_up(dtype: Any, params: Mapping[str, Any]) -> bool:
    """Whether taps of a kernel may be added before they are multiplied; narrow sums are rounded."""
    wide = dtype in (jnp.float32, jnp.float64, jnp.complex64, jnp.complex128)
    return wide and params["preferred_element_type"] in (None, dtype)


def on_torus(
    torus: Torus, image: Value, params: Mapping[str, Any], geometries: Sequence[Geometry]
) -> list[Geometry]:
    """How a kernel moves whose taps that read one position of the torus are one."""
    dims = params["dimension_numbers"].lhs_spec[2:]
    windows = [window_of(image, dim) for dim in dims]
    return [
        geometry.on_circle(positions(torus, image, window) * geometry.base_dilation)
        if window is not None
        else geometry
        for geometry, window in zip(geometries, windows, strict=True)
    ]


def window_of(value: Value, dim: int) -> Window | None:
    """The window that is all of a dimension, if it is one."""
    row = value.dims[dim]
    return row[0] if len(row) == 1 and isinstance(row[0], Window) else None


def admitted(
    ctx: Context,
    equation: Equation,
    value: Value,
    dims: tuple[int, int],
    geometry: Geometry,
    padding: Cause,
) -> Value:
    """The value with its dimension as one factor, a window only where the padding lets it be.

    On a torus outputs that meet the padding are no window's; they may stand in one only if the
    program cuts them off before it reads them (a transposed convolution cropped to its period).

    Args:
      ctx: the context.
      equation: the convolution or pool.
      value: its operand.
      dims: the dimension of the operand, and that of the result.
      geometry: how the kernel moves.
      padding: the cause to name where padding ends the symmetry.
    """
    dim, to = dims
    value = as_single(ctx, value, dim, Cause.WINDOW_OVER_PARTS())
    window = window_of(value, dim)
    if window is None:
        return value
    valid = _valid_after(ctx, window, geometry)
    if valid is None or not ctx.torus.bordered:
        return value
    if ctx.torus.endless:
        width = max(geometry.low, geometry.high) - geometry.slack
        if width > 0:
            ctx.note_border(window.axis, padding(width=width))
    if math.ceil(valid[0]) >= math.floor(valid[1]):
        return as_plain(ctx, value, dim, Cause.ONLY_BORDER())
    if not ctx.torus.endless:
        first, stop = ctx.program.positions_read(equation.outs[0], to)
        if first * geometry.stride < valid[0] or (stop - 1) * geometry.stride >= valid[1]:
            width = max(geometry.low, geometry.high) - geometry.slack
            return as_plain(ctx, value, dim, padding(width=width))
    return value


def _valid_after(ctx: Context, window: Window, geometry: Geometry) -> Valid | None:
    """The stride-1 outputs whose receptive field has not met a border; None if that is all."""
    slack = geometry.slack
    padded = ctx.torus.bordered and max(geometry.low, geometry.high) > slack
    if window.valid is None and not padded:
        return None
    lo, hi = seen(ctx, window)
    if slack:
        lo, hi = math.ceil(lo), math.floor(hi)
    # Output o reads the dilated positions o - low to o - low + span - 1.
    # Zeros between dilated positions belong to the interior, those after its ends as well.
    first = lo * geometry.base_dilation - slack + geometry.low
    last = (hi - 1) * geometry.base_dilation + slack + geometry.low - geometry.span + 1
    outputs = (geometry.count(window.size) - 1) * geometry.stride + 1
    if not ctx.torus.bordered:
        return first, last + 1
    valid = max(0, first), min(outputs, last + 1)
    # Padding that the stride leaves unread is none.
    return None if window.valid is None and valid == (0, outputs) else valid


def seen(ctx: Context, window: Window) -> Valid:
    """The valid positions of a window, of those that are seen where there is a border."""
    if window.valid is None:
        return 0, window.size
    if not ctx.torus.bordered:
        return window.valid
    return max(0, window.valid[0]), min(window.size, window.valid[1])


def slid(ctx: Context, window: Window, geometry: Geometry) -> Window:
    """The window of the stride-1 outputs, cut to those that the stride keeps."""
    return dataclasses.replace(
        window,
        offset=0,
        size=(geometry.count(window.size) - 1) * geometry.stride + 1,
        rate=window.rate * geometry.base_dilation,
        valid=_valid_after(ctx, window, geometry),
    )


def lengthened(ctx: Context, value: Value, base, place: int, geometry: Geometry, fill=0):
    """The base of a window with the positions that stride-1 outputs from offset 0 on will read.

    Args:
      ctx: the context.
      value: the value.
      base: its base.
      place: where the base stores the window.
      geometry: how the kernel moves.
      fill: what stands between positions of a dilated base.
    """
    window = value.factors[place - value.n_axes]
    assert isinstance(window, Window)
    m = positions(ctx.torus, value, window) * geometry.base_dilation
    offset = window.offset * geometry.base_dilation - geometry.low
    if geometry.slack:
        widths = [(0, 0, 0)] * base.ndim
        widths[place] = (0, geometry.slack, geometry.slack)
        base = lax.pad(base, jnp.asarray(fill, base.dtype), widths)
    return periodic_slice(base, place, offset, m + geometry.span - 1)
