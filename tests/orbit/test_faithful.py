"""What sharing must not change: which of equal positions is chosen, what is not read, any chunk."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import io_callback

import jaxinv
from tests.sweeps import few

pytestmark = pytest.mark.usefixtures("x64")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def equal_positions(*shape, seed=0):
    """Whole numbers from 0 to 2: nearly every window holds ties."""
    return jnp.asarray(np.random.default_rng(seed).integers(0, 3, size=shape), jnp.float64)


def assert_faithful(fun, x, *, axes, shifts=None, given=None):
    """Values and gradient over all shifts equal those of the definition, NaN where it has NaN.

    Args:
      fun: a function of one array.
      x: the array.
      axes: its spatial dimensions.
      shifts: circular shifts; None for all.
      given: options of the orbit that ask for the same shifts; None lists them.
    """
    if shifts is None:
        shifts, given = list(itertools.product(*(range(x.shape[a]) for a in axes))), {}
    given = {"shifts": shifts} if given is None else given
    weights = numbers(len(shifts), *jax.eval_shape(fun, x).shape, seed=1)

    def by_definition(x):
        return lax.map(fun, jnp.stack([jnp.roll(x, t, axes) for t in shifts]))

    def shared(x):
        outputs = jaxinv.orbit(fun, axes=axes, **given)(x)
        return outputs.reshape(weights.shape)

    np.testing.assert_allclose(jax.jit(shared)(x), jax.jit(by_definition)(x), rtol=0, atol=1e-12)
    expected = jax.jit(jax.grad(lambda x: (weights * by_definition(x)).sum()))(x)
    found = jax.jit(jax.grad(lambda x: (weights * shared(x)).sum()))(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def pool(window, strides=None, padding="VALID"):
    return lambda x: nn.max_pool(x, window, strides or (1,) * len(window), padding)


TIES = {
    "rows and columns": (pool((2, 2), (2, 2)), (1, 2)),
    "overlapping": (pool((3, 2), (2, 1)), (1, 2)),
    "minimum": (lambda x: -nn.max_pool(-x, (2, 3), (1, 1)), (1, 2)),
    "channels too": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 2), (1, 2, 1, 1), "VALID"),
        (1, 2),
    ),
    "all the torus": (pool((6, 4)), (1, 2)),
    "all of a thinned torus": (lambda x: pool((3, 2))(x[:, ::2, ::2]), (1, 2)),
    "one axis of the torus": (lambda x: pool((1, 4))(x).mean((1, 2)), (1, 2)),
    "padded around": (
        lambda x: jnp.max(jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0)), mode="wrap"), (1, 2)),
        (1, 2),
    ),
    "padded around in full": (
        lambda x: jnp.max(jnp.tile(x, (1, 2, 1, 1)), 1),
        (1, 2),
    ),
    "sorted": (lambda x: jnp.sort(x, axis=2)[:, :, 1], (1, 2)),
    "median": (lambda x: jnp.median(x, axis=(1, 2)), (1, 2)),
    "quantile along one axis": (lambda x: jnp.quantile(x, 0.3, axis=1), (1,)),
    "largest": (lambda x: jnp.max(x, axis=(1, 2)), (1, 2)),
}


@pytest.mark.parametrize("name", few(TIES, "overlapping", "padded around", "sorted", "largest"))
def test_equal_positions_send_the_gradient_where_each_shift_does(name):
    fun, axes = TIES[name]
    assert_faithful(fun, equal_positions(2, 6, 4, 2), axes=axes)


def test_a_long_pool_over_equal_positions():
    assert_faithful(lambda x: pool((10,), (2,))(x), equal_positions(2, 12, 2), axes=(1,))


# Positions 9 to 11 are read by none of the shifts below.
POSITIVE = np.abs(numbers(1, 12)) + 0.1
TAPS = jnp.array([1.0, 2.0, 1.0])


@pytest.mark.parametrize("unread", few([0.0, np.inf, np.nan, 1e300], 0.0))
@pytest.mark.parametrize(
    "fun",
    [
        lambda x: jnp.log(x[:, :8] * TAPS[0]).mean(1),
        lambda x: jnp.log(jnp.convolve(x[0, :8], TAPS, "valid")).mean(),
        lambda x: jnp.log(x[:, :8]) @ numbers(8, 3),
        lambda x: jnp.sqrt(x[:, 0:8:2] + x[:, 1:8:2]).sum(1),
        lambda x: jnp.sort(x[:, :8], 1)[:, 0] / x[:, 1:3].max(1),
    ],
    ids=["pointwise", "convolved", "dense", "strided", "sorted"],
)
def test_what_no_shift_reads_changes_nothing(fun, unread):
    x = jnp.asarray(POSITIVE).at[:, 9:].set(unread)
    assert_faithful(fun, x, axes=(1,), shifts=[(0,), (-1,)])


@pytest.mark.parametrize("extremum", [jnp.max, jnp.min])
def test_an_extremum_of_one_number_has_the_gradient_of_an_extremum(extremum):
    """By JAX's definition it is NaN where the number is. Fused, XLA makes 0 of it."""
    x = jnp.asarray(numbers(2, 6, 3)).at[0, 1, 1].set(jnp.nan).at[1, 4, 0].set(jnp.inf)

    def gradient(share):
        fun = jaxinv.orbit(lambda x: extremum(x[..., None], 3), axes=(1,), share=share)
        return jax.grad(lambda x: fun(x).sum())(x)

    assert np.isnan(gradient(False)[0, 1, 1])
    np.testing.assert_allclose(gradient(True), gradient(False), rtol=1e-12)


