"""Convolutions and pools: computed at stride 1 on the torus, then de-interleaved into cosets."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.moves import (
    Context,
    as_plain,
    as_single,
    common_period,
    expand_windows,
    normal,
    period_of,
    periodic_slice,
    replace_factor,
)
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.rules.layout import meets_border, strided
from jaxinv.symmetry.values import Dimension, Plain, Uniform, Value, Window, positions


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves along one dimension."""

    extent: int
    stride: int
    low: int
    high: int
    dilation: int
    base_dilation: int = 1

    @property
    def span(self) -> int:
        """Positions from the first to the last that one output reads."""
        return (self.extent - 1) * self.dilation + 1

    @property
    def is_identity(self) -> bool:
        """Whether each output reads the position it stands at, and no other."""
        return (self.span, self.stride, self.low, self.high, self.base_dilation) == (1, 1, 0, 0, 1)

    def count(self, size: int) -> int:
        """The number of outputs for an input of `size` positions."""
        dilated = (size - 1) * self.base_dilation + 1
        return max(0, (dilated + self.low + self.high - self.span) // self.stride + 1)


def admitted(ctx: Context, value: Value, dim: int, geometry: Geometry, kind: str) -> Value:
    """The value with its dimension as one factor, a window only where the padding lets it be."""
    value = as_single(ctx, value, dim, "a window slides over a dimension that moves in parts")
    row = value.dims[dim]
    if not (row and isinstance(row[0], Window)):
        return value
    slack = geometry.base_dilation - 1
    if max(geometry.low, geometry.high) > slack and not ctx.torus.endless:
        width = max(geometry.low, geometry.high) - slack
        return as_plain(ctx, value, dim, meets_border(width, kind))
    if _border_only(row[0], geometry):
        return as_plain(ctx, value, dim, "every receptive field meets the border")
    return value


def _border_only(window: Window, geometry: Geometry) -> bool:
    valid = _interior_after(window, geometry)
    return valid is not None and valid[0] >= valid[1]


def _interior_after(window: Window, geometry: Geometry) -> tuple[int, int] | None:
    """The stride-1 outputs whose receptive field has not met a border; None if that is all."""
    slack = geometry.base_dilation - 1
    if window.valid is None and max(geometry.low, geometry.high) <= slack:
        return None
    lo, hi = window.interior
    # Zeros between dilated positions belong to the interior, those after its ends as well.
    first = lo * geometry.base_dilation - slack + geometry.low
    last = (hi - 1) * geometry.base_dilation + slack + geometry.low - geometry.span + 1
    outputs = (geometry.count(window.size) - 1) * geometry.stride + 1
    return max(0, first), min(outputs, last + 1)


def slid(ctx: Context, window: Window, geometry: Geometry) -> Window:
    """The window of the stride-1 outputs, cut to those that the stride keeps."""
    c = geometry.base_dilation
    return Window(
        window.axis,
        0,
        (geometry.count(window.size) - 1) * geometry.stride + 1,
        window.rate * c,
        _interior_after(window, geometry),
    )


def lengthened(ctx: Context, value: Value, base, place: int, geometry: Geometry):
    """The base of a window with the positions that stride-1 outputs from offset 0 on will read."""
    window = value.factors[place - value.n_axes]
    m = positions(ctx.torus, value, window) * geometry.base_dilation
    offset = window.offset * geometry.base_dilation - geometry.low
    if geometry.base_dilation > 1:
        widths = [(0, 0, 0)] * base.ndim
        widths[place] = (0, geometry.base_dilation - 1, geometry.base_dilation - 1)
        base = lax.pad(base, jnp.zeros((), base.dtype), widths)
    return periodic_slice(base, place, offset, m + geometry.span - 1)


def conv_general_dilated(
    ctx: Context, equation: Equation, image: Value, kernel: Value
) -> list[Value]:
    """Convolution of any dimension numbers; the kernel must not move."""
    params = equation.params
    numbers = params["dimension_numbers"]
    lhs_spec, rhs_spec, out_spec = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    kernel = _still(ctx, kernel, "the kernel moves with the input")
    image = as_plain(ctx, image, lhs_spec[1], "channels that move are mixed")
    if params["batch_group_count"] > 1:
        image = as_plain(ctx, image, lhs_spec[0], "batch groups that move are mixed")
    geometries = [
        Geometry(kernel.shape[rhs_spec[2 + i]], stride, low, high, dilation, base_dilation)
        for i, (stride, (low, high), dilation, base_dilation) in enumerate(
            zip(
                params["window_strides"],
                params["padding"],
                params["rhs_dilation"],
                params["lhs_dilation"],
                strict=True,
            )
        )
    ]
    for i, geometry in enumerate(geometries):
        image = admitted(ctx, image, lhs_spec[2 + i], geometry, "zero padding")
    image, kernel = common_period(ctx, [image, kernel])
    kernel = _still(ctx, kernel, "the kernel moves with the input")
    moving = [_window(image, lhs_spec[2 + i]) for i in range(len(geometries))]
    out_shape = equation.out_avals[0].shape
    dims: list[Dimension] = [(Plain(n),) for n in out_shape]
    dims[out_spec[0]] = image.dims[lhs_spec[0]] if params["batch_group_count"] == 1 else (
        Plain(out_shape[out_spec[0]]),
    )
    for i, window in enumerate(moving):
        if window is not None:
            dims[out_spec[2 + i]] = (slid(ctx, window, geometries[i]),)
    base = None
    if image.base is not None:
        base = _convolved(ctx, params, image, kernel, geometries, moving, dims)
    value = Value(period_of([image, kernel]), tuple(dims), base, object(), image.decisions)
    for i, window in enumerate(moving):
        if window is not None:
            value = strided(ctx, value, out_spec[2 + i], geometries[i].stride)
    return [normal(ctx, value)]


def _still(ctx: Context, value: Value, reason: str) -> Value:
    for dim in range(len(value.dims)):
        value = as_plain(ctx, value, dim, reason)
    return value


def _window(value: Value, dim: int) -> Window | None:
    row = value.dims[dim]
    return row[0] if row and isinstance(row[0], Window) else None


def _convolved(ctx, params, image, kernel, geometries, moving, dims):
    """The stride-1 convolution along windows; along plain dimensions the one of the program."""
    numbers = params["dimension_numbers"]
    lhs_spec, out_spec = numbers.lhs_spec, numbers.out_spec
    base, n_axes = image.base, image.n_axes
    settings = {
        "window_strides": list(params["window_strides"]),
        "padding": list(params["padding"]),
        "lhs_dilation": list(params["lhs_dilation"]),
    }
    for i, window in enumerate(moving):
        if window is not None:
            base = lengthened(ctx, image, base, image.place(lhs_spec[2 + i]), geometries[i])
            settings["window_strides"][i] = 1
            settings["padding"][i] = (0, 0)
            settings["lhs_dilation"][i] = 1
    # Cosets and the factors of the batch dimension become one batch.
    batch = [image.place(lhs_spec[0], k) for k in range(len(image.dims[lhs_spec[0]]))]
    grouped = params["batch_group_count"] > 1
    shared_kernel = all(n == 1 for n in kernel.base.shape[:n_axes]) and not grouped
    filters = jnp.reshape(kernel.base, kernel.base.shape[:n_axes] + kernel.shape)

    def convolve(x, w):
        return lax.conv_general_dilated(
            x,
            w,
            rhs_dilation=params["rhs_dilation"],
            dimension_numbers=numbers,
            feature_group_count=params["feature_group_count"],
            batch_group_count=params["batch_group_count"],
            precision=params["precision"],
            preferred_element_type=params["preferred_element_type"],
            **settings,
        )

    rank = len(lhs_spec)
    lead = list(range(n_axes)) if shared_kernel else []
    x = base if shared_kernel else jnp.reshape(base, base.shape)
    order, sizes = [], []
    for dim in range(rank):
        places = [image.place(dim, k) for k in range(len(image.dims[dim]))]
        group = (lead + batch) if dim == lhs_spec[0] else places
        order += group
        sizes.append(math.prod(base.shape[p] for p in group))
    batch_sizes = [base.shape[p] for p in lead + batch]
    if shared_kernel:
        y = convolve(jnp.reshape(jnp.transpose(x, order), sizes), filters[(0,) * n_axes])
    else:
        cosets = list(range(n_axes))
        x = jnp.reshape(jnp.transpose(x, cosets + order), base.shape[:n_axes] + tuple(sizes))
        fun = convolve
        lead_shape = jnp.broadcast_shapes(x.shape[:n_axes], filters.shape[:n_axes])
        x = jnp.broadcast_to(x, lead_shape + x.shape[n_axes:])
        filters = jnp.broadcast_to(filters, lead_shape + filters.shape[n_axes:])
        for _ in range(n_axes):
            fun = jax.vmap(fun)
        y = fun(x, filters)
    # Back: the batch unfolds, and the cosets come first.
    offset = 0 if shared_kernel else n_axes
    at = offset + out_spec[0]
    if not grouped:
        y = jnp.reshape(y, y.shape[:at] + tuple(batch_sizes) + y.shape[at + 1 :])
    if shared_kernel:
        y = jnp.moveaxis(y, range(at, at + n_axes), range(n_axes))
    stored = [p for p, f in enumerate(f for dim in dims for f in dim)]
    kept = list(y.shape[:n_axes])
    rest = iter(y.shape[n_axes:])
    for dim, row in enumerate(dims):
        if dim == out_spec[0] and not grouped:
            kept += [next(rest) for _ in row]
        else:
            kept.append(next(rest))
    assert len(kept) == n_axes + len(stored)
    return jnp.reshape(y, kept)


POOLS = {
    primitives.reduce_window_max_p: lax.max,
    primitives.reduce_window_min_p: lax.min,
    primitives.reduce_window_sum_p: lax.add,
}


def reduce_window(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Pools by maximum, minimum and sum."""
    params = equation.params
    combine = POOLS[equation.primitive]
    geometries = [
        Geometry(extent, stride, low, high, dilation, base_dilation)
        for extent, stride, (low, high), dilation, base_dilation in zip(
            params["window_dimensions"],
            params["window_strides"],
            params["padding"],
            params["window_dilation"],
            params["base_dilation"],
            strict=True,
        )
    ]
    value = operand
    for dim, geometry in enumerate(geometries):
        if geometry.is_identity:
            continue
        if not value.dims[dim] and geometry.count(1) == 1 and geometry.low == geometry.high == 0:
            continue
        value = _pooled(ctx, equation, value, dim, geometry, combine)
    return [normal(ctx, value)]


def _pooled(ctx, equation, value, dim, geometry, combine):
    uniform = bool(value.dims[dim]) and all(isinstance(f, Uniform) for f in value.dims[dim])
    if uniform and geometry.low == geometry.high == 0 and geometry.base_dilation == 1:
        return _pooled_uniform(value, dim, geometry, combine)
    value = admitted(ctx, value, dim, geometry, "padding")
    if geometry.base_dilation > 1:
        value = as_plain(ctx, value, dim, "a dilated base")
    window = _window(value, dim)
    place = value.place(dim)
    if window is None:
        return _pooled_plain(ctx, equation, value, dim, geometry)
    m = positions(ctx.torus, value, window)
    if geometry.extent == m and geometry.dilation == 1 and window.valid is None:
        base = value.base
        if base is not None:
            base = _reduced(combine, base, place)
        return replace_factor(value, place, Uniform(geometry.count(window.size)), base)
    base = value.base
    if base is not None:
        base = lengthened(ctx, value, base, place, geometry)
        base = _combined_slices(combine, base, place, geometry, m)
    value = replace_factor(value, place, slid(ctx, window, geometry), base)
    return strided(ctx, value, dim, geometry.stride)


def _pooled_uniform(value: Value, dim: int, geometry: Geometry, combine) -> Value:
    base = value.base
    if base is not None and combine is lax.add:
        base = base * jnp.asarray(geometry.extent, base.dtype)
    place, count = value.place(dim), len(value.dims[dim])
    if base is not None and count > 1:
        base = jnp.reshape(base, base.shape[:place] + (1,) + base.shape[place + count :])
    new: Dimension = (Uniform(geometry.count(value.shape[dim])),)
    dims = value.dims[:dim] + (new,) + value.dims[dim + 1 :]
    return value.with_base(base, dims=dims)


def _pooled_plain(ctx: Context, equation: Equation, value: Value, dim: int, geometry: Geometry):
    size = geometry.count(value.shape[dim])
    value = as_plain(ctx, value, dim, "")
    place, base = value.place(dim), value.base
    if base is not None:
        if not value.dims[dim]:
            base = jnp.expand_dims(base, place)
        ones = [1] * base.ndim
        settings = {
            "window_dimensions": _with(ones, place, geometry.extent),
            "window_strides": _with(ones, place, geometry.stride),
            "padding": _with([(0, 0)] * base.ndim, place, (geometry.low, geometry.high)),
            "window_dilation": _with(ones, place, geometry.dilation),
            "base_dilation": _with(ones, place, geometry.base_dilation),
        }
        base = equation.primitive.bind(base, **(equation.params | settings))
    dims = value.dims[:dim] + ((Plain(size),),) + value.dims[dim + 1 :]
    return value.with_base(base, dims=dims)


def _with(items: Sequence, place: int, item) -> tuple:
    return (*items[:place], item, *items[place + 1 :])


# From this extent on, a pool is one reduction and no longer a chain of shifted slices.
_LONG_POOL = 9


def _combined_slices(combine, base, place: int, geometry: Geometry, count: int):
    if geometry.extent >= _LONG_POOL:
        return _long_pool(combine, base, place, geometry)
    slices = [
        lax.slice_in_dim(base, k * geometry.dilation, k * geometry.dilation + count, axis=place)
        for k in range(geometry.extent)
    ]
    return functools.reduce(_EXTREMA.get(combine, combine), slices)


def _long_pool(combine, base, place: int, geometry: Geometry):
    ones = [1] * base.ndim
    identity = {
        lax.add: 0,
        lax.max: -jnp.inf if jnp.issubdtype(base.dtype, jnp.floating) else None,
        lax.min: jnp.inf if jnp.issubdtype(base.dtype, jnp.floating) else None,
    }[combine]
    if identity is None:
        limits = jnp.iinfo(base.dtype)
        identity = limits.min if combine is lax.max else limits.max
    return lax.reduce_window(
        base,
        np.asarray(identity, base.dtype),
        combine,
        _with(ones, place, geometry.extent),
        ones,
        "VALID",
        window_dilation=_with(ones, place, geometry.dilation),
    )


def _first_wins(choose, is_better):
    """Maximum or minimum whose gradient goes to the first of equal positions, as a pool's does."""

    @jax.custom_jvp
    def extremum(a, b):
        return choose(a, b)

    @extremum.defjvp
    def _(primals, tangents):
        a, b = primals
        second = is_better(b, a) | (b != b)
        return choose(a, b), jnp.where(second, tangents[1], tangents[0])

    return extremum


_EXTREMA = {
    lax.max: _first_wins(lax.max, lax.gt),
    lax.min: _first_wins(lax.min, lax.lt),
}


def _reduced(combine, base, place: int):
    reduce = {lax.add: jnp.sum, lax.max: jnp.max, lax.min: jnp.min}[combine]
    return reduce(base, axis=place, keepdims=True)
