import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import ACTIVATIONS, Activation, Polynomial, filtered_nonlinearity, polynomial
from jaxinv.layers.activations import GELU_POLYNOMIAL, POINTWISE


def test_polynomial_by_definition():
    x = jnp.array([[2.0, 3.0]])
    coefficients = jnp.array([[1.0, 0.0], [1.0, 2.0], [1.0, -1.0]])
    np.testing.assert_array_equal(polynomial(x, coefficients), [[1 + 2 + 4, 6 - 9]])
    with pytest.raises(ValueError, match=r"needed is \(degree \+ 1, 2\)"):
        polynomial(x, jnp.zeros((3, 1)))


def test_the_first_polynomial_is_the_least_squares_fit_of_gelu():
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    target = nodes * np.vectorize(lambda z: (1 + math.erf(z / math.sqrt(2))) / 2)(nodes)
    powers = nodes[:, None] ** np.arange(3)
    gram = powers.T @ (weights[:, None] * powers)
    fit = np.linalg.solve(gram, powers.T @ (weights * target))
    np.testing.assert_allclose(GELU_POLYNOMIAL, fit, atol=1e-12)


def test_learned_coefficients_start_there(signal):
    layer, x = Polynomial(), signal(1, 4, 3)
    variables = layer.init(jax.random.key(0), x)
    coefficients = variables["params"]["coefficients"]
    np.testing.assert_allclose(coefficients, np.tile(np.array(GELU_POLYNOMIAL)[:, None], (1, 3)))
    c0, c1, c2 = GELU_POLYNOMIAL
    np.testing.assert_allclose(layer.apply(variables, x), c0 + c1 * x + c2 * x**2, rtol=1e-5)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_activation_commutes_with_whole_shifts(signal, weights, kind):
    x = signal(1, 6, 4, 2)
    layer = Activation(kind)
    apply = jax.jit(partial(layer.apply, weights(layer, x)))
    y = apply(x)
    assert y.shape == x.shape
    moved = apply(jnp.roll(x, (1, 3), (1, 2)))
    np.testing.assert_allclose(moved, jnp.roll(y, (1, 3), (1, 2)), atol=1e-5)


@pytest.mark.parametrize("kind", ["relu", "gelu"])
def test_filtered_kinds_are_the_filtered_nonlinearity(signal, kind):
    x = signal(1, 6, 4, 2)
    y = Activation(f"filtered_{kind}", factor=3).apply({}, x)
    np.testing.assert_array_equal(y, filtered_nonlinearity(x, POINTWISE[kind], factor=3))


def test_vectors_have_no_grid_to_refine(signal):
    x = signal(3, 4)
    np.testing.assert_array_equal(Activation("filtered_relu").apply({}, x), jax.nn.relu(x))


def test_any_function_will_do_and_unknown_names_are_refused(signal):
    x = signal(2, 3)
    np.testing.assert_array_equal(Activation(jnp.sin).apply({}, x), jnp.sin(x))
    with pytest.raises(ValueError, match="Activation 'a': activation is 'selu'; allowed are relu"):
        Activation("selu", name="a").apply({}, x)
