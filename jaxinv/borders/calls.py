"""Functions with a derivative of their own, on pieces: those that treat each position alike."""

import weakref
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives

from jaxinv.borders.operations import Operation, Wanted, at_same_positions
from jaxinv.borders.pieces import NotABox
from jaxinv.symmetry.program import Equation, Program, flatten
from jaxinv.symmetry.registry import rule_of
from jaxinv.symmetry.rules.calls import pushing_jaxpr
from jaxinv.symmetry.rules.pointwise import pointwise


def _custom_jvp(wanted: Wanted) -> Any:
    """The function and its derivative, both traced, on arrays of the piece's shape."""
    equation = wanted.equation
    if equation not in _TRACED:
        _TRACED[equation] = _traced(equation, wanted.layout.shape)
    both = _TRACED[equation]
    if both is None:
        raise NotABox
    value, tangent = both

    @jax.custom_jvp
    def function(*arrays):
        return _evaluated(value, arrays, wanted.shape)

    @function.defjvp
    def _(primals, dots):
        results = _evaluated(tangent, (*primals, *dots), wanted.shape)
        return results[: len(equation.outs)], results[len(equation.outs) :]

    return function(*(at_same_positions(wanted, v) for v in wanted.operands))[wanted.out]


# The pieces of one result have these in common.
_TRACED: weakref.WeakKeyDictionary[Equation, tuple[Program, Program] | None]
_TRACED = weakref.WeakKeyDictionary()


def _traced(equation: Equation, shape: tuple[int, ...]) -> tuple[Program, Program] | None:
    """The function, and the function with its derivative, if both go position by position."""
    if not all(jnp.issubdtype(aval.dtype, jnp.inexact) for aval in equation.in_avals):
        return None
    pushing = pushing_jaxpr(equation)
    if pushing is None:
        return None
    value, tangent = flatten(equation.params["call_jaxpr"]), flatten(pushing)
    alike = _is_pointwise(value, shape) and _is_pointwise(tangent, shape)
    return (value, tangent) if alike else None


def _is_pointwise(program: Program, shape: tuple[int, ...]) -> bool:
    """Whether all that a program does is the same at each position of arrays of one shape."""
    shapes = {tuple(program.avals[i].shape) for i in (*program.inputs, *program.outputs)}
    pointwise_only = all(
        rule_of(e.primitive) is pointwise
        or (e.primitive is primitives.broadcast_in_dim_p and e.in_avals[0].shape == ())
        for e in program.equations
    )
    inner = {tuple(aval.shape) for e in program.equations for aval in e.out_avals}
    constants = {tuple(program.avals[i].shape) for i in program.constants}
    outs = {tuple(program.avals[i].shape) for i in program.outputs}
    return (
        pointwise_only and shapes | inner <= {shape, ()} and constants <= {()} and outs == {shape}
    )


def _evaluated(program: Program, arrays: Sequence, shape: Sequence[int]) -> list[Any]:
    env = dict(program.constants) | dict(zip(program.inputs, arrays, strict=True))
    for equation in program.equations:
        if equation.primitive is primitives.broadcast_in_dim_p and equation.out_avals[0].shape:
            outs = [lax.broadcast(env[equation.ins[0]], shape)]
        else:
            outs = equation.bind(*(env[i] for i in equation.ins))
        env |= dict(zip(equation.outs, outs, strict=True))
    return [env[i] for i in program.outputs]


OPERATIONS: dict[Any, Operation] = {primitives.custom_jvp_call_p: _custom_jvp}
