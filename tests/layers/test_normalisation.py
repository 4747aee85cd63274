import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import NORMS, Norm, alias_free_norm
from jaxinv.shifts import subpixel_translate


def test_alias_free_norm_by_definition(signal):
    x = np.asarray(signal(2, 3, 4, 5))
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred**2).mean((1, 2, 3), keepdims=True) + 1e-6)
    y = alias_free_norm(jnp.asarray(x))
    np.testing.assert_allclose(y, centred / scale, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="needed is"):
        alias_free_norm(jnp.zeros((2, 3)))


def test_it_commutes_with_fractional_shifts_and_layer_norm_does_not(signal, weights):
    x = signal(1, 7, 9, 3)

    def error(kind):
        norm = Norm(kind)
        variables = weights(norm, x)
        moved = norm.apply(variables, subpixel_translate(x, (0.4, 1.3)))
        expected = subpixel_translate(norm.apply(variables, x), (0.4, 1.3))
        return np.abs(np.asarray(moved) - np.asarray(expected)).max()

    assert error("alias_free") < 1e-5
    assert error("layer") > 0.1


@pytest.mark.parametrize("kind", NORMS)
def test_every_norm_commutes_with_whole_shifts_in_evaluation(signal, weights, kind):
    x = signal(2, 4, 4, 3)
    norm = Norm(kind)
    variables = weights(norm, x)
    moved = norm.apply(variables, jnp.roll(x, (1, 2), (1, 2)))
    np.testing.assert_allclose(moved, jnp.roll(norm.apply(variables, x), (1, 2), (1, 2)), atol=1e-5)


def test_batch_statistics_move_in_training(signal):
    x = 3 + 2 * signal(64, 8, 2)
    norm = Norm("batch")
    variables = norm.init(jax.random.key(0), x)
    y, state = norm.apply(variables, x, train=True, mutable="batch_stats")
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-5)
    mean = state["batch_stats"]["batch"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * x.mean((0, 1)), rtol=1e-4)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Norm 'n': norm is 'power'; allowed are none, batch"):
        Norm("power", name="n").init(jax.random.key(0), jnp.zeros((1, 4, 1)))
