"""The derivative of a network by its input: what commuted before commutes again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from jaxinv.symmetry.program import flatten
from tests.symmetry import reference
from tests.symmetry.shifted import assert_same_gradient, assert_states, drawn

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | 1 W8 W4 P2"


def wrapped(x, low, high=None):
    high = low if high is None else high
    return jnp.pad(x, ((0, 0), (low, high), (low, high), (0, 0)), mode="wrap")


def conv(x, kernel, strides=(1, 1), **options):
    return lax.conv_general_dilated(
        x, kernel, strides, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


def circular(x, extent=3, stride=1, dilation=1, features=2):
    reach = (extent - 1) * dilation
    return conv(
        wrapped(x, reach // 2, reach - reach // 2),
        drawn(extent, extent, x.shape[-1], features),
        (stride, stride),
        rhs_dilation=(dilation, dilation),
    )


def pooled(x, init, combine, extent, stride):
    return lax.reduce_window(
        x, init, combine, (1, extent, extent, 1), (1, stride, stride, 1), "VALID"
    )


def saliency(net):
    return jax.grad(lambda x: jnp.tanh(net(x)).sum())


NETS = {
    "convolution": (circular, EVERY),
    "of 5": (lambda x: circular(x, 5), EVERY),
    "of 4": (lambda x: circular(x, 4), EVERY),
    "dilated": (lambda x: circular(x, 3, 1, 2), EVERY),
    "strided": (lambda x: circular(x, 3, 2), "2,2 | 1 W8/2 W4/2 P2"),
    "strided by more than its kernel": (
        lambda x: circular(x, 3, 4),
        "4,4 | 1 W8/4 P4 P2",
    ),
    "by group": (
        lambda x: conv(wrapped(x, 1), drawn(3, 3, 1, 4), feature_group_count=2),
        EVERY,
    ),
    "two, and a shortcut": (
        lambda x: x + circular(jnp.tanh(circular(x, 3)), 3),
        EVERY,
    ),
    "two paths from one padding": (
        lambda x: (lambda p: conv(p, drawn(3, 3, 2, 2)) * p[:, 1:-1, 1:-1])(wrapped(x, 1)),
        EVERY,
    ),
    "average pool": (
        lambda x: pooled(circular(x), 0.0, lax.add, 2, 2) / 4,
        "2,2 | 1 W8/2 W4/2 P2",
    ),
    "padded average pool": (
        lambda x: pooled(wrapped(x, 1), 0.0, lax.add, 3, 2) / 9,
        "2,2 | 1 W8/2 W4/2 P2",
    ),
    "maximum pool": (
        lambda x: pooled(circular(x), -jnp.inf, lax.max, 2, 2),
        "2,2 | 1 W8/2 W4/2 P2",
    ),
    "maximum pool twice": (
        lambda x: pooled(jnp.sin(pooled(x, -jnp.inf, lax.max, 2, 2)), jnp.inf, lax.min, 2, 2),
        "4,4 | 1 W8/4 P4 P2",
    ),
    "maximum pool that overlaps": (
        lambda x: pooled(wrapped(x, 1), -jnp.inf, lax.max, 3, 1),
        "8,4 | 1 P8 P4 P2",
    ),
    "maximum pool of a part": (
        lambda x: pooled(x[:, 1:], -jnp.inf, lax.max, 2, 2),
        "8,2 | 1 P8 W4/2 P2",
    ),
    "roll": (lambda x: x * jnp.roll(x, (3, 1), (1, 2)), EVERY),
    "upsampled": (lambda x: circular(jnp.repeat(x, 2, axis=1)), EVERY),
    "patches": (
        lambda x: conv(x, drawn(2, 2, 2, 3), (2, 2)),
        "2,2 | 1 W8/2 W4/2 P2",
    ),
    "attention": (
        lambda x: (lambda t: jax.nn.softmax(t @ jnp.swapaxes(t, 1, 2)) @ t)(x.reshape(1, 32, 2)),
        EVERY,
    ),
    "zero padding": (
        lambda x: conv(jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))), drawn(3, 1, 2, 2)),
        "8,1 | 1 P8 W4 P2",
    ),
    "reflect padding": (
        lambda x: conv(
            jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="reflect"), drawn(3, 1, 2, 2)
        ),
        "8,1 | 1 P8 W4 P2",
    ),
}


FEW = ("of 4", "strided", "two, and a shortcut", "padded average pool", "maximum pool", "roll")


@pytest.mark.parametrize("names", [FEW, pytest.param(tuple(NETS), marks=pytest.mark.slow)])
def test_saliency(names):
    cases = {name: (saliency(NETS[name][0]), NETS[name][1]) for name in names}
    assert_states(cases, drawn(1, 8, 4, 2))


def test_saliency_of_ties():
    x = jnp.round(drawn(1, 8, 4, 2))
    net, state = NETS["maximum pool"]
    pool = lambda x: pooled(x, -jnp.inf, lax.max, 2, 2)  # noqa: E731
    assert_states({"pool": (saliency(pool), state), "after": (saliency(net), state)}, x)


def test_derivatives_of_saliency():
    names = ("strided", "padded average pool", "maximum pool")
    assert_same_gradient(lambda x: [saliency(NETS[n][0])(x) for n in names], drawn(1, 8, 4, 2))


def test_saliency_along_one_dimension():
    def net(x):
        x = jnp.pad(x, ((0, 0), (2, 1), (0, 0)), mode="wrap")
        kernel = drawn(4, 2, 3)
        return lax.conv_general_dilated(
            x, kernel, (3,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")
        )

    assert_states({"net": (saliency(net), "3 | 1 W12/3 P2")}, drawn(1, 12, 2), axes=(1,))


def test_sums_of_ends_that_are_no_fold():
    def pads(x, *rows, fill=0.0):
        return sum(
            lax.pad(x[:, a:b], fill, ((0, 0, 0), (at, 8 - at - b + a, 0), (0, 0, 0), (0, 0, 0)))
            for a, b, at in rows
        )

    broken = "8,1 | 1 P8 W4 P2"
    cases = {
        "a roll": (lambda x: pads(x, (0, 3, 5), (3, 8, 0)), EVERY),
        "itself": (lambda x: pads(x, (0, 3, 0), (3, 8, 3)), EVERY),
        "itself, of what is read again": (
            lambda x: pads(jnp.sin(x), (0, 3, 0), (3, 8, 3)) + x,
            EVERY,
        ),
        "another place": (lambda x: pads(x, (0, 3, 4), (3, 8, 0)), broken),
        "a gap": (lambda x: pads(x, (0, 2, 5), (3, 8, 0)), broken),
        "twice": (lambda x: pads(x, (0, 4, 4), (3, 8, 0)), broken),
        "ones": (lambda x: pads(x, (0, 3, 5), (3, 8, 0), fill=1.0), broken),
        "two sources": (
            lambda x: pads(x, (0, 3, 5)) + pads(jnp.sin(x), (3, 8, 0)),
            broken,
        ),
    }
    assert_states(cases, drawn(1, 8, 4, 2))


def test_sums_of_nothing_are_left_as_they_are():
    def fun(x):
        y = jnp.sin(x)
        return lax.slice_in_dim(y, 0, 0, axis=3) + lax.slice_in_dim(y, 1, 1, axis=3)

    assert jaxinv.certify(fun, jnp.ones((1, 8, 4, 2))).outputs[0].shape == (1, 8, 4, 0)


@pytest.mark.parametrize("name", ["of 4", "strided", "two paths from one padding", "roll"])
def test_what_is_written_anew_is_the_same_program(name):
    x = np.asarray(drawn(1, 8, 4, 2))
    closed = jax.make_jaxpr(saliency(NETS[name][0]))(x)
    program = flatten(closed, enter=False)
    values = {n: np.asarray(v) for n, v in program.constants.items()} | {program.inputs[0]: x}
    for equation in program.equations:
        outs = equation.bind(*(values[i] for i in equation.ins))
        values.update(zip(equation.outs, outs, strict=True))
    (want,) = reference.evaluate(closed, x)
    np.testing.assert_allclose(values[program.outputs[0]], want, rtol=0, atol=1e-12)


def test_an_orbit_of_saliency_shares_its_work():
    x = drawn(1, 8, 8, 2)
    fun = saliency(lambda x: pooled(circular(jnp.tanh(circular(x))), 0.0, lax.add, 2, 2))
    shared, each = (jaxinv.orbit(fun, share=share)(x) for share in (True, False))
    np.testing.assert_allclose(shared, each, rtol=0, atol=1e-12)
    assert jaxinv.orbit_cost(fun, x).ratio > 8


@pytest.mark.parametrize("place", [(0, 1, 0), (0, 6, 1)])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_zeros_beside_a_kernel_that_the_image_decides(place, value):
    """Zero times an infinity of the kernel is NaN, and stays so."""

    def cut_out_of_it(x):
        kernel = x[:, :3, :].transpose(1, 2, 0)
        y = jnp.pad(x, ((0, 0), (1, 1), (0, 0)), mode="wrap")
        return lax.conv_general_dilated(
            y, kernel, (1,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")
        ).sum()

    gradient = jax.grad(cut_out_of_it)
    x = drawn(1, 8, 2)
    for image in (x, x.at[place].set(value)):
        shared, each = (
            jaxinv.orbit(gradient, axes=(1,), share=share)(image) for share in (True, False)
        )
        np.testing.assert_allclose(shared, each, rtol=0, atol=1e-12)
