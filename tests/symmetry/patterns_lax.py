"""Patterns for the functions of jax.lax, and reasons for those that have none."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.symmetry.patterns import (
    CHANNELS,
    KERNEL,
    PLACES,
    Patterns,
    excused,
    group,
    natural,
    near,
    row,
    small,
    whole,
)

LAX: Patterns = {
    **group(
        lax,
        "abs acos acosh asin asinh atan atanh bessel_i0e bessel_i1e cbrt ceil conj cos cosh "
        "digamma erf erf_inv erfc exp exp2 expm1 floor imag is_finite lgamma log log1p log2 "
        "logistic neg optimization_barrier real reciprocal round rsqrt sign sin sinh sqrt square "
        "stop_gradient tan tanh one_minus_square",
        lambda f, v: f(v + 0j) if f in (lax.conj, lax.imag, lax.real) else f(v),
    ),
    **group(
        lax,
        "add atan2 complex div eq ge gt le lt max min mul ne nextafter pow rem sub",
        lambda f, v: f(v, near(v)),
        lambda f, v: f(v, jnp.broadcast_to(jnp.max(v, 1, keepdims=True), v.shape)),
    ),
    **group(
        lax,
        "igamma igammac igamma_grad_a random_gamma_grad polygamma zeta",
        lambda f, v: f(1 + jnp.abs(v), 1 + jnp.abs(near(v)))
        if f is not lax.polygamma
        else f(jnp.ones_like(v), 1 + jnp.abs(v)),
    ),
    **group(lax, "betainc", lambda f, v: f(1 + jnp.abs(v), jnp.full_like(v, 2), 0.5 + 0 * v)),
    **group(
        lax,
        "bitwise_and bitwise_or bitwise_xor mulhi",
        lambda f, v: f(whole(v), whole(near(v))),
    ),
    **group(lax, "bitwise_not clz population_count", lambda f, v: f(natural(v))),
    **group(
        lax,
        "shift_left shift_right_arithmetic shift_right_logical",
        lambda f, v: f(natural(v), natural(near(v)) % 4),
    ),
    **group(lax, "integer_pow", lambda f, v: f(v, 3), lambda f, v: f(v, -2)),
    **group(
        lax,
        "clamp",
        lambda f, v: f(v.dtype.type(-0.5), v, v.dtype.type(0.5)),
        lambda f, v: f(near(v), v, near(v) + 1),
    ),
    **group(lax, "select", lambda f, v: f(v > 0, v, near(v))),
    **group(lax, "select_n", lambda f, v: f(natural(v) % 3, v, near(v), 2 * v)),
    **group(lax, "argmax argmin", *(
        lambda f, v: f(v, 1, jnp.int32), lambda f, v: f(v, 2, jnp.int32)
    )),
    **group(
        lax,
        "reduce_max reduce_min reduce_prod reduce_sum",
        lambda f, v: f(v, (1,)),
        lambda f, v: f(v, (2,)),
        lambda f, v: f(v[:, 1:4], (1, 2)),
    ),
    **group(
        lax,
        "reduce_and reduce_or reduce_xor",
        lambda f, v: f(whole(v), (1,)),
        lambda f, v: f(v > 0, (2,)),
    ),
    **group(
        lax,
        "cumlogsumexp cummax cummin cumprod cumsum",
        lambda f, v: f(v, 1),
        lambda f, v: f(v, 2, reverse=True),
    ),
    **group(
        lax,
        "approx_max_k approx_min_k",
        lambda f, v: f(v, 2, reduction_dimension=2)[0],
        lambda f, v: f(v, 2, reduction_dimension=1)[0],
    ),
    **group(
        lax,
        "associative_scan",
        lambda f, v: f(jnp.add, v, axis=1),
        lambda f, v: f(jnp.maximum, v, axis=2, reverse=True),
    ),
    **group(
        lax,
        "reduce",
        lambda f, v: f(v, np.array(0, v.dtype), lax.add, (1,)),
        lambda f, v: f(v, np.array(0, v.dtype), lambda a, b: jnp.maximum(a, abs(b)), (1,)),
    ),
    **group(
        lax,
        "reduce_window",
        lambda f, v: f(v, -np.inf, lax.max, (1, 2, 1), (1, 2, 1), "VALID"),
        lambda f, v: f(v, np.inf, lax.min, (1, 3, 1), (1, 1, 1), "SAME"),
        lambda f, v: f(v, 0.0, lax.add, (1, 2, 2), (1, 1, 1), "VALID"),
        lambda f, v: f(
            v, np.array(0, v.dtype), lambda a, b: jnp.maximum(a, abs(b)), (1, 2, 1), (1, 1, 1),
            "VALID",
        ),
    ),
    **group(lax, "reduce_precision", lambda f, v: lax.stop_gradient(f(v, 8, 7))),
    **group(lax, "bitcast_convert_type", lambda f, v: f(v, f"int{8 * v.dtype.itemsize}")),
    **group(lax, "convert_element_type", lambda f, v: f(v, jnp.int32)),
    **group(lax, "broadcast", lambda f, v: f(v, (2,))),
    **group(lax, "broadcast_in_dim", lambda f, v: f(v, (1, 6, 3, 4), (0, 1, 3))),
    **group(lax, "broadcast_like", lambda f, v: f(v[0], v)),
    **group(lax, "broadcast_to_rank", lambda f, v: f(v, 4)),
    **group(lax, "collapse", lambda f, v: f(v, 1, 3), lambda f, v: f(v, 0, 2)),
    **group(lax, "concatenate", lambda f, v: f([v, near(v)], 1), lambda f, v: f([v, v], 2)),
    **group(lax, "stack", lambda f, v: f([v, near(v)], axis=1)),
    **group(lax, "unstack", lambda f, v: f(v, axis=1), lambda f, v: f(v, axis=2)),
    **group(lax, "expand_dims", lambda f, v: f(v, (1,))),
    **group(lax, "squeeze", lambda f, v: f(v, (0,))),
    **group(
        lax,
        "pad",
        lambda f, v: f(v, np.array(0, v.dtype), [(0, 0, 0), (1, 1, 0), (0, 0, 0)]),
        lambda f, v: f(v, np.array(0, v.dtype), [(0, 0, 0), (0, 1, 1), (0, 0, 0)]),
        lambda f, v: f(v, np.array(0, v.dtype), [(0, 0, 0), (-1, -1, 0), (1, 0, 0)]),
    ),
    **group(lax, "reshape", lambda f, v: f(v, (1, 3, 2, 4)), lambda f, v: f(v, (24,), (2, 0, 1))),
    **group(lax, "rev", lambda f, v: f(v, (1,)), lambda f, v: f(v, (2,))),
    **group(lax, "transpose", lambda f, v: f(v, (2, 1, 0))),
    **group(lax, "tile", lambda f, v: f(v, (1, 2, 1)), lambda f, v: f(v, (1, 1, 2))),
    **group(lax, "slice", lambda f, v: f(v, (0, 1, 0), (1, 6, 4), (1, 2, 1))),
    **group(lax, "slice_in_dim", lambda f, v: f(v, 1, 6, 3, 1), lambda f, v: f(v, 0, 4, 1, 1)),
    **group(lax, "split", lambda f, v: f(v, (2, 4), 1), lambda f, v: f(v, (1, 3), 2)),
    **group(lax, "index_in_dim", lambda f, v: f(v, 2, 1), lambda f, v: f(v, -1, 2)),
    **group(lax, "index_take", lambda f, v: f(v, [np.array([0, 3])], (1,))),
    **group(
        lax,
        "dynamic_index_in_dim",
        lambda f, v: f(v, 2, 1),
        lambda f, v: f(v, jnp.argmax(row(v)), 1),
    ),
    **group(
        lax,
        "dynamic_slice",
        lambda f, v: f(v, (0, 2, 0), (1, 3, 4)),
        lambda f, v: f(v, (0, jnp.argmax(row(v)), 0), (1, 3, 4)),
    ),
    **group(
        lax,
        "dynamic_slice_in_dim",
        lambda f, v: f(v, 9, 3, 1),
        lambda f, v: f(v, jnp.argmax(row(v)), 3, 1),
    ),
    **group(
        lax,
        "dynamic_update_index_in_dim dynamic_update_slice_in_dim",
        lambda f, v: f(v, v[:, :1] * 2, 3, 1),
        lambda f, v: f(v, v[:, :1] * 2, jnp.argmax(row(v)), 1),
    ),
    **group(lax, "dynamic_update_slice", lambda f, v: f(v, v[:, :2] * 2, (0, 3, 0))),
    **group(
        lax,
        "gather",
        lambda f, v: f(
            v,
            np.array([[1], [3]]),
            lax.GatherDimensionNumbers(
                offset_dims=(0, 2), collapsed_slice_dims=(1,), start_index_map=(1,)
            ),
            (1, 1, 4),
        ),
    ),
    **group(
        lax,
        "scatter scatter_add scatter_max scatter_min scatter_mul scatter_sub",
        lambda f, v: f(
            v,
            np.array([[1], [3]]),
            v[:, :2],
            lax.ScatterDimensionNumbers(
                update_window_dims=(0, 2),
                inserted_window_dims=(1,),
                scatter_dims_to_operand_dims=(1,),
            ),
        ),
    ),
    **group(
        lax,
        "scatter_apply",
        lambda f, v: f(
            v,
            np.array([[1], [3]]),
            jnp.sin,
            lax.ScatterDimensionNumbers(
                update_window_dims=(0, 2),
                inserted_window_dims=(1,),
                scatter_dims_to_operand_dims=(1,),
            ),
            update_shape=(1, 2, 4),
        ),
    ),
    **group(
        lax,
        "sort",
        lambda f, v: f(v, dimension=1),
        lambda f, v: f(v, dimension=2),
        lambda f, v: f((v, near(v)), dimension=1, num_keys=2),
    ),
    **group(
        lax,
        "sort_key_val",
        lambda f, v: f(v, near(v), dimension=1),
        lambda f, v: f(v, near(v), dimension=2),
    ),
    **group(lax, "top_k", lambda f, v: f(v, 2), lambda f, v: f(jnp.swapaxes(v, 1, 2), 2)),
    **group(
        lax,
        "dot",
        lambda f, v: f(v[0], np.eye(4, dtype=v.dtype)[::-1]),
        lambda f, v: f(v[0].T, near(v)[0]),
    ),
    **group(lax, "batch_matmul", lambda f, v: f(v, jnp.swapaxes(near(v), 1, 2))),
    **group(
        lax,
        "dot_general",
        lambda f, v: f(v, near(v), (((1,), (1,)), ((0,), (0,)))),
        lambda f, v: f(v, PLACES.astype(v.dtype), (((1,), (0,)), ((), ()))),
    ),
    **group(
        lax,
        "ragged_dot",
        lambda f, v: f(v[0], jnp.stack([small(v), 2 * small(v)]), jnp.array([2, 4], jnp.int32)),
    ),
    **group(
        lax,
        "conv",
        lambda f, v: f(jnp.swapaxes(v, 1, 2), np.ones((2, 4, 3), v.dtype), (1,), "SAME"),
    ),
    **group(
        lax,
        "conv_general_dilated",
        lambda f, v: f(
            v, KERNEL.astype(v.dtype)[:, None, None] * np.ones((3, 4, 2), v.dtype), (2,), "VALID",
            dimension_numbers=("NHC", "HIO", "NHC"),
        ),
    ),
    **group(
        lax,
        "conv_general_dilated_local",
        lambda f, v: f(
            v, np.arange(48.0).reshape(6, 8, 1).astype(v.dtype)[:5], (1,), "VALID", (2,),
            dimension_numbers=("NHC", "HIO", "NHC"),
        ),
    ),
    **group(
        lax,
        "conv_general_dilated_patches",
        lambda f, v: f(v, (2,), (1,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")),
    ),
    **group(
        lax,
        "conv_transpose",
        lambda f, v: f(
            v, np.ones((2, 4, 2), v.dtype), (2,), "VALID",
            dimension_numbers=("NHC", "HIO", "NHC"),
        ),
    ),
    **group(
        lax,
        "conv_with_general_padding",
        lambda f, v: f(
            jnp.swapaxes(v, 1, 2), np.ones((2, 4, 3), v.dtype), (1,), [(1, 1)], None, None
        ),
    ),
    **group(
        lax,
        "fft",
        lambda f, v: f(jnp.swapaxes(v, 1, 2) + 0j, lax.FftType.FFT, (6,)),
        lambda f, v: f(v, lax.FftType.RFFT, (4,)),
    ),
    **group(lax, "polynomial", lambda f, v: f(v, (1.0, 2.0))),
    # Functions of functions.
    **group(lax, "cond", lambda f, v: f(v[0, 0, 0] > 0, jnp.sin, jnp.negative, v), lambda f, v: f(
        jnp.mean(v) > 0, jnp.sin, jnp.negative, v
    )),
    **group(lax, "switch", lambda f, v: f(whole(jnp.max(v)), [jnp.sin, jnp.abs, jnp.negative], v)),
    **group(lax, "fori_loop", lambda f, v: f(0, 3, lambda i, u: u.at[:, i].multiply(2), v)),
    **group(lax, "while_loop", lambda f, v: f(
        lambda u: (jnp.max(u) > 0.2) & (jnp.max(u) < 1e3), lambda u: u - 0.3, v
    )),
    **group(
        lax,
        "scan",
        lambda f, v: f(lambda c, u: (c + u, c * u), v[:, 0], jnp.swapaxes(v, 0, 1)),
        lambda f, v: f(lambda c, k: (near(c) * k, None), v, CHANNELS.astype(v.dtype))[0],
    ),
    **group(lax, "map", lambda f, v: f(lambda u: u - jnp.max(u), v), lambda f, v: f(
        jnp.sum, jnp.swapaxes(v, 0, 1)
    )),
    **group(lax, "custom_root", lambda f, v: f(
        lambda u: u + u**3 - v, v, lambda g, u: lax.fori_loop(
            0, 2, lambda _, w: w - g(w) / (1 + 3 * w**2), u
        ), lambda g, w: w / g(jnp.ones_like(w)),
    )),
    **group(lax, "custom_linear_solve", lambda f, v: f(
        lambda u: 2 * u, v, lambda matvec, b: b / 2, symmetric=True
    )),
    **group(lax, "platform_dependent", lambda f, v: f(v, default=jnp.sin, cpu=jnp.sin)),
    **group(lax, "composite", lambda f, v: f(lambda u: 2 * jnp.sin(u), "my.double")(v)),
    # With a key from the data, vmap gives other numbers than a call for each of its elements.
    **group(lax, "rng_bit_generator", lambda f, v: v * (
        f(np.arange(4, dtype=np.uint32), v.shape, jnp.uint32)[1] % 3
    ).astype(v.dtype)),
    **group(lax, "full_like", lambda f, v: f(v, 0.5)),
}  # fmt: skip
LAX_EXCUSED = excused({
    "makes an array of no array": "broadcasted_iota iota full empty",
    "computes shapes or types": "ConvGeneralDilatedDimensionNumbers DotDimensionNumbers "
    "PrecisionLike broadcast_shapes conv_dimension_numbers conv_general_permutations "
    "conv_general_shape_tuple conv_shape_tuple conv_transpose_shape_tuple dtype padtype_to_pads "
    "reduce_window_shape_tuple shape_as_value",
    "talks to other devices, along a named axis": "all_gather all_to_all axis_index axis_size "
    "pbroadcast pcast pmax pmean pmin ppermute precv psend pshuffle psum psum_scatter "
    "psum_scatter_start pswapaxes ragged_all_to_all",
    "a side effect, or order among side effects": "after_all create_token",
    "says where arrays lie": "with_sharding_constraint",
    "another result at each call": "rng_uniform",
    "for the compiler: no numbers of its own": "dce_sink stage",
    "not for a processor": "scaled_dot ragged_dot_general",
})  # fmt: skip
