"""Windowed steps: convolutions, transposed convolutions, pools and upsampling, in any padding."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.steps import Step, family, is_map, positions

PADDINGS = (
    *("wrap", "concatenate", "wrap", "concatenate", "wrap", "valid", "valid"),
    *("zeros", "zeros", "reflect", "edge", "symmetric", "constant", "roll"),
)
# What enters at the border is not what leaves at the other: maps have borders and an interior.
BORDERED = ("zeros", "zeros", "zeros", "reflect", "edge", "symmetric", "constant", "valid")


def pad(v, dim, low, high, mode):
    """Pads one dimension; the circular ways of spelling it differ, the result does not."""
    n = v.shape[dim]
    if mode == "valid" or (low == 0 and high == 0):
        return v
    if mode == "concatenate":
        parts = [lax.slice_in_dim(v, n - low, n, axis=dim), v]
        parts += [lax.slice_in_dim(v, 0, high, axis=dim)]
        return lax.concatenate(parts, dim)
    if mode == "roll":
        doubled = jnp.concatenate([jnp.roll(v, low, dim), jnp.roll(v, low, dim)], dim)
        return lax.slice_in_dim(doubled, 0, n + low + high, axis=dim)
    widths = [(low, high) if i == dim else (0, 0) for i in range(v.ndim)]
    if mode == "zeros":
        return lax.pad(v, jnp.zeros((), v.dtype), [(a, b, 0) for a, b in widths])
    if mode == "constant":
        return jnp.pad(v, widths, constant_values=0.7)
    return jnp.pad(v, widths, mode=mode)


def draw_windows(d, value, dims, *, stride_percent=45):
    """For each of `dims` size, stride, dilation, padding widths and mode of a window, or None."""
    mode, mixed = d.one_of(PADDINGS), d.chance(25)
    plan = []
    for dim in dims:
        n = value.shape[dim]
        mode = d.one_of(PADDINGS) if mixed else mode
        size, dilation = d.one_of((3, 2, 1, 3)), d.one_of((1, 1, 1, 2))
        stride = d.one_of((2, 2, 2, 3)) if d.chance(stride_percent) else 1
        reach = (size - 1) * dilation
        low, high = reach // 2, reach - reach // 2
        if d.chance(15):
            low, high = d.integer(0, 2), d.integer(0, 2)
        if mode == "valid":
            low = high = 0
        if max(low, high) >= n or low + high > n or n + low + high - reach < 1:
            return None
        plan.append((size, stride, dilation, low, high, mode))
    return plan


@family(12)
def conv(d, value, layout):
    if not is_map(layout):
        return None
    spatial = positions(layout)
    plan = draw_windows(d, value, spatial)
    if plan is None:
        return None
    sizes, strides, dilations, lows, highs, modes = zip(*plan, strict=True)
    channels = value.shape[layout.index("C")]
    features = d.integer(1, 3)
    batch = value.shape[layout.index("N")]
    groups, batch_groups = 1, 1
    if d.chance(25):
        groups, features = channels, channels * d.integer(1, 2)
    elif batch == 2 and d.chance(15):
        batch_groups, features = 2, 2
    letters = "".join(layout[i] for i in spatial)
    kernel_spec = d.one_of((letters + "IO", "OI" + letters, "I" + letters + "O"))
    out_layout = "".join(d.shuffled(layout)) if d.chance(15) else layout
    dims = dict(zip(letters, sizes, strict=True)) | {"I": channels // groups, "O": features}
    weights = d.weights(*(dims[c] for c in letters + "IO"))
    weights = np.transpose(weights, [(letters + "IO").index(c) for c in kernel_spec])
    by_conv = [mode == "zeros" and d.chance(70) for mode in modes]
    inside = [(a, b) if by else (0, 0) for a, b, by in zip(lows, highs, by_conv, strict=True)]

    def fun(v):
        for dim, low, high, mode, by in zip(spatial, lows, highs, modes, by_conv, strict=True):
            v = v if by else pad(v, dim, low, high, mode)
        return lax.conv_general_dilated(
            v,
            weights,
            strides,
            inside,
            rhs_dilation=dilations,
            dimension_numbers=(layout, kernel_spec, out_layout),
            feature_group_count=groups,
            batch_group_count=batch_groups,
        )

    name = f"conv {sizes}/{strides} dilation {dilations} {modes} {list(zip(lows, highs))}"  # noqa: B905
    return Step(f"{name} groups {groups},{batch_groups}", fun, out_layout)


POOLS = {
    "max": (-np.inf, lax.max),
    "min": (np.inf, lax.min),
    "sum": (0.0, lax.add),
    "product": (1.0, lax.mul),
}


@family(7)
def pool(d, value, layout):
    """A pool over positions, over some of them, or over channels (local response)."""
    dims = positions(layout)
    if not dims:
        return None
    if d.chance(25):
        dims = d.some_of([i for i, letter in enumerate(layout) if letter != "N"])
    plan = draw_windows(d, value, dims, stride_percent=60)
    if plan is None:
        return None
    kind = "product" if d.chance(5) else d.one_of(("max", "max", "min", "sum", "sum"))
    rank = len(layout)
    size, stride, dilation, widths = [1] * rank, [1] * rank, [1] * rank, [(0, 0)] * rank
    for dim, (k, s, dil, low, high, mode) in zip(dims, plan, strict=True):
        size[dim], stride[dim], dilation[dim] = k, s, dil
        if mode == "zeros":
            widths[dim] = (low, high)
    init, combine = POOLS[kind]

    def fun(v):
        for dim, (*_, low, high, mode) in zip(dims, plan, strict=True):
            v = v if mode == "zeros" else pad(v, dim, low, high, mode)
        out = lax.reduce_window(
            v,
            np.asarray(init, v.dtype),
            combine,
            size,
            stride,
            widths,
            window_dilation=dilation,
        )
        return out / np.prod(size) if kind == "sum" else out

    modes = tuple(mode for *_, mode in plan)
    return Step(f"{kind} pool {size}/{stride} dilation {dilation} {modes} {widths}", fun, layout)


@family(3)
def conv_transpose(d, value, layout):
    if not is_map(layout) or value.size > 400:
        return None
    spatial = positions(layout)
    letters = "".join(layout[i] for i in spatial)
    channels, features = value.shape[layout.index("C")], d.integer(1, 3)
    size, stride = d.one_of((2, 3)), d.one_of((2, 2, 1, 3))
    weights = d.weights(*[size] * len(spatial), channels, features)
    kind, extra = d.one_of(("SAME", "VALID", "circular", "circular")), 0
    spec = (layout, letters + "IO", layout)
    if kind != "circular":

        def fun(v):
            return lax.conv_transpose(
                v, weights, [stride] * len(spatial), kind, dimension_numbers=spec
            )

    else:
        # Circular: wrap, interleave with zeros, and keep n * stride positions. Zeros that pad the
        # convolution itself are all cut off again; without them nothing has to be.
        extra = size - 1 if d.chance(20) else 0
        low = 2 * stride - size + 1 + extra

        def fun(v):
            for dim in spatial:
                v = pad(v, dim, 2, 2, "wrap")
            out = lax.conv_general_dilated(
                v,
                weights,
                [1] * len(spatial),
                [(extra, extra)] * len(spatial),
                lhs_dilation=[stride] * len(spatial),
                dimension_numbers=spec,
            )
            for dim in spatial:
                wide = (v.shape[dim] - 4) * stride
                out = lax.slice_in_dim(out, low, low + wide, axis=dim)
            return out

    return Step(f"conv_transpose {size}/{stride} {kind}, {extra} zeros", fun, layout)


@family(3)
def upsample(d, value, layout):
    dims = positions(layout)
    if not dims or value.size > 400:
        return None
    chosen, factor = d.some_of(dims), d.one_of((2, 2, 3))
    shape = [n * factor if i in chosen else n for i, n in enumerate(value.shape)]
    kind = d.one_of(("repeat", "repeat", "broadcast", "nearest", "linear"))

    def fun(v):
        if kind in ("nearest", "linear"):
            return jax.image.resize(v, shape, kind)
        for dim in chosen:
            if kind == "repeat":
                v = jnp.repeat(v, factor, axis=dim)
            else:
                wide = [*v.shape[: dim + 1], factor, *v.shape[dim + 1 :]]
                whole = jnp.broadcast_to(jnp.expand_dims(v, dim + 1), wide)
                v = whole.reshape(*v.shape[:dim], v.shape[dim] * factor, *v.shape[dim + 1 :])
        return v

    return Step(f"upsample {kind} {factor} {[layout[i] for i in chosen]}", fun, layout)


@family(1)
def zero_insertion(d, value, layout):
    """lax.pad with interior padding, or negative padding, which crops."""
    dims = positions(layout)
    if not dims or value.size > 400:
        return None
    dim = d.one_of(dims)
    if value.shape[dim] < 4:
        return None
    low, high, inner = d.one_of(((0, 1, 1), (0, 0, 1), (-1, 0, 0), (-1, -1, 0), (0, 2, 2)))
    config = [(low, high, inner) if i == dim else (0, 0, 0) for i in range(len(layout))]

    def fun(v):
        return lax.pad(v, jnp.zeros((), v.dtype), config)

    return Step(f"pad {(low, high, inner)} along {layout[dim]}", fun, layout)


@family(2)
def shortcut(d, value, layout):
    """Two ways to downsample by the same stride, added: a residual block's two branches."""
    dims = positions(layout)
    if not dims or "C" not in layout or min(value.shape[i] for i in dims) < 4:
        return None
    stride = d.one_of((2, 2, 3))
    first = d.one_of(("slice", "max", "mean"))
    offset = d.integer(0, stride - 1) if all(value.shape[i] % stride == 0 for i in dims) else 0
    size = [stride if i in dims else 1 for i in range(len(layout))]

    def branch(v, kind, start):
        for dim in dims:
            n = v.shape[dim] // stride * stride
            v = lax.slice_in_dim(v, 0, n, axis=dim)
            if kind == "slice":
                v = lax.slice_in_dim(v, start, n, stride, axis=dim)
        if kind == "slice":
            return v
        init, combine = POOLS["max" if kind == "max" else "sum"]
        return lax.reduce_window(v, np.asarray(init, v.dtype), combine, size, size, "VALID")

    def fun(v):
        return branch(v, first, offset) + 0.5 * branch(jnp.tanh(v), "slice", 0)

    return Step(f"shortcut {first} from {offset} /{stride}", fun, layout)


