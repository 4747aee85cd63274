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


def test_shown_in_one_line_and_in_a_notebook():
    distinct = jaxinv.distinct_orbit(every_second)(jnp.ones((2, 6, 8, 3)))
    assert repr(distinct) == "DistinctOutputs(float32[2,2,2,3], period=(2, 2), moves=False)"
    page = distinct._repr_html_()
    assert "The outputs at 4 shifts, one of each coset" in page
    assert page.count("<tr") == 3
    assert "rolled" not in page
    shape = jax.eval_shape(jaxinv.distinct_orbit(lambda x: x), jnp.ones((1, 4, 4)))
    assert repr(shape) == "DistinctOutputs(float32[1,1,1,4,4], period=(1, 1), moves=True)"
    assert "rolled" in shape._repr_html_()


def test_wrong_use():
    with pytest.raises(ValueError, match="side effects"):
        jaxinv.distinct_orbit(lambda x: jax.debug.print("{}", x[0, 0, 0]) or x)(jnp.ones((1, 2, 2)))
