"""The cost of an orbit against counts made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv

IMAGE = jax.ShapeDtypeStruct((2, 8, 6, 3), jnp.float32)


def strided(x):
    kernel = np.ones((1, 1, 3, 4), np.float32)
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_a_strided_convolution_is_computed_at_stride_one():
    cost = jaxinv.orbit_cost(strided, IMAGE)
    assert cost.forward_flops == 2 * 2 * 4 * 3 * 4 * 3
    assert cost.shared_flops == 2 * 2 * 8 * 6 * 4 * 3
    assert (cost.shifts, cost.forward_passes, cost.ratio) == (48, 4.0, 12.0)
    assert cost.distinct_activations == 2 * 8 * 6 * 4
    assert cost.dominant_layer == "conv_general_dilated"


def test_what_shares_nothing_costs_every_shift():
    cost = jaxinv.orbit_cost(lambda x: jnp.tanh(x + np.ones((8, 6, 1), np.float32)), IMAGE)
    assert (cost.forward_passes, cost.ratio) == (48.0, 1.0)


def test_memory_counts_the_outputs_at_all_shifts():
    cost = jaxinv.orbit_cost(lambda x: jnp.mean(x, axis=(1, 2)), IMAGE)
    assert cost.peak_bytes >= 48 * 2 * 3 * 4


def test_it_reads_as_a_sentence():
    text = str(jaxinv.orbit_cost(strided, IMAGE))
    assert text.startswith("48 shifts: 4.0 forward passes' work instead of 48 (12 times less)")


def test_wrong_use():
    with pytest.raises(ValueError, match="side effects"):
        jaxinv.orbit_cost(lambda x: jax.debug.print("{}", x[0, 0, 0, 0]) or x, IMAGE)
    with pytest.raises(ValueError, match="mode is 'mirror'"):
        jaxinv.orbit_cost(strided, IMAGE, mode="mirror")