@family(2)
def kernel_from_data(d, value, layout):
    """A depthwise convolution whose kernel is computed from the value itself."""
    if not is_map(layout):
        return None
    spatial = positions(layout)
    if value.shape[layout.index("N")] != 1 or min(value.shape[i] for i in spatial) < 3:
        return None
    channels = value.shape[layout.index("C")]
    letters = "".join(layout[i] for i in spatial)
    weights = d.weights(*[3] * len(spatial), 1, channels, scale=1.0)
    from_corner = d.chance(40)

    def fun(v):
        if from_corner:
            corner = v
            for dim in spatial:
                corner = lax.slice_in_dim(corner, 0, 3, axis=dim)
            order = [layout.index(c) for c in letters + "NC"]
            kernel = weights + jnp.transpose(corner, order)
        else:
            kernel = weights * jnp.mean(v, [i for i in range(v.ndim) if layout[i] != "C"])
        for dim in spatial:
            v = pad(v, dim, 1, 1, "wrap")
        return lax.conv_general_dilated(
            v,
            kernel,
            [1] * len(spatial),
            "VALID",
            dimension_numbers=(layout, letters + "IO", layout),
            feature_group_count=channels,
        )

    return Step(f"kernel from {'a corner' if from_corner else 'the mean'}", fun, layout)
