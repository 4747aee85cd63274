"""Several shifts together, whose shifts and images are one batch where that pays.

`jax.vmap` gives pools one dimension more, and what surrounds them. On a processor XLA then does not
compute a convolution, its bias and its pool in one go, and a LeNet takes twice the time. With the
shifts and the images of the batch as one dimension its program is that of a larger batch.

Of a convolution `jax.vmap` makes that by itself, the shifts in front. Where each of several devices
holds a part of the images, that brings all of them to every device; with the images in front each
device keeps its own. Those at which XLA is slow on a processor are computed in another way
(`jaxinv.symmetry.rules.matrix_products`).

So here some primitives of JAX have twins that differ in what `vmap` makes of them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, Primitive, primitives
from jax.interpreters import ad, batching, mlir

from jaxinv.symmetry.program import INLINED, inner_jaxprs, open_jaxpr
from jaxinv.symmetry.rules.matrix_products import convolve, xla_is_slow

_CONVOLUTION = primitives.conv_general_dilated_p
_GROUPS = ("feature_group_count", "batch_group_count")
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
# Their derivatives are functions of their own. JAX takes for granted that `vmap` puts the shifts
# where it puts them in the function itself, so neither is changed.
_WITH_OWN_DERIVATIVES = (primitives.custom_jvp_call_p, primitives.custom_vjp_call_p)


def _twin(primitive: Primitive, batch: Callable, evaluate: Callable | None = None) -> Primitive:
    """A primitive that computes what another does, with a rule of its own for `vmap`."""
    new = Primitive(f"{primitive.name}_in_one_batch")

    def bound(params):
        return functools.partial(evaluate or primitive.bind, **params)

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


def _convolve(x, kernel, **params):
    if not _is_slow(x.shape, kernel.shape, params):
        return _CONVOLUTION.bind(x, kernel, **params)
    groups = tuple(params.pop(name) for name in _GROUPS)
    params.pop("out_sharding", None)
    return convolve(x, kernel, groups=groups, **params)


def _is_slow(images: Sequence[int], kernel: Sequence[int], params: dict[str, Any]) -> bool:
    """Whether XLA is slow at a convolution."""
    groups = tuple(params[name] for name in _GROUPS)
    return (
        jax.default_backend() == "cpu"
        and xla_is_slow(images, kernel, groups=groups, **params)
        and params.get("out_sharding") is None
    )


def _batch_convolution(primitive, operands, batch_dims, **params):
    (x, kernel), (at, of_kernels) = operands, batch_dims
    if at is None or of_kernels is not None or params["batch_group_count"] > 1:
        convolution = functools.partial(primitive.bind, **params)
        return jax.vmap(convolution, in_axes=batch_dims)(x, kernel), 0
    numbers = params["dimension_numbers"]
    images, results = numbers.lhs_spec[0], numbers.out_spec[0]
    images_first = jax.device_count() > 1
    x = jnp.moveaxis(x, at, images + images_first)  # (..., images, shifts, ...)
    y = _convolve(_merged(x, images), kernel, **params)
    return _split(y, results, x.shape[images:][:2]), results + images_first


def _batch_pool(primitive, operands, batch_dims, **params):
    (x,), (at,) = operands, batch_dims
    pool = functools.partial(primitive.bind, **params)
    for dim in _neighbours(x, at):
        if _has_no_window(dim, **params):
            return _split(pool(_merged(x, dim)), dim, x.shape[dim:][:2]), at
    return jax.vmap(pool, in_axes=at, out_axes=at)(x), at


def _batch_scaling(primitive, operands, batch_dims, **params):
    scaled = functools.partial(primitive.bind, **params)
    at = next(at for at in batch_dims if at is not None)
    if None in batch_dims:
        first = batch_dims[1] is None  # whether the images are the first operand
        x, scale = operands if first else operands[::-1]
        for dim in _neighbours(x, at):
            if scale.ndim == x.ndim - 1 and scale.shape[dim] == 1:
                pair = (_merged(x, dim), scale) if first else (scale, _merged(x, dim))
                return _split(scaled(*pair), dim, x.shape[dim:][:2]), at
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


def _merged(x: jax.Array, dim: int) -> jax.Array:
    """A dimension and the next as one: (..., a, b, ...) -> (..., a * b, ...)."""
    return jnp.reshape(x, (*x.shape[:dim], x.shape[dim] * x.shape[dim + 1], *x.shape[dim + 2 :]))


def _split(x: jax.Array, dim: int, sizes: Sequence[int]) -> jax.Array:
    """The reverse: (..., a * b, ...) -> (..., a, b, ...)."""
    return jnp.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


_TWINS = {
    _CONVOLUTION: _twin(_CONVOLUTION, _batch_convolution, _convolve),
    **{pool: _twin(pool, _batch_pool) for pool in _POOLS},
    **{scaling: _twin(scaling, _batch_scaling) for scaling in _SCALINGS},
}


def _has_twin(eqn) -> bool:
    if eqn.primitive is not _CONVOLUTION:
        return eqn.primitive in _TWINS
    # On one device, moving the images of a convolution to the front brings nothing.
    x, kernel = (variable.aval.shape for variable in eqn.invars)
    return jax.device_count() > 1 or _is_slow(x, kernel, eqn.params)


def in_one_batch(fun: Callable, *args: Any) -> Callable:
    """The same function for `jax.vmap`, which makes one batch of its shifts and its images.

    Args:
      fun: any function of arrays.
      *args: its arguments, or anything of their shapes and dtypes.

    Example:
      >>> def pooled(t, x=jnp.ones((2, 4))):
      ...     return jax.lax.reduce_window(t * x, 0.0, jax.lax.add, (1, 2), (1, 2), "VALID")
      >>> shifts = jnp.arange(3.0)
      >>> print(jax.vmap(in_one_batch(pooled, shifts[0]))(shifts)[:, 0, 0])
      [0. 2. 4.]
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    if not _is_changed(open_jaxpr(closed)[0]):
        return fun
    tree = jax.tree.structure(shapes)
    return lambda *args: jax.tree.unflatten(tree, _evaluated(closed, jax.tree.leaves(args)))


