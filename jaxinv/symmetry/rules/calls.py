"""Calls that mean more than their body: what is stored, what is differentiated.

Where values alone matter, the program is flattened with their bodies in their place. What is
differentiated keeps what a call adds: `remat` stays a `jax.checkpoint`, a custom derivative stays
the derivative, on the bases.
A custom backward pass may treat the cotangents of two shifts differently than their sum (gradient
clipping does), so a `custom_vjp` function is run at each shift.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.symmetry.cost import flops_of_body
from jaxinv.symmetry.program import Equation, Program, flatten
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, Findings
from jaxinv.symmetry.rules.fallback import at_each_coset, at_every_shift
from jaxinv.symmetry.values import Value
from jaxinv.symmetry.walk import evaluate


def states_of(values: Sequence[Value]) -> list[Value]:
    """The values without their arrays."""
    return [dataclasses.replace(v, base=None) for v in values]


def body_of(ctx: Context, jaxpr, same: Sequence[int] = ()) -> Program:
    """A body as a program of its own.

    Args:
      ctx: the context.
      jaxpr: the body.
      same: the values of the context's program that its first inputs are, whenever it is entered.
    """
    # A derivative may call its own function, whose derivative calls it again: there it ends.
    body = flatten(
        jaxpr,
        enter=not ctx.differentiated or ctx.order > 1,
        outside=[(ctx.program, number) for number in same],
    )
    return dataclasses.replace(body, is_body=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Body:
    """A body, how its results move, and what was found on the way."""

    ctx: Context
    program: Program
    operands: Sequence[Value]

    def analysed(self) -> tuple[list[Value], Findings]:
        """The states of the results."""
        findings = Findings()
        quiet = dataclasses.replace(self.ctx, computes=False, findings=findings)
        return evaluate(quiet, self.program, states_of(self.operands)), findings

    def __call__(self, *bases):
        """The bases of the results from those of the operands."""
        values = [dataclasses.replace(v, base=b) for v, b in zip(self.operands, bases, strict=True)]
        outs = evaluate(self.ctx, self.program, values)
        expected, _ = self.analysed()
        if not same_states(outs, expected):
            raise RuntimeError("a derivative moves differently than its function was found to")
        return [v.base for v in outs]


def with_results(states: Sequence[Value], results) -> list[Value]:
    """The states with their arrays."""
    return [s.with_base(r) for s, r in zip(states, results, strict=True)]


def report(ctx: Context, findings: Findings) -> None:
    """Passes on what was found in a body."""
    for axis, reasons in findings.notes.items():
        for reason in reasons:
            ctx.note(axis, reason)
    ctx.findings.expanded |= findings.expanded


@rule("remat", flops=flops_of_body)
def remat(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """The body, with what it stores for the backward pass as the program says."""
    params = equation.params
    body = Body(ctx, body_of(ctx, params["jaxpr"], equation.ins), operands)
    outs, findings = body.analysed()
    report(ctx, findings)
    if not ctx.computes:
        return outs
    fun = jax.checkpoint(body, policy=params["policy"], prevent_cse=params["prevent_cse"])
    return with_results(outs, fun(*(v.base for v in operands)))


@rule("custom_jvp_call", flops=flops_of_body)
def custom_jvp(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """The body, with its own derivative carried over to the bases."""
    body = Body(ctx, body_of(ctx, equation.params["call_jaxpr"]), operands)
    outs, findings = body.analysed()
    smooth = all(jnp.issubdtype(aval.dtype, jnp.inexact) for aval in equation.in_avals)
    if findings.expanded or not smooth:
        return at_each_coset(ctx, equation, operands, Cause.DERIVATIVE_MIXES())
    up = dataclasses.replace(ctx, order=ctx.order + 1)
    pushing = pushing_jaxpr(equation)
    if pushing is None:
        return at_each_coset(ctx, equation, operands, Cause.DERIVATIVE_UNTRACEABLE())
    dots = [dataclasses.replace(v, origin=("tangent", v.origin)) for v in operands]
    pushed = Body(up, body_of(ctx, pushing), [*operands, *dots])
    both, findings_of_both = pushed.analysed()
    if findings_of_both.expanded or not same_states(outs, both[: len(outs)], both[len(outs) :]):
        return at_each_coset(ctx, equation, operands, Cause.DERIVATIVE_MOVES())
    linear = dataclasses.replace(ctx, transposable=True, findings=Findings())
    pushed = dataclasses.replace(pushed, ctx=linear)
    report(ctx, findings)
    if not ctx.computes:
        return outs
    fun = jax.custom_jvp(body)

    @fun.defjvp
    def _(primals, tangents):
        results = pushed(*primals, *tangents)
        values, dots = results[: len(outs)], results[len(outs) :]
        return values, [jnp.broadcast_to(d, v.shape) for d, v in zip(dots, values, strict=True)]

    return with_results(outs, fun(*(v.base for v in operands)))


@rule("custom_vjp_call", flops=flops_of_body)
def custom_vjp(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """Each shift by itself: a backward pass need not be linear."""
    return at_every_shift(ctx, equation, operands, Cause.OWN_BACKWARD())


def same_states(*rows: Sequence[Value]) -> bool:
    """Whether values in the same place of each row move in the same way."""
    return all(
        len({(v.period, v.dims, v.decisions) for v in column}) == 1
        for column in zip(*rows, strict=True)
    )


def pushing_jaxpr(equation: Equation) -> Any:
    """The function together with its custom derivative, as a jaxpr of doubled operands.

    None if the caller's rule raises: that is for whoever differentiates to hear.
    """
    n = len(equation.in_avals)

    def push(*operands):
        outs, dots = jax.jvp(equation.bind, operands[:n], operands[n:])
        return [*outs, *dots]

    try:
        return jax.make_jaxpr(push)(*equation.in_avals, *equation.in_avals)
    except Exception:
        return None
