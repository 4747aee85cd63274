"""Convolutions of any stride, dilation, grouping and dimension numbers."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.moves import Context, common_period, normal, period_of, periodic_slice
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.rules.layout import strided
from jaxinv.symmetry.rules.matrix_products import convolve
from jaxinv.symmetry.rules.windowed import Geometry, admitted, lengthened, slid, window_of
from jaxinv.symmetry.unread import without_unread
from jaxinv.symmetry.values import Dimension, Plain, Uniform, Value, Window


def _flops(equation: Equation) -> int:
    kernel = equation.in_avals[1].shape
    features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2 * math.prod(equation.out_avals[0].shape) * (math.prod(kernel) // max(1, features))


@rule("conv_general_dilated", layer="conv_general_dilated", flops=_flops)
def conv_general_dilated(
    ctx: Context, equation: Equation, image: Value, kernel: Value
) -> list[Value]:
    """A window slides under a kernel that does not move; uniform positions stay uniform."""
    params = equation.params
    numbers = params["dimension_numbers"]
    lhs_spec, out_spec = numbers.lhs_spec, numbers.out_spec
    grouped = params["batch_group_count"] > 1
    kernel = _still(ctx, kernel)
    image = as_plain(ctx, image, lhs_spec[1], Cause.CHANNELS_MIXED())
    if grouped:
        image = as_plain(ctx, image, lhs_spec[0], Cause.BATCH_GROUPS_MIXED())
    geometries = _geometries(params, kernel.shape)
    for i, geometry in enumerate(geometries):
        dims = (lhs_spec[2 + i], out_spec[2 + i])
        image = admitted(ctx, equation, image, dims, geometry, Cause.ZERO_PADDING)
    image, kernel = common_period(ctx, [image, kernel])
    kernel = _still(ctx, kernel)
    if ctx.differentiated:
        image = without_unread(ctx, image)
    for i, geometry in enumerate(geometries):
        dim = lhs_spec[2 + i]
        image = as_single(ctx, image, dim, Cause.WINDOW_OVER_PARTS())
        if window_of(image, dim) is None and not _stays_uniform(image, dim, geometry):
            image = as_plain(ctx, image, dim, Cause.WINDOW_OVER_PARTS())
    out_shape = equation.out_avals[0].shape
    layout: list[Dimension] = [(Plain(n),) for n in out_shape]
    if not grouped:
        layout[out_spec[0]] = image.dims[lhs_spec[0]]
    for i, geometry in enumerate(geometries):
        row = image.dims[lhs_spec[2 + i]]
        if row and isinstance(row[0], Window):
            layout[out_spec[2 + i]] = (slid(row[0], geometry),)
        elif row and isinstance(row[0], Uniform):
            layout[out_spec[2 + i]] = (Uniform(out_shape[out_spec[2 + i]]),)
    base = None
    if image.base is not None:
        base = _convolved(ctx, params, image, kernel, geometries, tuple(layout))
    value = Value(period_of([image, kernel]), tuple(layout), base, object(), image.decisions)
    for i, geometry in enumerate(geometries):
        # Thinning one dimension may end the axis of another: that is then strided as it is.
        row = layout[out_spec[2 + i]]
        if row and isinstance(row[0], Window):
            value = strided(ctx, value, out_spec[2 + i], geometry.stride)
    return [normal(ctx, value)]


def _geometries(params, kernel_shape) -> list[Geometry]:
    extents = [kernel_shape[dim] for dim in params["dimension_numbers"].rhs_spec[2:]]
    return [
        Geometry(*map(int, (extent, stride, low, high, dilation, base_dilation)))
        for extent, stride, (low, high), dilation, base_dilation in zip(
            extents,
            params["window_strides"],
            params["padding"],
            params["rhs_dilation"],
            params["lhs_dilation"],
            strict=True,
        )
    ]


def _still(ctx: Context, kernel: Value) -> Value:
    for dim in range(len(kernel.dims)):
        kernel = as_plain(ctx, kernel, dim, Cause.KERNEL_MOVES())
    return kernel


def _stays_uniform(image: Value, dim: int, geometry: Geometry) -> bool:
    """Whether a dimension is uniform, and no padding or zero in between is read."""
    row = image.dims[dim]
    return len(row) == 1 and isinstance(row[0], Uniform) and geometry.reads_inside


def _convolved(ctx: Context, params, image: Value, kernel: Value, geometries, layout):
    """At stride 1 along windows; along plain dimensions as the program does."""
    numbers = params["dimension_numbers"]
    lhs_spec, out_spec = numbers.lhs_spec, numbers.out_spec
    base, n_axes = image.base, image.n_axes
    settings: dict[str, Any] = {
        "window_strides": list(params["window_strides"]),
        "padding": list(params["padding"]),
        "lhs_dilation": list(params["lhs_dilation"]),
    }
    for i, geometry in enumerate(geometries):
        dim = lhs_spec[2 + i]
        row = image.dims[dim]
        if not row or isinstance(row[0], Plain):
            continue
        place = image.place(dim)
        if isinstance(row[0], Window):
            base = lengthened(ctx, image, base, place, geometry)
        else:
            base = periodic_slice(base, place, 0, geometry.span)
        settings["window_strides"][i] = 1
        settings["padding"][i] = (0, 0)
        settings["lhs_dilation"][i] = 1
    # Cosets and the factors of the batch dimension become one batch.
    batch = [image.place(lhs_spec[0], k) for k in range(len(image.dims[lhs_spec[0]]))]
    grouped = params["batch_group_count"] > 1
    shared_kernel = all(n == 1 for n in kernel.base.shape[:n_axes]) and not grouped
    filters = jnp.reshape(kernel.base, kernel.base.shape[:n_axes] + kernel.shape)
    apply: Callable[..., Array] = functools.partial(
        convolve,
        groups=(params["feature_group_count"], params["batch_group_count"]),
        rhs_dilation=params["rhs_dilation"],
        dimension_numbers=numbers,
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
        **settings,
    )
    lead = list(range(n_axes)) if shared_kernel else []
    order, sizes = [], []
    for dim in range(len(lhs_spec)):
        places = [image.place(dim, k) for k in range(len(image.dims[dim]))]
        group = (lead + batch) if dim == lhs_spec[0] else places
        order += group
        sizes.append(math.prod(base.shape[p] for p in group))
    batch_sizes = [base.shape[p] for p in lead + batch]
    if shared_kernel:
        y = apply(jnp.reshape(jnp.transpose(base, order), sizes), filters[(0,) * n_axes])
    else:
        cosets = list(range(n_axes))
        x = jnp.reshape(jnp.transpose(base, cosets + order), base.shape[:n_axes] + tuple(sizes))
        lead_shape = jnp.broadcast_shapes(x.shape[:n_axes], filters.shape[:n_axes])
        x = jnp.broadcast_to(x, lead_shape + x.shape[n_axes:])
        filters = jnp.broadcast_to(filters, lead_shape + filters.shape[n_axes:])
        fun = apply
        for _ in range(n_axes):
            fun = jax.vmap(fun)
        y = fun(x, filters)
    # Back: the batch unfolds, and the cosets come first.
    at = (0 if shared_kernel else n_axes) + out_spec[0]
    if not grouped:
        y = jnp.reshape(y, y.shape[:at] + tuple(batch_sizes) + y.shape[at + 1 :])
    if shared_kernel:
        y = jnp.moveaxis(y, range(at, at + n_axes), range(n_axes))
    assert y.ndim == n_axes + sum(map(len, layout))
    return y
