"""Convolutions at several shifts together, with the images of a batch in front.

`jax.vmap` makes one dimension of the shifts and the images of a convolution, the shifts in front.
Where each of several devices holds a part of the images, that brings all of them to every device.
With the images in front each device keeps its own.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, primitives

from jaxinv.symmetry.program import INLINED, inner_jaxprs, open_jaxpr

_CONVOLUTION = primitives.conv_general_dilated_p
# Their derivatives are functions of their own. JAX takes for granted that `vmap` puts the shifts
# where it puts them in the function itself, so neither is changed.
_WITH_OWN_DERIVATIVES = (primitives.custom_jvp_call_p, primitives.custom_vjp_call_p)


def images_first(fun: Callable, *args: Any) -> Callable:
    """The same function for `jax.vmap`, its convolutions with the images in front.

    What comes back has to be mapped before it is differentiated.

    Args:
      fun: any function of arrays.
      *args: its arguments, or anything of their shapes and dtypes.

    Example:
      >>> def blurred(t, x=jnp.ones((2, 1, 4))):
      ...     return jax.lax.conv(t * x, jnp.ones((1, 1, 2)), (1,), "VALID")
      >>> shifts = jnp.arange(3.0)
      >>> print(jax.vmap(images_first(blurred, shifts[0]))(shifts)[:, 0, 0, 0])
      [0. 2. 4.]
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    if not _convolves(open_jaxpr(closed)[0]):
        return fun
    tree = jax.tree.structure(shapes)
    return lambda *args: jax.tree.unflatten(tree, _evaluated(closed, jax.tree.leaves(args)))


def _convolves(jaxpr) -> bool:
    return any(
        eqn.primitive is _CONVOLUTION or any(map(_convolves, inner_jaxprs(eqn.params)))
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
        if eqn.primitive is _CONVOLUTION:
            results = [_convolution(eqn)(*operands)]
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
    """A parameter of a call or a loop; if it is a body that convolves, that one rewritten."""
    if isinstance(parameter, tuple) and any(isinstance(one, ClosedJaxpr) for one in parameter):
        return tuple(map(_rewritten, parameter))  # the branches of a condition
    if not isinstance(parameter, ClosedJaxpr) or not _convolves(open_jaxpr(parameter)[0]):
        return parameter
    return jax.make_jaxpr(lambda *args: _evaluated(parameter, args))(*parameter.in_avals)


def _convolution(eqn) -> Callable:
    bind = functools.partial(eqn.primitive.bind, **eqn.params)
    numbers = eqn.params["dimension_numbers"]
    images, results = numbers.lhs_spec[0], numbers.out_spec[0]

    def at_several_shifts(count, mapped, x, kernel):
        if mapped != [True, False] or eqn.params["batch_group_count"] > 1:
            return jax.vmap(bind, in_axes=[0 if m else None for m in mapped])(x, kernel), True
        x = jnp.moveaxis(x, 0, images + 1)
        shape = x.shape[:images], math.prod(x.shape[images : images + 2]), x.shape[images + 2 :]
        y = bind(jnp.reshape(x, (*shape[0], shape[1], *shape[2])), kernel)
        shape = y.shape[:results], (-1, count), y.shape[results + 1 :]
        y = jnp.reshape(y, (*shape[0], *shape[1], *shape[2]))
        return jnp.moveaxis(y, results + 1, 0), True

    convolve = jax.custom_batching.custom_vmap(bind)
    convolve.def_vmap(at_several_shifts)
    return convolve
