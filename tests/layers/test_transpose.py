import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import ConvTranspose, convolve_transposed


def by_definition(x, kernel, stride, padding):
    size, taps = len(x), len(kernel)
    before = 0 if padding == "FULL" else max((taps - stride) // 2, 0)
    length = (size - 1) * stride + taps if padding == "FULL" else size * stride
    y = np.zeros(length)
    for i in range(size):
        for j in range(taps):
            place = i * stride + j - before
            if padding == "CIRCULAR":
                y[place % length] += x[i] * kernel[j]
            elif 0 <= place < length:
                y[place] += x[i] * kernel[j]
    return y


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR", "FULL"])
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_is_the_sum_of_its_definition(padding, taps, stride):
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=4), random.normal(size=taps)
    y = convolve_transposed(
        jnp.asarray(x, jnp.float32).reshape(1, 4, 1),
        jnp.asarray(kernel, jnp.float32).reshape(taps, 1, 1),
        stride=stride,
        padding=padding,
    )
    np.testing.assert_allclose(y.ravel(), by_definition(x, kernel, stride, padding), atol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 3), (2, 3, 2)])
def test_a_circular_one_moves_stride_times_as_far(signal, weights, sizes):
    layer = ConvTranspose(2, kernel_size=3, stride=2, padding="CIRCULAR")
    x = signal(1, *sizes, 3)
    variables = weights(layer, x)
    y = layer.apply(variables, x)
    assert y.shape == (1, *(2 * s for s in sizes), 2)
    moved = layer.apply(variables, jnp.roll(x, 1, 1))
    np.testing.assert_allclose(moved, jnp.roll(y, 2, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 0}, "ConvTranspose 't': stride is 0"),
        ({"padding": "REFLECT"}, "padding is 'REFLECT'; allowed are SAME, CIRCULAR, FULL"),
        ({"padding": "none"}, "padding is 'none'"),
        ({"kernel_size": (2, 2)}, "2 entries for 1 axes"),
    ],
)
def test_wrong_use_names_the_layer(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvTranspose(2, **arguments, name="t").init(jax.random.key(0), jnp.zeros((1, 4, 1)))


def test_a_kernel_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="kernel has shape"):
        convolve_transposed(jnp.zeros((1, 4, 2)), jnp.zeros((2, 3, 1)))
