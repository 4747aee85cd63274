"""Convolutions and pools at several shifts together, as one batch of shifts and images.

`jax.vmap` gives a pool one more dimension, and on a processor XLA then takes several times as long
over it: here shifts and images are one dimension of it, as they are of a convolution.

`jax.vmap` puts the shifts of a convolution in front of the images. Where each of several devices
holds a part of the images, that brings all of them to every device; with the images in front each
device keeps its own.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, primitives

from jaxinv.symmetry.program import INLINED, inner_jaxprs, open_jaxpr

_CONVOLUTION = primitives.conv_general_dilated_p
_POOLS = (
    primitives.reduce_window_max_p,
    primitives.reduce_window_min_p,
    primitives.reduce_window_sum_p,
)
# Their derivatives are functions of their own. JAX takes for granted that `vmap` puts the shifts
# where it puts them in the function itself, so neither is changed.
_WITH_OWN_DERIVATIVES = (primitives.custom_jvp_call_p, primitives.custom_vjp_call_p)


def merged(fun: Callable, *args: Any, images_first: bool) -> Callable:
    """The same function for `jax.vmap`, shifts and images one dimension of what it does.

    What comes back has to be mapped before it is differentiated.

    Args:
      fun: any function of arrays.
      *args: its arguments, or anything of their shapes and dtypes.
      images_first: whether the images stand in front of the shifts in convolutions.

    Example:
      >>> def blurred(t, x=jnp.ones((2, 1, 4))):
      ...     return jax.lax.conv(t * x, jnp.ones((1, 1, 2)), (1,), "VALID")
      >>> shifts = jnp.arange(3.0)
      >>> print(jax.vmap(merged(blurred, shifts[0], images_first=True))(shifts)[:, 0, 0, 0])
      [0. 2. 4.]
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    rewriting = _Rewriting(images_first)
    if not rewriting.changes(open_jaxpr(closed)[0]):
        return fun
    tree = jax.tree.structure(shapes)
    return lambda *args: jax.tree.unflatten(
        tree, rewriting.evaluated(closed, jax.tree.leaves(args))
    )


@dataclasses.dataclass(frozen=True)
class _Rewriting:
    """Evaluates a program with what `jax.vmap` would do badly replaced.

    Attributes:
      images_first: whether the images stand in front of the shifts in convolutions.
    """

    images_first: bool

    def changes(self, jaxpr) -> bool:
        """Whether anything is replaced in a program."""
        return any(
            self._replacement(eqn) is not None or any(map(self.changes, inner_jaxprs(eqn.params)))
            for eqn in jaxpr.eqns
            if eqn.primitive not in _WITH_OWN_DERIVATIVES
        )

    def _replacement(self, eqn) -> Callable | None:
        if eqn.primitive is _CONVOLUTION and self.images_first:
            return _convolution(eqn)
        if eqn.primitive in _POOLS and _leaves_images_apart(eqn):
            return _pool(eqn)
        return None

    def evaluated(self, closed, args) -> list[Any]:
        """The outputs of a program."""
        jaxpr, consts = open_jaxpr(closed)
        values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

        def read(atom):
            return atom.val if isinstance(atom, Literal) else values[atom]

        for eqn in jaxpr.eqns:
            operands = map(read, eqn.invars)
            if replacement := self._replacement(eqn):
                results = [replacement(*operands)]
            elif eqn.primitive in INLINED:
                results = self.evaluated(eqn.params[INLINED[eqn.primitive]], operands)
            elif eqn.primitive is primitives.remat_p:
                body = functools.partial(self.evaluated, eqn.params["jaxpr"])
                options = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
                results = jax.checkpoint(lambda *args, body=body: body(args), **options)(*operands)
            else:
                params = eqn.params
                if eqn.primitive not in _WITH_OWN_DERIVATIVES:
                    params = {name: self._rewritten(value) for name, value in params.items()}
                params = eqn.primitive.get_bind_params(params)
                result = eqn.primitive.bind(*operands, **params)
                results = result if eqn.primitive.multiple_results else [result]
            values |= dict(zip(eqn.outvars, results, strict=True))
        return list(map(read, jaxpr.outvars))

    def _rewritten(self, parameter: Any) -> Any:
        """A parameter of a call or a loop; a body in which something is replaced is rewritten."""
        if isinstance(parameter, tuple) and any(isinstance(one, ClosedJaxpr) for one in parameter):
            return tuple(map(self._rewritten, parameter))  # the branches of a condition
        if not isinstance(parameter, ClosedJaxpr) or not self.changes(open_jaxpr(parameter)[0]):
            return parameter
        return jax.make_jaxpr(lambda *args: self.evaluated(parameter, args))(*parameter.in_avals)


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


def _leaves_images_apart(eqn) -> bool:
    """Whether each position along the first dimension is pooled by itself."""
    params = eqn.params
    names = ("window_dimensions", "window_strides", "base_dilation", "window_dilation")
    return (
        len(params["window_dimensions"]) > 0
        and all(params[name][0] == 1 for name in names)
        and tuple(params["padding"][0]) == (0, 0)
    )


def _pool(eqn) -> Callable:
    bind = functools.partial(eqn.primitive.bind, **eqn.params)
    images = eqn.invars[0].aval.shape[0]

    def at_several_shifts(count, mapped, x):
        y = bind(jnp.reshape(x, (count * images, *x.shape[2:])))
        return jnp.reshape(y, (count, images, *y.shape[1:])), True

    pool = jax.custom_batching.custom_vmap(bind)
    pool.def_vmap(at_several_shifts)
    return pool
