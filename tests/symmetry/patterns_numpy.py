"""Patterns for the functions of jax.numpy, and reasons for those that have none."""

import jax.numpy as jnp
import numpy as np

from tests.symmetry.patterns import (
    ALONE,
    ALONG,
    CHANNELS,
    KERNEL,
    PAIRS,
    PLACES,
    REDUCTIONS,
    SHAPE,
    WHOLE_PAIRS,
    Patterns,
    excused,
    group,
    natural,
    near,
    row,
    whole,
)

NUMPY: Patterns = {
    **group(
        jnp,
        "abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh argsort around "
        "array asarray asin asinh atan atanh cbrt ceil conj conjugate copy cos cosh deg2rad "
        "degrees empty_like exp exp2 expm1 fabs fix floor frexp i0 imag iscomplex isfinite isinf "
        "isnan isneginf isposinf isreal log log10 log1p log2 logical_not modf nan_to_num "
        "negative ones_like positive rad2deg radians ravel real reciprocal rint round sign signbit "
        "sin sinc sinh sort sort_complex spacing sqrt square tan tanh trunc zeros_like",
        *ALONE,
    ),
    **group(
        jnp,
        "add arctan2 atan2 divide divmod equal float_power floor_divide fmax fmin fmod "
        "greater greater_equal heaviside hypot isclose less less_equal logaddexp logaddexp2 "
        "logical_and logical_or logical_xor maximum minimum mod multiply nextafter not_equal pow "
        "power remainder subtract true_divide allclose array_equal array_equiv",
        *PAIRS,
    ),
    # Of NaN it would read the sign, which is no part of its value.
    **group(jnp, "copysign", *PAIRS[:2]),
    **group(
        jnp,
        "all amax amin any argmax argmin average count_nonzero max mean median min nanargmax "
        "nanargmin nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar prod ptp std sum "
        "var minmax",
        *REDUCTIONS,
    ),
    **group(
        jnp,
        "cumprod cumsum cumulative_prod cumulative_sum nancumprod nancumsum diff gradient unwrap "
        "argpartition flip",
        *(
            lambda f, v: f(v, 2, axis=1) if f is jnp.argpartition else f(v, axis=1),
            lambda f, v: f(v, 2, axis=-1) if f is jnp.argpartition else f(v, axis=-1),
        ),
    ),
    **group(
        jnp,
        "bitwise_and bitwise_or bitwise_xor gcd lcm",
        *WHOLE_PAIRS,
    ),
    **group(
        jnp,
        "bitwise_left_shift bitwise_right_shift left_shift right_shift",
        lambda f, v: f(whole(v), natural(near(v)) % 4),
        lambda f, v: f(whole(v), np.int32(2)),
    ),
    **group(jnp, "bitwise_count bitwise_invert bitwise_not invert", lambda f, v: f(whole(v))),
    **group(
        jnp,
        "percentile nanpercentile",
        lambda f, v: f(v, 30, axis=1),
        lambda f, v: f(v, 50, axis=-1),
        lambda f, v: f(v, np.array([10.0, 50.0]), axis=(1, 2), method="nearest"),
    ),
    **group(
        jnp,
        "quantile nanquantile",
        lambda f, v: f(v, 0.3, axis=1),
        lambda f, v: f(v, 0.5, axis=-1),
        lambda f, v: f(v, 0.25, axis=1, keepdims=True, method="higher"),
    ),
    **group(
        jnp,
        "concat concatenate",
        lambda f, v: f([v, near(v)], axis=1),
        lambda f, v: f([v[:, 2:], v[:, :2]], axis=1),
        lambda f, v: f([v, 2 * v], axis=-1),
    ),
    **group(
        jnp,
        "stack",
        lambda f, v: f([v, near(v)], axis=1),
        lambda f, v: f([v, near(v)], axis=2).reshape(1, 12, 4),
    ),
    **group(
        jnp,
        "column_stack dstack hstack vstack block",
        lambda f, v: f([v, near(v)]),
        lambda f, v: f([v[0], v[0, ::-1]]),
    ),
    **group(
        jnp,
        "array_split split",
        lambda f, v: f(v, 3, axis=1),
        lambda f, v: f(v, [1, 4], axis=1),
        lambda f, v: f(v, 2, axis=-1),
    ),
    **group(jnp, "hsplit", lambda f, v: f(v, 2), lambda f, v: f(v[0], 2)),
    **group(jnp, "vsplit", lambda f, v: f(v[0], 2)),
    **group(jnp, "dsplit", lambda f, v: f(v, 2)),
    **group(jnp, "atleast_1d atleast_2d atleast_3d", lambda f, v: f(v), lambda f, v: f(row(v))),
    **group(
        jnp,
        "roll",
        lambda f, v: f(v, 2, axis=1),
        lambda f, v: f(v, (1, -2), axis=(1, 2)),
        lambda f, v: f(v, 3),
        lambda f, v: f(v, jnp.argmax(row(v)), axis=1),
    ),
    **group(
        jnp,
        "repeat",
        lambda f, v: f(v, 2, axis=1),
        lambda f, v: f(v, np.array([1, 2, 0, 1, 1, 3]), axis=1),
        lambda f, v: f(v, 2),
    ),
    **group(jnp, "tile", lambda f, v: f(v, (1, 2, 1)), lambda f, v: f(v, (2, 1, 3))),
    **group(
        jnp,
        "resize",
        lambda f, v: f(v, (1, 9, 4)),
        lambda f, v: f(v, (2, 6, 4)),
    ),
    **group(
        jnp,
        "reshape",
        lambda f, v: f(v, (1, 3, 2, 4)),
        lambda f, v: f(v, (1, 2, 3, 4)),
        lambda f, v: f(v, (1, 24)),
        lambda f, v: f(v, (1, 6, 2, 2)),
    ),
    **group(
        jnp,
        "transpose permute_dims",
        lambda f, v: f(v, (1, 0, 2)),
        lambda f, v: f(v, (2, 1, 0)),
    ),
    **group(jnp, "matrix_transpose", *ALONE),
    **group(jnp, "swapaxes moveaxis rollaxis", lambda f, v: f(v, 1, 2), lambda f, v: f(v, 1, 0)),
    **group(jnp, "expand_dims", *ALONG),
    **group(jnp, "squeeze", *ALONE, lambda f, v: f(v, axis=0)),
    **group(jnp, "broadcast_to", lambda f, v: f(v, (3, 6, 4)), lambda f, v: f(v[:, :, :1], SHAPE)),
    **group(jnp, "broadcast_arrays", lambda f, v: f(v, CHANNELS), lambda f, v: f(v, v[:, :1])),
    **group(jnp, "fliplr flipud rot90", lambda f, v: f(v), lambda f, v: f(v[0])),
    **group(
        jnp,
        "take",
        lambda f, v: f(v, np.array([0, 2, 4]), axis=1),
        lambda f, v: f(v, np.array([3, 1]), axis=2),
        lambda f, v: f(v, natural(row(v)) % 6, axis=1),
        lambda f, v: f(v, np.array([1, 9]), axis=1, mode="fill"),
        lambda f, v: f(v, np.array([-1, 7]), axis=1, mode="wrap"),
        lambda f, v: f(v, np.array([1, 9]), axis=1, mode="clip"),
    ),
    **group(
        jnp,
        "take_along_axis",
        lambda f, v: f(v, jnp.argsort(v, axis=2), axis=2),
        lambda f, v: f(v, jnp.argmin(v, axis=1, keepdims=True), axis=1),
        lambda f, v: f(v, np.array([[[2]]]), axis=2),
    ),
    **group(
        jnp,
        "put_along_axis",
        lambda f, v: f(v, jnp.argmax(v, 2, keepdims=True), 0.5, axis=2, inplace=False),
        lambda f, v: f(v, jnp.argmax(v, 1, keepdims=True), 0.5, axis=1, inplace=False),
    ),
    **group(
        jnp,
        "put",
        lambda f, v: f(v, np.array([1, 7]), np.array([0.5, 2.0], v.dtype), inplace=False),
    ),
    **group(
        jnp,
        "place",
        lambda f, v: f(v, v > 0.3, np.array([9.0], v.dtype), inplace=False),
        lambda f, v: f(v, v > 0.3, np.array([1.0, 2.0], v.dtype), inplace=False),
    ),
    **group(
        jnp,
        "fill_diagonal",
        lambda f, v: f(v[0], 0.5, inplace=False),
    ),
    **group(
        jnp,
        "pad",
        lambda f, v: f(v, [(0, 0), (1, 2), (0, 0)], mode="wrap"),
        lambda f, v: f(v, [(0, 0), (1, 2), (0, 0)]),
        lambda f, v: f(v, [(0, 0), (1, 2), (0, 0)], mode="reflect"),
        lambda f, v: f(v, [(0, 0), (1, 0), (0, 0)], mode="mean"),
        lambda f, v: f(v, [(0, 0), (0, 2), (0, 0)], mode="maximum", stat_length=2),
        lambda f, v: f(v, [(0, 0), (2, 2), (0, 0)], mode="linear_ramp"),
        lambda f, v: f(v, [(0, 0), (0, 0), (1, 1)], mode="edge"),
    ),
    **group(
        jnp,
        "where",
        lambda f, v: f(v > 0, v, near(v)),
        lambda f, v: f(PLACES > 0, v, 0),
        lambda f, v: f(v > 0, v, CHANNELS.astype(v.dtype)),
    ),
    **group(
        jnp,
        "select",
        lambda f, v: f([v > 0.5, v > -0.5], [v, 2 * near(v)], 0.5),
    ),
    **group(
        jnp,
        "choose",
        lambda f, v: f(natural(v) % 2, [v, near(v)], mode="wrap"),
        lambda f, v: f(natural(v), [v, near(v), 2 * v], mode="clip"),
    ),
    **group(jnp, "piecewise", lambda f, v: f(v, [v < 0, v > 0.4], [jnp.negative, jnp.square, 1.0])),
    **group(jnp, "clip", lambda f, v: f(v, -0.5, 0.5), lambda f, v: f(v, near(v), near(v) + 1)),
    **group(jnp, "astype", lambda f, v: f(v, jnp.int32), lambda f, v: f(v, bool)),
    **group(jnp, "full_like", lambda f, v: f(v, 0.5), lambda f, v: f(v, jnp.max(v))),
    **group(
        jnp,
        "append",
        lambda f, v: f(v, near(v), axis=1),
        lambda f, v: f(v, near(v)),
    ),
    **group(
        jnp,
        "insert",
        lambda f, v: f(v, 2, 0.5, axis=1),
        lambda f, v: f(v, np.array([0, 3]), v[:, :2], axis=1),
    ),
    **group(
        jnp,
        "delete",
        lambda f, v: f(v, 2, axis=1),
        lambda f, v: f(v, np.array([0, 2]), axis=2),
    ),
    **group(jnp, "unstack", *ALONG),
    **group(jnp, "ediff1d", lambda f, v: f(v), lambda f, v: f(row(v))),
    **group(
        jnp,
        "trapezoid",
        *ALONG,
    ),
    **group(
        jnp,
        "partition",
        lambda f, v: f(v, 2, axis=1),
        lambda f, v: f(v, 1, axis=2),
    ),
    **group(jnp, "lexsort", lambda f, v: f((row(v), whole(row(v)))), lambda f, v: f((v, -v))),
    **group(
        jnp,
        "searchsorted",
        lambda f, v: f(np.array([-1.0, 0.0, 1.0]), v),
        lambda f, v: f(jnp.sort(row(v)), v),
    ),
    **group(jnp, "digitize", lambda f, v: f(v, np.array([-1.0, 0.0, 1.0]))),
    **group(jnp, "bincount", lambda f, v: f(natural(row(v)), length=5)),
    **group(
        jnp,
        "histogram",
        lambda f, v: f(v, 4, range=(-2, 2))[0],
        lambda f, v: f(v, 3)[0],
    ),
    **group(jnp, "histogram_bin_edges", lambda f, v: f(v, 3)),
    **group(
        jnp,
        "histogram2d",
        lambda f, v: f(row(v), v[0, :, 1], 2, range=[(-2, 2), (-2, 2)])[0],
    ),
    **group(jnp, "histogramdd", lambda f, v: f(v[0, :, :2], 2, range=[(-2, 2), (-2, 2)])[0]),
    **group(
        jnp,
        "interp",
        lambda f, v: f(v, np.array([-1.0, 0.0, 1.0]), np.array([1.0, 0.0, 2.0])),
        lambda f, v: f(np.array([0.5, 2.5]), np.arange(6.0), row(v)),
    ),
    **group(
        jnp,
        "convolve correlate",
        lambda f, v: f(row(v), KERNEL.astype(v.dtype), mode="same"),
        lambda f, v: f(row(v), KERNEL.astype(v.dtype), mode="valid"),
        lambda f, v: f(row(v), row(near(v)), mode="full"),
    ),
    **group(jnp, "corrcoef cov", lambda f, v: f(v[0]), lambda f, v: f(v[0].T)),
    **group(jnp, "cross", lambda f, v: f(v[..., :3], near(v)[..., 1:])),
    **group(
        jnp,
        "dot inner matmul",
        lambda f, v: f(v[0], v[0].T) if f is not jnp.inner else f(v[0], v[0]),
        lambda f, v: f(v, np.eye(4, dtype=v.dtype)[::-1]),
        lambda f, v: (
            f(np.tril(np.ones((6, 6))).astype(v.dtype), v[0])
            if f is not jnp.inner
            else f(row(v), row(near(v)))
        ),
    ),
    **group(jnp, "vdot", lambda f, v: f(v, near(v))),
    **group(jnp, "vecdot", lambda f, v: f(v, near(v)), lambda f, v: f(v, near(v), axis=1)),
    **group(jnp, "matvec", lambda f, v: f(v, CHANNELS.astype(v.dtype))),
    **group(jnp, "vecmat", lambda f, v: f(PLACES[:, 0].astype(v.dtype), v)),
    **group(jnp, "outer kron", lambda f, v: f(row(v), v[0, :, 1])),
    **group(
        jnp,
        "tensordot",
        lambda f, v: f(v, near(v), axes=([1], [1])),
        lambda f, v: f(v, PLACES.astype(v.dtype), axes=([1], [0])),
    ),
    **group(
        jnp,
        "einsum",
        lambda f, v: f("nhc,nhd->ncd", v, near(v)),
        lambda f, v: f("nhc,h->nc", v, PLACES[:, 0].astype(v.dtype)),
        lambda f, v: f("nhc,nic->nhi", v, near(v)),
    ),
    **group(jnp, "diag diagflat", lambda f, v: f(row(v))),
    **group(jnp, "diagonal trace", lambda f, v: f(v[0])),
    **group(jnp, "tril triu", lambda f, v: f(v), lambda f, v: f(v[0], 1)),
    **group(jnp, "vander", lambda f, v: f(row(v), 3)),
    **group(jnp, "meshgrid ix_", lambda f, v: f(natural(row(v)), natural(v[0, 0]))),
    **group(
        jnp,
        "ravel_multi_index",
        lambda f, v: f((natural(row(v)) % 3, natural(v[0, :, 1]) % 3), (3, 3), mode="clip"),
    ),
    **group(jnp, "unravel_index", lambda f, v: f(natural(v) % 9, (3, 3))),
    **group(jnp, "packbits", lambda f, v: f(v > 0, axis=1), lambda f, v: f(v > 0, axis=2)),
    **group(jnp, "unpackbits", lambda f, v: f(natural(v).astype(jnp.uint8), axis=1)),
    **group(jnp, "ldexp", lambda f, v: f(v, natural(near(v)) % 3)),
    **group(jnp, "poly", lambda f, v: f(row(v)[:3])),
    **group(jnp, "polyadd polysub polymul", lambda f, v: f(row(v), v[0, :4, 1])),
    **group(jnp, "polyder polyint", lambda f, v: f(row(v))),
    **group(jnp, "polydiv", lambda f, v: f(row(v), jnp.array([2.0, 1.0], v.dtype))),
    **group(jnp, "polyfit", lambda f, v: f(np.arange(6.0).astype(v.dtype), row(v), 1)),
    **group(jnp, "polyval", lambda f, v: f(jnp.array([1.0, -0.5, 2.0], v.dtype), v)),
    **group(
        jnp,
        "apply_along_axis",
        lambda f, v: f(jnp.cumsum, 1, v),
        lambda f, v: f(lambda u: u - jnp.max(u), 2, v),
    ),
    **group(jnp, "apply_over_axes", lambda f, v: f(jnp.sum, v, (1, 2))),
    **group(
        jnp,
        "vectorize",
        lambda f, v: f(lambda a, b: a * b)(v, near(v)),
        lambda f, v: f(lambda u: u - jnp.mean(u), signature="(n)->(n)")(v),
    ),
    **group(jnp, "frompyfunc", lambda f, v: f(jnp.maximum, 2, 1, identity=None)(v, near(v))),
    **group(jnp, "isin", lambda f, v: f(whole(v), np.array([0, 1, -3]))),
    **group(
        jnp,
        "unique unique_values",
        lambda f, v: f(whole(v), size=5, fill_value=99),
    ),
    **group(jnp, "unique_all unique_counts unique_inverse", lambda f, v: f(whole(v), size=5)),
    **group(
        jnp,
        "intersect1d setdiff1d setxor1d union1d",
        lambda f, v: f(whole(row(v)), np.array([0, 1, 2], np.int32), size=5),
    ),
    **group(jnp, "nonzero argwhere flatnonzero", lambda f, v: f(v > 0.2, size=4, fill_value=0)),
    **group(
        jnp,
        "compress extract",
        lambda f, v: f(np.array([1, 0, 1, 1, 0, 0], bool), row(v), size=3, fill_value=0),
        lambda f, v: f(row(v) > 0, row(v), size=3, fill_value=0),
    ),
    **group(jnp, "top_k", lambda f, v: f(v, 2)),
}
NUMPY_EXCUSED = excused({
    "makes an array of no array": "arange bartlett blackman diag_indices empty eye full hamming "
    "hanning identity indices kaiser linspace logspace geomspace mask_indices ones tri "
    "tril_indices triu_indices zeros fromfunction",
    "asks for a shape or a type": "array_repr array_str broadcast_shapes can_cast "
    "diag_indices_from iscomplexobj isdtype isrealobj isscalar issubdtype iterable ndim "
    "promote_types result_type shape size tril_indices_from triu_indices_from einsum_path",
    "reads, writes or prints": "from_dlpack frombuffer fromfile fromiter fromstring "
    "get_printoptions load printoptions save savez set_printoptions",
    "its result has a size that depends on values": "roots trim_zeros",
})  # fmt: skip
