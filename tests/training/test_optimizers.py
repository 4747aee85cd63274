"""Step sizes and updates against their closed forms."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxinv.training.config import TrainConfig
from jaxinv.training.optimizers import learning_rate, make_optimizer


def rates(steps, **fields):
    schedule = learning_rate(TrainConfig(learning_rate=0.1, **fields), steps_per_epoch=10)
    return [float(schedule(step)) for step in steps]


def test_schedules():
    assert rates([0, 199], schedule="constant") == pytest.approx([0.1, 0.1])
    assert rates([0, 100, 200], schedule="linear") == pytest.approx([0.1, 0.05, 0.0], abs=1e-8)
    expected = [0.1, 0.05 * (1 + np.cos(np.pi / 4)), 0.05, 0.0]
    assert rates([0, 50, 100, 200], schedule="cosine") == pytest.approx(expected, abs=1e-8)
    step = {"schedule": "step", "decay_epochs": 2.0, "decay_factor": 0.3}
    assert rates([0, 19, 20, 40], **step) == pytest.approx([0.1, 0.1, 0.03, 0.009])
    warm = {"schedule": "linear", "warmup_epochs": 2.0, "epochs": 4}
    assert rates([0, 10, 20, 30, 40], **warm) == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-8)


def first_update(grads, params, **fields):
    tx = make_optimizer(TrainConfig(schedule="constant", **fields), steps_per_epoch=1)
    return tx.update(grads, tx.init(params), params)[0]


def test_updates():
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full((2,), 5.0)}
    grads = jax.tree.map(jnp.ones_like, params)
    sgd = {"optimizer": "sgd", "learning_rate": 0.5}
    chex.assert_trees_all_close(
        first_update(grads, params, **sgd), jax.tree.map(lambda g: -0.5 * g, grads)
    )
    # Nesterov's first step is (1 + momentum) times the gradient
    moved = first_update(grads, params, **sgd, nesterov=True)
    chex.assert_trees_all_close(moved["bias"], jnp.full((2,), -0.95), atol=1e-6)
    decayed = first_update(grads, params, **sgd, weight_decay=0.1)
    chex.assert_trees_all_close(decayed["kernel"], jnp.full((2, 2), -0.65), atol=1e-6)
    chex.assert_trees_all_close(decayed["bias"], jnp.full((2,), -0.5), atol=1e-6)
    clipped = first_update(grads, params, **sgd, momentum=0.0, clip_norm=0.1)
    np.testing.assert_allclose(optax.tree.norm(clipped), 0.05, rtol=1e-5)
    adam = first_update(grads, params, optimizer="adam", learning_rate=0.5)
    chex.assert_trees_all_close(adam["bias"], jnp.full((2,), -0.5), atol=1e-4)
    adadelta = first_update(grads, params, optimizer="adadelta", learning_rate=1.0)
    chex.assert_trees_all_close(
        adadelta["bias"],
        optax.adadelta(1.0).update(grads, optax.adadelta(1.0).init(params), params)[0]["bias"],
    )
