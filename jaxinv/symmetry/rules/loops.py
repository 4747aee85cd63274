"""Control flow: a loop is read until what it carries moves the same way before and after its body.

The state of a carried value is the join of what goes in and what comes out: the least state that
both can be brought to. It only ever rises, so that a few readings of the body suffice.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import jaxpr_as_fun

from jaxinv.symmetry.align import align, decisions_of, met
from jaxinv.symmetry.cost import flops_of_body
from jaxinv.symmetry.factoring import as_plain
from jaxinv.symmetry.program import Equation, Program, open_jaxpr
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import rule
from jaxinv.symmetry.relayout import Context, Findings, period_of
from jaxinv.symmetry.rules.calls import (
    Body,
    body_of,
    report,
    same_states,
    states_of,
    with_results,
)
from jaxinv.symmetry.rules.fallback import at_each_coset
from jaxinv.symmetry.rules.pointwise import combined
from jaxinv.symmetry.values import Plain, Value, stored_shape
from jaxinv.symmetry.walk import evaluate

# Readings of a body after which what it carries counts as never the same.
_ROUNDS = 32
CHANGES = Cause.LOOP_CHANGES()


def joined(ctx: Context, one: Value, other: Value, reason: Reason) -> Value:
    """The least state that both values can be brought to, without an array."""
    pair = states_of([one, other])
    meetings = [(dim, dim) for dim in range(len(one.dims))]
    pair = align(ctx, pair, meetings, reason=reason)
    dims = tuple(met(pair, meeting) for meeting in meetings)
    touched = one.touched or other.touched
    return Value(period_of(pair), dims, None, object(), decisions_of(pair), touched)


def in_state(ctx: Context, value: Value, state: Value) -> Value:
    """The value brought to a state that it was joined into, with all of it stored."""
    meetings = [(dim, dim) for dim in range(len(state.dims))]
    target, value = align(ctx, [*states_of([state]), value], meetings)
    rows = tuple(met([target, value], meeting) for meeting in meetings)
    if rows != state.dims or period_of([target, value]) != state.period:
        raise RuntimeError("a value does not fit the state that it was joined into")
    stored = stored_shape(ctx.torus, state)
    written = value.on_base(lambda base: jnp.broadcast_to(base, stored))
    return state.with_base(written.base)


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """A body and the states in which it is entered again and again.

    Attributes:
      body: the body on its operands, those carried in their final states.
      first: the index of the first carried operand of the body.
      carry: the states of what is carried.
      results: the states of all results of the body, as they come.
    """

    body: Body
    first: int
    carry: list[Value]
    results: list[Value]

    def __call__(self, *bases):
        """The bases of the results from those of the operands, what is carried in its state."""
        ctx = self.body.ctx
        outs = with_results(self.results, self.body(*bases))
        states = [*self.carry, *self.results[len(self.carry) :]]
        return [in_state(ctx, v, s).base for v, s in zip(outs, states, strict=True)]


def _settled(
    ctx: Context, body: Body, first: int, count: int, length: int | None = None
) -> Loop | None:
    """The loop whose carried values are in states that its body keeps, if there are such.

    On the line, where padding eats into what is valid round by round, no more rounds are read than
    a scan of known length makes.
    """
    operands = states_of(body.operands)
    touched = any(v.touched for v in operands)
    # What is carried is another array in each round, whatever it started as.
    carry = [
        dataclasses.replace(v, touched=touched, origin=object())
        for v in operands[first : first + count]
    ]
    findings = Findings()
    quiet = dataclasses.replace(ctx, computes=False, findings=findings)
    for round_ in range(_ROUNDS):
        operands[first : first + count] = carry
        body = dataclasses.replace(body, operands=list(operands))
        results, findings_of_body = body.analysed()
        risen = [
            joined(quiet, before, after, CHANGES)
            for before, after in zip(carry, results[:count], strict=True)
        ]
        report(ctx, findings_of_body)
        if same_states(carry, risen) or (ctx.torus.endless and round_ + 1 == length):
            report(ctx, findings)
            return Loop(body, first, risen, results)
        carry = risen
    return None


def scan_counts(equation: Equation) -> tuple[int, int]:
    """The operands of a scan that its body sees as they are, and those that it carries.

    What it runs along has one dimension more outside of the body than inside (the parameters that
    say so differ between jax releases).
    """
    body, _ = open_jaxpr(equation.params["jaxpr"])
    whole = [
        aval.ndim == var.aval.ndim for aval, var in zip(equation.in_avals, body.invars, strict=True)
    ]
    carried = [
        aval.ndim == var.aval.ndim
        for aval, var in zip(equation.out_avals, body.outvars, strict=True)
    ]
    return sum(whole) - sum(carried), sum(carried)


@rule("scan", flops=flops_of_body)
def scan(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """A loop over slices of operands; an axis that moves along what is sliced ends.

    Where nothing is carried from one slice to the next, the body is applied to all of them at once.
    """
    params = equation.params
    n_consts, n_carry = scan_counts(equation)
    if n_carry == 0 and any(x.moves_in(0) for x in operands[n_consts:]):
        program = _mapped(ctx, equation, n_consts)
        if program is not None:
            return evaluate(ctx, program, operands)
    consts, carry = operands[:n_consts], operands[n_consts : n_consts + n_carry]
    xs = operands[n_consts + n_carry :]
    xs = tuple(as_plain(ctx, x, 0, Cause.SCAN_ALONG()) for x in xs)
    slices = [
        dataclasses.replace(x, base=None, dims=x.dims[1:], origin=("slice", x.origin)) for x in xs
    ]
    program = body_of(ctx, params["jaxpr"], equation.ins[:n_consts])
    body = Body(ctx, program, [*consts, *carry, *slices])
    loop = _settled(ctx, body, n_consts, n_carry, params["length"])
    if loop is None:
        return at_each_coset(ctx, equation, operands, CHANGES)
    stacked = (Plain(params["length"]),) if params["length"] != 1 else ()
    states = [
        *loop.carry,
        *(
            dataclasses.replace(v, dims=(stacked, *v.dims), origin=object())
            for v in loop.results[n_carry:]
        ),
    ]
    if not ctx.computes:
        return states

    def step(carried, x):
        results = loop(*(v.base for v in consts), *carried, *x)
        return results[:n_carry], results[n_carry:]

    carried, ys = lax.scan(
        step,
        [in_state(ctx, v, s).base for v, s in zip(carry, loop.carry, strict=True)],
        [jnp.moveaxis(x.base, x.place(0), 0) if x.dims[0] else x.base[None] for x in xs],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    n_axes = len(ctx.torus.lengths)
    ys = [jnp.moveaxis(y, 0, n_axes) if stacked else y[0] for y in ys]
    return with_results(states, [*carried, *ys])


def _mapped(ctx: Context, equation: Equation, n_consts: int) -> Program | None:
    """The body of a scan that carries nothing, mapped over the slices; None if JAX cannot do it."""
    n_xs = len(equation.in_avals) - n_consts
    body = jax.vmap(
        jaxpr_as_fun(equation.params["jaxpr"]),
        in_axes=[None] * n_consts + [0] * n_xs,
        axis_size=equation.params["length"],
    )
    try:
        return body_of(ctx, jax.make_jaxpr(body)(*equation.in_avals), equation.ins[:n_consts])
    except Exception:  # a callback that does not say how it is mapped
        return None


@rule("while")
def while_(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """A loop that all shifts leave at the same time."""
    params = equation.params
    (goes_on,) = open_jaxpr(params["cond_jaxpr"])[0].outvars
    if goes_on.aval.shape:
        return evaluate(ctx, _left_one_by_one(ctx, equation), operands)
    n_cond, n_body = params["cond_nconsts"], params["body_nconsts"]
    cond_consts, body_consts = operands[:n_cond], operands[n_cond : n_cond + n_body]
    carry = operands[n_cond + n_body :]
    program = body_of(ctx, params["body_jaxpr"], equation.ins[n_cond : n_cond + n_body])
    body = Body(ctx, program, [*body_consts, *carry])
    loop = _settled(ctx, body, n_body, len(carry))
    if loop is None:
        return at_each_coset(ctx, equation, operands, CHANGES)
    program = body_of(ctx, params["cond_jaxpr"], equation.ins[:n_cond])
    test = Body(ctx, program, [*cond_consts, *loop.carry])
    (verdict,), _ = test.analysed()
    if not verdict.is_constant:
        return at_each_coset(ctx, equation, operands, Cause.LOOP_EXITS())
    if not ctx.computes:
        return loop.carry
    results = lax.while_loop(
        lambda carried: jnp.reshape(test(*(v.base for v in cond_consts), *carried)[0], ()),
        lambda carried: loop(*(v.base for v in body_consts), *carried),
        [in_state(ctx, v, s).base for v, s in zip(carry, loop.carry, strict=True)],
    )
    return with_results(loop.carry, results)


def _left_one_by_one(ctx: Context, equation: Equation) -> Program:
    """A mapped loop, which each position leaves by itself, as one that keeps those that left."""
    params = equation.params
    n_cond, n_body = params["cond_nconsts"], params["body_nconsts"]
    go_on, step = (jaxpr_as_fun(params[name]) for name in ("cond_jaxpr", "body_jaxpr"))

    def loop(*operands):
        body_consts = operands[n_cond : n_cond + n_body]

        def which(carry):
            return go_on(*operands[:n_cond], *carry)[0]

        def kept(carry):
            going, after = which(carry), step(*body_consts, *carry)
            return [
                # (*mapped) -> (*mapped, 1, ..., 1)
                jnp.where(going.reshape(going.shape + (1,) * (new.ndim - going.ndim)), new, old)
                for new, old in zip(after, carry, strict=True)
            ]

        return lax.while_loop(lambda c: which(c).any(), kept, list(operands[n_cond + n_body :]))

    return body_of(ctx, jax.make_jaxpr(loop)(*equation.in_avals), equation.ins)


@rule("cond")
def cond(ctx: Context, equation: Equation, index: Value, *operands: Value) -> list[Value]:
    """A choice, made once where all shifts make it alike; else all branches, and each shift's."""
    programs = [body_of(ctx, jaxpr, equation.ins[1:]) for jaxpr in equation.params["branches"]]
    bodies = [Body(ctx, program, operands) for program in programs]
    quiet = dataclasses.replace(ctx, computes=False)
    rows = []
    for body in bodies:
        results, findings = body.analysed()
        report(ctx, findings)
        rows.append(results)
    states = rows[0]
    for row in rows[1:]:
        states = [
            joined(quiet, one, other, Cause.BRANCHES_DIFFER())
            for one, other in zip(states, row, strict=True)
        ]

    def branch(body: Body, results: list[Value]):
        def run(*bases):
            outs = with_results(results, body(*bases))
            return [in_state(ctx, v, s).base for v, s in zip(outs, states, strict=True)]

        return run

    branches = [branch(body, row) for body, row in zip(bodies, rows, strict=True)]
    bases = [v.base for v in operands]
    if not index.is_constant:
        cases = [with_results(states, run(*bases)) if ctx.computes else states for run in branches]
        return [_chosen(ctx, index, column) for column in zip(*cases, strict=True)]
    if not ctx.computes:
        return states
    choice = jnp.reshape(index.base, ()).astype(jnp.int32)
    return with_results(states, lax.switch(choice, branches, *bases))


def _chosen(ctx: Context, index: Value, cases: Sequence[Value]) -> Value:
    """Of each coset the case that its index says, clamped as `cond` clamps it."""
    for axis, thinner in enumerate(period_of([index, *cases])):
        if thinner > max(v.period[axis] for v in cases):
            ctx.note(axis, Cause.BRANCH_CHOICES(period=thinner))

    def choose(which, *arrays):
        return [lax.select_n(jnp.clip(which.astype(jnp.int32), 0, len(arrays) - 1), *arrays)]

    (value,) = combined(ctx, cases[0].shape, choose, [index, *cases])
    return value
