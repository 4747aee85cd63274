"""Flatten + Dense at every shift equals the dense layer's definition, on tori of every size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.orbit import plan
from jaxinv.symmetry.correlation import DIRECT, TOGETHER


def dense(x, weight):
    return jnp.tanh(x).reshape(x.shape[0], -1) @ weight


def assert_shared(x, weight, axes):
    """The orbit does not fall back to every shift by itself."""
    with jax.enable_x64(True):
        assert jaxinv.orbit_cost(dense, x, weight, axes=axes).ratio > 1.05


@pytest.mark.parametrize(
    ("sizes", "method"),
    [
        ((2, 2), "direct"),
        ((4,), "direct"),
        ((7, 7), "together"),
        ((6, 9), "together"),
        ((3, 4, 5), "together"),
        ((300,), "together"),
        ((18, 17), "in turn"),
        ((16, 20), "in turn"),
        ((5, 8, 9), "in turn"),
    ],
    ids=str,
)
def test_dense_layers_at_every_shift(sizes, method):
    places, channels = int(np.prod(sizes)), 3
    if len(sizes) > 1:
        assert method == (
            "direct" if places <= DIRECT else "together" if places <= TOGETHER else "in turn"
        )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *sizes, channels))
    weight = rng.normal(size=(places * channels, 2 if places <= DIRECT else 60))
    axes = tuple(range(1, len(sizes) + 1))
    assert_shared(x, weight, axes)
    some = [tuple(t) for t in rng.integers(0, sizes, size=(9, len(sizes)))]
    with jax.enable_x64(True):
        every = jaxinv.orbit(dense, axes=axes)(x, weight)
        for shift in some:
            # The definition: the layer on the moved image.
            moved = np.roll(np.tanh(x), shift, axes).reshape(2, -1) @ weight
            np.testing.assert_allclose(every[shift], moved, rtol=0, atol=1e-12 * places)


@pytest.mark.parametrize("sizes", [(2, 2), (7, 6), (16, 17)], ids=str)
def test_its_gradient(sizes):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, *sizes, 4))
    weight = rng.normal(size=(x[0].size, 1 if x[0, ..., 0].size <= DIRECT else 60))
    assert_shared(x, weight, (1, 2))

    def loss(weight):
        return (jaxinv.orbit(dense)(x, weight) ** 2).sum()

    # With y = tanh(x): d/dW sum_t |y_t W|^2 = 2 (sum_t y_t' y_t) W, over all circular shifts t.
    shifts = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), -1)
    rows = np.concatenate([np.roll(np.tanh(x), t, (1, 2)).reshape(2, -1) for t in shifts])
    with jax.enable_x64(True):
        found = jax.grad(loss)(jnp.asarray(weight))
    expected = 2 * rows.T @ rows @ weight
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(("size", "seen"), [(3, 2), (4, 3), (4, 4), (24, 5)])
def test_positions_that_a_dense_layer_does_not_see_stay_out_of_it(monkeypatch, size, seen):
    """Zero times infinity is something: no weight of zero stands where the layer has none."""
    monkeypatch.setattr(plan, "shared_flops", lambda *_: 0)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, size, 3))
    x[0, 1, 2] = np.inf
    weight = rng.normal(size=(seen * 3, 2))

    def dense_of_part(x):
        return x[:, :seen].reshape(2, -1) @ weight

    with jax.enable_x64(True):
        every = jaxinv.orbit(dense_of_part, axes=(1,))(x)
        assert jaxinv.orbit_cost(dense_of_part, x, axes=(1,)).flops_per_shift == 0
        for t in range(size):
            with np.errstate(invalid="ignore"):  # numpy's product of an infinity warns on some CPUs
                expected = dense_of_part(np.roll(x, t, 1))
            assert np.isinf(expected).any() == (0 <= (1 + t) % size < seen)
            np.testing.assert_allclose(every[t], expected, rtol=0, atol=1e-12)
