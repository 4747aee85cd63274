from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import avg_pool, max_pool


def test_closed_form():
    x = jnp.array([3.0, -1.0, 4.0, 1.0, -5.0]).reshape(1, 5, 1)
    np.testing.assert_array_equal(max_pool(x, 2, stride=2).ravel(), [3, 4])
    np.testing.assert_array_equal(avg_pool(x, 2, stride=2).ravel(), [1, 2.5])
    np.testing.assert_array_equal(max_pool(x, 2, stride=2, padding="CIRCULAR").ravel(), [3, 4, 3])
    np.testing.assert_allclose(avg_pool(x, 3, stride=3, padding="SAME").ravel(), [2 / 3, 0])


def test_zero_padding_never_wins_a_maximum():
    x = -jnp.ones((1, 4, 4, 1))
    np.testing.assert_array_equal(max_pool(x, 3, padding="SAME"), x)


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
@pytest.mark.parametrize("sizes", [(6,), (6, 4), (4, 2, 6)])
def test_stride_one_keeps_every_shift_and_stride_two_the_even_ones(signal, pool, sizes):
    x = signal(1, *sizes, 2)
    for stride in (1, 2):
        function = jax.jit(partial(pool, window=2, stride=stride, padding="CIRCULAR"))
        y = function(x)
        for t in range(sizes[0]):
            moved = function(jnp.roll(x, t, 1))
            same = np.allclose(moved, jnp.roll(y, t // stride, 1), atol=1e-6)
            assert same == (t % stride == 0)


@pytest.mark.parametrize(("pool", "slope"), [(max_pool, [0, 1, 1, 0]), (avg_pool, [0.5] * 4)])
def test_derivatives(pool, slope):
    x = jnp.array([1.0, 2.0, 4.0, 3.0]).reshape(1, 4, 1)
    grad = jax.grad(lambda x: pool(x, 2, stride=2).sum())(x)
    np.testing.assert_allclose(grad.ravel(), slope)


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (0, 1, "window is 0"),
        (2, 0, "stride is 0; allowed are whole numbers"),
        (9, 1, "filter of 9 positions"),
    ],
)
def test_wrong_use_is_refused(signal, pool, window, stride, message):
    with pytest.raises(ValueError, match=message):
        pool(signal(1, 6, 6, 1), window, stride=stride)
