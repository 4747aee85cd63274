"""How close the data come to breaking the conditions that declared layers state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives
from jaxtyping import Array, Float

from jaxinv.arguments import check_callable, split_arguments
from jaxinv.declarations import declare_p
from jaxinv.symmetry.program import Program, flatten, inner_jaxprs
from jaxinv.symmetry.rules.loops import scan_counts

# Shifts sum in another order: what is closer than rounding counts as a tie.
TIE = 1e-6


def declared_margin(fun: Callable[..., Any]) -> Callable[..., Float[Array, ""]]:
    """Measures how close a network's data come to voiding what its layers declare.

    `jaxinv.certify` believes a layer such as adaptive polyphase sampling under a condition on the
    data: no two polyphase components tie. This evaluates the condition: the relative lead of the
    chosen component, the smallest over all such layers and all signals of a batch. Shifts permute
    the components, so unshifted data are enough.

    Args:
      fun: any function that JAX can trace, as for `jaxinv.certify`.

    Returns:
      A function of the same arguments. It returns the smallest margin: from 0, a tie at which the
      certificate does not hold, to 1; up to `jaxinv.margins.TIE` rounding may decide. Infinity
      where nothing is declared under a condition that can be measured. It may be jitted.

    Raises:
      ValueError: if `fun` is no function, or a layer declares its condition inside `while` or
        `cond`.

    Example:
      >>> import jax.numpy as jnp, jaxinv
      >>> from jaxinv.layers import adaptive_polyphase_sample
      >>> def network(x):
      ...     return adaptive_polyphase_sample(x)[0].max(1)
      >>> measure = jaxinv.declared_margin(network)
      >>> measure(jnp.array([0.0, 4.0, 0.0, 3.0]).reshape(1, 4, 1))  # norms 0 and 5
      Array(1., dtype=float32)
      >>> measure(jnp.array([3.0, 4.0, 4.0, 3.0]).reshape(1, 4, 1))  # both 5
      Array(0., dtype=float32)

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214: the condition of their lemma.
    """
    check_callable(fun)

    def measured(*args: Any, **kwargs: Any) -> Float[Array, ""]:
        arrays, static = split_arguments(args, kwargs)

        def flat(*leaves):
            return jax.tree.leaves(static.call(fun, leaves))

        program = flatten(jax.make_jaxpr(flat)(*arrays))
        _, margin = _run(program, arrays)
        return margin

    return measured


def _run(program: Program, operands) -> tuple[list[Any], Array]:
    """The outputs of a program and the smallest margin met on the way."""
    values = {**program.constants, **dict(zip(program.inputs, operands, strict=True))}
    margin = jnp.asarray(jnp.inf)
    for equation in program.equations:
        ins = [values[i] for i in equation.ins]
        if equation.primitive is declare_p and equation.params["measured"]:
            margin = jnp.minimum(margin, jnp.min(ins[-1]))
        if _declares(equation.params):
            if equation.primitive is not primitives.scan_p:
                raise ValueError(
                    f"a layer declares its condition inside {equation.primitive}; allowed are "
                    "layers outside of while and cond"
                )
            outs, inside = _scan(equation, ins)
            margin = jnp.minimum(margin, inside)
        else:
            outs = equation.bind(*ins)
        values |= dict(zip(equation.outs, outs, strict=True))
    return [values[i] for i in program.outputs], margin


def _declares(params: dict[str, Any]) -> bool:
    return any(
        (eqn.primitive is declare_p and eqn.params["measured"]) or _declares(eqn.params)
        for body in inner_jaxprs(params)
        for eqn in body.eqns
    )


def _scan(equation, operands) -> tuple[list[Any], Array]:
    params = equation.params
    body = flatten(params["jaxpr"])
    consts, carried = scan_counts(equation)

    def step(carry, slices):
        outs, margin = _run(body, [*operands[:consts], *carry, *slices])
        return outs[:carried], (outs[carried:], margin)

    first, rest = operands[consts : consts + carried], operands[consts + carried :]
    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    last, (stacked, margins) = lax.scan(step, first, rest, **options)
    return [*last, *stacked], jnp.min(margins, initial=jnp.inf)
