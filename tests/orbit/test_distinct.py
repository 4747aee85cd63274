"""Distinct outputs, and the mean over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.orbit import every_shift


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def every_second(x):
    """Invariant to even shifts: 4 distinct outputs."""
    return jnp.tanh(x[:, ::2, ::2]).mean(axis=(1, 2))


def first_pixel(x):
    return jnp.exp(x[:, 0, 0])


def test_a_net_of_total_stride_two_has_four_distinct_outputs():
    with jax.enable_x64(True):
        x = normal(2, 6, 8, 3)
        distinct = jaxinv.distinct_orbit(every_second)(x)
        every = every_shift(every_second)(x)
        assert (distinct.period, distinct.values.shape) == ((2, 2), (2, 2, 2, 3))
        for t1 in range(6):
            for t2 in range(8):
                np.testing.assert_allclose(distinct.values[t1 % 2, t2 % 2], every[t1, t2])


def test_an_equivariant_output_is_rolled_between_its_cosets():
    with jax.enable_x64(True):
        x = normal(1, 6, 4, 1)
        distinct = jaxinv.distinct_orbit(lambda x: jnp.sin(x[:, ::2]))(x)
        assert (distinct.period, distinct.moves) == ((2, 1), True)
        want = jnp.sin(jnp.roll(x, (5, 3), (1, 2))[:, ::2])
        got = jnp.roll(distinct.values[1, 0], ((5 - 1) // 2, 3), (1, 2))
        np.testing.assert_allclose(got, want)


def test_a_window_has_an_output_of_its_own_at_every_shift():
    distinct = jaxinv.distinct_orbit(lambda x: x[:, 1:3])(jnp.ones((1, 6, 4, 1)))
    assert distinct.period == (6, 1)


def test_outputs_of_several_periods():
    outputs = jaxinv.distinct_orbit(lambda x: (every_second(x), x.mean(), first_pixel(x)))(
        jnp.ones((1, 4, 6, 1))
    )
    assert [d.period for d in outputs] == [(2, 2), (1, 1), (4, 6)]


@pytest.mark.parametrize(("reduce", "combine"), [("mean", jnp.mean), ("max", jnp.max)])
@pytest.mark.parametrize("fun", [every_second, first_pixel, lambda x: x[:, ::2]])
def test_symmetrize_is_the_mean_over_the_orbit_and_invariant(fun, reduce, combine):
    with jax.enable_x64(True):
        x = normal(1, 6, 4, 2)
        symmetric = jaxinv.symmetrize(fun, reduce=reduce)
        want = combine(every_shift(fun)(x), axis=(0, 1))
        np.testing.assert_allclose(symmetric(x), want, rtol=1e-12)
        for shift in [(1, 0), (3, 2), (5, 3)]:
            moved = symmetric(jaxinv.translate(x, shift))
            np.testing.assert_allclose(moved, symmetric(x), rtol=1e-12)


def test_symmetrize_is_certified():
    certificate = jaxinv.certify(jaxinv.symmetrize(first_pixel), jnp.ones((1, 6, 4, 2)))
    assert (certificate.kind, certificate.period) == ("invariant", (1, 1))


def test_symmetrize_can_be_differentiated():
    with jax.enable_x64(True):
        x = normal(1, 4, 4, 1)
        gradient = jax.grad(lambda x: jaxinv.symmetrize(every_second)(x).sum())(x)
        np.testing.assert_allclose(gradient, (1 - jnp.tanh(x) ** 2) / 16, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_whole_numbers_have_no_mean_but_a_maximum(dtype):
    x = normal(2, 4, 4, 3)

    def classes(x):
        return jnp.argmax(every_second(x), axis=-1).astype(dtype)

    with pytest.raises(ValueError, match=f"dtype {dtype}.*argmax of the symmetrized logits"):
        jaxinv.symmetrize(classes)(x)
    with pytest.raises(ValueError, match=f"dtype {dtype}"):
        jaxinv.symmetrize(lambda x: {"map": (x > 0).astype(dtype), "logits": x})(x)
    largest = jaxinv.symmetrize(classes, reduce="max")(x)
    np.testing.assert_array_equal(largest, every_shift(classes)(x).max((0, 1)))
    assert largest.dtype == dtype


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_mean_of_half_precision_does_not_overflow(dtype):
    x = jnp.full((1, 4, 4, 1), 60_000, dtype)
    np.testing.assert_allclose(
        np.asarray(jaxinv.symmetrize(first_in_half)(x), float), float(x[0, 0, 0, 0]), rtol=1e-6
    )


def first_in_half(x):
    return x[:, 0, 0]


def test_wrong_use():
    with pytest.raises(ValueError, match="reduce is 'median'; allowed are 'mean' and 'max'"):
        jaxinv.symmetrize(every_second, reduce="median")
    with pytest.raises(ValueError, match="side effects"):
        jaxinv.distinct_orbit(lambda x: jax.debug.print("{}", x[0, 0, 0]) or x)(jnp.ones((1, 2, 2)))
