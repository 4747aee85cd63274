from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import Conv, convolve
from jaxinv.layers.padding import window_padding

NUMPY_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect", "EDGE": "edge"}


def by_definition(x, kernel, stride, padding, dilation, groups):
    """The sum in `convolve`'s docstring, one output at a time."""
    spans = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:-2], dilation, strict=True)]
    widths = [
        window_padding(n, k, stride=s, padding=padding)
        for n, k, s in zip(x.shape[1:-1], spans, stride, strict=True)
    ]
    x = np.pad(x, [(0, 0), *widths, (0, 0)], mode=NUMPY_MODES.get(padding, "constant"))
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], spans, stride, strict=True)]
    per_group = kernel.shape[-1] // groups
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    for place in np.ndindex(*sizes):
        for tap in np.ndindex(*kernel.shape[:-2]):
            at = tuple(
                i * s + j * d for i, s, j, d in zip(place, stride, tap, dilation, strict=True)
            )
            seen = x[(slice(None), *at)]
            for f in range(kernel.shape[-1]):
                first = f // per_group * kernel.shape[-2]
                part = seen[:, first : first + kernel.shape[-2]]
                y[(slice(None), *place, f)] += part @ kernel[(*tap, slice(None), f)]
    return y


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR", "REFLECT", "EDGE", "VALID", "FULL"])
@pytest.mark.parametrize(
    ("sizes", "window", "stride", "dilation", "groups"),
    [
        ((9,), (4,), (2,), (1,), 1),
        ((7, 6), (3, 2), (1, 3), (2, 1), 2),
        ((4, 3, 5), (2, 3, 1), (1, 1, 2), (1, 1, 1), 1),
    ],
)
def test_it_is_the_sum_of_its_definition(padding, sizes, window, stride, dilation, groups):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *sizes, 4)).astype(np.float32)
    kernel = random.normal(size=(*window, 4 // groups, 2)).astype(np.float32)
    y = convolve(
        jnp.asarray(x),
        jnp.asarray(kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    expected = by_definition(x, kernel, stride, padding, dilation, groups)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_circular_convolution_commutes_with_multiples_of_its_stride_and_no_other_shift(
    signal, stride
):
    x, kernel = signal(1, 12, 6, 2), signal(3, 3, 2, 2, seed=1)
    function = jax.jit(partial(convolve, stride=stride, padding="CIRCULAR"))
    y = function(x, kernel)
    for t in range(12):
        moved = function(jnp.roll(x, t, 1), kernel)
        same = np.allclose(moved, jnp.roll(y, t // stride, 1), atol=1e-5)
        assert same == (t % stride == 0), t


def test_full_convolution_keeps_all_of_a_signal_wherever_it_is(signal):
    kernel = signal(3, 1, 1)
    bump = jnp.zeros((1, 6, 1))
    at_start, at_end = bump.at[0, 0].set(1.0), bump.at[0, 5].set(1.0)
    totals = [convolve(x, kernel, padding="FULL").sum() for x in (at_start, at_end)]
    np.testing.assert_allclose(totals, [kernel.sum()] * 2, rtol=1e-5)
    zero_padded = [convolve(x, kernel, padding="SAME").sum() for x in (at_start, at_end)]
    assert abs(zero_padded[0] - zero_padded[1]) > 0.1


def test_depthwise_leaves_channels_apart(signal, weights):
    layer = Conv(3, groups="depthwise", use_bias=False)
    x = signal(1, 5, 5, 3)
    variables = weights(layer, x)
    assert variables["params"]["kernel"].shape == (3, 3, 1, 3)
    alone = layer.apply(variables, x * jnp.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(alone[..., 1], layer.apply(variables, x)[..., 1], atol=1e-6)
    np.testing.assert_array_equal(alone[..., jnp.array([0, 2])], 0)


def test_the_bias_is_added_to_each_channel(signal):
    x = jnp.zeros((1, 4, 1))
    variables = {"params": {"kernel": jnp.ones((3, 1, 2)), "bias": jnp.array([1.0, 2.0])}}
    np.testing.assert_array_equal(Conv(2).apply(variables, x), [[[1, 2]] * 4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 0}, "Conv 'c': stride is 0; allowed are whole numbers from 1"),
        ({"dilation": 0}, "Conv 'c': dilation is 0"),
        ({"groups": 2}, "Conv 'c': groups is 2; allowed are divisors of both 3 input channels"),
        ({"groups": 0}, "Conv 'c': groups is 0"),
        ({"kernel_size": (3, 3, 3)}, r"Conv 'c': kernel_size \(3, 3, 3\) has 3 entries for 2 axes"),
        ({"kernel_size": 9, "padding": "VALID"}, "Conv 'c': filter of 9 positions is larger"),
        ({"padding": "circular"}, "Conv 'c': padding is 'circular'; allowed are SAME"),
    ],
)
def test_wrong_use_names_the_layer_the_value_and_what_is_allowed(arguments, message):
    layer = Conv(**{"features": 4, "name": "c", **arguments})
    with pytest.raises(ValueError, match=message):
        layer.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


@pytest.mark.parametrize(
    ("kernel", "groups", "message"),
    [
        ((3, 2, 4), 1, "kernel reads 2 channels in 1 groups, the input has 3"),
        ((3, 3, 3, 4), 1, "kernel has shape"),
        ((3, 3, 4), 2, "groups is 2"),
    ],
)
def test_kernels_that_do_not_fit_are_refused(kernel, groups, message):
    with pytest.raises(ValueError, match=message):
        convolve(jnp.zeros((1, 8, 3)), jnp.zeros(kernel), groups=groups)


def test_no_gather_in_any_padding(signal):
    x, kernel = signal(1, 6, 6, 1), signal(3, 3, 1, 1)
    for padding, stride in product(["CIRCULAR", "REFLECT", "EDGE"], [1, 2]):
        function = partial(convolve, stride=stride, padding=padding)
        assert "gather" not in str(jax.make_jaxpr(function)(x, kernel))
