"""Padding and taps of their own for each axis: panoramas wrap around sideways only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify, layers, models

PANORAMA = ("SAME", "CIRCULAR")
EQUIRECTANGULAR = ("REFLECT", "CIRCULAR")


def rows_then_columns(function, x, rows, columns, **options):
    """A separable layer along one axis after the other, each with its padding."""
    y = function(x, (rows, 1), padding="VALID" if rows == 1 else PANORAMA[0], **options)
    return function(y, (1, columns), padding=PANORAMA[1], **options)


def test_each_axis_is_padded_in_its_own_way():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    y = layers.pad(x, [(1, 0), (1, 1)], padding=PANORAMA)[0, ..., 0]
    np.testing.assert_array_equal(y, [[0, 0, 0, 0, 0], [2, 0, 1, 2, 0], [5, 3, 4, 5, 3]])
    y = layers.pad(x, [(1, 0), (1, 1)], padding=EQUIRECTANGULAR)[0, ..., 0]
    np.testing.assert_array_equal(y, [[5, 3, 4, 5, 3], [2, 0, 1, 2, 0], [5, 3, 4, 5, 3]])


@pytest.mark.parametrize("function", [layers.max_pool, layers.avg_pool])
def test_pools_are_separable(signal, function):
    x = signal(1, 6, 8, 2)
    y = function(x, 3, padding=PANORAMA)
    np.testing.assert_allclose(y, rows_then_columns(function, x, 3, 3), rtol=1e-5, atol=1e-6)


def test_taps_along_one_axis_filter_that_axis(signal):
    x = signal(1, 6, 8, 2)
    y = layers.blur_pool(x, 1, taps=(1, 5), padding="CIRCULAR")
    rows = [layers.blur_pool(row[None], 1, taps=5, padding="CIRCULAR")[0] for row in x[0]]
    np.testing.assert_allclose(y[0], np.stack(rows), rtol=1e-5, atol=1e-6)
    both = layers.blur_pool(x, (2, 1), taps=(3, 1), padding=("EDGE", "VALID"))
    np.testing.assert_array_equal(both.shape, (1, 3, 8, 2))


@pytest.mark.parametrize("padding", [PANORAMA, EQUIRECTANGULAR, ("FULL", "VALID"), ("EDGE",) * 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_pads_first_and_then_sees_no_border(signal, padding, stride):
    x, kernel = signal(1, 6, 8, 2), signal(3, 5, 2, 3, seed=1)
    widths = layers.padding.window_paddings(
        (6, 8), (3, 5), strides=(stride, stride), padding=padding
    )
    padded = layers.pad(x, widths, padding=padding)
    expected = layers.convolve(padded, kernel, stride=stride, padding="VALID")
    y = layers.convolve(x, kernel, stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    cells = signal(*y.shape[1:3], 30, 3, seed=2)
    options = {"window": (3, 5), "stride": stride}
    np.testing.assert_allclose(
        layers.locally_connected(x, cells, padding=padding, **options),
        layers.locally_connected(padded, cells, padding="VALID", **options),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("padding", [PANORAMA, ("FULL", "SAME"), ("CIRCULAR", "FULL")])
@pytest.mark.parametrize("sizes", [(3, 3), (2, 2), (2, 4)])
def test_the_way_up_is_separable_too(signal, padding, sizes):
    """With a kernel that is a product, each axis is a transposed convolution of its own."""
    x, (down, across) = signal(1, 3, 4, 1), (signal(k, seed=k) for k in sizes)
    kernel = (down[:, None] * across).reshape(*sizes, 1, 1)
    y = layers.convolve_transposed(x, kernel, padding=padding)

    def along(x, taps, axis, padding):
        lines = jnp.moveaxis(x, axis, 1)
        flat = lines.reshape(lines.shape[1], -1).T[..., None]
        up = layers.convolve_transposed(flat, taps.reshape(-1, 1, 1), padding=padding)
        back = up[..., 0].T.reshape(-1, *lines.shape[2:])[None]
        return jnp.moveaxis(back, 1, axis)

    expected = along(along(x, down, 1, padding[0]), across, 2, padding[1])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv(3, padding=PANORAMA),
        layers.Downsample("maxblur", 1, padding=EQUIRECTANGULAR),
        layers.Downsample("blur", 1, padding=PANORAMA),
        layers.AdaptivePolyphaseSampling((1, 1), taps=(1, 3), padding=PANORAMA),
    ],
)
def test_a_panorama_turns_and_its_poles_stay(signal, weights, layer):
    x = signal(1, 6, 8, 2)
    variables = weights(layer, x)

    def forward(x):
        y = layer.apply(variables, x)
        return y[0] if isinstance(y, tuple) else y

    np.testing.assert_allclose(
        forward(jnp.roll(x, 3, 2)), jnp.roll(forward(x), 3, 2), rtol=1e-5, atol=1e-6
    )
    certificate = certify(forward, x, axes=(2,))
    assert (certificate.kind, certificate.period) == ("equivariant", (1,))


@pytest.mark.parametrize("name", ["lenet", "resnet20", "unet", "convnext_tiny"])
def test_networks_take_one_padding_for_each_axis(name):
    slim = {
        "lenet": {"widths": ((2,), (2,)), "head": "gap"},
        "resnet20": {"blocks": (1, 1), "width": 2},
        "unet": {"widths": (2, 4)},
        "convnext_tiny": {"blocks": (1,), "widths": (2,), "downsample": "max"},
    }[name]
    model = models.create(name, padding=PANORAMA, **slim)
    x = jnp.zeros((1, 8, 16, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    zeros = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), variables)
    across = certify(lambda x: model.apply(zeros, x), x, axes=(2,))
    assert across.kind in ("equivariant", "invariant")
    assert certify(lambda x: model.apply(zeros, x), x, axes=(1,)).kind == "broken"


@pytest.mark.parametrize(
    ("padding", "message"),
    [
        (("SAME",), r"padding is \('SAME',\) for 2 spatial axes; give one name, or 2"),
        (("SAME", "circular"), "padding is 'circular'; allowed are SAME, CIRCULAR"),
        ("circular", "padding is 'circular'; allowed are SAME, CIRCULAR"),
        (None, "padding is None; allowed are SAME, CIRCULAR"),
        (3, "padding is 3; allowed are SAME, CIRCULAR"),
    ],
)
def test_other_paddings_are_refused(padding, message):
    x = jnp.zeros((1, 4, 4, 1))
    with pytest.raises(ValueError, match=message):
        layers.Conv(2, padding=padding).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=message):
        layers.max_pool(x, padding=padding)
