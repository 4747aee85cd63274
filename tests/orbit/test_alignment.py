"""`orbit(align=True)`: outputs that move are moved back, and refused where that is not proved."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.models.unet import UNet

RNG = np.random.default_rng(0)
KERNEL = jnp.asarray(RNG.normal(size=(3, 3, 1, 2)).astype(np.float32))


def images(*shape):
    return jnp.asarray(RNG.normal(size=shape).astype(np.float32))


def convolve(x, padding="SAME", stride=1):
    return jax.lax.conv_general_dilated(
        x, KERNEL, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def wrapped(x, stride=1):
    return convolve(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap"), "VALID", stride)


def back(out, shift, scale=1, axes=(1, 2)):
    """By definition, on a torus."""
    return np.roll(out, [-round(t * scale) for t in shift], axes)


def test_an_equivariant_map_is_the_same_at_every_shift():
    x = images(2, 6, 5, 1)
    out = jaxinv.orbit(wrapped, align=True)(x)
    assert out.shape == (6, 5, 2, 6, 5, 2)
    np.testing.assert_allclose(out, np.broadcast_to(wrapped(x), out.shape), atol=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_what_pads_is_moved_back_as_well(share):
    x = images(1, 6, 6, 1)
    plain = jaxinv.orbit(convolve, share=share)(x)
    out = jaxinv.orbit(convolve, align=True, share=share)(x)
    for t in np.ndindex(6, 6):
        np.testing.assert_array_equal(out[t], back(plain[t], t))


@pytest.mark.parametrize("padded", [convolve, wrapped])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap", "crop"])
def test_the_interior_is_equal_at_every_shift(mode, padded):
    x = images(1, 12, 14, 1)
    out = jaxinv.orbit(padded, mode=mode, max_shift=2, align="interior")(x)
    seen = np.array(x.shape[1:3]) - (4 if mode == "crop" else 0)
    whole = padded(x[:, 2:-2, 2:-2] if mode == "crop" else x)
    circular = padded is wrapped and mode == "wrap"
    ends = 0 if circular else 1 + 2  # the padding, and the largest shift
    h, w = whole.shape[1:3]
    assert out.shape[3:5] == tuple(seen - 2 * ends)
    inner = whole[:, ends : h - ends, ends : w - ends]
    np.testing.assert_allclose(out, np.broadcast_to(inner, out.shape), atol=1e-5)


def test_the_interior_of_a_map_upsampled_and_transposed():
    x = images(1, 12, 8, 1)

    def fun(x):
        return jnp.repeat(jnp.swapaxes(convolve(x), 1, 2), 2, axis=1)

    out = jaxinv.orbit(fun, mode="edge", max_shift=(2, 1), align="interior")(x)
    # The padding and the largest shift: 1 + 1 of 8 columns, twice each, and 1 + 2 of 12 rows.
    inner = fun(x)[:, 4:-4, 3:-3]
    np.testing.assert_allclose(out, np.broadcast_to(inner, (5, 3, *inner.shape)), atol=1e-5)
    interior = jaxinv.certify(fun, x, mode="edge").interior
    assert [(i.start, i.stop, i.size) for i in interior] == [(1, 11, 12), (2, 14, 16)]


@pytest.mark.parametrize("mode", ["constant", "crop"])
def test_places_in_the_picture_at_every_shift(mode):
    x = images(1, 9, 9, 1)
    options = {"mode": mode, "max_shift": (1, 2)}
    plain, out = (jaxinv.orbit(convolve, **options, align=a)(x) for a in (False, True))
    h, w = plain.shape[3:5]
    for i, t in enumerate((-1, 0, 1)):
        for j, u in enumerate((-2, -1, 0, 1, 2)):
            expected = plain[i, j][:, 1 + t : h - 1 + t, 2 + u : w - 2 + u]
            np.testing.assert_array_equal(out[i, j], expected)
    labels = jaxinv.orbit(lambda y: y, **options, align=True)(x[..., 0])
    np.testing.assert_array_equal(labels, np.broadcast_to(labels[1, 2], labels.shape))
    assert labels.shape[:-2] + labels.shape[-2:] == out.shape[:-1]


def test_outputs_of_several_scales_and_one_that_stays():
    def pyramid(x):
        y = wrapped(x, 2)
        large = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return {"half": y, "twice": large, "mean": x.mean((1, 2)), "flipped": x[:, ::-1]}

    x = images(1, 8, 8, 1)
    shifts = [(0, 0), (2, 4), (6, 2)]
    plain, out = (jaxinv.orbit(pyramid, shifts=shifts, align=a)(x) for a in (False, True))
    for k, t in enumerate(shifts):
        np.testing.assert_array_equal(out["half"][k], back(plain["half"][k], t, 0.5))
        np.testing.assert_array_equal(out["twice"][k], back(plain["twice"][k], t, 2))
        flipped = back(plain["flipped"][k], (-t[0], t[1]))
        np.testing.assert_array_equal(out["flipped"][k], flipped)
    np.testing.assert_array_equal(out["mean"], plain["mean"])
    for name in ("half", "twice", "flipped"):
        same = np.broadcast_to(out[name][0], out[name].shape)
        np.testing.assert_allclose(out[name], same, atol=1e-5)


def test_axes_and_arguments_in_other_places():
    def scaled(factor, signal):
        return factor * (signal + jnp.roll(signal, 1, axis=-1))

    x = images(2, 3, 7)
    out = jaxinv.orbit(scaled, argnums=1, axes=(-1,), align=True)(2.0, x)
    np.testing.assert_allclose(out, np.broadcast_to(scaled(2.0, x), out.shape), atol=1e-6)


def test_valid_outputs_keep_what_all_shifts_show():
    x = images(1, 8, 8, 1)
    narrow = functools.partial(convolve, padding="VALID")
    out = jaxinv.orbit(narrow, max_shift=1, align=True)(x)
    inner = narrow(x)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(out, np.broadcast_to(inner, out.shape), atol=1e-5)
    with pytest.raises(ValueError, match="no position is in the output at each of the 8 shifts"):
        jaxinv.orbit(narrow, align=True)(x)


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR"])
def test_a_unet_whose_every_position_sees_the_border(padding):
    net = UNet((2, 2, 2), num_classes=3, padding=padding)
    x = images(1, 16, 16, 1)
    fun = functools.partial(net.apply, net.init(jax.random.key(0), x))
    shifts = [(0, 0), (4, 8), (1, 3)]
    plain, out = (jaxinv.orbit(fun, shifts=shifts, align=a)(x) for a in (False, True))
    for k, t in enumerate(shifts):
        np.testing.assert_array_equal(out[k], back(plain[k], t))
    assert np.allclose(out[0], out[1], atol=1e-5) == (padding == "CIRCULAR")
    assert not np.allclose(out[0], out[2], atol=1e-5)
    if padding == "SAME":
        with pytest.raises(ValueError, match="free of the border at each of the 3 shifts"):
            jaxinv.orbit(fun, shifts=shifts, align="interior")(x)


def test_under_jit_grad_and_vmap():
    x = images(3, 5, 5, 1)

    def loss(k, x):
        def fun(x):
            return (k * x + jnp.roll(x, 1, axis=1)) ** 2

        return jaxinv.orbit(fun, align=True)(x)[1, 2].sum()

    def direct(k, x):
        return ((k * x + jnp.roll(x, 1, axis=1)) ** 2).sum()

    got, expected = (jax.jit(jax.grad(f))(0.7, x) for f in (loss, direct))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    each = jax.vmap(lambda x: jaxinv.orbit(wrapped, align=True)(x))(x[:, None])
    np.testing.assert_allclose(each[:, 1, 1], jax.vmap(wrapped)(x[:, None]), atol=1e-5)


def test_whole_numbers_stay_whole_numbers():
    x = images(1, 4, 4, 1)
    out = jaxinv.orbit(lambda x: wrapped(x).argmax(-1), align=True)(x)
    assert jnp.issubdtype(out.dtype, jnp.integer)
    assert (out == out[0, 0]).all()


class Flat(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x.reshape(len(x), -1))


def test_what_is_not_proved_to_move_is_refused():
    x = images(1, 4, 4, 1)
    fun = functools.partial(Flat().apply, Flat().init(jax.random.key(0), x))
    with pytest.raises(ValueError, match=r"output of shape \(1, 3\) is not proved to move with"):
        jaxinv.orbit(fun, align=True)(x)
    sorted_rows = jaxinv.orbit(lambda x: {"a": x, "b": jnp.cumsum(x, 1)}, align=True)
    with pytest.raises(ValueError, match=r"output 'b' of shape .* with axis 1"):
        sorted_rows(x)


def test_a_fraction_of_a_position_is_refused():
    x = images(1, 8, 8, 1)
    strided = functools.partial(wrapped, stride=2)
    with pytest.raises(ValueError, match=r"moves by 1/2 of a position .* multiples of 2"):
        jaxinv.orbit(strided, align=True)(x)
    with pytest.raises(ValueError, match="align is 'frame'; allowed are True, False and 'inter"):
        jaxinv.orbit(strided, align="frame")
