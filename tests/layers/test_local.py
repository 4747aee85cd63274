from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import LocallyConnected, convolve, locally_connected
from jaxinv.layers.local import patches


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR", "VALID", "FULL"])
@pytest.mark.parametrize("stride", [1, 2])
def test_with_equal_kernels_everywhere_it_is_a_convolution(signal, padding, stride):
    x, kernel = signal(2, 7, 6, 3), signal(3, 2, 3, 4, seed=1)
    expected = convolve(x, kernel, stride=stride, padding=padding)
    everywhere = jnp.broadcast_to(kernel.reshape(-1, 4), (*expected.shape[1:-1], 18, 4))
    y = locally_connected(x, everywhere, window=(3, 2), stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_its_own_kernels_commute_with_no_shift(signal, weights):
    layer = LocallyConnected(2, padding="CIRCULAR")
    x = signal(1, 6, 6, 1)
    apply = jax.jit(partial(layer.apply, weights(layer, x)))
    y = apply(x)
    for t in range(1, 6):
        moved = apply(jnp.roll(x, t, 1))
        assert float(jnp.abs(moved - jnp.roll(y, t, 1)).max()) > 0.1


def test_one_position_has_one_kernel_and_one_bias(signal):
    layer = LocallyConnected(2, kernel_size=3, stride=2)
    params = layer.init(jax.random.key(0), signal(1, 8, 3))["params"]
    assert params["kernel"].shape == (4, 9, 2)
    assert params["bias"].shape == (4, 2)


def test_the_scale_of_the_weights_is_that_of_the_window_and_not_of_the_map(signal):
    layer = LocallyConnected(64, kernel_size=3)
    kernel = layer.init(jax.random.key(0), signal(1, 8, 8, 4))["params"]["kernel"]
    assert float(kernel.std()) == pytest.approx(np.sqrt(2 / 36), rel=0.02)


def test_patches_are_in_row_major_order():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(
        patches(x, 2, padding="VALID")[0].reshape(4, 4),
        [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]],
    )


def test_a_kernel_for_another_size_is_refused(signal):
    with pytest.raises(ValueError, match=r"kernel has shape \(5, 3, 1\); this map needs \(6, 3\)"):
        locally_connected(signal(1, 6, 1), jnp.zeros((5, 3, 1)), window=3)


def test_wrong_use_names_the_layer(signal):
    with pytest.raises(ValueError, match="LocallyConnected 'l': stride is 0"):
        LocallyConnected(2, stride=0, name="l").init(jax.random.key(0), signal(1, 6, 1))
    wide = LocallyConnected(2, kernel_size=7, padding="VALID", name="l")
    with pytest.raises(ValueError, match="LocallyConnected 'l': filter of 7 positions is larger"):
        wide.init(jax.random.key(0), signal(1, 6, 1))
