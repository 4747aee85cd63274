"""Translations against their definitions, with the sign pinned by an asymmetric picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.shifts import crop_translate, subpixel_translate, translate

# A picture without any symmetry: an L with a dot.
PICTURE = np.array([[1, 0, 0, 0], [1, 0, 0, 2], [1, 3, 0, 0]])
PAD_MODES = ("wrap", "constant", "edge", "reflect")


def by_definition(x, shift, mode):
    """y[i] = x[i - t] with numpy.pad in the place of the border."""
    reach = [abs(t) for t in shift]
    wide = np.pad(x, [(r, r) for r in reach], mode=mode)
    starts = [r - t for r, t in zip(reach, shift, strict=True)]
    return wide[tuple(slice(s, s + n) for s, n in zip(starts, x.shape, strict=True))]


def test_positive_shift_is_down_and_right():
    moved = translate(PICTURE, (1, 2), axes=(0, 1), mode="constant")
    np.testing.assert_array_equal(moved, [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(
        translate(PICTURE, (1, 2), axes=(0, 1)), [[0, 0, 1, 3], [0, 0, 1, 0], [0, 2, 1, 0]]
    )


def test_circular_shift_is_jnp_roll():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    moved = translate(x, (-7, 4))
    np.testing.assert_array_equal(moved, jnp.roll(x, (-7, 4), (1, 2)))


@pytest.mark.parametrize("mode", PAD_MODES)
@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (-2, 3), (5, -9)])
def test_known_and_traced_shifts_follow_numpy_pad(mode, shift):
    expected = by_definition(PICTURE, shift, mode)
    np.testing.assert_array_equal(translate(PICTURE, shift, axes=(0, 1), mode=mode), expected)
    traced = jax.jit(lambda t: translate(PICTURE, t, axes=(0, 1), mode=mode))
    np.testing.assert_array_equal(traced(jnp.array(shift)), expected)


def test_traced_shifts_share_one_program():
    traces = []

    @jax.jit
    def move(x, shift):
        traces.append(1)
        return translate(x, shift, axes=(0, 1), mode="edge")

    for shift in ((0, 1), (2, -1)):
        move(PICTURE, jnp.array(shift))
        move(PICTURE, shift)
    assert len(traces) == 2  # once for an array, once for a pair of scalars


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32", "complex64"]
)
@pytest.mark.parametrize("mode", PAD_MODES)
def test_every_dtype_is_kept(dtype, mode):
    x = jnp.asarray(PICTURE).astype(dtype)
    moved = translate(x, (1, -1), axes=(0, 1), mode=mode)
    assert moved.dtype == x.dtype
    expected = by_definition(np.asarray(x), (1, -1), mode)
    np.testing.assert_array_equal(np.asarray(moved), expected)


@pytest.mark.parametrize("mode", PAD_MODES)
def test_ranks_axes_and_pytrees(mode):
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    # Negative axes, and the order of axes is the order of the shift.
    moved = translate({"a": x, "b": [x[0]]}, (1, 2), axes=(-1, -2), mode=mode)
    for leaf, source in ((moved["a"], x), (moved["b"][0], x[0])):
        shift = (0,) * (source.ndim - 2) + (2, 1)
        np.testing.assert_array_equal(leaf, by_definition(source, shift, mode))
    signal = np.arange(5)
    np.testing.assert_array_equal(
        translate(signal, 2, axes=(0,), mode=mode), by_definition(signal, (2,), mode)
    )
    np.testing.assert_array_equal(
        translate(x, (1, -1, 2), axes=(1, 2, 3), mode=mode), by_definition(x, (0, 1, -1, 2), mode)
    )


def test_translation_is_linear_and_its_gradient_is_the_opposite_shift():
    x = jnp.arange(6.0)
    weights = jnp.array([1.0, -2.0, 3.0, 0.5, 4.0, 7.0])
    gradient = jax.grad(lambda x: jnp.vdot(weights, translate(x, 2, axes=(0,))))(x)
    np.testing.assert_array_equal(gradient, translate(weights, -2, axes=(0,)))


def test_crop_moves_content_by_plus_shift():
    image = np.arange(7 * 8).reshape(1, 7, 8, 1)
    centred = crop_translate(image, (0, 0), size=(3, 4))
    np.testing.assert_array_equal(centred[0, :, :, 0], image[0, 2:5, 2:6, 0])
    for shift in ((2, -2), (-2, 1), (1, 2)):
        moved = crop_translate(image, shift, size=(3, 4))
        larger = translate(image, shift)
        np.testing.assert_array_equal(moved, larger[:, 2:5, 2:6])
        traced = jax.jit(lambda t: crop_translate(image, t, size=(3, 4)))(jnp.array(shift))
        np.testing.assert_array_equal(traced, moved)


def low_pass(length, seed=0):
    """Samples of a real trigonometric polynomial below the Nyquist frequency, at any place."""
    rng = np.random.default_rng(seed)
    highest = (length - 1) // 2
    cosines, sines = rng.normal(size=(2, highest + 1))
    k = np.arange(highest + 1)

    def at(places):
        angles = 2 * np.pi * np.outer(places, k) / length
        return np.cos(angles) @ cosines + np.sin(angles) @ sines

    return at


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_fourier_shift_resamples_band_limited_signals(length):
    signal, places = low_pass(length), np.arange(length)
    with jax.enable_x64(True):
        for t in (0.5, -1.3, 3.25):
            moved = subpixel_translate(signal(places), (t,), axes=(0,))
            np.testing.assert_allclose(moved, signal(places - t), atol=1e-12)


def test_fourier_shift_of_the_nyquist_cosine():
    # (-1)^i is cos(pi i); shifted by t and sampled, its even part remains: cos(pi t) (-1)^i.
    with jax.enable_x64(True):
        wave = (-1.0) ** np.arange(6)
        for t in (0.5, 0.25, 1.0, -3.0):
            moved = subpixel_translate(wave, (t,), axes=(0,))
            assert moved.dtype == jnp.float64
            np.testing.assert_allclose(moved, np.cos(np.pi * t) * wave, atol=1e-14)


@pytest.mark.parametrize("method", ["fourier", "linear"])
@pytest.mark.parametrize("shape", [(5, 6), (4, 7)])
def test_whole_subpixel_shifts_are_translations(method, shape):
    x = np.random.default_rng(1).normal(size=shape)
    with jax.enable_x64(True):
        for shift in ((0, 0), (2, -3), (-1.0, 6.0)):
            moved = subpixel_translate(x, shift, axes=(0, 1), method=method)
            expected = translate(x, tuple(int(t) for t in shift), axes=(0, 1))
            np.testing.assert_allclose(moved, expected, atol=1e-13)


def test_fourier_shifts_compose_for_odd_sizes():
    x = np.random.default_rng(2).normal(size=(7, 9))
    with jax.enable_x64(True):
        once = subpixel_translate(x, (0.7, -1.9), axes=(0, 1))
        twice = subpixel_translate(
            subpixel_translate(x, (0.3, -2.2), axes=(0, 1)), (0.4, 0.3), axes=(0, 1)
        )
        np.testing.assert_allclose(once, twice, atol=1e-13)


def test_fourier_shift_of_complex_signals_is_that_of_both_parts():
    re, im = np.random.default_rng(3).normal(size=(2, 6))
    with jax.enable_x64(True):
        whole = subpixel_translate(re + 1j * im, 0.3, axes=(0,))
        parts = [subpixel_translate(part, 0.3, axes=(0,)) for part in (re, im)]
        np.testing.assert_allclose(whole, parts[0] + 1j * parts[1], atol=1e-13)


def test_linear_shift_weighs_two_neighbours():
    x = np.array([0.0, 1.0, 5.0, 2.0])
    # -1.75 = -2 + 0.25: three quarters of x[i + 2], one quarter of x[i + 1].
    expected = 0.75 * np.roll(x, -2) + 0.25 * np.roll(x, -1)
    np.testing.assert_allclose(subpixel_translate(x, -1.75, axes=(0,), method="linear"), expected)


@pytest.mark.parametrize("method", ["fourier", "linear"])
def test_subpixel_shift_is_differentiable_and_traced(method):
    x = jnp.asarray(low_pass(8)(np.arange(8)), jnp.float32)

    def first(t):
        return subpixel_translate(x, t, axes=(0,), method=method)[3]

    slope = jax.jit(jax.grad(first))(0.4)
    numeric = (first(0.41) - first(0.39)) / 0.02
    np.testing.assert_allclose(slope, numeric, rtol=2e-3)


@pytest.mark.parametrize(
    ("given", "returned"),
    [("uint8", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")],
)
@pytest.mark.parametrize("method", ["fourier", "linear"])
def test_subpixel_dtypes(given, returned, method):
    x = jnp.asarray(PICTURE).astype(given)
    moved = subpixel_translate(x, (0.5, 0), axes=(0, 1), method=method)
    assert moved.dtype == returned
    assert moved.shape == x.shape


@pytest.mark.parametrize("method", ["fourier", "linear"])
def test_far_shifts_are_as_exact_as_near_ones(method):
    x = np.random.default_rng(0).normal(size=4097).astype(np.float32)
    move = lambda t: subpixel_translate(x, (t,), axes=(0,), method=method)  # noqa: E731
    near = np.asarray(move(-0.25))
    np.testing.assert_allclose(move(4096.75), near, atol=1e-5)
    np.testing.assert_allclose(move(2000.3), np.roll(move(0.3), 2000), atol=1e-5)
    np.testing.assert_allclose(jax.jit(move)(np.float32(4096.75)), near, atol=1e-5)
    # 4,097 is no number of bfloat16.
    np.testing.assert_allclose(jax.jit(move)(jnp.bfloat16(4608)), np.roll(x, 511), atol=1e-5)


FAR = (1e6, -1e6, 10**9, 10**30, -(10**30))


@pytest.mark.parametrize("shift", FAR)
@pytest.mark.parametrize("method", ["fourier", "linear"])
def test_whole_turns_change_nothing(shift, method):
    x = jax.random.normal(jax.random.key(0), (224, 2))
    expected = np.roll(x, int(shift) % 224, 0)
    moved = subpixel_translate(x, (shift,), axes=(0,), method=method)
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    if abs(shift) < 2**31:
        traced = jax.jit(lambda t: subpixel_translate(x, (t,), axes=(0,), method=method))
        np.testing.assert_allclose(traced(shift), expected, atol=1e-4)
        near = traced(jnp.float32(0.25) + (int(shift) % 224))
        if abs(shift) <= 1e6:  # float32 holds its quarters
            np.testing.assert_allclose(traced(jnp.float32(shift + 0.25)), near, atol=1e-4)


@pytest.mark.parametrize("shift", FAR)
@pytest.mark.parametrize("mode", PAD_MODES)
def test_shifts_of_any_size_go_round_or_leave_the_image(shift, mode):
    t = int(shift)
    near = {"wrap": t % 4, "reflect": t % 6}.get(mode, 4 if t > 0 else -4)
    moved = translate(PICTURE, (0, t), axes=(0, 1), mode=mode)
    np.testing.assert_array_equal(moved, by_definition(PICTURE, (0, near), mode))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_traced_shifts_of_any_integer_type(dtype):
    x = np.random.default_rng(0).normal(size=(300, 2))
    cut = jax.jit(lambda t: crop_translate(x, (t,), size=40, axes=(0,)))
    moves = {m: jax.jit(lambda t, m=m: translate(x, (t,), axes=(0,), mode=m)) for m in PAD_MODES}
    for t in (-(2**31), -128, -3, 0, 3, 127, 130, 2**31 - 1):
        if not np.iinfo(dtype).min <= t <= np.iinfo(dtype).max:
            continue
        traced = np.asarray(t, dtype)
        if abs(t) <= 130:
            np.testing.assert_array_equal(cut(traced), crop_translate(x, (t,), size=40, axes=(0,)))
        for mode, move in moves.items():
            np.testing.assert_array_equal(move(traced), translate(x, (t,), axes=(0,), mode=mode))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_traced_shifts_of_64_bits(dtype):
    with jax.enable_x64(True):
        x, t = np.arange(10.0), np.asarray(2**40 + 3, dtype)
        cut = jax.jit(lambda t: crop_translate(x, (t,), size=4, axes=(0,)))(t)
        np.testing.assert_array_equal(cut, x[:4])  # it stops at the border
        moved = jax.jit(lambda t: translate(x, (t,), axes=(0,)))(t)
        np.testing.assert_array_equal(moved, np.roll(x, (2**40 + 3) % 10))


def test_linear_interpolation_of_half_precision_rounds_once():
    x = jax.random.normal(jax.random.key(0), (7, 2)).astype(jnp.bfloat16)
    moved = subpixel_translate(x, (0.3,), axes=(0,), method="linear")
    wide = subpixel_translate(x.astype(jnp.float32), (0.3,), axes=(0,), method="linear")
    np.testing.assert_array_equal(moved, wide.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: translate(x, (True, 2)), "shift has dtype bool; allowed are whole numbers"),
        (lambda x: translate(x, (None, 2)), "shift has dtype object; allowed are whole numbers"),
        (lambda x: translate(x, "ab"), "shift has dtype <U1; allowed are whole numbers"),
        (lambda x: translate(x, (1, 2), axes=1), "axes is 1; allowed is a sequence"),
        (lambda x: crop_translate(x, (0, 0), size=3, axes=None), "axes is None; allowed is a seq"),
        (lambda x: crop_translate(x, (0, 0), size=True), "size is True; allowed are a whole num"),
        (lambda x: crop_translate(x, (10**30, 0), size=3), "allowed are -1 to 1"),
        (lambda x: subpixel_translate(x, (np.nan, 0)), "shift is nan; allowed are finite numbers"),
        (lambda x: subpixel_translate(x, (0, -np.inf)), "shift is -inf; allowed are finite num"),
        (lambda x: translate(x, (1,)), "shift has 1 entries for 2 axes"),
        (lambda x: translate(x, 1), "shift has 1 entries for 2 axes"),
        (lambda x: translate(x, (1, 2), axes=(1, 4)), "axis 4 of axes .* out of range"),
        (lambda x: translate(x, (1, 2), axes=(1, -3)), "names a dimension twice"),
        (lambda x: translate(x, (), axes=()), "axes is empty"),
        (lambda x: translate(x, (1, 2), axes=(1.5, 2)), "sequence of whole numbers"),
        (lambda x: translate(3.0, (1, 2)), "no spatial axes"),
        (lambda x: translate(x, (1.5, 2)), "whole numbers"),
        (lambda x: translate(x, jnp.ones(2)), "whole numbers"),
        (lambda x: translate(x, jnp.ones((2, 2), int)), "entries must be numbers"),
        (lambda x: translate(x, (1, 2), mode="circular"), "allowed are 'wrap', 'constant', 'edge'"),
        (lambda x: translate(x, (1, 2), mode="crop"), "use crop_translate"),
        (lambda x: crop_translate(x, (0, 0), size=7), "does not fit axis 1 with 5 positions"),
        (lambda x: crop_translate(x, (0, 0), size=0), "does not fit"),
        (lambda x: crop_translate(x, (2, 0), size=3), "allowed are -1 to 1"),
        (lambda x: crop_translate(x, (0, 0), size=(3, 3, 3)), "3 entries for 2 axes"),
        (lambda x: crop_translate(x, (0, 0), size=2.5), "size is 2.5"),
        (lambda x: subpixel_translate(x, (0.5,)), "1 entries for 2 axes"),
        (lambda x: subpixel_translate(x, (1j, 0)), "real numbers"),
        (lambda x: subpixel_translate(x, (0, 0), method="cubic"), "allowed are 'fourier'"),
    ],
)
def test_wrong_use_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call(jnp.zeros((2, 5, 6, 3)))
    assert "\n" not in str(raised.value)
