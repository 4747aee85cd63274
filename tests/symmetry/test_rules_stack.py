"""jnp.stack: a primitive of its own since jax 0.10."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from tests.symmetry import measured

X = np.random.default_rng(0).normal(size=(2, 6, 4, 3))


def interleaved(x):
    pair = jnp.stack([x, jnp.sin(x)], 2)
    return pair.reshape(2, 12, 4, 3)


CASES = {
    "of maps, last": (lambda x: jnp.stack([x, jnp.tanh(x)], -1), (1, 1), (1, 2)),
    "of maps, first": (lambda x: jnp.stack([x, 2 * x]), (1, 1), (2, 3)),
    "of one": (lambda x: jnp.stack([x], 1), (1, 1), (2, 3)),
    "with a constant": (lambda x: jnp.stack([x, jnp.ones_like(x)], -1), (1, 1), (1, 2)),
    "of polyphase components": (lambda x: jnp.stack([x[:, ::2], x[:, 1::2]], -1), (2, 1), (1, 2)),
    "of pooled values": (
        lambda x: jnp.stack([x.mean((1, 2)), x.max((1, 2))], 1), (1, 1), (None, None)
    ),
    "interleaving": (interleaved, (1, 1), (1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_stack(name):
    fun, period, dims = CASES[name]
    with jax.enable_x64(True):
        certificate = jaxinv.certify(fun, X)
        assert (certificate.period, certificate.dims) == (period, dims)
        orbit = measured.Orbit(fun, X, (1, 2))
        assert not list(measured.violations(orbit, certificate.outputs, every=True))
        shared, each = (jaxinv.orbit(fun, share=share)(X) for share in (True, False))
        np.testing.assert_allclose(shared, each, rtol=0, atol=1e-12)
