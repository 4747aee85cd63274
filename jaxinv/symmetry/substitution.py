"""A function with other primitives in place of some."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal, Primitive, primitives

from jaxinv.symmetry.program import INLINED, inner_jaxprs, open_jaxpr

# Which primitive takes the place of that of an equation, with its operands and parameters.
Substitute = Callable[[Any], Primitive | None]

# Their derivatives are functions of their own. JAX takes for granted that `vmap` puts what is
# mapped where it puts it in the function itself, so neither is changed.
_WITH_OWN_DERIVATIVES = (primitives.custom_jvp_call_p, primitives.custom_vjp_call_p)


def substituted(
    fun: Callable, substitute: Substitute, *args: Any, beside: Substitute = lambda _: None
) -> Callable:
    """The function with other primitives, also in its calls, loops and branches.

    Args:
      fun: any function of arrays.
      substitute: the primitive in place of that of an equation, or None where it stays.
      *args: the arguments of the function, or anything of their shapes and dtypes.
      beside: the same for primitives that are no reason of their own to change the function.

    Returns:
      A function of arguments of these shapes; `fun` itself if nothing is replaced.

    Example:
      >>> import jax.numpy as jnp
      >>> from jax.extend.core import primitives
      >>> def cos_for_sin(eqn):
      ...     return primitives.cos_p if eqn.primitive is primitives.sin_p else None
      >>> print(substituted(jnp.sin, cos_for_sin, 0.0)(0.0))
      1.0
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    if not _is_changed(open_jaxpr(closed)[0], substitute):
        return fun
    tree = jax.tree.structure(shapes)

    def either(equation):
        return substitute(equation) or beside(equation)

    def other(*args):
        return jax.tree.unflatten(tree, _evaluated(closed, either, jax.tree.leaves(args)))

    return other


def _is_changed(jaxpr, substitute: Substitute) -> bool:
    return any(
        substitute(eqn) is not None
        or any(_is_changed(inner, substitute) for inner in inner_jaxprs(eqn.params))
        for eqn in jaxpr.eqns
        if eqn.primitive not in _WITH_OWN_DERIVATIVES
    )


def _evaluated(closed, substitute: Substitute, args) -> list[Any]:
    jaxpr, consts = open_jaxpr(closed)
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

    def read(atom):
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        operands = list(map(read, eqn.invars))
        other = substitute(eqn)
        if other is not None:
            results = [other.bind(*operands, **eqn.params)]
        elif eqn.primitive in INLINED:
            results = _evaluated(eqn.params[INLINED[eqn.primitive]], substitute, operands)
        elif eqn.primitive is primitives.remat_p:

            def body(*args, jaxpr=eqn.params["jaxpr"]):
                return _evaluated(jaxpr, substitute, args)

            options = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
            results = jax.checkpoint(body, **options)(*operands)
        else:
            params = eqn.params
            if eqn.primitive not in _WITH_OWN_DERIVATIVES:
                params = {name: _rewritten(value, substitute) for name, value in params.items()}
            params = eqn.primitive.get_bind_params(params)
            result = eqn.primitive.bind(*operands, **params)
            results = result if eqn.primitive.multiple_results else [result]
        values |= dict(zip(eqn.outvars, results, strict=True))
    return list(map(read, jaxpr.outvars))


def _rewritten(parameter: Any, substitute: Substitute) -> Any:
    """A parameter of a call or a loop; if it is a body with a change, that one rewritten."""
    if isinstance(parameter, tuple) and any(isinstance(one, ClosedJaxpr) for one in parameter):
        # The branches of a condition, or the named functions of a linear solver.
        return jax.tree.map(
            lambda one: _rewritten(one, substitute),
            parameter,
            is_leaf=lambda one: one is not parameter,
        )
    if not isinstance(parameter, ClosedJaxpr) or not _is_changed(
        open_jaxpr(parameter)[0], substitute
    ):
        return parameter
    return jax.make_jaxpr(lambda *args: _evaluated(parameter, substitute, args))(
        *parameter.in_avals
    )
