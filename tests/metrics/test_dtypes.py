"""Numbers do not depend on the dtype of the arrays: no wrapping around, no overflow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import metrics
from jaxinv.metrics import protocols

WHOLE = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "bool"]
HALF = ["bfloat16", "float16"]


def values(dtype):
    """Two arrays whose difference and squares wrap around in a narrow dtype, as the dtype has them.

    Shape (shifts, images, features), one axis of shifts.
    """
    key = jax.random.key(0)
    if dtype == "bool":
        return jax.random.bernoulli(key, shape=(3, 2, 5))
    if dtype in HALF:
        return jax.random.normal(key, (3, 2, 5)).astype(dtype) * 3000
    limits = jnp.iinfo(dtype)
    low, high = max(limits.min, -1000), min(limits.max, 60_000)
    return jnp.asarray(np.asarray(jax.random.randint(key, (3, 2, 5), low, high)), dtype)


METRICS = {
    "relative_error": lambda x: metrics.relative_error(x[0], x[1]),
    "equivariance_error": lambda x: metrics.equivariance_error(lambda x: x, x, (1,), axes=(0,)),
    "a broken one": lambda x: metrics.equivariance_error(lambda x: x[::-1], x, (1,), axes=(0,)),
    "invariance_error_map": metrics.invariance_error_map,
    "cosine_invariance": lambda x: metrics.cosine_invariance(x[0], x[1]),
    "sensitivity_map": metrics.sensitivity_map,
    "sensitivity_map in units": lambda x: metrics.sensitivity_map(x, normalise=False),
    "radial_profile": lambda x: metrics.radial_profile(x[:, 0]),
    "energy_above_nyquist": lambda x: metrics.energy_above_nyquist(x, 3, axes=(2,)),
    "bilinear generator": lambda x: protocols.translation_generator(x, axis=2, method="bilinear"),
    "eq_t": lambda x: protocols.eq_t(lambda x: x[:, :, ::-1], x, axes=(2,), largest=0.4),
    "cosine_profile": lambda x: protocols.cosine_profile(lambda x: x, x, [(1,)], axes=(2,)),
    "mean_of_samples": protocols.mean_of_samples,
}


@pytest.mark.parametrize("name", METRICS)
def test_every_dtype_gives_the_numbers_of_float32(name):
    # Each metric with some of the dtypes, all dtypes with several metrics: a program each.
    place = list(METRICS).index(name)
    dtypes = {"uint8", WHOLE[place % len(WHOLE)], HALF[place % 2]}
    metric = jax.jit(METRICS[name])
    for dtype in dtypes - ({"bfloat16", "float16"} if name == "bilinear generator" else set()):
        x = values(dtype)
        got, want = (jax.tree.leaves(metric(v)) for v in (x, x.astype("float32")))
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-3, err_msg=dtype)
            assert np.isfinite(one).all()


def test_the_examples_that_wrapped_around():
    for dtype in ("uint8", "int16"):
        error = metrics.relative_error(np.array([[200]], dtype), np.array([[210]], dtype))
        np.testing.assert_allclose(error, 10 / 210, rtol=1e-6)
    wide = jnp.full((5, 256), 256, "float16")
    np.testing.assert_allclose(metrics.relative_error(wide, 2 * wide), 0.5, rtol=1e-6)


@jax.jit
def five(v):
    return (
        metrics.relative_error(v[0], v[1]),
        metrics.cosine_invariance(v[0], v[1]),
        metrics.invariance_error_map(v),
        metrics.sensitivity_map(v),
        metrics.energy_above_nyquist(v, 4, axes=(2,)),
    )


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
def test_magnitudes_whose_squares_have_no_float32(size):
    x = np.asarray(jax.random.normal(jax.random.key(1), (3, 2, 8)))
    big = jnp.asarray(x * np.float32(size))
    for got, want in zip(five(big), five(jnp.asarray(x)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4)


def test_gradients():
    x = jax.random.normal(jax.random.key(2), (2, 4))
    for metric in (
        lambda v: metrics.relative_error(v[0], v[1]),
        lambda v: metrics.cosine_invariance(v[:1], v[1:]).sum(),
        lambda v: metrics.invariance_error_map(v[:, None]).sum(),
    ):
        value_and_slope = jax.jit(jax.value_and_grad(metric))
        slope = np.asarray(value_and_slope(x)[1])
        step = 1e-2 * slope / np.linalg.norm(slope)
        rise = (value_and_slope(x + step)[0] - value_and_slope(x - step)[0]) / 2
        np.testing.assert_allclose(rise, np.vdot(step, slope), rtol=1e-2)
        # At equal arrays, the minimum of a distance.
        assert np.isfinite(value_and_slope(jnp.ones((2, 4)))[1]).all()


def test_complex_numbers_are_numbers():
    a = jnp.array([3 + 4j, 1j])
    np.testing.assert_allclose(metrics.relative_error(2 * a, a), 1, rtol=1e-6)