PAIRS = {
    "products of tokens": lambda x: (x @ jnp.swapaxes(x, 1, 2)).sum((1, 2)),
    "products of numbers": lambda x: (x[:, :, None] * x[:, None]).max((1, 2)),
    "of components": lambda x: (x[:, 0:6:2, None] / x[:, None, 1:7:2]).sum((1, 2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_positions_that_no_shift_sees_together_do_not_meet(name):
    # An infinite one at either end: no window of 8 of these 14 positions holds both.
    x = jnp.asarray(numbers(1, 14, 2)).at[0, 1, 0].set(jnp.inf).at[0, 12, 1].set(-jnp.inf)

    def by_definition(x):
        return sum((k + 1) * PAIRS[name](x[:, 6 - k : 14 - k]).sum() for k in range(7))

    def shared(x):
        outputs = jaxinv.orbit(PAIRS[name], axes=(1,), mode="crop", max_shift=3)(x)
        weights = jnp.arange(1, 8).reshape(7, *[1] * (outputs.ndim - 1))
        return (weights * outputs).sum()

    expected = jax.grad(by_definition)(x)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(jax.grad(shared)(x), expected, rtol=1e-12)


def test_shifts_between_those_listed_are_not_computed_for_a_gradient():
    # The other two cosets hold zeros, whose logarithm has an infinite slope.
    x = jnp.asarray(np.abs(numbers(1, 6, 6)) + 0.1).at[:, 0::2, 1::2].set(0.0)
    fun = lambda x: jnp.log(x[:, ::2, ::2]).mean((1, 2))  # noqa: E731
    assert_faithful(fun, x, axes=(1, 2), shifts=[(0, 0), (1, 1)])


@pytest.mark.parametrize("limit", [1, 3])
def test_differences_across_the_end_of_a_larger_image_are_not_computed(limit):
    # Increasing inside, so that each difference that a shift reads is positive.
    x = jnp.asarray(np.cumsum(np.abs(numbers(1, 13)) + 0.1, axis=1))
    fun = lambda x: jnp.log(x[:, 1:] - x[:, :-1]).mean(1)  # noqa: E731
    size = 13 - 2 * limit

    def by_definition(x):
        rows = [x[:, limit - t : limit - t + size] for t in range(-limit, limit + 1)]
        return sum((k + 1) * fun(row).sum() for k, row in enumerate(rows))

    def shared(x):
        outputs = jaxinv.orbit(fun, axes=(1,), mode="crop", max_shift=limit)(x)
        return (jnp.arange(1, 2 * limit + 2)[:, None] * outputs).sum()

    np.testing.assert_allclose(jax.grad(shared)(x), jax.grad(by_definition)(x), rtol=1e-12)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("chunk", few([None, 1, 2, 5, 12], None, 5))
@pytest.mark.parametrize("size", [1, 3])
def test_a_slice_at_a_place_that_depends_on_the_data_has_its_bounds(share, chunk, size):
    x = jnp.asarray(numbers(1, 12, 3))

    def around_the_largest(x):
        return lax.dynamic_slice_in_dim(x, jnp.argmax(x[0, :, 0]) + 1, size, axis=1)

    outputs = jaxinv.orbit(around_the_largest, axes=(1,), chunk=chunk, share=share)(x)
    for t in range(12):
        # By definition, in numpy: the start is moved so that the slice is in bounds.
        moved = np.roll(x, t, 1)
        start = min(np.argmax(moved[0, :, 0]) + 1, 12 - size)
        np.testing.assert_array_equal(outputs[t], moved[:, start : start + size])


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("chunk", few([None, 1, 4], 4))
@pytest.mark.parametrize("stride", [1, 2])
def test_a_callback_that_cannot_be_batched(share, chunk, stride):
    x = jnp.asarray(numbers(1, 8, 3))

    def summed(x):
        x = jnp.tanh(x[:, ::stride])
        # Of a value that several shifts share, and of one that each has for itself.
        shapes = jax.ShapeDtypeStruct((1, 3), x.dtype)
        total = jax.pure_callback(lambda a: np.asarray(a), shapes, x.sum(1))
        return total + jax.pure_callback(lambda a: np.asarray(a).max(axis=1), shapes, x)

    outputs = jaxinv.orbit(summed, axes=(1,), chunk=chunk, share=share)(x)
    for t in range(8):
        y = np.tanh(np.roll(x, t, 1)[:, ::stride])
        np.testing.assert_allclose(outputs[t], y.sum(1) + y.max(1), rtol=1e-12)


@pytest.mark.parametrize("share", [True, False])
def test_a_callback_that_keeps_its_order(share):
    x = jnp.arange(4.0)[None]
    seen = []

    def watched(x):
        return io_callback(
            lambda a: seen.append(a) or np.asarray(a), x[0, :1], x[0, :1], ordered=True
        )

    outputs = jaxinv.orbit(watched, axes=(1,), share=share)(x)
    assert outputs.ravel().tolist() == [0, 3, 2, 1]
    assert len(seen) == 4


@pytest.mark.parametrize("share", [True, False])
def test_an_empty_batch(share):
    def net(x):
        return jnp.tanh(x[:, ::2]).mean(1) @ jnp.ones((3, 2)), x[:, :0]

    outputs = jaxinv.orbit(net, axes=(1,), share=share)(jnp.zeros((0, 8, 3)))
    assert [y.shape for y in outputs] == [(8, 0, 2), (8, 0, 0, 3)]


def test_an_orbit_that_cannot_fit_is_refused_before_anything_is_made():
    with pytest.raises(ValueError, match=r"needs about .* GiB and .* GiB are free"):
        jaxinv.orbit(lambda x: x.mean((1, 2)), mode="constant", max_shift=10**6)(
            jnp.ones((1, 8, 8))
        )
    with pytest.raises(ValueError, match=r"needs about .* GiB and .* GiB are free"):
        jaxinv.orbit(lambda x: x, axes=(1,), max_shift=10**12, share=False)(jnp.ones((1, 8)))


def test_derivatives_of_integers_and_of_every_order():
    x = jnp.asarray(numbers(1, 6, 2))

    def net(x):
        return jnp.argmax(x[0, :, 0]), jnp.tanh(x[:, ::2]).sum((1, 2))

    orbit = jaxinv.orbit(net, axes=(1,))
    shifts = range(6)
    found = jax.hessian(lambda x: (orbit(x)[1] ** 2).sum())(x)
    expected = jax.hessian(lambda x: sum((net(jnp.roll(x, t, 1))[1] ** 2).sum() for t in shifts))(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    places, _ = orbit(x)
    assert places.tolist() == [int(np.argmax(np.roll(x, t, 1)[0, :, 0])) for t in shifts]


@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd, lambda f: jax.jit(jax.grad(f))])
def test_what_a_function_closes_over_is_differentiated(transform):
    x = jnp.asarray(numbers(2, 6, 4, 3))
    weights = jnp.asarray(numbers(3, 5))

    def loss(scale, outputs_of):
        def net(x):
            return jnp.tanh(x[:, ::2] * scale).mean((1, 2)) @ weights

        return (outputs_of(net)(x) ** 2).sum()

    def each(fun):
        shifts = list(np.ndindex(6, 4))
        return lambda x: jnp.stack([fun(jnp.roll(x, t, (1, 2))) for t in shifts])

    found = transform(lambda scale: loss(scale, jaxinv.orbit))(0.7)
    np.testing.assert_allclose(found, jax.grad(lambda s: loss(s, each))(0.7), rtol=1e-12)
    batched = jax.vmap(lambda s: loss(s, jaxinv.orbit))(jnp.array([0.7, 2.0]))
    np.testing.assert_allclose(batched, [loss(s, each) for s in (0.7, 2.0)], rtol=1e-12)
