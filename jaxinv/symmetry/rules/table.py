"""The table of rules, by primitive object: one line where a family shares a rule.

A rule is `rule(ctx, equation, *operands) -> results`, on values with arrays and without. To add
one, read `docs/method.md`, write the function beside its family, and name it here.
"""

from collections.abc import Callable
from typing import Any

from jax import lax
from jax.extend.core import primitives

from jaxinv.declarations import declare_p
from jaxinv.symmetry.moves import Context
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.rules import (
    indexing,
    joining,
    layout,
    per_position,
    reduction,
    unpooling,
)
from jaxinv.symmetry.rules.contraction import dot_general
from jaxinv.symmetry.rules.convolution import conv_general_dilated
from jaxinv.symmetry.rules.declared import declared
from jaxinv.symmetry.rules.pointwise import bitcast, broadcast_in_dim, iota, pointwise
from jaxinv.symmetry.rules.pooling import reduce_window
from jaxinv.symmetry.values import Value

RULES: dict[Any, Callable[..., list[Value]]] = {}


def _family(rule: Callable[..., list[Value]], names: str) -> None:
    """Registers one rule for all the primitives that this jax release has of those named."""
    for name in names.split():
        primitive = getattr(primitives, f"{name}_p", None) or getattr(lax, f"{name}_p", None)
        if primitive is not None:
            RULES[primitive] = rule


def _unchanged(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    return list(operands)


_family(
    pointwise,
    """
    abs acos acosh add add_jaxvals and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil
    clamp clz complex conj convert_element_type copy cos cosh digamma div eq eq_to erf erf_inv erfc
    exp exp2 expm1 floor ge gt igamma igamma_grad_a igammac imag integer_pow is_finite le le_to
    lgamma log log1p log2 logistic lt lt_to max min mul mulhi name ne neg nextafter not
    one_minus_square or polygamma population_count pow real reduce_precision
    regularized_incomplete_beta rem round rsqrt select_n shift_left shift_right_arithmetic
    shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor zeta
    """,
)
_family(joining.stack, "stack")
_family(joining.tile, "tile")
_family(layout.unstack, "unstack")
_family(per_position.top_k, "top_k")
_family(unpooling.select_and_scatter_add, "select_and_scatter_add")
_family(indexing.scatter, "scatter scatter_add scatter_sub scatter_mul scatter_max scatter_min")
_family(_unchanged, "device_put optimization_barrier")
_family(reduce_window, "reduce_window reduce_window_max reduce_window_min reduce_window_sum")
_family(
    reduction.reduce,
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor",
)
_family(reduction.reduce_by, "reduce")
_family(bitcast, "bitcast_convert_type")
_family(reduction.argument, "argmax argmin")
_family(reduction.along_dimension("axis"), "cumsum cumprod cummax cummin cumlogsumexp")

RULES |= {
    declare_p: declared,
    primitives.broadcast_in_dim_p: broadcast_in_dim,
    primitives.concatenate_p: joining.concatenate,
    primitives.conv_general_dilated_p: conv_general_dilated,
    primitives.dot_general_p: dot_general,
    primitives.dynamic_slice_p: indexing.dynamic_slice,
    primitives.dynamic_update_slice_p: indexing.dynamic_update_slice,
    primitives.fft_p: reduction.fft,
    primitives.gather_p: indexing.gather,
    primitives.iota_p: iota,
    primitives.pad_p: joining.pad,
    primitives.reshape_p: layout.reshape,
    primitives.rev_p: layout.rev,
    primitives.sort_p: reduction.sort,
    primitives.slice_p: layout.slice_,
    primitives.squeeze_p: layout.squeeze,
    primitives.transpose_p: layout.transpose,
    lax.split_p: layout.split_,
}
