"""The condition of declared layers, measured on data: wherever they sit in a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv import models
from jaxinv.layers import (
    AdaptivePolyphaseSampling,
    LearnablePolyphaseSampling,
    adaptive_polyphase_sample,
    polyphase_norms,
    tie_margin,
)
from jaxinv.margins import TIE

SIGNALS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 8, 8, 3)), jnp.float32)


def twice(x):
    y, _ = adaptive_polyphase_sample(x)
    return adaptive_polyphase_sample(jnp.tanh(y))[0].mean((1, 2))


def smallest(x):
    """By definition, layer by layer."""
    y, _ = adaptive_polyphase_sample(x)
    margins = [tie_margin(polyphase_norms(v, 2)) for v in (x, jnp.tanh(y))]
    return jnp.min(jnp.stack(margins))


WAYS = {
    "plain": twice,
    "jit": jax.jit(twice),
    "remat": jax.checkpoint(twice),
    "nested": jax.jit(lambda x: jax.checkpoint(jax.jit(twice))(x) + 1),
    "vmap": lambda x: jax.vmap(lambda one: twice(one[None])[0])(x),
    "lax.map": lambda x: jax.lax.map(lambda one: twice(one[None])[0], x),
    "scan": lambda x: jax.lax.scan(lambda c, one: (c + twice(one[None])[0], c), jnp.zeros(3), x),
    "gradient": jax.grad(lambda x: twice(x).sum()),
    "tree": lambda x: {"logits": twice(x), "none": None},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_smallest_margin_of_all_layers_and_signals(way):
    measured = jaxinv.declared_margin(WAYS[way])(SIGNALS)
    assert measured.shape == ()
    np.testing.assert_allclose(measured, smallest(SIGNALS), rtol=1e-4)


def test_it_composes_with_jit_vmap_and_keywords():
    measure = jaxinv.declared_margin(lambda x, *, scale: twice(x * scale))
    np.testing.assert_allclose(
        jax.jit(measure)(SIGNALS, scale=2.0), smallest(SIGNALS * 2), rtol=1e-4
    )
    each = jax.vmap(jaxinv.declared_margin(twice))(SIGNALS[:, None])
    np.testing.assert_allclose(each.min(), smallest(SIGNALS), rtol=1e-4)


def test_a_shift_changes_the_margin_by_rounding_alone():
    moved = jaxinv.translate(SIGNALS, (3, 1))
    here, there = (jaxinv.declared_margin(twice)(x) for x in (SIGNALS, moved))
    np.testing.assert_allclose(here, there, rtol=1e-4)


def test_a_network_that_declares_nothing_has_no_margin():
    assert jnp.isinf(jaxinv.declared_margin(lambda x: x.mean((1, 2)))(SIGNALS))
    # a phase that is given is another layer's choice
    given = jaxinv.declared_margin(lambda x: adaptive_polyphase_sample(x, phase=jnp.zeros(5, int)))
    assert jnp.isinf(given(SIGNALS))


def test_a_tie_voids_the_certificate_and_is_measured():
    def pooled(x):
        return adaptive_polyphase_sample(x)[0].max(1)

    x = jnp.array([3.0, 0, 0, 5, 4, 0, 0, 0]).reshape(1, 8, 1)  # components 3 0 4 0 and 0 5 0 0
    assert jaxinv.certify(pooled, x, axes=(1,)).period == (1,)
    assert float(jaxinv.declared_margin(pooled)(x)) == 0
    assert not np.allclose(pooled(x), pooled(jnp.roll(x, 1, 1)))


def test_values_that_are_not_finite_have_no_margin():
    assert jnp.isnan(jaxinv.declared_margin(twice)(SIGNALS.at[0, 0, 0, 0].set(jnp.nan)))


@pytest.mark.parametrize("layer", [AdaptivePolyphaseSampling(), LearnablePolyphaseSampling()])
def test_linen_layers_state_their_margin(layer):
    variables = layer.init(jax.random.key(0), SIGNALS)
    margin = float(jaxinv.declared_margin(lambda x: layer.apply(variables, x))(SIGNALS))
    assert TIE < margin < 1


def test_the_margin_of_scores_is_that_of_their_softmax():
    layer = LearnablePolyphaseSampling()
    variables = layer.init(jax.random.key(0), SIGNALS)
    nothing = jax.tree.map(jnp.zeros_like, variables)  # all scores are zero
    assert float(jaxinv.declared_margin(lambda x: layer.apply(nothing, x))(SIGNALS)) == 0


def test_a_residual_network_counts_each_choice_once():
    model = models.create("resnet20", blocks=(1, 1), width=2, downsample="aps", padding="CIRCULAR")
    variables = model.init(jax.random.key(0), SIGNALS)
    _, sown = model.apply(variables, SIGNALS, mutable="intermediates")
    (margins,) = jax.tree.leaves(sown)
    measured = jaxinv.declared_margin(lambda x: model.apply(variables, x))(SIGNALS)
    np.testing.assert_allclose(measured, margins.min(), rtol=1e-4)


def test_a_user_may_declare_a_margin():
    def halved(x):
        largest_first = jnp.argmax(x[:, :2].sum((0, 2)))
        y = jnp.where(largest_first == 0, x[:, 0::2], x[:, 1::2])
        return jaxinv.declare_equivariance(
            x, y, axes=(1,), stride=2, decision=largest_first, margin=jnp.array([0.5, 0.25])
        )

    def still(x):
        return jaxinv.declare_invariance(x, x.sum(1), axes=(1,), margin=jnp.array(0.125))

    x = jnp.ones((1, 4, 1))
    assert float(jaxinv.declared_margin(halved)(x)) == 0.25
    assert float(jaxinv.declared_margin(still)(x)) == 0.125
    assert jaxinv.certify(halved, x, axes=(1,)).kind == "equivariant up to a roll"
    assert jaxinv.certify(still, x, axes=(1,)).kind == "invariant"
    np.testing.assert_array_equal(jax.jit(jax.grad(lambda x: still(x).sum()))(x), jnp.ones_like(x))


def test_what_cannot_be_measured_is_refused():
    def sometimes(x):
        return jax.lax.cond(x.sum() > 0, twice, lambda x: x.mean((1, 2)), x)

    with pytest.raises(ValueError, match="declares its condition inside cond; allowed are"):
        jaxinv.declared_margin(sometimes)(SIGNALS)
    with pytest.raises(ValueError, match="fun is of type int, which cannot be called"):
        jaxinv.declared_margin(3)
