"""Padded networks: the plan cuts borders where that is less work, and every shift stays right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from jaxinv.borders import work
from jaxinv.orbit import choice, every_shift
from jaxinv.orbit.transform import plan_call
from jaxinv.symmetry.tracing import trace
from jaxinv.symmetry.values import Torus
from jaxinv.symmetry.walk import line_of, walk
from tests.sweeps import few

pytestmark = pytest.mark.usefixtures("x64")

OPTIONS = {"argnums": 0, "axes": (1, 2), "mode": "wrap", "max_shift": None, "shifts": None}


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def convolve(x, features, stride=1, seed=1):
    spatial = "DHW"[-(x.ndim - 2) :]
    kernel = numbers(*(3,) * len(spatial), x.shape[-1], features, seed=seed).astype(x.dtype)
    spec = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    strides = (stride,) * len(spatial)
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=spec)


def pool(x):
    window = (1, *(2,) * (x.ndim - 2), 1)
    return lax.reduce_window(x, -np.inf, lax.max, window, window, "SAME")


def pooled_net(x):
    x = jax.nn.relu(convolve(jax.nn.relu(convolve(x, 3)), 2))
    return x.mean(axis=tuple(range(1, x.ndim - 1))) @ numbers(2, 3)


def dense_net(x):
    x = pool(jax.nn.relu(convolve(x, 3)))
    x = jax.nn.relu(convolve(x, 2, 2))
    return x.reshape(x.shape[0], -1) @ numbers(x[0].size, 3)


def residual_net(x):
    x = convolve(x, 2)
    y = convolve(jax.nn.relu(convolve(x, 2, 2)), 2)
    x = jax.nn.relu(y + x[:, ::2, ::2])
    return {"features": x, "logits": x.sum(axis=(1, 2))}


def mirrored_net(x):
    for mode in ("reflect", "edge"):
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)
        x = jnp.tanh(
            lax.conv_general_dilated(
                x,
                numbers(3, 3, x.shape[3], 2),
                (1, 1),
                "VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        )
    return x.max(axis=(1, 2))


def checkpointed_net(x):
    block = jax.checkpoint(lambda x: jax.nn.relu(convolve(jnp.tanh(convolve(x, 3)), 2)))
    return block(x).mean(axis=(1, 2))


def scanned_net(x):
    kernels = numbers(2, 3, 3, 2, 2)
    spec = ("NHWC", "HWIO", "NHWC")

    def layer(x, kernel):
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=spec)
        return jnp.tanh(x), None

    return lax.scan(layer, x, kernels)[0].mean(axis=(1, 2))


def is_cut(fun, x, differentiated=False, **options) -> bool:
    """Whether the plan is one of a program in pieces."""
    plan = plan_call(fun, (x,), {}, differentiated=differentiated, **OPTIONS | options)
    axes = (OPTIONS | options)["axes"]
    whole = trace(fun, (x,), argnums=0, axes=axes, enter=not differentiated)
    return len(plan.traced.program.equations) > len(whole.program.equations)


def assert_shares(fun, x, *, saves, tolerance=1e-12, **options):
    assert is_cut(fun, x, **options)
    assert jaxinv.orbit_cost(fun, x, **options).ratio >= saves
    shared, brute = jaxinv.orbit(fun, **options)(x), every_shift(fun, **options)(x)
    assert jax.tree.structure(shared) == jax.tree.structure(brute)
    for mine, truth in zip(*map(jax.tree.leaves, (shared, brute)), strict=True):
        assert mine.dtype == truth.dtype
        scale = max(1.0, float(jnp.max(jnp.abs(truth))))
        np.testing.assert_allclose(mine, truth, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("fun", "saves"),
    few(
        [(pooled_net, 3), (dense_net, 2), (residual_net, 1.3), (mirrored_net, 3), (scanned_net, 3)],
        (dense_net, 2),
        (residual_net, 1.3),
    ),
    ids=["pooled", "dense", "residual", "mirrored", "scanned"],
)
def test_padded_networks_share(fun, saves):
    assert_shares(fun, numbers(1, 16, 12, 2), saves=saves)


SHIFTS = {
    "constant": {"mode": "constant", "max_shift": 3},
    "edge": {"mode": "edge", "max_shift": (2, 4)},
    "reflect": {"mode": "reflect", "max_shift": 3},
    "crop": {"mode": "crop", "max_shift": 2},
    "listed": {"shifts": [(0, 0), (3, 1), (-2, 5), (7, 7), (1, 3), (2, 2), (4, 1), (5, 5)]},
    "circular": {"max_shift": 2},
}


@pytest.mark.parametrize("name", few(SHIFTS, "edge", "crop", "listed"))
def test_shifts_of_every_kind(name):
    assert_shares(pooled_net, numbers(1, 20, 18, 2), saves=1.3, **SHIFTS[name])


def test_sizes_that_strides_do_not_divide():
    assert_shares(dense_net, numbers(1, 17, 15, 2), saves=1.5)


def test_signals_volumes_and_other_places_of_the_axes():
    assert_shares(pooled_net, numbers(2, 21, 2), axes=(1,), saves=3)
    assert_shares(pooled_net, numbers(1, 8, 8, 8, 1), axes=(1, 2, 3), max_shift=1, saves=1.3)

    def channels_first(x):
        return pooled_net(jnp.transpose(x, (2, 0, 1))[..., None])

    assert_shares(channels_first, numbers(16, 12, 2), axes=(0, 1), saves=3)
    assert_shares(pooled_net, numbers(1, 16, 12, 2), axes=(2,), saves=2)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 5e-2)])
def test_other_dtypes(dtype, tolerance):
    def fun(x):
        return pooled_net(x).astype("float32")

    assert_shares(fun, numbers(1, 16, 12, 2).astype(dtype), saves=3, tolerance=tolerance)


@pytest.mark.parametrize("value", few([np.nan, np.inf, -np.inf], np.inf))
def test_what_is_not_finite_reaches_the_shifts_that_read_it(value):
    x = numbers(1, 12, 10, 2).at[0, 3, 4, 1].set(value)

    def fun(x):
        # XLA's own pools lose NaN at some shapes, so that they are no truth to compare with.
        return convolve(convolve(x, 2), 2, 2)[:, :2, 1:3]

    shared, brute = jaxinv.orbit(fun)(x), every_shift(fun)(x)
    np.testing.assert_allclose(shared, brute, rtol=1e-12, atol=1e-12)
    assert not np.isfinite(shared).all()
    assert np.isfinite(shared).any()


def gradient(fun, x, transform):
    weights = numbers(3, 3, 2, 2, seed=5)

    def loss(x, weights):
        outs = jax.tree.leaves(transform(lambda v: fun(v * weights.sum()))(x))
        return sum(jnp.sum(jnp.sin(3 * out)) for out in outs)

    return jax.grad(loss, argnums=(0, 1))(x, weights)


@pytest.mark.parametrize(
    "fun",
    few(
        [pooled_net, dense_net, residual_net, mirrored_net, checkpointed_net, scanned_net],
        pooled_net,
        scanned_net,
    ),
    ids=["pooled", "dense", "residual", "mirrored", "remat", "scanned"],
)
def test_gradients_are_those_of_every_shift(fun):
    x = numbers(1, 12, 10, 2)
    assert is_cut(fun, x, differentiated=True)
    for mine, truth in zip(
        gradient(fun, x, jaxinv.orbit), gradient(fun, x, every_shift), strict=True
    ):
        scale = max(1.0, float(jnp.max(jnp.abs(truth))))
        np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-11 * scale)


def extremum_net(x):
    """Ties in pools that overlap, and in the largest position of all."""
    window = (1, 3, 3, 1), (1, 2, 2, 1)
    x = lax.reduce_window(x, -np.inf, lax.max, *window, "SAME")
    x = lax.reduce_window(x, np.inf, lax.min, (1, 2, 2, 1), (1, 1, 1, 1), "SAME")
    return x.max(axis=(1, 2)), jax.nn.relu(x)[:, :2]


def test_gradients_at_ties(monkeypatch):
    """Each pool on a piece chooses the element that the whole pool chooses."""
    monkeypatch.setattr(choice, "LEAST_SAVED", -np.inf)
    monkeypatch.setattr(choice, "pays_until", lambda traced, *_: len(traced.program.equations))
    x = jnp.asarray(np.random.default_rng(0).integers(-1, 2, (1, 12, 10, 2)), float)
    assert plan_call(extremum_net, (x,), {}, differentiated=True, **OPTIONS).shared
    for mine, truth in zip(
        gradient(extremum_net, x, jaxinv.orbit), gradient(extremum_net, x, every_shift), strict=True
    ):
        np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-11)


def test_distinct_outputs_and_means():
    x = numbers(1, 12, 10, 2)
    every = every_shift(pooled_net)(x)
    distinct = jaxinv.distinct_orbit(pooled_net)(x)
    assert distinct.period == (12, 10)
    np.testing.assert_allclose(distinct.values, every, rtol=1e-12, atol=1e-12)
    mean = jaxinv.symmetrize(pooled_net)(x)
    np.testing.assert_allclose(mean, every.mean(axis=(0, 1)), rtol=1e-12, atol=1e-12)


def test_under_jit_and_vmap():
    xs = numbers(2, 1, 12, 10, 2)
    mine = jax.jit(jax.vmap(jaxinv.orbit(pooled_net)))(xs)
    truth = jnp.stack([every_shift(pooled_net)(x) for x in xs])
    np.testing.assert_allclose(mine, truth, rtol=1e-12, atol=1e-12)


def test_the_cost_is_that_of_the_pieces_in_passes_of_the_original():
    """Of 28 positions 2 have met padding after one convolution, 4 after two: 1 + b copies each."""

    def fun(x):
        return convolve(convolve(x, 16), 32)[:, 14, 14]

    def two(x):
        return convolve(convolve(x, 16), 32).sum(axis=(1, 2))

    x = jax.ShapeDtypeStruct((8, 28, 28, 1), jnp.float32)
    first, second = 2 * 9 * 16, 2 * 9 * 16 * 32
    bound = (3**2 * first + 5**2 * second) / (first + second)
    cost = jaxinv.orbit_cost(two, x)
    assert cost.shifts == 784
    assert cost.forward_flops == 8 * 28 * 28 * (first + second + 32)
    assert bound <= cost.forward_passes <= 1.25 * bound
    assert "conv_general_dilated" in cost.dominant_layer


def test_a_failure_of_the_rewriting_leaves_the_program_as_it_is(monkeypatch):
    def broken(*_, **__):
        raise AssertionError

    monkeypatch.setattr(choice, "on_pieces", broken)
    x = numbers(1, 8, 8, 2)
    assert not is_cut(pooled_net, x)
    np.testing.assert_allclose(
        jaxinv.orbit(pooled_net)(x), every_shift(pooled_net)(x), rtol=1e-12, atol=1e-12
    )


def test_nothing_is_cut_where_nothing_is_padded_or_little_is_saved():
    def circular(x):
        return convolve(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap"), 2)[:, 1:-1, 1:-1]

    assert not is_cut(circular, numbers(1, 8, 8, 2))
    assert not is_cut(pooled_net, numbers(1, 4, 4, 2))
    assert not is_cut(pooled_net, numbers(1, 20, 20, 2), shifts=[(0, 0), (1, 1)])


def ends(fun, x, count):
    traced = trace(fun, (x,), argnums=0, axes=(1, 2))
    torus = Torus(traced.sizes, (None, None))
    end = work.pays_until(traced, walk(traced, line_of(traced.sizes)), torus, count)
    return [str(e.primitive) for e in traced.program.equations][:end]


def test_cutting_stops_where_it_pays_no_more():
    """After four convolutions of 12 positions, with one of 11 between, no interior is left."""

    def fun(x):
        x = convolve(jnp.tanh(convolve(x, 8)), 8)
        kernel = numbers(11, 11, 8, 8)
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float64)
    assert ends(fun, x, 256) == ["conv_general_dilated", "tanh", "conv_general_dilated"]
    assert ends(fun, x, 3) == []
