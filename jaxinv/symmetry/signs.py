"""Zeros of both signs: equal, but 1 / 0 and 1 / -0 are not.

A sort keeps them in the order in which they come, so that the shift decides which comes first.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import primitives

from jaxinv.symmetry.program import Equation, Program, inner_jaxprs
from jaxinv.symmetry.registry import REGISTERED

# Operands of which the sign of a zero decides more than that of another.
_TELLING: dict[Any, Sequence[int]] = {
    primitives.atan2_p: (0, 1),
    primitives.bitcast_convert_type_p: (0,),
    primitives.digamma_p: (0,),
    primitives.div_p: (1,),
    primitives.nextafter_p: (0, 1),
    primitives.pow_p: (0,),
    primitives.rsqrt_p: (0,),
}
# What has no zeros of the other sign.
_ONE_SIGN = {primitives.abs_p, primitives.exp_p, primitives.exp2_p, primitives.square_p}
# What makes the same of both.
_FORGETTING = _ONE_SIGN | {
    primitives.argmax_p,
    primitives.argmin_p,
    primitives.cos_p,
    primitives.cosh_p,
    primitives.erfc_p,
    primitives.logistic_p,
    primitives.reduce_sum_p,
}


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
      ...     (sort,) = (e for e in program.equations if e.primitive is primitives.sort_p)
      ...     print(has_one_zero(program, sort.outs[0]))
      False
      True
    """
    if not jnp.issubdtype(program.avals[number].dtype, jnp.inexact):
        return True
    made = program.producers.get(number)
    if made is not None and made.primitive is primitives.sort_p:
        before = program.producers.get(made.ins[0])
        if before is not None and before.primitive in _ONE_SIGN:
            return True
    both = {number}
    for equation in program.equations:
        if both.isdisjoint(equation.ins):
            continue
        if _tells(equation, both):
            return False
        if not _forgets(program, equation, both):
            both.update(equation.outs)
    # What comes of the results of a body is not seen here.
    return not program.is_body or both.isdisjoint(program.outputs)


def _tells(equation: Equation, both: set[int]) -> bool:
    operands = _told_apart(equation.primitive, equation.params, len(equation.ins))
    return any(equation.ins[i] in both for i in operands)


def _told_apart(primitive: Any, params: dict[str, Any], count: int) -> Sequence[int]:
    """Of an equation's `count` operands, those of which the sign of a zero decides more."""
    inside = (eqn for body in inner_jaxprs(params) for eqn in body.eqns)
    if primitive not in REGISTERED or any(
        _told_apart(eqn.primitive, eqn.params, len(eqn.invars)) for eqn in inside
    ):
        return range(count)  # It may do anything.
    if primitive is primitives.integer_pow_p:
        return (0,) if params["y"] < 0 else ()
    return _TELLING.get(primitive, ())


def _forgets(program: Program, equation: Equation, both: set[int]) -> bool:
    """Whether the results are the same for zeros of either sign."""
    if equation.primitive in (primitives.add_p, primitives.sub_p):
        others = [i for i in equation.ins if i not in both]
        added = program.known_value(others[0]) if others else None
        return added is not None and bool(np.all(np.asarray(added) != 0))
    exact = all(not jnp.issubdtype(aval.dtype, jnp.inexact) for aval in equation.out_avals)
    return equation.primitive in _FORGETTING or exact
