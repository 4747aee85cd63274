import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxinv.layers import WARPS, Head, SpatialTransformer, translation_warp


@pytest.mark.parametrize("warp", WARPS)
def test_at_first_it_moves_nothing(signal, warp):
    x = signal(2, 6, 5, 2)
    layer = SpatialTransformer(Head("flatten"), warp)
    y, _ = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(y, x, atol=1e-4)


def test_a_warp_of_ones_own(signal):
    x = signal(1, 6, 2)
    layer = SpatialTransformer(
        Head("flatten"), translation_warp, identity=(-2 / 6,), border="CIRCULAR"
    )
    y, _ = layer.init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, jnp.roll(x, 1, 1), atol=1e-5)


def test_it_learns_to_undo_a_translation():
    bump = jnp.exp(-0.3 * (jnp.arange(12.0) - 6) ** 2).reshape(1, 12, 1)
    shifts = jnp.array([-2, -1, 0, 1, 2])
    x = jax.vmap(lambda t: jnp.roll(bump[0], t, 0))(shifts)
    layer = SpatialTransformer(Head("flatten"), "translation")
    variables = layer.init(jax.random.key(0), x)
    step = optax.adam(0.01)

    def loss(variables):
        return jnp.mean((layer.apply(variables, x) - bump) ** 2)

    def update(carry, _):
        variables, state = carry
        changes, state = step.update(jax.grad(loss)(variables), state)
        return (optax.apply_updates(variables, changes), state), None

    (trained, _), _ = jax.lax.scan(update, (variables, step.init(variables)), length=150)
    assert float(loss(trained)) < 0.05 * float(loss(variables))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warp": "rotation"}, "SpatialTransformer 's': warp is 'rotation'; allowed are trans"),
        ({"warp": translation_warp}, "needs identity=: where it moves nothing"),
        ({"border": "FULL"}, "SpatialTransformer 's': border is 'FULL'"),
        ({"warp": "thin_plate_spline", "points": 1}, "points is 1"),
    ],
)
def test_wrong_use_names_the_layer(arguments, message):
    layer = SpatialTransformer(Head("gap"), name="s", **arguments)
    with pytest.raises(ValueError, match=message):
        layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
