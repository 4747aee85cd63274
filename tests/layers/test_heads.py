import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import HEADS, Head, attention_pool, flatten, global_average, global_max


def test_closed_forms():
    x = jnp.array([[1.0, -1.0], [3.0, -5.0]])[None]
    np.testing.assert_array_equal(flatten(x), [[1, -1, 3, -5]])
    np.testing.assert_array_equal(global_average(x), [[2, -3]])
    np.testing.assert_array_equal(global_max(x), [[3, -1]])


def test_attention_is_a_softmax_over_positions():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    queries = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    rows = x.reshape(2, 12, 5)
    scores = np.exp(np.einsum("nid,qd->nqi", rows, queries) / np.sqrt(5))
    weights = scores / scores.sum(-1, keepdims=True)
    expected = np.einsum("nqi,nid->nqd", weights, rows).reshape(2, 15)
    np.testing.assert_allclose(
        attention_pool(jnp.asarray(x), jnp.asarray(queries)), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", HEADS)
def test_pooling_heads_do_not_see_a_shift_and_flatten_does(signal, weights, kind):
    x = signal(2, 5, 4, 3)
    head = Head(kind)
    variables = weights(head, x)
    y, moved = (head.apply(variables, v) for v in (x, jnp.roll(x, (2, 1), (1, 2))))
    assert np.allclose(y, moved, atol=1e-5) == (kind != "flatten")


def test_wrong_use():
    with pytest.raises(ValueError, match="Head 'h': head is 'sum'; allowed are flatten, gap, gmp"):
        Head("sum", name="h").init(jax.random.key(0), jnp.zeros((1, 4, 1)))
    with pytest.raises(ValueError, match="queries have 2 channels, the map has 3"):
        attention_pool(jnp.zeros((1, 4, 3)), jnp.zeros((1, 2)))
    for function in (flatten, global_average, global_max):
        with pytest.raises(ValueError, match="needed is"):
            function(jnp.zeros((2, 3)))
