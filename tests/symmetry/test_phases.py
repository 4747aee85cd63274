"""Strided slices of one array: those of one phase are windows of one base, others are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from tests.sweeps import few

# Slices (start, step) of 12 positions, put one after the other; the period that the result has.
JOINED = [
    ([(0, 2), (1, 2)], None),
    ([(1, 2), (0, 2)], None),
    ([(0, 3), (1, 3), (2, 3)], None),
    ([(2, 3), (0, 3)], None),
    ([(0, 4), (2, 4)], None),
    ([(2, 2), (0, 2, 2)], 2),
    ([(3, 2), (1, 3, 2)], 2),
    ([(6, 3), (0, 6, 3)], 3),
    ([(8, 4), (0, 8, 4)], 4),
]


def pieces(rows):
    return [slice(row[0], row[1] if len(row) == 3 else None, row[-1]) for row in rows]


@pytest.mark.parametrize(("rows", "period"), JOINED, ids=str)
@pytest.mark.parametrize(("axis", "dtype"), [(0, np.float32), (1, np.int16)])
def test_joined_slices(rows, period, axis, dtype):
    def join(x):
        x = x + jnp.roll(x, 1, axis)
        parts = [x[(slice(None),) * axis + (piece,)] for piece in pieces(rows)]
        return jnp.concatenate(parts, axis)

    x = np.random.default_rng(0).integers(-99, 99, size=(12, 12)).astype(dtype)
    certificate = jaxinv.certify(join, x, axes=(axis,))
    assert certificate.kind == ("broken" if period is None else "equivariant")
    if period is not None:
        assert certificate.period == (period,)
        rolled = np.roll(join(x), 1, axis)
        np.testing.assert_array_equal(join(np.roll(x, period, axis)), rolled)
    outputs = jaxinv.orbit(join, axes=(axis,))(x)
    for t in range(12):
        np.testing.assert_array_equal(outputs[t], join(np.roll(x, t, axis)))


MEETINGS = {
    "added": lambda x: x[:, ::2] + x[:, 1::2],
    "multiplied": lambda x: x[:, 2::3] * x[:, ::3],
    "interleaved": lambda x: jnp.stack([x[:, ::2], x[:, 1::2]], 2).reshape(x.shape),
    "interleaved the other way": lambda x: jnp.stack([x[:, 1::2], x[:, ::2]], 2).reshape(x.shape),
    "of a slice of a slice": lambda x: jnp.concatenate([x[:, 1:][:, ::2], x[:, ::2]], 1),
    "in place": lambda x: (
        jnp.zeros_like(x).at[:, ::2].set(x[:, ::2]).at[:, 1::2].set(2 * x[:, 1::2])
    ),
    "along both axes": lambda x: jnp.concatenate([x[:, ::2, ::2], x[:, ::2, 1::2]], 2),
    "of a transpose": lambda x: jnp.concatenate(
        [x.swapaxes(1, 2)[:, ::2], x.swapaxes(1, 2)[:, 1::2]], 1
    ),
}


@pytest.mark.parametrize("name", few(MEETINGS, "in place", "of a transpose"))
def test_phases_that_meet(name):
    """Values and gradient of a dense layer behind them, at every shift."""
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 12, 6, 2)))
        shape = jax.eval_shape(MEETINGS[name], x).shape
        weights = np.random.default_rng(2).normal(size=(int(np.prod(shape[1:])), 3))

        def net(x):
            y = jnp.tanh(x + jnp.roll(x, 1, (1, 2)))
            return MEETINGS[name](y).reshape(len(y), -1) @ weights

        def each(x):
            rolled = [jnp.roll(x, t, (1, 2)) for t in np.ndindex(12, 6)]
            return jax.lax.map(net, jnp.stack(rolled)).reshape(12, 6, 2, 3)

        np.testing.assert_allclose(jaxinv.orbit(net)(x), each(x), rtol=0, atol=1e-12)
        found, expected = (
            jax.grad(lambda x, f=f: (f(x) ** 2).sum())(x) for f in (jaxinv.orbit(net), each)
        )
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize(
    "alone",
    [
        jax.lax.optimization_barrier,
        lambda x: jnp.split(x, 1, 1)[0],
        lambda x: jnp.unstack(x[None])[0],
    ],
    ids=["a barrier", "a split into one piece", "an unstacked stack of one"],
)
@pytest.mark.parametrize(("by", "axis"), [(5, 1), (6, 2), (2, 3)])
def test_rolls_behind_operations_that_could_have_several_results(alone, by, axis):
    def roll(x):
        return jnp.roll(alone(x), by, axis)

    x = np.random.default_rng(4).normal(size=(2, 12, 6, 2))
    assert (certificate := jaxinv.certify(roll, x)).kind == "equivariant"
    assert certificate.period == (1, 1)
    found = jaxinv.orbit(roll)(x)
    for t in [(0, 0), (1, 0), (3, 1), (11, 5)]:
        np.testing.assert_array_equal(found[t], roll(jnp.roll(x, t, (1, 2))))


# Replaced components: the period of rows and columns, P where that axis ends.
REPLACED = {
    "one of three": (lambda x: x.at[:, 1::3].set(jnp.sin(x[:, 2::3])), (3, 1)),
    "columns by a constant": (lambda x: x.at[:, :, ::2].set(1.0), (1, 2)),
    "of both axes": (lambda x: x.at[:, ::2].set(0.0).at[:, :, 1::2].set(2.0), (2, 2)),
    "of a transpose": (
        lambda x: x.swapaxes(1, 3).at[..., ::2].set(1.0).swapaxes(1, 3),
        (2, 1),
    ),
    "a step that does not divide": (lambda x: x.at[:, ::5].set(1.0), (12, 1)),
    "not all of it": (lambda x: x.at[:, :10:2].set(1.0), (12, 1)),
    "out of order": (lambda x: x.at[:, np.array([2, 0, 4, 6, 8, 10])].set(1.0), (2, 1)),
}


@pytest.mark.parametrize("name", REPLACED)
def test_replaced_components(name):
    fun, period = REPLACED[name]
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 12, 6, 2)))
        assert jaxinv.certify(fun, x).period == period
        outputs = jaxinv.orbit(fun)(x)
        for t in [(0, 0), (1, 0), (3, 1), (5, 4), (11, 5)]:
            np.testing.assert_array_equal(outputs[t], fun(jnp.roll(x, t, (1, 2))))
