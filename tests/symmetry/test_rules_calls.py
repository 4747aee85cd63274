"""Calls, loops and primitives without a rule: states, values and gradients at every shift."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry import walk
from jaxinv.symmetry.program import flatten
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.values import tracked_input
from jaxinv.symmetry.walk import torus_of
from tests.symmetry.shifted import (
    assert_same_gradient,
    assert_states,
    drawn,
)

pytestmark = pytest.mark.usefixtures("x64")

# Captured by bodies: they are operands of a loop, which its body sees as inputs.
AROUND = np.array([0.5, -1.0, 2.0, 0.25])[(np.arange(4) - np.arange(4)[:, None]) % 4]
MIXED_AROUND = np.roll(np.eye(4), 1, 0)
ROLLED, COORDINATES = np.array([2, 3, 4, 5, 0, 1]), np.arange(4.0)[:, None]
EVERY = "1,1 | P2 W6 W4 P3"
BROKEN = "6,4 | P2 P6 P4 P3"


def circular(x, kernel=None):
    kernel = drawn(3, 3, 3, 3) if kernel is None else kernel
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def repeated(x, goes_on):
    return lax.while_loop(lambda c: goes_on(*c), lambda c: (circular(c[0]), c[1] + 1), (x, 0))[0]


def upsampled(x):
    return jnp.repeat(x[:, ::2], 2, axis=1)


@jax.custom_jvp
def doubled(x):
    return jnp.tanh(x)


doubled.defjvp(lambda primals, tangents: (doubled(*primals), 2.0 * tangents[0]))


@jax.custom_jvp
def rolling_derivative(x):
    return jnp.sin(x)


rolling_derivative.defjvp(
    lambda primals, tangents: (rolling_derivative(*primals), tangents[0] * jnp.arange(4.0)[:, None])
)


@jax.custom_jvp
def counted(n):
    return 2 * n


counted.defjvp(lambda primals, tangents: (counted(*primals), tangents[0]))


@jax.custom_vjp
def clipped(x):
    return jnp.sin(x)


clipped.defvjp(lambda x: (jnp.sin(x), None), lambda _, ct: (jnp.clip(ct, -0.1, 0.1),))


@jax.custom_jvp
def untraceable_derivative(x):
    return clipped(2 * x)


# Forward mode does not get through `custom_vjp`: the rule raises, which is nobody's concern here.
untraceable_derivative.defjvp(lambda p, t: jax.jvp(lambda x: clipped(2 * x), p, t))


def test_calls(x):
    cases = {
        "jit": (lambda x: jax.jit(circular)(x), EVERY),
        "remat": (lambda x: jax.checkpoint(lambda y: jnp.sin(circular(y)))(x), EVERY),
        "custom_jvp": (lambda x: doubled(circular(x)), EVERY),
        "custom_jvp of integers": (
            lambda x: counted((x > 0).astype(int)),
            BROKEN,
        ),
        "custom_jvp that moves otherwise": (rolling_derivative, BROKEN),
        "custom_jvp that cannot be traced": (untraceable_derivative, BROKEN),
        "custom_vjp": (clipped, BROKEN),
        "custom_vjp of what no shift changes": (lambda x: clipped(x.mean((1, 2))), "6,4 | P2 P3"),
        "custom_vjp of a constant": (lambda x: x * clipped(drawn(3)), EVERY),
        "custom_vjp in a branch": (
            lambda x: lax.cond(x[0, 0, 0, 0] > 0, clipped, jnp.cos, x.mean((1, 2))),
            "6,4 | P2 P3",
        ),
    }
    assert_states(cases, x)


def test_loops(x):
    kernels = drawn(2, 3, 3, 3, 3)

    def scanned(body, first=lambda x: x, xs=kernels, take=0):
        return lambda x: lax.scan(functools.partial(body, x), first(x), xs)[take]

    cases = {
        "layers": (scanned(lambda _, c, k: (jnp.tanh(circular(c, k)), None)), EVERY),
        "what it returns": (
            scanned(lambda _, c, k: (circular(c, k), c.sum((1, 2))), take=1),
            "1,1 | P2 P2 P3",
        ),
        "another offset": (scanned(lambda _, c, k: (jnp.roll(c, 1, 1), None)), EVERY),
        "a carry that starts at zero": (
            scanned(lambda x, c, k: (c + circular(x, k), None), jnp.zeros_like),
            EVERY,
        ),
        "a carry that starts at zero and is convolved": (
            scanned(lambda x, c, k: (jnp.tanh(x + circular(c, k)), None), jnp.zeros_like),
            EVERY,
        ),
        "a table of distances from outside": (
            scanned(lambda _, c, k: (jnp.tanh(AROUND @ c + MIXED_AROUND @ c), None)),
            EVERY,
        ),
        "places that are known outside": (
            scanned(lambda _, c, k: (jnp.tanh(c[:, ROLLED]), None)),
            EVERY,
        ),
        "coordinates from outside": (
            scanned(lambda _, c, k: (c * COORDINATES, None)),
            "1,4 | P2 W6 P4 P3",
        ),
        "a while with a table from outside": (
            lambda x: lax.while_loop(
                lambda c: c[1] < 3, lambda c: (jnp.tanh(AROUND @ c[0]), c[1] + 1), (x, 0)
            )[0],
            EVERY,
        ),
        "a period that grows": (
            scanned(lambda _, c, k: (upsampled(c) * 2, None)),
            "2,1 | P2 W3*P2 W4 P3",
        ),
        "one axis that ends": (
            scanned(lambda _, c, k: (c * jnp.arange(4.0)[:, None], None)),
            "1,4 | P2 W6 P4 P3",
        ),
        "along channels": (
            lambda x: lax.scan(lambda c, v: (c + v, c), x[..., 0], jnp.moveaxis(x, 3, 0))[1],
            "1,1 | P3 P2 W6 W4",
        ),
        "along one example": (lambda x: lax.map(jnp.sin, x[:1]), "1,1 | 1 W6 W4 P3"),
        "along positions": (
            lambda x: lax.scan(lambda c, v: (c + v, None), x[:, 0], jnp.moveaxis(x, 1, 0))[0],
            "6,1 | P2 W4 P3",
        ),
        "a map over positions": (
            lambda x: jnp.moveaxis(
                lax.map(lambda row: row - row.max(1, keepdims=True), x.swapaxes(0, 1)), 0, 1
            ),
            EVERY,
        ),
        "a map over two rows, with a constant": (
            lambda x: lax.map(
                lambda rows: rows[0] * drawn(3) + rows[1].sum(),
                (x.swapaxes(0, 1), jnp.roll(x, 2, 1).swapaxes(0, 1)),
            ),
            "1,1 | W6 P2 W4 P3",
        ),
        "a map over every second position": (
            lambda x: lax.map(jnp.sin, x[:, 1::2].swapaxes(0, 1)),
            "2,1 | W3 P2 W4 P3",
        ),
        "a map over blocks of positions": (
            lambda x: lax.map(jnp.sin, x.swapaxes(0, 1), batch_size=2),
            "2,1 | W3*P2 P2 W4 P3",
        ),
        "while": (
            lambda x: lax.while_loop(
                lambda c: (c[1] < 3) & (c[0].sum() < 1e9),
                lambda c: (circular(c[0]), c[1] + 1),
                (x, 0),
            )[0],
            EVERY,
        ),
        "while, as long as each shift needs": (
            lambda x: lax.while_loop(
                lambda c: c[1] < 4 * jnp.abs(x[0, 0, 0, 0]),
                lambda c: (circular(c[0]), c[1] + 1),
                (x, 0),
            )[0],
            BROKEN,
        ),
        "mapped, as long as each column needs": (
            jax.vmap(jax.vmap(lambda v: lax.while_loop(lambda v: v.max() > 0.5, jnp.sin, v), 1, 1)),
            EVERY,
        ),
        "mapped, of as many rounds as a table says": (
            lambda x: jax.vmap(
                lambda n, v: lax.fori_loop(0, n, lambda i, v: jnp.sin(v), v), (0, 2), 2
            )(jnp.arange(4), x),
            "1,4 | P2 W6 P4 P3",
        ),
        "for": (
            lambda x: lax.fori_loop(0, 2, lambda i, c: circular(c, kernels[i]) * i, x),
            EVERY,
        ),
    }
    assert_states(cases, x)


def test_branches(x):
    cases = {
        "alike": (lambda x: lax.cond(x.sum() > 0, circular, jnp.sin, x), EVERY),
        "two periods": (
            lambda x: lax.cond(x.sum() > 0, upsampled, lambda x: x, x),
            "2,1 | P2 W3*P2 W4 P3",
        ),
        "one that is the same everywhere": (
            lambda x: lax.switch(
                x.mean((0, 1, 2)).argmax(), [jnp.zeros_like, jnp.sin, lambda x: x], x
            ),
            EVERY,
        ),
        "one that differs between positions": (
            lambda x: lax.cond(x.sum() > 0, lambda x: x + drawn(4, 1), jnp.sin, x),
            "1,4 | P2 W6 P4 P3",
        ),
        "by a single position": (
            lambda x: lax.cond(x[0, 0, 0, 0] > 0, circular, jnp.sin, x),
            BROKEN,
        ),
        "by a single row": (
            lambda x: lax.cond(x[0, 0].sum() > 0, circular, jnp.sin, x),
            "6,1 | P2 P6 W4 P3",
        ),
        "by a polyphase component": (
            lambda x: lax.cond(x[:, ::2].sum() > 0, circular, jnp.sin, x),
            "2,1 | P2 W6/2 W4 P3",
        ),
        "of three, by a polyphase component": (
            lambda x: lax.switch(
                x[:, :, 1::2].mean((0, 1, 2)).argmax(), [jnp.zeros_like, jnp.sin, circular], x
            ),
            "1,2 | P2 W6 W4/2 P3",
        ),
    }
    assert_states(cases, x)


def test_gradients_of_branches_that_cosets_choose(x):
    def fun(x):
        index = x[:, ::2].mean((0, 1, 2)).argmax()
        return lax.switch(index, [jnp.zeros_like, jnp.sin, lambda x: jnp.abs(x) ** 3], x)

    assert_same_gradient(fun, jnp.round(2 * x))


def test_what_a_loop_carries_is_not_what_it_started_as(x):
    def ends(one, other):
        return jnp.concatenate([one[:, 3:], other[:, :3]], 1)

    broken = "6,1 | P2 P6 W4 P3"
    cases = {
        "scan": (
            lambda x: lax.scan(lambda c, _: (ends(x, c), None), x, None, length=2)[0],
            broken,
        ),
        "of two that started alike": (
            lambda x: lax.scan(lambda c, _: ((ends(*c), 2 * c[1]), None), (x, x), None, length=3)[
                0
            ][0],
            broken,
        ),
        "while": (lambda x: lax.fori_loop(0, 3, lambda i, c: ends(c, x), x), broken),
        "of one": (
            lambda x: lax.fori_loop(0, 3, lambda i, c: ends(c, c), x),
            "1,1 | P2 W6 W4 P3",
        ),
    }
    assert_states(cases, x)


@jax.custom_jvp
def with_ends_of_its_tangent(x):
    return jnp.sin(x)


@with_ends_of_its_tangent.defjvp
def _(primals, tangents):
    # Of the one piece nothing is sent back; the other is no continuation of it.
    return jnp.sin(*primals), jnp.concatenate([primals[0][:, :3], tangents[0][:, 3:]], 1)


def test_a_tangent_is_not_its_value(x):
    assert_same_gradient(with_ends_of_its_tangent, x)


def test_no_rule(x):
    cases = {
        "along channels": (lambda x: lax.approx_max_k(x, 2)[0], "6,4 | P2 P6 P4 P2"),
        "with several results": (lambda x: lax.approx_max_k(x, 2)[1], "6,4 | P2 P6 P4 P2"),
        "of what does not move": (lambda x: lax.approx_max_k(x.mean((1, 2)), 2)[0], "1,1 | P2 P2"),
        "of cosets": (lambda x: lax.approx_max_k(x[:, ::2].mean((1, 2)), 2)[0], "2,1 | P2 P2"),
        "of two periods": (
            lambda x: lax.clamp(
                -1.0, lax.approx_max_k(x[:, ::2].mean((1, 2)) + x.sum((1, 2)), 1)[0], 1.0
            ),
            "2,1 | P2 1",
        ),
    }
    assert_states(cases, x)


def dense(x):
    return x.reshape(2, 72) @ drawn(72, 2)


dense_of_its_own = jax.custom_jvp(dense)
dense_of_its_own.defjvp(lambda x, dot: (dense(*x), 3 * dense(*dot)))


GRADIENTS = {
    "relu at its kink": lambda x: jax.nn.relu(circular(jnp.round(x)) * 0.0),
    "pool of ties": lambda x: lax.reduce_window(
        jnp.round(x), -jnp.inf, lax.max, (1, 3, 2, 1), (1, 1, 2, 1), "VALID"
    ),
    "long pool of ties": lambda x: lax.reduce_window(
        jnp.concatenate([jnp.round(x)] * 2, 1), jnp.inf, lax.min, (1, 9, 1, 1), (1,) * 4, "VALID"
    ),
    "custom_jvp": lambda x: doubled(circular(x)),
    "custom_jvp that moves otherwise": rolling_derivative,
    "custom_jvp of a dense layer": lambda x: dense_of_its_own(jnp.sin(x)),
    "custom_jvp twice": lambda x: jax.grad(lambda y: doubled(y * x).sum())(x),
    "remat": lambda x: jax.checkpoint(lambda y: jnp.sin(circular(y)))(x),
    "custom_vjp": lambda x: clipped(circular(x)),
    "custom_vjp of what no shift changes": lambda x: clipped(x.mean((1, 2))),
    "custom_vjp in remat": lambda x: jax.checkpoint(clipped)(x[:, ::2].mean((1, 2))),
    "custom_vjp in a scan": lambda x: lax.scan(
        lambda c, k: (clipped(c * k), None), x.mean((1, 2)), drawn(2, 3)
    )[0],
    "custom_vjp in a branch": lambda x: lax.cond(
        x[0, 0, 0, 0] > 0, clipped, jnp.cos, x.mean((1, 2))
    ),
    "stop_gradient": lambda x: lax.stop_gradient(x) * circular(x),
    "scan": lambda x: lax.scan(lambda c, k: (upsampled(c) * k, c), x, drawn(2, 3)),
    "map over positions": lambda x: lax.map(lambda r: r / (1 + r.max()), x.swapaxes(0, 1)),
    "cond": lambda x: lax.cond(x.sum() > 0, upsampled, jnp.sin, x),
    "flatten + dense": lambda x: x[:, ::2].reshape(2, 36) @ drawn(36, 2),
    "sorted positions": lambda x: jnp.sort(x, axis=1)[:, 1],
    "partial sum": lambda x: x[:, 1:].sum((1, 2)),
    "update": lambda x: x.at[..., 0].set(x[..., 1] ** 2).at[..., 2].add(x[..., 1]),
    "largest": lambda x: lax.top_k(x.mean(1), 1)[0],
}


@pytest.mark.parametrize("start", range(0, len(GRADIENTS), 5))
def test_gradients(x, start):
    chosen = list(GRADIENTS.values())[start : start + 5]
    assert_same_gradient(lambda x: [fun(x) for fun in chosen], x)


def test_what_is_stored_for_the_backward_pass_stays_as_the_program_says(x):
    def fun(x):
        return jax.checkpoint(jnp.sin, policy=jax.checkpoint_policies.nothing_saveable)(x)

    program = flatten(jax.make_jaxpr(fun)(x), enter=False)
    torus = torus_of((6, 4))
    ctx = Context(torus, program, computes=True)

    def base(x):
        return walk.evaluate(ctx, program, [tracked_input(x, x.shape, (1, 2), (0, 0), torus)])[
            0
        ].base

    (equation,) = [
        e for e in jax.make_jaxpr(base)(x).jaxpr.eqns if e.primitive is primitives.remat_p
    ]
    assert equation.params["policy"] is jax.checkpoint_policies.nothing_saveable
