"""Programs have the same name if and only if they compute the same: in any process, any order."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.digest import content_digest, program_digest

X = jax.ShapeDtypeStruct((3, 3), np.float32)
TABLE = np.arange(9.0, dtype=np.float32).reshape(3, 3)


def network(x, *, table=TABLE, scale=2.0, padding="SAME", order=(0, 1), seed=0, power=2):
    @jax.custom_vjp
    def weighted(y):
        return y * table

    weighted.defvjp(lambda y: (y, None), lambda _, dy: (dy,))
    y = jax.jit(lambda z: jax.nn.relu(z) + table[0])(x)
    y = jax.checkpoint(weighted)(y).transpose(order)
    y = jax.lax.scan(lambda c, t: (c + t * scale, None), y, jnp.arange(3.0))[0]
    y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (2, 2), (1, 1), padding)
    noise = jax.random.normal(jax.random.key(seed), (3, 3))
    return jax.lax.cond(y.sum() > 0, lambda z: z**power, lambda z: -z, y[:2, :2]) + noise[:2, :2]


def negative_zero():
    table = TABLE.copy()
    table[0, 0] = -0.0
    return table


@pytest.mark.parametrize(
    "other",
    [
        {"table": TABLE + np.eye(3, dtype=np.float32) * 1e-6},
        {"table": negative_zero()},
        {"scale": 2.0000005},
        {"order": (1, 0)},
        {"seed": 1},
        {"power": 3},
        {"padding": "VALID"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_program_or_constant_has_another_name(other):
    first = program_digest(network, X)
    assert first == program_digest(functools.partial(network), X)
    assert first != program_digest(functools.partial(network, **other), X)


def test_arguments_and_precision_are_part_of_the_name():
    double = lambda x: x @ x  # noqa: E731
    names = {program_digest(double, X)}
    names.add(program_digest(double, jax.ShapeDtypeStruct((4, 4), np.float32)))
    names.add(program_digest(double, jax.ShapeDtypeStruct((3, 3), np.int32)))
    with jax.default_matmul_precision("highest"):
        names.add(program_digest(double, X))
    with jax.enable_x64(True):
        names.add(program_digest(double, X))
    assert len(names) == 5


def test_derivative_rules_and_names_are_not_part_of_it():
    def with_rule(rule):
        @jax.custom_jvp
        def fun(x):
            return jnp.sin(x)

        fun.defjvp(rule)
        return fun

    one = with_rule(lambda p, t: (jnp.sin(p[0]), t[0]))
    two = with_rule(lambda p, t: (jnp.sin(p[0]), 2 * t[0]))
    assert program_digest(one, X) == program_digest(two, X) is not None


@pytest.mark.parametrize("call", [jax.pure_callback, jax.experimental.io_callback])
def test_calls_back_into_python_have_no_name(call):
    assert program_digest(lambda x: call(np.sin, x, x), X) is None
    assert program_digest(lambda x: jax.jit(lambda y: call(np.sin, y, y))(x), X) is None


def test_the_name_is_the_same_in_another_process():
    code = (
        "from tests.test_digest import *; "
        "print(program_digest(network, X), content_digest(TABLE, {'a', 'b', 'c'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = f"{program_digest(network, X)} {content_digest(TABLE, {'a', 'b', 'c'})}"
    assert done.stdout.strip() == expected, done.stderr
