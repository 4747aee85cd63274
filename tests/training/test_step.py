"""One step: the sums, the average, accumulation and precision, each against the plain thing."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxinv.training.config import TrainConfig
from jaxinv.training.losses import cross_entropy
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.seeds import over_seeds
from jaxinv.training.state import initial_state, keys
from jaxinv.training.step import make_evaluation, make_step

SCALE = {"mean": (0.0,), "std": (0.5,)}


class Net(nn.Module):
    """Flatten and Dense, with BatchNorm if asked."""

    norm: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        x = x.reshape(len(x), -1)
        if self.norm:
            x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(x)


@pytest.fixture(scope="module")
def batch():
    r = np.random.default_rng(0)
    images = jnp.asarray(r.integers(0, 255, (12, 4, 4, 1)), jnp.uint8)
    return images, jnp.asarray(r.integers(0, 3, 12), jnp.int32)


def setup(config, model, key=None):
    optimizer = make_optimizer(config, steps_per_epoch=2)
    make = functools.partial(
        initial_state, model=model, optimizer=optimizer, shape=(4, 4, 1), ema=config.ema > 0
    )
    step = make_step(config, model=model, optimizer=optimizer, steps_per_epoch=2, **SCALE)
    return make, jax.jit(step)


def first_half(batch):
    return [part[:6] for part in batch]


def config_of(**changes):
    return TrainConfig(
        **{"optimizer": "sgd", "momentum": 0.0, "schedule": "constant", "learning_rate": 0.1}
        | {"batch_size": 6}
        | changes
    )


def test_a_step_is_a_gradient_step_on_its_batch(batch):
    images, labels = batch
    make, step = setup(config_of(), Net())
    first = make(jax.random.key(0))

    def loss(params, rows):
        logits = Net().apply({"params": params}, images[rows] / 255 / 0.5)
        return cross_entropy(logits, labels[rows]).mean()

    params, total = first.params, 0.0
    state = first
    for rows in (jnp.arange(6), jnp.arange(6, 12)):
        state = step(state, images[rows], labels[rows])
        value, grads = jax.value_and_grad(loss)(params, rows)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        total += 6 * value
        chex.assert_trees_all_close(state.params, params, atol=1e-5)
    assert int(state.step) == 2
    np.testing.assert_allclose(state.sums["loss"], total, rtol=1e-4)
    assert state.sums["count"] == 12
    state = step(state, images[:6], labels[:6])  # a new epoch: the sums start anew
    assert state.sums["count"] == 6


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_parts_give_the_whole_batchs_step(batch, parts):
    make, whole = setup(config_of(), Net())
    _, split = setup(config_of(accumulate=parts), Net())
    state = make(jax.random.key(0))
    expected, got = (step(state, *first_half(batch)) for step in (whole, split))
    chex.assert_trees_all_close(got.params, expected.params, atol=1e-6)
    chex.assert_trees_all_close(got.sums, expected.sums, rtol=1e-5)


def test_moving_average_of_the_parameters(batch):
    make, step = setup(config_of(ema=0.75), Net())
    state = make(jax.random.key(0))
    average = state.params
    for _ in range(3):
        state = step(state, *first_half(batch))
        average = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, average, state.params)
    chex.assert_trees_all_close(state.ema, average, atol=1e-6)
    assert state.variables["params"] is state.ema


def test_batch_statistics_move_and_are_those_of_the_mean_shift_in_an_orbit(batch):
    model = Net(norm=True)
    make, plain = setup(config_of(), model)
    before = make(jax.random.key(0))
    after = plain(before, *first_half(batch))
    mean = after.model_state["batch_stats"]["BatchNorm_0"]["mean"]
    x = batch[0][:6].reshape(6, -1) / 255 / 0.5
    np.testing.assert_allclose(mean, 0.01 * x.mean(0), rtol=1e-4)
    _, orbit = setup(config_of(augment="orbit", max_shift=None, fill="wrap"), model)
    after = orbit(before, *first_half(batch))
    mean = after.model_state["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, jnp.full(16, 0.01 * x.mean()), rtol=1e-4)


def test_bfloat16_computes_in_it_and_keeps_float32(batch):
    make, step = setup(config_of(precision="bfloat16"), Net(norm=True))
    _, exact = setup(config_of(), Net(norm=True))
    state = make(jax.random.key(0))
    got, expected = (f(state, *first_half(batch)) for f in (step, exact))
    chex.assert_trees_all_equal_dtypes(got, expected)
    chex.assert_trees_all_close(got.params, expected.params, atol=0.02)
    assert not np.array_equal(got.params["Dense_0"]["kernel"], expected.params["Dense_0"]["kernel"])


def test_worst_and_orbit_steps_follow_their_losses(batch):
    from jaxinv import training

    images, labels = batch
    for name, loss in (("orbit", training.orbit_loss), ("worst", training.worst_shift_loss)):
        make, step = setup(config_of(augment=name, max_shift=1), Net())
        state = make(jax.random.key(0))

        def objective(params, loss=loss):
            fun = lambda x: Net().apply({"params": params}, x)  # noqa: E731
            return loss(fun, images[:6] / 255 / 0.5, labels[:6], mode="constant", max_shift=1)

        grads = jax.grad(objective)(state.params)
        expected = optax.apply_updates(state.params, jax.tree.map(lambda g: -0.1 * g, grads))
        got = step(state, images[:6], labels[:6])
        chex.assert_trees_all_close(got.params, expected, atol=1e-5)


def test_evaluation_counts_each_image_once(batch):
    images, labels = batch
    make, _ = setup(config_of(), Net())
    variables = make(jax.random.key(0)).variables
    evaluate = make_evaluation(config_of(), model=Net(), **SCALE)
    rows = jnp.arange(15).reshape(3, 5)
    parts = [evaluate(variables, images[r], labels[r], r < 12) for r in rows]
    logits = Net().apply(variables, images / 255 / 0.5)
    losses, correct, count = np.sum(parts, 0)
    np.testing.assert_allclose(losses, cross_entropy(logits, labels).sum(), rtol=1e-5)
    assert correct == (logits.argmax(-1) == labels).sum()
    assert count == len(labels)


def test_several_seeds_are_the_single_ones(batch, monkeypatch):
    """Both ways of running them, the one of the processor and that of accelerators."""
    make, step = setup(config_of(augment="translate"), Net())
    seeds = jnp.stack([jax.random.key(0), jax.random.key(1)])
    batches = [jnp.stack([part[:6], part[6:]]) for part in batch]
    single = [step(make(seeds[i]), *(part[i] for part in batches)).params for i in range(2)]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        many = over_seeds(make, mapped=1)(seeds)
        got = over_seeds(step, mapped=3)(many, *batches).params
        chex.assert_trees_all_close(got, expected, atol=1e-6)


def test_a_runs_keys_differ_by_purpose():
    made = [jax.random.key_data(key).tolist() for key in keys(jax.random.key(0)).values()]
    assert len({tuple(key) for key in made}) == 3
