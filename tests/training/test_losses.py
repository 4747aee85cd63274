"""Losses over all translations against the definition, shift by shift."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
import jaxinv.shifts as shifts
from jaxinv import training
from jaxinv.training.losses import Objective
from tests.sweeps import few

AT = [(a, b) for a in range(-2, 3) for b in range(-2, 3)]


@pytest.fixture(scope="module")
def problem():
    r = np.random.default_rng(0)
    images = jnp.asarray(r.normal(size=(5, 6, 6, 2)), jnp.float32)
    weights = jnp.asarray(r.normal(size=(72, 3)), jnp.float32)
    return images, jnp.asarray([0, 1, 2, 0, 1]), weights


def network(weights):
    return lambda x: jnp.tanh(x).reshape(len(x), -1) @ weights


def every_loss(weights, images, labels, mode, at):
    fun = network(weights)
    return jnp.stack(
        [training.cross_entropy(fun(shifts.translate(images, t, mode=mode)), labels) for t in at]
    )


def test_cross_entropy_with_smoothed_labels():
    logits = jnp.array([[2.0, 0.0, -1.0]])
    log_p = jax.nn.log_softmax(logits)[0]
    expected = -(0.9 * log_p[1] + 0.1 / 3 * log_p.sum())
    got = training.cross_entropy(logits, jnp.array([1]), label_smoothing=0.1)
    np.testing.assert_allclose(got[0], expected, rtol=1e-6)


def test_labels_that_are_no_class():
    logits = jnp.zeros((2, 3))
    for labels, says in (
        ([0, 99], "label 99 is no class; allowed are 0 to 2"),
        ([-1, 0], "label -1 is no class"),
        ([0.0, 1.0], "dtype float32; allowed are class numbers"),
        ([0], "one for each of the 2 images"),
        ("ab", "labels is no array but a str"),
    ):
        with pytest.raises(ValueError, match=says):
            training.cross_entropy(logits, jnp.array(labels) if labels != "ab" else labels)
    # A traced label is not looked at; the loss of one that is no class is none.
    losses = jax.jit(training.cross_entropy)(logits, jnp.array([3, 1]))
    np.testing.assert_allclose(losses, [np.nan, np.log(3)], rtol=1e-6)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_logits_that_are_not_finite_have_no_loss_and_no_accuracy(bad):
    logits = jnp.zeros((2, 3)).at[1, 2].set(bad)
    labels = jnp.array([0, 0])
    np.testing.assert_array_equal(np.isnan(training.cross_entropy(logits, labels)), [False, True])
    losses, right, _ = Objective()(lambda x: (logits, ()), jnp.zeros((2, 1, 1, 1)), labels)
    np.testing.assert_array_equal(np.isnan([losses, right]), [[False, True]] * 2)


def test_half_precision_and_whole_numbers_lose_nothing():
    exact = training.cross_entropy(jnp.array([[200.0, 0, 3], [1, 2, 3]]), jnp.array([1, 2]))
    for dtype in ("uint8", "bfloat16", "float16"):
        logits = jnp.array([[200, 0, 3], [1, 2, 3]], dtype)
        got = training.cross_entropy(logits, jnp.array([1, 2]))
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, exact, rtol=1e-6)


@pytest.mark.parametrize("loss", [training.orbit_loss, training.worst_shift_loss])
def test_one_label_is_not_that_of_two_images(problem, loss):
    images, labels, weights = problem
    for wrong in (labels[:1], labels[:, None], labels[0]):
        with pytest.raises(ValueError, match="one for each of the 5 images"):
            loss(network(weights), images, wrong, max_shift=1)


@pytest.mark.parametrize("share", few([True, False], True))
@pytest.mark.parametrize("loss", [training.orbit_loss, training.worst_shift_loss])
def test_losses_and_gradients_are_those_of_the_definition(problem, loss, share):
    images, labels, weights = problem

    def defined(weights):
        losses = every_loss(weights, images, labels, "constant", AT)
        return losses.mean() if loss is training.orbit_loss else losses.max(0).mean()

    def exact(weights):
        return loss(
            network(weights), images, labels, mode="constant", max_shift=2, share=share, chunk=4
        )

    got, expected = jax.value_and_grad(exact)(weights), jax.value_and_grad(defined)(weights)
    chex.assert_trees_all_close(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [training.orbit_loss, training.worst_shift_loss])
def test_all_circular_shifts(problem, loss):
    images, labels, weights = problem
    at = [(a, b) for a in range(6) for b in range(6)]
    losses = every_loss(weights, images, labels, "wrap", at)
    expected = losses.mean() if loss is training.orbit_loss else losses.max(0).mean()
    np.testing.assert_allclose(loss(network(weights), images, labels), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", [training.orbit_loss, training.worst_shift_loss])
def test_windows_of_larger_images(problem, loss):
    images, labels, weights = problem
    fun = network(weights[:32])
    at = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    losses = jnp.stack(
        [training.cross_entropy(fun(shifts.crop_translate(images, t, size=4)), labels) for t in at]
    )
    expected = losses.mean() if loss is training.orbit_loss else losses.max(0).mean()
    got = loss(fun, images, labels, mode="crop", max_shift=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("loss", [training.orbit_loss, training.worst_shift_loss])
def test_a_padded_network(loss):
    """Its borders are cut, for the loss and for the gradient."""
    r = np.random.default_rng(1)
    kernels = [jnp.asarray(r.normal(size=(3, 3, n, 3)), jnp.float32) for n in (1, 3)]
    images = jnp.asarray(r.normal(size=(2, 12, 10, 1)), jnp.float32)
    labels = jnp.asarray([0, 2])

    def logits(kernels, x):
        for kernel in kernels:
            spec = ("NHWC", "HWIO", "NHWC")
            x = jnp.tanh(
                jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=spec)
            )
        return x.mean(axis=(1, 2))

    def mine(kernels):
        return loss(lambda x: logits(kernels, x), images, labels)

    @jax.value_and_grad
    def by_definition(kernels):
        moved = jnp.stack([shifts.translate(images, (a, b)) for a in range(12) for b in range(10)])
        losses = jax.vmap(lambda x: training.cross_entropy(logits(kernels, x), labels))(moved)
        return losses.mean() if loss is training.orbit_loss else losses.max(0).mean()

    assert jaxinv.orbit_cost(lambda x: logits(kernels, x), images).ratio > 3
    chex.assert_trees_all_close(
        jax.value_and_grad(mine)(kernels), by_definition(kernels), rtol=1e-4, atol=1e-5
    )


def test_the_worst_shift_is_at_least_as_bad_as_any(problem):
    images, labels, weights = problem
    worst = training.worst_shift_loss(network(weights), images, labels)
    assert worst >= every_loss(weights, images, labels, "wrap", [(0, 0), (3, 2)]).mean(1).max()
    assert worst > training.orbit_loss(network(weights), images, labels)


def test_an_invariant_network_loses_nothing_by_moving(problem):
    images, labels, weights = problem
    fun = lambda x: jnp.tanh(x).mean((1, 2)) @ weights[:2]  # noqa: E731
    centred = training.cross_entropy(fun(images), labels).mean()
    for loss in (training.orbit_loss, training.worst_shift_loss):
        np.testing.assert_allclose(loss(fun, images, labels), centred, rtol=1e-5)


def test_what_else_the_network_returns_is_averaged_over_the_orbit(problem):
    images, labels, weights = problem
    objective = Objective("orbit", mode="constant", max_shift=1)
    fun = lambda x: (network(weights)(x), {"mean": x.mean()})  # noqa: E731
    _, correct, extra = objective(fun, images, labels)
    at = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    moved = [shifts.translate(images, t, mode="constant") for t in at]
    np.testing.assert_allclose(extra["mean"], np.mean([m.mean() for m in moved]), atol=1e-6)
    right = [(network(weights)(m).argmax(-1) == labels) for m in moved]
    np.testing.assert_allclose(correct, np.mean(right, 0), atol=1e-6)


@pytest.mark.parametrize("loss", [training.orbit_loss, training.worst_shift_loss])
def test_shifts_that_do_not_fit_are_refused(problem, loss):
    images, labels, weights = problem
    with pytest.raises(ValueError, match="max_shift"):
        loss(network(weights), images, labels, mode="constant")
    with pytest.raises(ValueError, match="axis 9"):
        loss(network(weights), images, labels, axes=(1, 9))
