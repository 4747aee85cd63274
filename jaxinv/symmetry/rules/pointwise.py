"""Primitives that compute each position from the same position of their operands."""

from collections.abc import Callable, Hashable, Sequence

import jax.numpy as jnp
from jax import lax

from jaxinv.symmetry.align import align, decisions_of, met
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, expand, expand_windows, normal, period_of
from jaxinv.symmetry.rules.fallback import at_each_shift
from jaxinv.symmetry.rules.periodic import followed
from jaxinv.symmetry.unread import unread_pairs_along
from jaxinv.symmetry.values import Uniform, Value, constant


@rule(
    """
    abs acos acosh add add_jaxvals and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil
    clamp clz complex conj cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge gt
    igamma igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p log2 logistic
    lt lt_to max min mul mulhi name ne neg nextafter not one_minus_square or polygamma
    population_count pow real reduce_precision regularized_incomplete_beta rem round rsqrt select_n
    shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square sub tan tanh xor
    zeta
    """
)
@rule("convert_element_type copy stop_gradient", moves_only=True)
def pointwise(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """Each position from the same position of the operands."""
    recipe = (equation.primitive, tuple(sorted(equation.params.items())))
    values = followed(ctx, equation, operands)
    return combined(ctx, equation.out_avals[0].shape, equation.bind, values, recipe)


@rule("bitcast_convert_type")
def bitcast(ctx: Context, equation: Equation, operand: Value) -> list[Value]:
    """Bits read as another type: position by position where both types have as many."""
    if equation.in_avals[0].shape == equation.out_avals[0].shape:
        return pointwise(ctx, equation, operand)
    return at_each_shift(ctx, equation, operand)


def combined(
    ctx: Context,
    shape: Sequence[int],
    fun: Callable[..., Sequence],
    operands: Sequence[Value],
    recipe: Hashable = None,
) -> list[Value]:
    """What a function of single positions makes of operands at one period and one layout.

    Args:
      ctx: the context.
      shape: the shape of each result.
      fun: from arrays of one shape to a list of arrays of that shape.
      operands: values of that shape, or with single positions in its stead, or scalars.
      recipe: equal for functions that are the same; None for one that no other is.
    """
    rank = max(len(v.dims) for v in operands)
    # Primitives stretch dimensions of one position by themselves; only scalars have another rank.
    operands = tuple(
        stretched(ctx, v, shape, range(rank)) if len(v.dims) == rank else v for v in operands
    )
    meetings = [[dim if len(v.dims) == rank else None for v in operands] for dim in range(rank)]
    values = align(ctx, operands, meetings)
    dims = tuple(met(values, meeting) for meeting in meetings)
    while (axis := unread_pairs_along(ctx, values, dims)) is not None:
        values = align(ctx, expand(ctx, values, axis, Cause.MOVE_DIFFERENTLY()), meetings)
        dims = tuple(met(values, meeting) for meeting in meetings)
    bases: Sequence = [None]
    origin: Hashable = object()
    if recipe is not None:
        origin = ctx.origin((recipe, tuple(v.origin for v in values), sum(map(len, dims))))
    if all(v.base is not None for v in values):
        aligned = [_spread(v, dims) for v in values]
        stored = jnp.broadcast_shapes(*(b.shape for b in aligned))
        bases = fun(*(jnp.broadcast_to(b, stored) for b in aligned))
    return [
        normal(
            ctx,
            Value(
                period=period_of(values),
                dims=dims,
                base=base,
                origin=origin,
                decisions=decisions_of(values),
            ),
        )
        for base in bases
    ]


def _spread(value: Value, dims):
    """The base with one dimension for each factor of the result; scalars have none of their own."""
    if len(value.dims) == len(dims):
        return value.base
    # (*cosets) -> (*cosets, 1, ..., 1)
    return jnp.reshape(value.base, value.base.shape + (1,) * sum(map(len, dims)))


@rule("iota")
def iota(ctx: Context, equation: Equation, *_: Value) -> list[Value]:
    """Numbers along one dimension, the same along all others."""
    params = equation.params
    at = int(params["dimension"])
    size = params["shape"][at]
    numbers = lax.iota(params["dtype"], size) if ctx.computes else None
    value = constant(numbers, (size,), len(ctx.torus.lengths), known=ctx.computes)
    return [stretched(ctx, value, params["shape"], (at,))]


@rule("broadcast_in_dim", moves_only=True)
def broadcast_in_dim(ctx: Context, equation: Equation, operand: Value, *_: Value) -> list[Value]:
    """New and stretched dimensions are uniform; a single position that moves cannot stretch."""
    params = equation.params
    return [stretched(ctx, operand, params["shape"], params["broadcast_dimensions"])]


def stretched(ctx: Context, operand: Value, shape: Sequence[int], goes_to: Sequence[int]) -> Value:
    """The value broadcast to a shape; dimension `d` of it becomes dimension `goes_to[d]`."""
    source: dict[int, int] = {to: dim for dim, to in enumerate(goes_to)}
    if operand.shape == tuple(shape) and list(source) == list(range(len(shape))):
        return operand
    for to, dim in source.items():
        if operand.shape[dim] == 1 != shape[to]:
            (operand,) = expand_windows(ctx, [operand], [dim], Cause.SINGLE_POSITION())
    base, place = operand.base, operand.n_axes
    dims = []
    for to, size in enumerate(shape):
        if to in source and operand.shape[source[to]] == size:
            dims.append(operand.dims[source[to]])
            place += len(dims[-1])
        elif size == 1:
            dims.append(())
        else:
            dims.append((Uniform(size),))
            if base is not None:
                base = jnp.expand_dims(base, place)
            place += 1
    return operand.with_base(base, dims=tuple(dims))
