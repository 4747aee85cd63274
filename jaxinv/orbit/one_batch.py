"""Several shifts together, whose shifts and images are one batch where that pays.

`jax.vmap` gives pools one dimension more, and what surrounds them. On a processor XLA then does not
compute a convolution, its bias and its pool in one go, and a LeNet takes twice the time. With the
shifts and the images of the batch as one dimension its program is that of a larger batch.

Of a convolution `jax.vmap` makes that by itself, on a processor better in the way of
`jaxinv.symmetry.processor_convolution`.

So here some primitives of JAX have twins that differ in what `vmap` makes of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive, primitives
from jax.interpreters import ad, batching, mlir

from jaxinv.symmetry.processor_convolution import convolution_p, for_processors, merged, split
from jaxinv.symmetry.program import ORIGINAL_OF
from jaxinv.symmetry.substitution import substituted

_POOLS = (
    primitives.reduce_window_max_p,
    primitives.reduce_window_min_p,
    primitives.reduce_window_sum_p,
)
# What biases, scales and thresholds of channels are applied by.
_SCALINGS = (
    primitives.add_p,
    primitives.sub_p,
    primitives.mul_p,
    primitives.div_p,
    primitives.max_p,
    primitives.min_p,
)


def _twin(primitive: Primitive, batch: Callable) -> Primitive:
    """A primitive that computes what another does, with a rule of its own for `vmap`."""
    new = Primitive(f"{primitive.name}_in_one_batch")
    ORIGINAL_OF[new] = primitive

    def bound(params):
        return functools.partial(primitive.bind, **params)

    @new.def_impl
    def _evaluate(*operands, **params):
        return bound(params)(*operands)

    @new.def_abstract_eval
    def _abstract_eval(*operands, **params):
        (result,) = jax.make_jaxpr(bound(params))(*operands).out_avals
        return result

    # What no shift changes stays as it is under `vmap`, and is differentiated.
    def _differentiate(primals, tangents, **params):
        return jax.jvp(bound(params), primals, tuple(map(ad.instantiate_zeros, tangents)))

    ad.primitive_jvps[new] = _differentiate
    batching.primitive_batchers[new] = functools.partial(batch, primitive)
    mlir.register_lowering(new, mlir.lower_fun(_evaluate, multiple_results=False))
    return new


def _batch_pool(primitive, operands, batch_dims, **params):
    (x,), (at,) = operands, batch_dims
    pool = functools.partial(primitive.bind, **params)
    for dim in _neighbours(x, at):
        if _has_no_window(dim, **params):
            return split(pool(merged(x, dim)), dim, x.shape[dim:][:2]), at
    return jax.vmap(pool, in_axes=at, out_axes=at)(x), at


def _batch_scaling(primitive, operands, batch_dims, **params):
    scaled = functools.partial(primitive.bind, **params)
    at = next(at for at in batch_dims if at is not None)
    if None in batch_dims:
        first = batch_dims[1] is None  # whether the images are the first operand
        x, scale = operands if first else operands[::-1]
        for dim in _neighbours(x, at):
            if scale.ndim == x.ndim - 1 and scale.shape[dim] == 1:
                pair = (merged(x, dim), scale) if first else (scale, merged(x, dim))
                return split(scaled(*pair), dim, x.shape[dim:][:2]), at
    return jax.vmap(scaled, in_axes=batch_dims, out_axes=at)(*operands), at


def _neighbours(x: jax.Array, at: int) -> list[int]:
    """The dimensions of one shift that may become one with that of the shifts."""
    # The one behind not on several devices: it would bring the images of all to each.
    dims = (at - 1, at) if jax.device_count() == 1 else (at - 1,)
    return [dim for dim in dims if 0 <= dim < x.ndim - 1]


def _has_no_window(
    dim, *, window_dimensions, window_strides, padding, base_dilation, window_dilation
) -> bool:
    del window_dilation  # of one position
    seen = window_dimensions[dim], window_strides[dim], base_dilation[dim], *padding[dim]
    return seen == (1, 1, 1, 0, 0)


_POOL_TWINS = {pool: _twin(pool, _batch_pool) for pool in _POOLS}
_SCALING_TWINS = {scaling: _twin(scaling, _batch_scaling) for scaling in _SCALINGS}


def _substitute(equation) -> Primitive | None:
    # Of a convolution `vmap` makes one batch by itself, but with the shifts in front.
    if equation.primitive is primitives.conv_general_dilated_p and jax.device_count() > 1:
        return convolution_p
    return for_processors(equation) or _POOL_TWINS.get(equation.primitive)


def in_one_batch(fun: Callable, *args: Any) -> Callable:
    """The same function for `jax.vmap`, which makes one batch of its shifts and its images.

    Args:
      fun: any function of arrays.
      *args: its arguments, or anything of their shapes and dtypes.

    Example:
      >>> import jax.numpy as jnp
      >>> def pooled(t, x=jnp.ones((2, 4))):
      ...     return jax.lax.reduce_window(t * x, 0.0, jax.lax.add, (1, 2), (1, 2), "VALID")
      >>> shifts = jnp.arange(3.0)
      >>> print(jax.vmap(in_one_batch(pooled, shifts[0]))(shifts)[:, 0, 0])
      [0. 2. 4.]
    """
    scalings = _SCALING_TWINS.get
    return substituted(fun, _substitute, *args, beside=lambda eqn: scalings(eqn.primitive))
