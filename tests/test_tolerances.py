"""The tolerance covers real rounding errors and little more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

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


def test_no_tolerance_lets_five_per_cent_pass():
    for dtype in ("float8_e4m3fn", "bfloat16", "float16", "float32"):
        rtol, atol = tolerance(dtype, depth=10_000)
        assert rtol + atol < 0.05 - float(jnp.finfo("bfloat16").eps)


@pytest.mark.parametrize(
    ("fun", "spacing"),
    [
        (lambda x: x * 2, 2.0**-23),
        (lambda x: x.astype("bfloat16") * 2, 2.0**-7),
        (lambda x: jax.jit(lambda y: y.astype("float16") * 2)(x).astype("float32"), 2.0**-10),
        (lambda x: lax.scan(lambda c, v: (c + v.astype("bfloat16"), v), 0, x)[1], 2.0**-7),
        (lambda x: lax.reduce_precision(x, 8, 4), 2.0**-4),
        (lambda x: x > 0, 0),
        (lambda x: jnp.dot(x, x, precision="highest"), 2.0**-23),
        (lambda x: jnp.dot(x, x, precision="default"), 2.0**-10),
        (lambda x: jnp.dot(x, x, precision=lax.DotAlgorithmPreset.BF16_BF16_F32), 2.0**-7),
        (lambda x: jnp.dot(x, x), 2.0**-10),
    ],
)
def test_the_coarsest_rounding_of_a_program(monkeypatch, fun, spacing):
    monkeypatch.setattr(tolerances.jax, "default_backend", lambda: "gpu")
    assert tolerances.spacing_of(jax.make_jaxpr(fun)(jnp.ones(3))) == spacing


def test_order_of_dtypes():
    sizes = [tolerance(d)[0] for d in ("float64", "float32", "float16", "bfloat16")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
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
        assert tolerance("float32", depth=1)[0] == min(16 * spacing, tolerances.LARGEST)
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
