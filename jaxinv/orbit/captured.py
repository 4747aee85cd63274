"""Values that a function closes over while it is traced, as arguments.

A rule for derivatives (`jax.custom_jvp`) has to be told what is differentiated. So parameters in a
closure, as in `jax.grad(lambda p: orbit(lambda x: net(p, x))(x).sum())`, become arguments first.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import get_opaque_trace_state

from jaxinv.arguments import split_arguments
from jaxinv.symmetry.program import open_jaxpr

_NO_TRACE = get_opaque_trace_state()


def hoisted(fun: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[Callable, list[Any]]:
    """The function with what it closes over as its first argument, and what that is.

    Args:
      fun: any function of arrays.
      args: its arguments, or anything of their shapes and dtypes.
      kwargs: its arguments by name.

    Returns:
      A function of these values and of arguments like those given, and the list of the values. If
      nothing traced is closed over, `fun` itself and an empty list.

    Example:
      >>> import jax.numpy as jnp
      >>> def scaled(factor):
      ...     fun, values = hoisted(lambda x: factor * x, (jnp.ones(3),), {})
      ...     return fun([10 * v for v in values], jnp.ones(3)).sum()
      >>> float(jax.grad(scaled)(2.0))
      30.0
    """
    if get_opaque_trace_state() == _NO_TRACE:
        return fun, []
    arrays, static = split_arguments(args, kwargs)
    out_tree = None

    def flat(*leaves):
        nonlocal out_tree
        outs, out_tree = jax.tree.flatten(static.call(fun, leaves))
        return outs

    program, consts = open_jaxpr(jax.make_jaxpr(flat)(*arrays))
    traced = [i for i, value in enumerate(consts) if isinstance(value, jax.core.Tracer)]
    if not traced:
        return fun, []

    def of_captured(captured, *args, **kwargs):
        values = list(consts)
        for i, value in zip(traced, captured, strict=True):
            values[i] = value
        outs = jax.core.eval_jaxpr(program, values, *split_arguments(args, kwargs)[0])
        return jax.tree.unflatten(out_tree, outs)

    return of_captured, [consts[i] for i in traced]
