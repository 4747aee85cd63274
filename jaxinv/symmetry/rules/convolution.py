"""Convolutions of any stride, dilation, grouping and dimension numbers."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxinv.symmetry.factoring import all_plain, as_plain, as_single
from jaxinv.symmetry.kernels import Geometry, geometries_of_convolution
from jaxinv.symmetry.processor_convolution import convolve
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, common_period, normal, period_of, periodic_slice
from jaxinv.symmetry.rules.layout import strided
from jaxinv.symmetry.rules.windowed import adds_up, admitted, lengthened, on_torus, slid, window_of
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
    kernel = all_plain(ctx, kernel, Cause.KERNEL_MOVES())
    image = as_plain(ctx, image, lhs_spec[1], Cause.CHANNELS_MIXED())
    if grouped:
        image = as_plain(ctx, image, lhs_spec[0], Cause.BATCH_GROUPS_MIXED())
    geometries = geometries_of_convolution(params, kernel.shape)
    for i, geometry in enumerate(geometries):
        dims = (lhs_spec[2 + i], out_spec[2 + i])
        image = admitted(ctx, equation, image, dims, geometry, Cause.ZERO_PADDING)
    image, kernel = common_period(ctx, [image, kernel])
    kernel = all_plain(ctx, kernel, Cause.KERNEL_MOVES())
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
            layout[out_spec[2 + i]] = (slid(ctx, row[0], geometry),)
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


def _stays_uniform(image: Value, dim: int, geometry: Geometry) -> bool:
    """Whether a dimension is uniform, and no padding or zero in between is read."""
    row = image.dims[dim]
    return len(row) == 1 and isinstance(row[0], Uniform) and geometry.reads_inside


def _convolved(ctx: Context, params, image: Value, kernel: Value, geometries, layout):
    """At stride 1 along windows; along plain dimensions as the program does."""
    numbers, n_axes = params["dimension_numbers"], image.n_axes
    # (*cosets, *kernel)
    filters = jnp.reshape(kernel.base, kernel.base.shape[:n_axes] + kernel.shape)
    if adds_up(filters.dtype, params):
        circular = on_torus(ctx.torus, image, params, geometries)
        for dim, before, after in zip(numbers.rhs_spec[2:], geometries, circular, strict=True):
            filters = _folded(filters, n_axes + dim, before, after)
        geometries = circular
    base, settings = _lengthened(ctx, params, image, geometries)
    grouped = params["batch_group_count"] > 1
    apply: Callable[..., Array] = functools.partial(convolve, **{**params, **settings})
    # Where all cosets have one kernel they are more images: conv(x[r], k) for all r in one call.
    together = all(n == 1 for n in kernel.base.shape[:n_axes]) and not grouped
    x, batch = _as_images(base, image, numbers.lhs_spec, together=together)
    if together:
        y = apply(x, filters[(0,) * n_axes])
    else:
        cosets = jnp.broadcast_shapes(x.shape[:n_axes], filters.shape[:n_axes])
        x = jnp.broadcast_to(x, cosets + x.shape[n_axes:])
        filters = jnp.broadcast_to(filters, cosets + filters.shape[n_axes:])
        for _ in range(n_axes):
            apply = jax.vmap(apply)
        y = apply(x, filters)
    # Back from images: y is (n * cosets, *spatial, c), or (*cosets, n, *spatial, c).
    at = (0 if together else n_axes) + numbers.out_spec[0]
    if not grouped:
        y = jnp.reshape(y, y.shape[:at] + batch + y.shape[at + 1 :])
    if together:
        first = at + len(batch) - n_axes
        y = jnp.moveaxis(y, range(first, first + n_axes), range(n_axes))
    assert y.ndim == n_axes + sum(map(len, layout))
    return y


def _folded(filters: Array, dim: int, geometry: Geometry, circular: Geometry) -> Array:
    """The kernel on a circle: taps that read the same position are added."""
    if circular == geometry:
        return filters
    # w'[q] = sum of w[j] with j * dilation = q * circular.dilation, modulo the circle
    rows: list[list[Array]] = [[] for _ in range(circular.extent)]
    for j in range(geometry.extent):
        place = j * geometry.dilation // circular.dilation % circular.extent
        rows[place].append(jax.lax.index_in_dim(filters, j, dim))
    return jnp.concatenate([functools.reduce(jax.lax.add, row) for row in rows], dim)


def _lengthened(ctx: Context, params, image: Value, geometries: list[Geometry]):
    """The base with its windows continued by what the kernel reads, and how it slides there."""
    base = image.base
    names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation")
    settings = {name: list(params[name]) for name in names}
    for i, geometry in enumerate(geometries):
        settings["rhs_dilation"][i] = geometry.dilation
        dim = params["dimension_numbers"].lhs_spec[2 + i]
        row, place = image.dims[dim], image.place(dim)
        if not row or isinstance(row[0], Plain):
            continue
        if isinstance(row[0], Window):
            base = lengthened(ctx, image, base, place, geometry)
        else:
            # Equal positions: as many as one output reads.
            base = periodic_slice(base, place, 0, geometry.span)
        settings["window_strides"][i] = 1
        settings["padding"][i] = (0, 0)
        settings["lhs_dilation"][i] = 1
    return base, {name: tuple(values) for name, values in settings.items()}


def _as_images(
    base: Array, image: Value, spec: Sequence[int], *, together: bool
) -> tuple[Array, tuple[int, ...]]:
    """A base (*cosets, *factors) as images, one dimension for each of the program's.

    Args:
      base: the base, its windows of any length.
      image: its value.
      spec: the dimensions of the batch, the channels, and of space.
      together: whether the cosets join the batch, (n * cosets, ...), or stay, (*cosets, n, ...).

    Returns:
      The images, and the sizes of which the batch is the product.
    """
    cosets = list(range(image.n_axes))
    places = [[image.place(dim, k) for k in range(len(row))] for dim, row in enumerate(image.dims)]
    if together:
        # The images first: a batch that several devices hold stays where it is.
        places[spec[0]] = places[spec[0]] + cosets
    order = [place for group in places for place in group]
    lead = () if together else base.shape[: image.n_axes]
    x = jnp.transpose(base, order if together else cosets + order)
    sizes = [math.prod(base.shape[place] for place in group) for group in places]
    return jnp.reshape(x, (*lead, *sizes)), tuple(base.shape[p] for p in places[spec[0]])
