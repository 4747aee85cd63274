"""The tolerance covers real rounding errors and little more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import tolerances
from jaxinv.tolerances import tolerance


@pytest.mark.parametrize("depth", [1, 16, 64])
def test_covers_the_rounding_of_a_chain_of_matrix_products(depth):
    keys = jax.random.split(jax.random.key(0), depth)
    # Orthogonal matrices keep the scale, so that only rounding separates the two orders.
    chain = [jnp.linalg.qr(jax.random.normal(k, (64, 64)))[0] for k in keys]
    x = jax.random.normal(jax.random.key(1), (64,))
    forward = x
    for matrix in chain:
        forward = matrix @ forward
    exact = np.asarray(x, np.float64)
    for matrix in chain:
        exact = np.asarray(matrix, np.float64) @ exact
    rtol, atol = tolerance("float32", depth=depth)
    error = np.abs(forward - exact)
    assert np.all(error <= rtol * np.abs(exact) + atol * np.abs(exact).max())
    assert error.max() > 1e-3 * atol * np.abs(exact).max()


def test_grows_with_the_square_root_of_depth():
    assert tolerance("float32", depth=64)[0] == pytest.approx(8 * tolerance("float32", depth=1)[0])


def test_order_of_dtypes():
    sizes = [tolerance(d)[0] for d in ("float64", "float32", "float16", "bfloat16")]
    assert sizes == sorted(sizes)
    assert tolerance("complex64") == tolerance("float32")
    assert tolerance("uint8") == tolerance("bool") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("backend", "precision", "spacing"),
    [
        ("gpu", None, 2.0**-10),
        ("gpu", "tensorfloat32", 2.0**-10),
        ("gpu", "highest", 2.0**-23),
        ("gpu", "float32", 2.0**-23),
        ("cuda", "default", 2.0**-10),
        ("tpu", None, 2.0**-7),
        ("tpu", "high", 2.0**-16),
        ("tpu", "highest", 2.0**-23),
        ("cpu", None, 2.0**-23),
    ],
)
def test_follows_the_precision_of_matrix_products(monkeypatch, backend, precision, spacing):
    monkeypatch.setattr(tolerances.jax, "default_backend", lambda: backend)
    with jax.default_matmul_precision(precision):
        assert tolerance("float32", depth=1)[0] == 16 * spacing
        assert tolerance("float64", depth=1)[0] == 16 * 2.0**-52


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tolerance("float32", depth=0), "depth is 0; allowed are numbers from 1"),
        (lambda: tolerance("S3"), "allowed are numbers"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
