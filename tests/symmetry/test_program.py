"""Programs deeper than Python's stack."""

import jax
import jax.numpy as jnp
import pytest

import jaxinv

DEPTH = 400


def joined(x):
    for _ in range(DEPTH):
        x = jnp.abs(x)
    return jnp.concatenate([x, x[:, :1]], 1)


def indexed(x):
    places = jnp.arange(x.shape[1])
    for _ in range(DEPTH):
        places = places + 1
    return x[:, places % x.shape[1]]


@pytest.mark.parametrize("fun", [joined, indexed])
def test_values_are_known_or_not_at_any_depth(fun):
    x = jax.ShapeDtypeStruct((1, 4, 4, 1), "float32")
    certificate = jaxinv.certify(fun, x)
    assert (certificate.kind, certificate.period) == ("equivariant", (1, 1))
