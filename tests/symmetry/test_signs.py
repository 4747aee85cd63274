"""Sorts of zeros of both signs: what tells them apart is not invariant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv

# Rounded, it has zeros of both signs.
X = np.random.default_rng(0).normal(size=(1, 4, 6, 2)).astype(np.float32)


def ordered(x):
    return jnp.sort(jnp.round(x.reshape(1, -1)), axis=1)


TELLING = {
    "divided": lambda x: 1 / ordered(x),
    "after a product": lambda x: 1 / (2 * ordered(x)),
    "a power": lambda x: ordered(x) ** -1,
    "angles": lambda x: jnp.arctan2(ordered(x), -1),
    "its bits": lambda x: jnp.signbit(ordered(x)),
    "in a branch": lambda x: jax.lax.cond(True, lambda y: 1 / y, jnp.sin, ordered(x)),
    "outside a loop": lambda x: 1 / jax.lax.map(lambda k: k * ordered(x), jnp.arange(1.0, 3.0)),
    "outside a loop that sorts": lambda x: 1 / jax.lax.map(ordered, x),
    "the map by its median": lambda x: x / jnp.median(x),
}
ALIKE = {
    "sorted": ordered,
    "their mean": lambda x: 1 / (ordered(x).sum(1) + 0.5),
    "with an offset": lambda x: 1 / (ordered(x) + 10),
    "of one sign": lambda x: 1 / jnp.sort(jnp.abs(ordered(x)), axis=1),
    "exponentials": lambda x: jax.nn.softmax(ordered(x)[:, -4:], axis=1),
    "whole numbers": lambda x: 7 // jnp.maximum(ordered(x).astype(int), 1),
}


@pytest.mark.parametrize("name", TELLING)
def test_what_tells_zeros_of_both_signs_apart_is_not_invariant(name):
    assert jaxinv.certify(TELLING[name], X).only.state.kind == "broken"


def test_one_of_them_changes_with_the_shift():
    def fun(x):
        return jnp.copysign(1, ordered(x))

    moved = fun(jaxinv.translate(X, (1, 0)))
    assert not np.array_equal(fun(X), moved)
    np.testing.assert_array_equal(jaxinv.orbit(fun)(X)[1, 0], moved)


@pytest.mark.parametrize("name", ALIKE)
def test_what_takes_them_for_the_same_is_invariant(name):
    assert jaxinv.certify(ALIKE[name], X).only.state.is_invariant
