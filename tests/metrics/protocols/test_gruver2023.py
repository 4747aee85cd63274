"""Lie derivatives against finite differences and closed forms, and their split over layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxinv.metrics import protocols
from jaxinv.shifts import subpixel_translate

IMAGES = jax.random.normal(jax.random.key(0), (3, 8, 7, 2))


@pytest.mark.parametrize("axis", [1, 2, -2])
def test_the_generator_is_the_slope_of_the_fourier_shift(axis):
    with jax.enable_x64(True):
        x = jnp.asarray(IMAGES, float)
        step = 1e-5
        ahead, behind = (subpixel_translate(x, (s * step,), axes=(axis,)) for s in (1, -1))
        got = protocols.translation_generator(x, axis=axis)
        np.testing.assert_allclose(got, (ahead - behind) / (2 * step), atol=1e-8)


def test_the_generator_of_a_wave_is_its_derivative():
    places, k = np.arange(9), 2 * np.pi * 2 / 9
    wave = jnp.asarray(np.sin(k * places))
    # d/dt sin(k (i - t)) = -k cos(k i)
    np.testing.assert_allclose(
        protocols.translation_generator(wave, axis=0), -k * np.cos(k * places), atol=1e-5
    )


@pytest.mark.parametrize("axis", [1, 2])
def test_the_bilinear_generator_is_the_slope_of_linear_interpolation_that_reflects(axis):
    # One-sided, as the published code takes it: content moves up a little, the mirror image enters.
    x, step = np.asarray(IMAGES, np.float64), 2.0**-20
    moved = ndimage.shift(x, [-step * (a == axis) for a in range(4)], order=1, mode="mirror")
    with jax.enable_x64(True):
        got = protocols.translation_generator(x, axis=axis, method="bilinear")
    np.testing.assert_allclose(got, (x - moved) / step, atol=1e-8)


def test_the_bilinear_generator_gives_the_published_value_at_the_last_pixel():
    for dtype in ("uint8", "int16", "bfloat16", "float32"):
        x = jnp.array([0, 1, 3], dtype)
        got = protocols.translation_generator(x, axis=0, method="bilinear")
        np.testing.assert_array_equal(np.asarray(got, float), [-1, -2, 2])
    one = protocols.translation_generator(jnp.ones((2, 1)), axis=1, method="bilinear")
    np.testing.assert_array_equal(one, 0)


def test_the_error_of_half_precision_does_not_overflow():
    x = jnp.full((2, 4, 4, 1), 200, jnp.float16).at[:, ::2].set(-200)
    error = protocols.local_equivariance_error(lambda x: x[:, 0], x, method="bilinear")
    np.testing.assert_allclose(error.absolute, 400, rtol=1e-3)


def test_zero_for_equivariant_linear_maps_of_any_stride():
    conv = nn.Conv(4, (3, 3), padding="CIRCULAR")
    fun = lambda x: conv.apply(conv.init(jax.random.key(1), x), x)  # noqa: E731
    error = protocols.local_equivariance_error(fun, IMAGES)
    assert error.absolute < 1e-5
    # Global means are invariant: there is no output to move back.
    assert protocols.local_equivariance_error(lambda x: x.mean((1, 2)), IMAGES).absolute < 1e-6


def test_subsampling_is_equivariant_below_the_new_nyquist_frequency():
    def wave(cycles):
        return jnp.cos(2 * jnp.pi * cycles * jnp.arange(16) / 16)[None, :, None, None]

    halve = lambda x: x[:, ::2]  # noqa: E731
    assert protocols.local_equivariance_error(halve, wave(3)).absolute < 1e-5
    # At 5 of 16 cycles it aliases to 3 of 8 running backwards: d/dt cos(k (i - t)) has slope
    # 2 pi 5 / 16 sin(k i) against -2 pi 3 / 16 sin(k i), so the error is 2 pi 8 / 16 sin(k i).
    error = protocols.local_equivariance_error(halve, wave(5))
    np.testing.assert_allclose(error.squared, np.pi**2 / 2, rtol=1e-4)


def test_error_of_a_pixel_reader_in_closed_form():
    # f(x) = x[0] is not moved back: L f = G x at 0, squared per feature.
    generator = protocols.translation_generator(IMAGES, axis=2)
    got = protocols.local_equivariance_error(lambda x: {"a": x[:, :, 0]}, IMAGES, axis=2)["a"]
    squares = np.mean(np.asarray(generator[:, :, 0]).reshape(3, -1) ** 2, axis=1)
    np.testing.assert_allclose(got.squared, squares.mean(), rtol=1e-5)
    np.testing.assert_allclose(got.absolute, np.sqrt(squares).mean(), rtol=1e-5)


def test_derivative_is_the_limit_of_moving_there_and_back():
    def fun(x):
        return jnp.tanh(x)[:, ::2] * jnp.arange(4.0)[:, None, None]

    with jax.enable_x64(True):
        x = jnp.asarray(IMAGES, float)

        def there_and_back(t):
            moved = fun(subpixel_translate(x, (t,), axes=(1,)))
            return subpixel_translate(moved, (-t / 2,), axes=(1,))

        slope = (there_and_back(1e-5) - there_and_back(-1e-5)) / 2e-5
        np.testing.assert_allclose(protocols.lie_derivative(fun, x), slope, atol=1e-7)


class Residual(nn.Module):
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x, train=True):
        y = nn.relu(nn.Conv(3, (3, 3), padding=self.padding)(x))
        y = nn.Conv(x.shape[-1], (3, 3), padding="CIRCULAR")(y)
        dense = nn.Dense(5)
        assert not train
        return dense(nn.avg_pool((x + y)[:, :, :6], (2, 2), strides=(2, 2)).reshape(len(x), -1))


@pytest.mark.parametrize("method", ["fourier", "bilinear"])
def test_contributions_add_up(method):
    # A network whose layers are linear but for the disturbance of one: the sum rule, by hand.
    module = Residual()
    variables = module.init(jax.random.key(1), IMAGES, train=False)
    found = protocols.layer_contributions(module, variables, IMAGES, method=method, train=False)
    assert list(found.layers) == ["Conv_0", "Conv_1", "Dense_0"]
    whole = protocols.local_equivariance_error(
        lambda x: module.apply(variables, x, train=False), IMAGES, method=method
    )
    np.testing.assert_allclose(found.total, whole, rtol=1e-5)
    parts = sum(error.absolute for error in found.layers.values()) + found.between.absolute
    assert found.total.absolute <= parts * (1 + 1e-5)


def test_contribution_of_a_layer_in_a_chain_by_hand():
    first = nn.Conv(3, (3, 3), padding="SAME")
    second = nn.Conv(2, (3, 3), padding="SAME")
    chain = nn.Sequential([first, second])
    variables = chain.init(jax.random.key(2), IMAGES)
    one, two = (
        lambda x, m=m, n=n: m.apply({"params": variables["params"][n]}, x)
        for m, n in ((first, "layers_0"), (second, "layers_1"))
    )
    middle = one(IMAGES)
    carried = jax.jvp(two, (middle,), (protocols.lie_derivative(one, IMAGES),))[1]
    own = protocols.lie_derivative(two, middle)
    found = protocols.layer_contributions(chain, variables, IMAGES)
    for name, term in (("layers_0", carried), ("layers_1", own)):
        np.testing.assert_allclose(found.layers[name].squared, np.mean(term**2), rtol=1e-4)
    assert found.between.absolute < 1e-5 * found.total.absolute


def test_only_the_padded_layer_is_to_blame():
    circular = nn.Conv(2, (3, 3), padding="CIRCULAR")
    chain = nn.Sequential([circular, nn.Conv(2, (3, 3), padding="SAME"), circular])
    variables = chain.init(jax.random.key(3), IMAGES)
    found = protocols.layer_contributions(chain, variables, IMAGES)
    blame = {name: float(error.absolute) for name, error in found.layers.items()}
    total = float(found.total.absolute)
    assert [name for name, error in blame.items() if error > 1e-3 * total] == ["layers_1"]
    assert len(blame) == 3  # one module called twice is two layers


def test_a_relu_between_the_layers_is_named_as_such():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.relu(nn.Conv(3, (3, 3), padding="CIRCULAR")(x))

    variables = Net().init(jax.random.key(4), IMAGES)
    found = protocols.layer_contributions(Net(), variables, IMAGES)
    np.testing.assert_allclose(found.between, found.total, rtol=1e-3)
    assert found.total.absolute > 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: protocols.translation_generator(IMAGES, axis=4), "out of range"),
        (lambda: protocols.translation_generator(IMAGES, method="cubic"), "'fourier', 'bilinear'"),
        (lambda: protocols.lie_derivative(jnp.tanh, IMAGES, axis=7), "out of range"),
        (lambda: protocols.local_equivariance_error(jnp.tanh, IMAGES, method="x"), "method is"),
        (lambda: protocols.layer_contributions(nn.relu, {}, IMAGES), "Flax"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
