"""Functions of the caller's own in reductions and scans, and bits read as another type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from tests.symmetry.shifted import states_when_right

X = np.random.default_rng(0).normal(size=(2, 6, 4, 3))


def both(a, b):
    return a[0] + b[0], jnp.maximum(a[1], b[1])


CASES = {
    "reduced over channels": (
        lambda x: lax.reduce(x, np.float64(1), lambda a, b: a * b + 0 * a, (3,)),
        "1,1 | P2 W6 W4",
    ),
    "two arrays over images and channels": (
        lambda x: lax.reduce((x, 2 * x), (np.float64(0), np.float64(0)), both, (0, 3))[1],
        "1,1 | W6 W4",
    ),
    "over rows": (
        lambda x: lax.reduce((x, 2 * x), (np.float64(0), np.float64(0)), both, (1,))[0],
        "6,1 | P2 W4 P3",
    ),
    "a scan over columns": (
        lambda x: lax.scan(
            lambda c, u: (0.5 * c + u, jnp.tanh(c + u)), x[:, :, 0] * 0, jnp.moveaxis(x, 2, 0)
        )[1],
        "1,4 | P4 P2 W6 P3",
    ),
    "bits of as many": (
        lambda x: lax.bitcast_convert_type(x, jnp.int64) // 2**40,
        "1,1 | P2 W6 W4 P3",
    ),
    "bits of fewer": (
        lambda x: lax.bitcast_convert_type(x, jnp.int32)[..., 1],
        "6,4 | P2 P6 P4 P3",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_states(name):
    with jax.enable_x64(True):
        fun, state = CASES[name]
        assert states_when_right(fun, jnp.asarray(X)) == [state]


@pytest.mark.parametrize("weights", [[1.0, 2.0, -1.0], [0.0, 0.0, 0.0], [3e38, 1e38, -3e38]])
def test_repeated_positions_are_summed_as_each_shift_sums_them(weights):
    x = np.ones((1, 4, 2), np.float32)
    x[0, 1, 0] = np.inf
    weights = np.tile(np.array(weights, np.float32), 4)[:, None] * np.ones((1, 2), np.float32)

    def dense(x):
        return jnp.einsum("nhc,ho->noc", jnp.repeat(x, 3, axis=1), weights)

    shared, each = (jaxinv.orbit(dense, axes=(1,), share=share)(x) for share in (True, False))
    np.testing.assert_array_equal(np.isfinite(shared), np.isfinite(each))
    np.testing.assert_array_equal(np.isnan(shared), np.isnan(each))
