import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify
from jaxinv.layers import PADDINGS, Conv, convolve, crop_or_pad, pad
from jaxinv.layers.padding import check_padding, window_padding

NUMPY_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect", "EDGE": "edge", "SAME": "constant"}


@pytest.mark.parametrize("padding", NUMPY_MODES)
def test_modes_are_those_of_numpy(padding):
    x = np.arange(24.0).reshape(1, 3, 4, 2)
    widths = [(2, 1), (0, 3)]
    expected = np.pad(x, [(0, 0), *widths, (0, 0)], mode=NUMPY_MODES[padding])
    np.testing.assert_array_equal(pad(jnp.asarray(x), widths, padding=padding), expected)


def test_circular_padding_extends_periodically_beyond_one_period():
    x = jnp.arange(3.0).reshape(1, 3, 1)
    y = pad(x, [(4, 5)], padding="CIRCULAR").ravel()
    np.testing.assert_array_equal(y, [(i - 4) % 3 for i in range(12)])


def test_floor_before_and_ceil_after():
    assert window_padding(8, 4) == (1, 2)
    assert window_padding(8, 5) == (2, 2)


def test_valid_adds_nothing_and_full_all_but_one_tap():
    assert window_padding(8, 3, padding="VALID") == (0, 0)
    assert window_padding(8, 3, padding="FULL") == (2, 2)


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR", "REFLECT", "EDGE", "SAME_UPPER"])
@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("window", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_outputs_are_ceil_of_size_over_stride(padding, size, window, stride):
    before, after = window_padding(size, window, stride=stride, padding=padding)
    assert (size + before + after - window) // stride + 1 == -(-size // stride)


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_border_of_tensorflow_is_that_of_lax(size, window, stride):
    (expected,) = jax.lax.padtype_to_pads((size,), (window,), (stride,), "SAME")
    assert window_padding(size, window, stride=stride, padding="SAME_UPPER") == expected


def test_the_border_of_tensorflow_is_zeros():
    x = jnp.arange(1.0, 7.0).reshape(1, 6, 1)
    ones = jnp.ones((3, 1, 1))
    y = convolve(x, ones, stride=2, padding="SAME_UPPER").ravel()
    np.testing.assert_array_equal(y, [1 + 2 + 3, 3 + 4 + 5, 5 + 6])
    other = convolve(x, ones, stride=2, padding="SAME").ravel()
    np.testing.assert_array_equal(other, [1 + 2, 2 + 3 + 4, 4 + 5 + 6])


def test_a_border_after_the_map_alone_is_certified():
    conv = Conv(2, 3, 2, padding="SAME_UPPER")
    x = jnp.zeros((1, 8, 8, 1))
    variables = conv.init(jax.random.key(0), x)
    certificate = certify(lambda x: conv.apply(variables, x), x)
    assert certificate.kind == "broken"
    assert [(i.start, i.stop, i.period) for i in certificate.interior] == [(0, 3, 2)] * 2


def test_names_are_checked():
    for name in PADDINGS:
        check_padding(name)
    with pytest.raises(ValueError, match="padding is 'same'; allowed are SAME, CIRCULAR"):
        pad(jnp.zeros((1, 4, 1)), [(1, 1)], padding="same")


def test_a_filter_larger_than_the_map_is_refused():
    with pytest.raises(ValueError, match="filter of 5 positions is larger than the map of 4"):
        window_padding(4, 5, padding="VALID")
    with pytest.raises(ValueError, match=r"reflected positions beside a map of 2; .* at most 1"):
        window_padding(2, 5, padding="REFLECT")


def test_crop_or_pad_keeps_the_middle():
    x = jnp.arange(1.0, 6.0).reshape(1, 5, 1)
    np.testing.assert_array_equal(crop_or_pad(x, (3,)).ravel(), [2, 3, 4])
    np.testing.assert_array_equal(crop_or_pad(x, (2,)).ravel(), [2, 3])
    np.testing.assert_array_equal(crop_or_pad(x, (8,)).ravel(), [0, 1, 2, 3, 4, 5, 0, 0])
    with pytest.raises(ValueError, match="sizes are"):
        crop_or_pad(x, (3, 3))
