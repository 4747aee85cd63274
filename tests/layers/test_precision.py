"""Whole numbers, booleans, half precision: computed in float32 at least, never wrapped around."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import layers
from jaxinv.layers import CRITERIA, PADDINGS, AdaptivePolyphaseSampling, adaptive_polyphase_sample

HALVES = [jnp.bfloat16, jnp.float16]
WHOLE = [jnp.uint8, jnp.int8, jnp.int16, jnp.int32, jnp.bool_]
KERNEL = np.array([[1.5, -2.0, 0.5], [0.25, 1.0, 3.0]], np.float32)

# Every function of a map that adds values up, with its other arguments.
SUMS = {
    "blur_pool": layers.blur_pool,
    "avg_pool": partial(layers.avg_pool, window=3, padding="SAME"),
    "ideal_lowpass": layers.ideal_lowpass,
    "ideal_lowpass, subsampled": partial(layers.ideal_lowpass, subsample=True),
    "ideal_upsample": layers.ideal_upsample,
    "filtered_nonlinearity": partial(layers.filtered_nonlinearity, function=jnp.tanh),
    "alias_free_norm": layers.alias_free_norm,
    "attention_pool": partial(layers.attention_pool, queries=KERNEL[:, :2]),
    "global_average": layers.global_average,
    "read_at": lambda x: layers.read_at(x, jnp.full((2, 3, 2), 0.3)),
    "convolve": partial(layers.convolve, kernel=KERNEL.reshape(3, 1, 2, 1)),
    "convolve_transposed": partial(layers.convolve_transposed, kernel=KERNEL.reshape(3, 1, 2, 1)),
    **{f"{c} norms": partial(layers.polyphase_norms, stride=2, criterion=c) for c in CRITERIA},
}


def whole_numbers(dtype):
    """A map that fills the range of the type."""
    if dtype == jnp.bool_:
        return np.random.default_rng(0).integers(0, 2, (2, 6, 4, 2)).astype(bool)
    info = jnp.iinfo(jnp.int16 if dtype == jnp.int32 else dtype)
    values = np.random.default_rng(0).integers(info.min, info.max, (2, 6, 4, 2), endpoint=True)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("name", SUMS)
def test_whole_numbers_give_what_their_floats_give(name, dtype):
    x = whole_numbers(dtype)
    y = SUMS[name](jnp.asarray(x))
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, SUMS[name](jnp.asarray(x, jnp.float32)))


def test_a_product_of_whole_numbers_does_not_wrap_around():
    x, kernel = jnp.full((1, 4, 1), 200, jnp.uint8), jnp.full((3, 1, 1), 7, jnp.uint8)
    y = layers.convolve(x, kernel, padding="CIRCULAR")
    np.testing.assert_array_equal(y.ravel(), [4200.0] * 4)
    local = layers.locally_connected(x, jnp.full((4, 3, 1), 7, jnp.uint8), window=3)
    np.testing.assert_array_equal(local.ravel(), [2800.0, 4200, 4200, 2800])


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", [*WHOLE, *HALVES])
def test_max_pool_keeps_the_type_and_never_chooses_the_border(dtype, padding):
    x = whole_numbers(jnp.int8 if dtype in HALVES else dtype).astype(dtype)
    lowest = x.min()
    y = layers.max_pool(jnp.asarray(np.full_like(x, lowest)), 3, padding=padding)
    assert y.dtype == dtype
    assert (np.asarray(y) == lowest).all()
    exact = layers.max_pool(jnp.asarray(x, jnp.float32), 3, padding=padding)
    pooled = layers.max_pool(jnp.asarray(x), 3, padding=padding)
    np.testing.assert_array_equal(pooled.astype(jnp.float32), exact)


def test_what_has_no_order_has_no_maximum():
    with pytest.raises(ValueError, match="input has dtype complex64; allowed are types with an"):
        layers.max_pool(jnp.ones((1, 4, 1), jnp.complex64))
    with pytest.raises(ValueError, match="input has dtype complex64; allowed are real numbers"):
        layers.alias_free_norm(jnp.ones((1, 4, 1), jnp.complex64))


def test_complex_maps_have_real_norms():
    x = np.array([3 + 4j, 1, 0, 1j])
    norms = layers.polyphase_norms(jnp.asarray(x.reshape(1, 4, 1), jnp.complex64), 2)
    np.testing.assert_allclose(norms, [[5, np.sqrt(2)]], rtol=1e-6)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", SUMS)
def test_half_precision_rounds_once_at_the_end(signal, name, dtype):
    x = signal(2, 6, 4, 2).astype(dtype)
    y, exact = SUMS[name](x), SUMS[name](x.astype(jnp.float32))
    if name.startswith(("convolve", "attention")):  # the kernel is float32, and so is the result
        assert y.dtype == jnp.float32
    if y.dtype == jnp.float32:
        np.testing.assert_array_equal(y, exact)
    else:
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, exact.astype(dtype))


def test_half_precision_does_not_overflow():
    x = jnp.full((1, 16, 16, 5), 256.0, jnp.float16).at[0, ::2].multiply(-1)
    norms = layers.polyphase_norms(x, 2)
    np.testing.assert_allclose(norms, np.full((1, 4), 256 * np.sqrt(320)), rtol=1e-6)
    y = layers.alias_free_norm(x.at[..., 0].multiply(2))
    # mean 307.2; deviations 204.8 once and -51.2 four times, of which the root mean square is 102.4
    np.testing.assert_allclose(np.abs(y[0, 0, 0]), [2, 0.5, 0.5, 0.5, 0.5], rtol=1e-3)
    mean = layers.avg_pool(jnp.full((1, 64, 64, 1), 60000.0, jnp.float16), 64)
    np.testing.assert_array_equal(mean.ravel(), [60000.0])


@pytest.mark.parametrize("dtype", [*HALVES, jnp.uint8])
@pytest.mark.parametrize("layer", ["l2", "l1", "l2_filtered", "taps", "lps"])
def test_adaptive_sampling_keeps_its_promise_on_a_thousand_maps(signal, weights, layer, dtype):
    maps = signal(1000, 8, 8, 3)
    maps = (abs(maps) * 60).astype(dtype) if dtype == jnp.uint8 else maps.astype(dtype)
    module = {
        "taps": AdaptivePolyphaseSampling(taps=3),
        "lps": layers.LearnablePolyphaseSampling(hidden=2),
    }.get(layer) or AdaptivePolyphaseSampling(criterion=layer)
    variables = weights(module, maps[:1], dtype=jnp.bfloat16)

    @jax.jit
    def kept(x):
        (y, _), sown = module.apply(variables, x, mutable="intermediates")
        return y, sown

    y, sown = kept(maps)
    assert y.dtype == (jnp.float32 if layer == "taps" and dtype == jnp.uint8 else dtype)
    # What was kept is the same values, whatever their order.
    values = np.sort(np.asarray(y, np.float32).reshape(1000, -1))
    for shift in ((0, 1), (1, 0), (3, 5)):
        moved, _ = kept(jnp.roll(maps, shift, (1, 2)))
        again = np.sort(np.asarray(moved, np.float32).reshape(1000, -1))
        same = (values == again).all(1)
        if dtype == jnp.uint8 and layer == "l1":  # sums of whole numbers do tie, and say so
            same |= np.asarray(sown["intermediates"]["tie_margin"][0]) == 0
        assert same.all()


def test_a_phase_is_chosen_in_half_precision_as_in_single():
    x = np.random.default_rng(0).normal(size=(1000, 4, 4, 2))
    half = jnp.asarray(x, jnp.bfloat16)
    _, phase = adaptive_polyphase_sample(half)
    _, expected = adaptive_polyphase_sample(half.astype(jnp.float32))
    np.testing.assert_array_equal(phase, expected)


# Beyond 1e19 and below 1e-19 the squares of float32 are infinite or zero.
FAR = [
    (jnp.float32, 1e37),
    (jnp.float32, 1e20),
    (jnp.float32, 1e-36),
    (jnp.bfloat16, 1e37),
    (jnp.complex64, 1e37),
]


def values(y):
    """Those of each signal, wherever they are."""
    return np.sort_complex(np.asarray(y, np.complex128).reshape(len(y), -1))


@pytest.mark.parametrize(("dtype", "scale"), FAR)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_norms_do_not_tie_where_their_squares_overflow_or_vanish(criterion, dtype, scale):
    x = np.random.default_rng(1).normal(size=(20, 6, 4, 2))
    far = jnp.asarray(x * scale, jnp.float32).astype(dtype)
    near = np.asarray(far, np.complex128) / scale
    sample = partial(adaptive_polyphase_sample, stride=2, criterion=criterion)
    kept, phase = sample(far)
    np.testing.assert_array_equal(phase, sample(jnp.asarray(near, jnp.complex64))[1])
    assert set(np.asarray(phase).tolist()) == {0, 1, 2, 3}
    for shift in [(1, 0), (0, 1), (3, 2), (-1, -1)]:
        moved, _ = sample(jnp.roll(far, shift, (1, 2)))
        np.testing.assert_array_equal(values(moved), values(kept))


def test_a_norm_that_float32_holds_is_found_though_its_square_is_not_held():
    x = jnp.array([3.0, 1, 4, 1]).reshape(1, 4, 1)
    for scale in (1e30, 1e-30):
        norms = layers.polyphase_norms(x * scale, 2)
        np.testing.assert_allclose(norms, [[5 * scale, 2**0.5 * scale]], rtol=1e-6)


def test_norms_of_what_is_not_finite():
    x = jnp.array([[np.inf, 1, 2, 3], [1, np.nan, 2, 3], [0, 0, 0, 0]])[..., None]
    norms = layers.polyphase_norms(x, 2)
    np.testing.assert_allclose(norms, [[np.inf, 10**0.5], [5**0.5, np.nan], [0, 0]], rtol=1e-6)
