"""The dense layers at the end of the networks."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.models import Classifier


def test_is_relu_between_two_affine_maps():
    x = jax.random.normal(jax.random.key(0), (3, 5))
    net = Classifier(2, (4,))
    variables = net.init(jax.random.key(1), x)
    p = variables["params"]
    hidden = np.maximum(x @ p["dense0"]["kernel"] + p["dense0"]["bias"], 0)
    expected = hidden @ p["logits"]["kernel"] + p["logits"]["bias"]
    np.testing.assert_allclose(net.apply(variables, x), expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_for_training_only():
    x = jnp.ones((1, 8))
    net = Classifier(2, (64,), dropout=0.5)
    variables = net.init(jax.random.key(0), x)
    still = net.apply(variables, x)
    np.testing.assert_array_equal(still, net.apply(variables, x))
    dropped = net.apply(variables, x, train=True, rngs={"dropout": jax.random.key(2)})
    assert not np.allclose(still, dropped)