def _is_changed(jaxpr) -> bool:
    return any(
        (eqn.primitive not in _SCALINGS and _has_twin(eqn))
        or any(map(_is_changed, inner_jaxprs(eqn.params)))
        for eqn in jaxpr.eqns
        if eqn.primitive not in _WITH_OWN_DERIVATIVES
    )


def _evaluated(closed, args) -> list[Any]:
    jaxpr, consts = open_jaxpr(closed)
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

    def read(atom):
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        operands = map(read, eqn.invars)
        if _has_twin(eqn):
            results = [_TWINS[eqn.primitive].bind(*operands, **eqn.params)]
        elif eqn.primitive in INLINED:
            results = _evaluated(eqn.params[INLINED[eqn.primitive]], operands)
        elif eqn.primitive is primitives.remat_p:
            body = functools.partial(_evaluated, eqn.params["jaxpr"])
            options = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
            results = jax.checkpoint(lambda *args, body=body: body(args), **options)(*operands)
        else:
            params = eqn.params
            if eqn.primitive not in _WITH_OWN_DERIVATIVES:
                params = {name: _rewritten(value) for name, value in params.items()}
            params = eqn.primitive.get_bind_params(params)
            result = eqn.primitive.bind(*operands, **params)
            results = result if eqn.primitive.multiple_results else [result]
        values |= dict(zip(eqn.outvars, results, strict=True))
    return list(map(read, jaxpr.outvars))


def _rewritten(parameter: Any) -> Any:
    """A parameter of a call or a loop; if it is a body with a change, that one rewritten."""
    if isinstance(parameter, tuple) and any(isinstance(one, ClosedJaxpr) for one in parameter):
        # The branches of a condition, or the named functions of a linear solver.
        return jax.tree.map(_rewritten, parameter, is_leaf=lambda one: one is not parameter)
    if not isinstance(parameter, ClosedJaxpr) or not _is_changed(open_jaxpr(parameter)[0]):
        return parameter
    return jax.make_jaxpr(lambda *args: _evaluated(parameter, args))(*parameter.in_avals)
