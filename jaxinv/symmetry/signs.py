"""Zeros of both signs: equal, but 1 / 0 and 1 / -0 are not.

A sort keeps them in the order in which they come, so that the shift decides which comes first.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.program import Equation, Program, inner_jaxprs

# Operands of which the sign of a zero decides more than that of another.
_TELLING = {
    "atan2": (0, 1),
    "bitcast_convert_type": (0,),
    "digamma": (0,),
    "div": (1,),
    "nextafter": (0, 1),
    "pow": (0,),
    "rsqrt": (0,),
}
# What makes the same of both.
_FORGETTING = frozenset(
    {"abs", "argmax", "argmin", "cos", "cosh", "erfc", "exp", "exp2", "logistic", "reduce_sum"}
    | {"square"}
)


def has_one_zero(program: Program, number: int) -> bool:
    """Whether zeros of both signs, if a value has them, are the same to all that comes of it.

    Example:
      >>> import jax
      >>> from jaxinv.symmetry.tracing import trace
      >>> def middle(x, offset):
      ...     return x / (jnp.sort(x)[2] + offset)
      >>> for offset in (0.0, 1.0):
      ...     of_image = lambda x: middle(x, offset)
      ...     program = trace(of_image, (jnp.ones(5),), argnums=0, axes=(0,)).program
      ...     (sort,) = (e for e in program.equations if e.primitive.name == "sort")
      ...     print(has_one_zero(program, sort.outs[0]))
      False
      True
    """
    if not jnp.issubdtype(program.avals[number].dtype, jnp.inexact):
        return True
    made = program.producers.get(number)
    if made is not None and made.primitive.name == "sort":
        before = program.producers.get(made.ins[0])
        if before is not None and before.primitive.name in ("abs", "exp", "exp2", "square"):
            return True  # zeros of one sign
    both = {number}
    for equation in program.equations:
        if both.isdisjoint(equation.ins):
            continue
        if _tells(equation, both):
            return False
        if not _forgets(program, equation, both):
            both.update(equation.outs)
    return True


def _tells(equation: Equation, both: set[int]) -> bool:
    name, params = equation.primitive.name, equation.params
    operands: Sequence[int] = _TELLING.get(name, ())
    if name == "integer_pow" and params["y"] < 0:
        operands = (0,)
    if "callback" in name or any(map(_holds_telling, inner_jaxprs(params))):
        operands = range(len(equation.ins))
    return any(equation.ins[i] in both for i in operands)


def _holds_telling(jaxpr: Any) -> bool:
    return any(
        eqn.primitive.name in (*_TELLING, "integer_pow")
        or any(map(_holds_telling, inner_jaxprs(eqn.params)))
        for eqn in jaxpr.eqns
    )


def _forgets(program: Program, equation: Equation, both: set[int]) -> bool:
    """Whether the results are the same for zeros of either sign."""
    name = equation.primitive.name
    if name in ("add", "sub"):
        others = [i for i in equation.ins if i not in both]
        added = program.known_value(others[0]) if others else None
        return added is not None and bool(np.all(np.asarray(added) != 0))
    exact = all(not jnp.issubdtype(aval.dtype, jnp.inexact) for aval in equation.out_avals)
    return name in _FORGETTING or exact
