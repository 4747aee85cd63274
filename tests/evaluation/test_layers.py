"""The layer table against what theory says of each layer."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import metrics
from jaxinv.evaluation import proof
from jaxinv.evaluation.layers import feature_error, layer_rows, spatial_layers
from jaxinv.evaluation.subject import Subject, of_module


def test_rows_follow_the_network_and_say_where_the_symmetry_ends(make_subject, dataset):
    rows = layer_rows(make_subject("flatten"), dataset.images[:2], states=proof.layer_states)
    assert [row.layer for row in rows] == ["conv0", "conv1", "logits"]
    assert [row.shape for row in rows] == [(8, 8, 4), (4, 4, 4), (3,)]
    assert [row.state for row in rows] == [
        "equivariant to every shift",
        "equivariant to multiples of (2, 2)",
        "broken: commutes with no shift but 0",
    ]
    first, second, last = rows
    assert first.lattice_error < 1e-5
    assert first.integer_error < 1e-5
    assert second.lattice_error < 1e-5
    assert second.integer_error > 0.01  # a pixel is half of its stride
    assert last.integer_error > 0.01
    # Noise has energy at all frequencies: the stride aliases, and ReLU's kinks do at half pixels.
    # On the next layer's 4 positions, up to 2 cycles an image either way can be told apart.
    maps = make_subject("flatten").layers(jnp.asarray(dataset.images[:2], jnp.float32))["conv0"]
    energy = np.abs(np.fft.fft2(np.asarray(maps, np.float64), axes=(1, 2))) ** 2
    energy[:, 0, 0] = 0  # how bright a map is
    told = [-2, -1, 0, 1, 2]
    kept = energy[:, told][:, :, told].sum() / energy.sum()
    assert first.aliasing == pytest.approx(1 - kept, rel=1e-4)
    assert first.aliasing > 0.01
    assert first.half_pixel_error < 1e-4  # the first layer is linear: it commutes with any shift
    assert second.half_pixel_error > 0.05
    assert second.aliasing == 0  # no map follows
    assert last.aliasing is None
    assert first.cosine < 0.99


def test_a_row_holds_the_numbers_of_the_metric():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(3, (3, 3), padding="SAME", name="a")(x))
            x = nn.relu(nn.Conv(3, (3, 3), strides=2, padding="VALID", name="b")(x))
            return nn.Dense(2, name="head")(x.reshape(len(x), -1))

    images = np.asarray(jax.random.uniform(jax.random.key(1), (2, 8, 8, 1)) * 255)
    variables = Net().init(jax.random.key(0), images)
    rows = layer_rows(of_module(Net(), variables, name="net"), images)
    layers = functools.partial(metrics.layer_outputs, Net(), variables)
    expected = {row.name: row for row in metrics.layerwise(layers, images)}
    for row in rows:
        numbers = expected.get(row.layer, expected["output"])
        for name in ("lattice_error", "integer_error", "half_pixel_error", "cosine", "aliasing"):
            number = getattr(numbers, name)
            assert getattr(row, name) == (None if np.isnan(number) else pytest.approx(number))
    assert [row.layer for row in rows][:3] == ["a", "b", "head"]


def test_global_pooling_restores_the_state(make_subject, dataset):
    rows = layer_rows(make_subject("gap"), dataset.images[:2], states=proof.layer_states)
    assert rows[-1].state == "invariant to multiples of (2, 2)"


def test_no_layers_no_rows(peak_subject, dataset):
    assert layer_rows(peak_subject, dataset.images) == ()
    assert spatial_layers(peak_subject, dataset.images) == {}
    assert feature_error(peak_subject, dataset.images) is None


def test_feature_error_is_zero_at_multiples_of_the_stride_alone(make_subject, dataset):
    error, stride = feature_error(make_subject("flatten"), dataset.images[:2])
    assert stride == (2, 2)
    assert error.value < 1e-5
    padded = nn.Conv(4, (3, 3), padding="SAME")
    variables = padded.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    error, stride = feature_error(
        of_module(padded, variables, name="padded"), dataset.images[:2], place=0
    )
    assert stride == (1, 1)
    assert error.value > 0.05
    assert feature_error(make_subject("flatten"), dataset.images, place=7) is None


def test_a_map_half_as_large_for_its_kernel_is_no_coarser():
    class Valid(nn.Module):
        @nn.compact
        def __call__(self, x):
            halved = nn.avg_pool(nn.Conv(2, (3, 3), padding="VALID")(x), (2, 2), (2, 2))
            return nn.Conv(2, (3, 3), padding="VALID", name="last")(halved)

    images = jax.random.normal(jax.random.key(0), (2, 10, 10, 1))
    subject = of_module(Valid(), Valid().init(jax.random.key(1), images), name="valid")
    features, stride = spatial_layers(subject, images)["last"]
    assert features(images).shape == (2, 2, 2, 2)  # of 4 x 4
    assert stride == (2, 2)
    error, stride = feature_error(subject, np.asarray(images))
    assert stride == (2, 2)
    assert error.value < 1e-5


def test_what_wraps_around_an_odd_torus_lies_between_positions():
    net = nn.Conv(2, (3, 3), strides=(2, 2), padding="VALID")
    images = jax.random.normal(jax.random.key(0), (2, 9, 8, 1))
    subject = of_module(net, net.init(jax.random.key(1), images), name="odd")
    error, stride = feature_error(subject, np.asarray(images))
    assert stride == (2, 2)
    assert error.value < 1e-5


def test_a_layer_called_twice_is_numbered():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            conv = nn.Conv(1, (3, 3), name="conv")
            return conv(conv(x)) + 1

    module = Twice()
    images = jnp.ones((1, 4, 4, 1))
    subject = of_module(module, module.init(jax.random.key(0), images), name="twice")
    assert list(subject.layers(images)) == ["conv", "conv[1]", "Twice"]


def test_parameters_are_counted(make_subject):
    subject = make_subject("flatten")
    assert subject.parameters == (9 * 4 + 4) + (9 * 16 + 4) + (64 * 3 + 3)
    other = Subject("x", "x", subject.apply, variables={"a": np.ones(3)})
    assert other.parameters == 3


def test_a_window_of_the_torus_is_compared_where_both_show_the_same(dataset):
    module = nn.Conv(2, (3, 3), padding="VALID")
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    subject = of_module(module, variables, name="valid")
    (row,) = layer_rows(subject, dataset.images[:2], states=proof.layer_states)
    assert row.state == "equivariant to every shift; shows 6 of 8 positions"
    assert row.integer_error < 1e-5
    assert row.half_pixel_error is None  # the rest of the torus is not known
    error, _ = feature_error(subject, dataset.images[:2])
    assert error.value < 1e-5
