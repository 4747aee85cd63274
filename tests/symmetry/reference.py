"""A jaxpr run by numpy, one equation at a time: the brute force that needs no compilation.

XLA compiles each new primitive and shape for some 25 ms; a run over thousands of random programs
would do nothing else. Here every primitive is spelt by its definition, so this is also a second
opinion that shares no code with jax's evaluation. `test_reference.py` compares the two. A
primitive that is not listed is bound as it is, by jax.
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np
from jax.extend.core import Literal, primitives

from tests.symmetry.definitions import RULES, scatter

P = primitives
BODIES = {
    P.jit_p: "jaxpr",
    P.closed_call_p: "call_jaxpr",
    P.remat_p: "jaxpr",
    P.custom_jvp_call_p: "call_jaxpr",
    P.custom_vjp_call_p: "call_jaxpr",
}


def _scan(operands, params, results):
    # Not by name: how many of the operands are carried is spelt differently in jax 0.12. What is
    # scanned over has one dimension more than the body sees.
    body = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
    n_xs = sum(x.ndim > var.aval.ndim for x, var in zip(operands, body.invars, strict=True))
    n_carry = sum(
        out.aval.ndim == var.aval.ndim for out, var in zip(results, body.outvars, strict=True)
    )
    n_consts = len(operands) - n_xs - n_carry
    consts, carry = operands[:n_consts], operands[n_consts : n_consts + n_carry]
    xs = operands[n_consts + n_carry :]
    order = range(params["length"])
    stacked = []
    for i in reversed(order) if params["reverse"] else order:
        outs = evaluate(params["jaxpr"], *consts, *carry, *[x[i] for x in xs])
        carry, ys = outs[: len(carry)], outs[len(carry) :]
        stacked.append(ys)
    stacked = stacked[::-1] if params["reverse"] else stacked
    return [*carry, *[np.stack(column) for column in zip(*stacked, strict=True)]]


def _while(operands, params, _):
    n_cond, n_body = params["cond_nconsts"], params["body_nconsts"]
    cond, body = operands[:n_cond], operands[n_cond : n_cond + n_body]
    carry = operands[n_cond + n_body :]
    while True:
        (going,) = evaluate(params["cond_jaxpr"], *cond, *carry)
        if not going.any():
            return carry
        after = evaluate(params["body_jaxpr"], *body, *carry)
        # Under vmap each element of the batch stops by itself.
        carry = [
            np.where(going.reshape(going.shape + (1,) * (new.ndim - going.ndim)), new, old)
            for new, old in zip(after, carry, strict=True)
        ]


def _cond(operands, params, _):
    which, *rest = operands
    branches = params["branches"]
    return evaluate(branches[int(np.clip(which, 0, len(branches) - 1))], *rest)


def _scatter(operand, indices, updates, *, update_jaxpr, update_consts, **params):
    """A replacement, or a function of the caller's own (`apply`) of what is there."""
    assert not update_consts

    def applied(old, new):
        return new if update_jaxpr is None else evaluate(update_jaxpr, old, new)[0]

    return scatter(applied)(operand, indices, updates, **params)


CONTROL = {P.scan_p: _scan, P.while_p: _while, P.cond_p: _cond}


def evaluate(closed, *operands) -> list:
    """The outputs of a jaxpr (what `jax.make_jaxpr` returned) on numpy arrays."""
    with np.errstate(all="ignore"):
        return _evaluate(closed, operands)


def _evaluate(closed, operands):
    body = getattr(closed, "jaxpr", closed)
    values = dict(zip(body.constvars, getattr(closed, "consts", ()), strict=True))
    values.update(zip(body.invars, operands, strict=True))

    def read(atom):
        return _array(atom.val if isinstance(atom, Literal) else values[atom], atom.aval)

    for eqn in body.eqns:
        ins = [read(atom) for atom in eqn.invars]
        if eqn.primitive in BODIES:
            outs = _evaluate(eqn.params[BODIES[eqn.primitive]], ins)
        elif eqn.primitive in CONTROL:
            outs = CONTROL[eqn.primitive](ins, eqn.params, eqn.outvars)
        else:
            rule = None if any(map(_is_key, eqn.invars)) else RULES.get(eqn.primitive)
            rule = rule or functools.partial(_bound_by_jax, eqn.primitive)
            rule = _scatter if eqn.primitive is P.scatter_p else rule
            outs = rule(*ins, **eqn.params)
            outs = outs if eqn.primitive.multiple_results else [outs]
        values.update(zip(eqn.outvars, outs, strict=True))
    return [read(atom) for atom in body.outvars]


def _array(value, aval):
    """A numpy array of the dtype that the program says; keys and references stay what they are."""
    if hasattr(aval, "inner_aval") or _holds_keys(aval):
        return value
    return np.asarray(value).astype(aval.dtype, copy=False)


def _holds_keys(aval) -> bool:
    return jax.dtypes.issubdtype(getattr(aval, "dtype", None), jax.dtypes.extended)


def _is_key(atom) -> bool:
    return _holds_keys(atom.aval)


@functools.cache
def _gamma(log_space):
    """JAX compiles a loop at each call of its own, which takes seconds."""
    return jax.jit(functools.partial(P.random_gamma_p.bind, log_space=log_space))


def _bound_by_jax(primitive, *operands, **params):
    if primitive is P.random_gamma_p:
        return _gamma(**params)(*operands)
    bound = primitive.bind(*operands, **primitive.get_bind_params(params))
    return list(bound) if primitive.multiple_results else bound


def equations(jaxpr) -> Iterator:
    """All equations of a jaxpr and of the jaxprs within it."""
    body = getattr(jaxpr, "jaxpr", jaxpr)
    for equation in body.eqns:
        yield equation
        for inner in jaxprs_in(tuple(equation.params.values())):
            yield from equations(inner)


def jaxprs_in(value) -> Iterator:
    if hasattr(getattr(value, "jaxpr", value), "eqns"):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from jaxprs_in(item)
    elif isinstance(value, dict):
        yield from jaxprs_in(tuple(value.values()))


def run(fun, x) -> list:
    """The leaves of `fun(x)`, traced by jax and evaluated by numpy."""
    return evaluate(jax.make_jaxpr(fun)(x), x)
