import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import (
    DOWNSAMPLES,
    Downsample,
    MaxBlurPool,
    adaptive_polyphase_sample,
    avg_pool,
    blur_pool,
    ideal_lowpass,
    max_pool,
    subsample,
)

BY_HAND = {
    "stride": lambda x: x[:, ::2, ::2],
    "max": lambda x: max_pool(x, 2, stride=2),
    "avg": lambda x: avg_pool(x, 2, stride=2),
    "blur": lambda x: blur_pool(x, 2, padding="CIRCULAR"),
    "maxblur": MaxBlurPool(padding="CIRCULAR"),
    "aps": lambda x: adaptive_polyphase_sample(x, 2)[0],
    "ideal": lambda x: ideal_lowpass(x, 2, subsample=True),
    "none": lambda x: x,
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_name_is_its_layer(signal, kind):
    x = signal(2, 6, 4, 3)
    y, _ = Downsample(kind, padding="CIRCULAR").apply({}, x)
    np.testing.assert_array_equal(y, BY_HAND[kind](x))


def test_every_name_halves_the_map_but_none(signal):
    x = signal(1, 8, 8, 2)
    for kind in DOWNSAMPLES:
        (y, phase), _ = jax.eval_shape(Downsample(kind).init_with_output, jax.random.key(0), x)
        assert y.shape == (1, *([8, 8] if kind == "none" else [4, 4]), 2)
        assert (phase is not None) == (kind in ("aps", "lps"))


@pytest.mark.parametrize("kind", ["aps", "lps"])
def test_phases_of_another_branch_are_used_again(signal, weights, kind):
    x = signal(2, 4, 4, 1)
    layer = Downsample(kind)
    variables = weights(layer, x)
    y, phase = layer.apply(variables, x, jnp.array([3, 1]))
    np.testing.assert_array_equal(phase, [3, 1])
    np.testing.assert_array_equal(y[0], x[0, 1::2, 1::2])


def test_subsample_takes_the_first_phase():
    np.testing.assert_array_equal(subsample(jnp.arange(7.0).reshape(1, 7, 1), 3).ravel(), [0, 3, 6])
    with pytest.raises(ValueError, match="stride is 0"):
        subsample(jnp.zeros((1, 4, 1)), 0)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'d': downsample is 'pool'; allowed are stride"):
        Downsample("pool", name="d").apply({}, jnp.zeros((1, 4, 1)))
