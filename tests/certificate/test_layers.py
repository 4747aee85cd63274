"""The layers of any function: the certificate's names, the values of the program."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import jaxinv
from jaxinv.metrics import layer_outputs, layerwise

X = np.random.default_rng(0).standard_normal((2, 8, 12, 3)).astype(np.float32)
KERNELS = [
    np.random.default_rng(i).standard_normal(shape).astype(np.float32)
    for i, shape in enumerate([(3, 3, 3, 4), (3, 3, 4, 5)])
]


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), name="first")(x))
        x = nn.relu(nn.Conv(5, (3, 3), strides=2, padding="CIRCULAR", name="second")(x))
        return nn.Dense(6, name="head")(x.mean((1, 2)))


class Nnx(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.second = nnx.Conv(4, 5, (3, 3), strides=2, rngs=rngs)

    def __call__(self, x):
        return nnx.tanh(self.second(nnx.relu(self.first(x))))


def convolved(x, layout):
    """Two padded convolutions with a stride in the layout of the images or with channels first."""
    spec = (layout, "HWIO", layout)
    x = jnp.tanh(lax.conv_general_dilated(x, KERNELS[0], (1, 1), "SAME", dimension_numbers=spec))
    return lax.conv_general_dilated(x, KERNELS[1], (2, 2), "SAME", dimension_numbers=spec)


def channels_first(x):
    return convolved(jnp.moveaxis(x, -1, 1), "NCHW")


def test_layers_of_a_linen_module_are_those_that_flax_hands_out():
    module = Linen()
    variables = module.init(jax.random.key(0), X)
    found = jaxinv.layers_of(lambda x: module.apply(variables, x))(X)
    expected = layer_outputs(module, variables, X)
    for name in ("first", "second", "head"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-6)
    assert list(found)[:2] == ["first", "second"]
    assert [name.partition(" (")[0] for name in found][2:] == ["reduce_sum", "head"]


def test_modules_of_nnx_have_their_paths():
    found = jaxinv.layers_of(Nnx())(X)
    assert {name: y.shape for name, y in found.items()} == {
        "first": (2, 8, 12, 4),
        "second": (2, 4, 6, 5),
        "output": (2, 4, 6, 5),
    }
    np.testing.assert_allclose(found["output"], jnp.tanh(found["second"]), rtol=1e-6)


def test_a_layer_called_again_is_numbered():
    dense = eqx.nn.Linear(3, 3, key=jax.random.key(0))
    per_pixel = jax.vmap(jax.vmap(jax.vmap(dense)))
    found = jaxinv.layers_of(lambda x: per_pixel(jnp.sin(per_pixel(x))))(X)
    first, second = found
    assert second == f"{first}[1]"
    np.testing.assert_allclose(found[first], per_pixel(X), rtol=1e-5, atol=1e-5)


def test_maps_with_channels_first_come_as_the_images_do():
    expected = list(jaxinv.layers_of(lambda x: convolved(x, "NHWC"))(X).values())
    found = list(jaxinv.layers_of(channels_first)(X).values())
    assert [y.shape for y in found] == [(2, 8, 12, 4), (2, 4, 6, 5)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    rows = layerwise(jaxinv.layers_of(channels_first), X)
    assert [row.stride for row in rows] == [(1, 1), (2, 2)]


@pytest.mark.parametrize(("n", "channels"), [(1, 3), (2, 1), (1, 1)])
def test_dimensions_of_one_stay(n, channels):
    images = X[:n, ..., :channels]

    def flipped(x):
        return jnp.moveaxis(
            lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), -1, 1
        )

    found = list(jaxinv.layers_of(flipped)(images).values())
    assert {y.shape for y in found} == {(n, 4, 6, channels)}
    np.testing.assert_allclose(found[-1], jnp.moveaxis(flipped(images), 1, -1), rtol=1e-6)


def test_axes_say_where_images_have_their_positions():
    images = np.moveaxis(X, -1, 1)
    found = jaxinv.layers_of(lambda x: convolved(x, "NCHW"), axes=(2, 3))(images)
    assert [y.shape for y in found.values()] == [(2, 4, 8, 12), (2, 5, 4, 6)]
    expected = convolved(images, "NCHW")
    np.testing.assert_allclose(list(found.values())[-1], expected, rtol=1e-5, atol=1e-5)


def test_tokens_of_patches_come_as_a_map():
    weight = np.random.default_rng(2).standard_normal((48, 7)).astype(np.float32)

    def tokens(x):
        patches = x.reshape(2, 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5)
        return patches.reshape(2, 6, 48) @ weight

    found = list(jaxinv.layers_of(tokens)(X).values())[-1]
    np.testing.assert_allclose(found, tokens(X).reshape(2, 2, 3, 7), rtol=1e-5, atol=1e-5)


def test_left_out_are_whole_numbers_and_what_holds_the_images_elsewhere():
    def outputs(x):
        scores = jnp.einsum("nhwc,ck->kn", x, KERNELS[0][0, 0])
        return {"class": jnp.argmax(scores, 0), "scores": scores.T}

    names = list(jaxinv.layers_of(outputs)(X))
    assert [name.partition(" (")[0] for name in names] == ["output/scores"]


def test_what_the_function_closes_over_may_be_differentiated():
    def energy(kernel):
        layers = jaxinv.layers_of(lambda x: jnp.einsum("nhwc,ck->nhwk", x, kernel).mean((1, 2)))
        return sum(jnp.sum(y**2) for y in layers(X).values())

    kernel = KERNELS[0][0, 0]
    found = jax.jit(jax.grad(energy))(kernel)

    def expected(kernel):
        y = jnp.einsum("nhwc,ck->nhwk", X, kernel)
        return (y**2).sum() + (y.sum((1, 2)) ** 2).sum() + (y.mean((1, 2)) ** 2).sum()

    np.testing.assert_allclose(found, jax.grad(expected)(kernel), rtol=1e-4)


def test_a_function_without_layers_has_its_output():
    assert list(jaxinv.layers_of(jnp.tanh)(X)) == ["output"]


def test_images_have_the_axes():
    with pytest.raises(ValueError, match="axes"):
        jaxinv.layers_of(jnp.tanh, axes=(4, 5))(X)
