"""Convolutions and pools: every stride, dilation, padding and grouping, read at every shift."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinv.symmetry import processor_convolution
from jaxinv.symmetry.processor_convolution import LEAST_PRODUCTS
from tests.symmetry.shifted import (
    assert_same_at_every_shift,
    assert_states,
    drawn,
    states_when_right,
    walked,
)

pytestmark = pytest.mark.usefixtures("x64")

NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(x, kernel, strides=(1, 1), padding="VALID", numbers=NHWC, **options):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=numbers, **options
    )


def wrapped(x, low=1, high=1):
    return jnp.pad(x, ((0, 0), (low, high), (low, high), (0, 0)), mode="wrap")


def spread(x, shape=None):
    return jnp.broadcast_to(x.mean((1, 2), keepdims=True), shape or x.shape)


def pooled(x, init, combine, window, strides, padding="VALID", **options):
    return lax.reduce_window(
        x, init, combine, (1, *window, 1), (1, *strides, 1), padding, **options
    )


KERNEL = (3, 3, 2, 3)

CONVOLUTIONS = {
    "valid": (lambda x: convolve(x, drawn(*KERNEL)), "1,1 | P2 W4 W6 P3"),
    "circular": (lambda x: convolve(wrapped(x), drawn(*KERNEL)), "1,1 | P2 W6 W8 P3"),
    "circular, one side": (
        lambda x: convolve(wrapped(x, 2, 0), drawn(*KERNEL)),
        "1,1 | P2 W6 W8 P3",
    ),
    "longer than the torus": (
        lambda x: convolve(wrapped(x, 5, 5), drawn(*KERNEL)),
        "1,1 | P2 W14 W16 P3",
    ),
    "kernel longer than the torus": (
        lambda x: convolve(wrapped(x, 4, 4), drawn(9, 1, 2, 3)),
        "1,1 | P2 W6 W16 P3",
    ),
    "stride": (lambda x: convolve(wrapped(x), drawn(*KERNEL), (2, 2)), "2,2 | P2 W3 W4 P3"),
    "stride, valid": (lambda x: convolve(x, drawn(*KERNEL), (3, 2)), "3,2 | P2 W2 W3 P3"),
    "stride longer than the kernel": (
        lambda x: convolve(x, drawn(2, 1, 2, 3), (3, 4)),
        "3,4 | P2 W2 W2 P3",
    ),
    "a stride that does not divide": (
        lambda x: convolve(x, drawn(1, 1, 2, 3), (4, 3)),
        "6,8 | P2 P2 P3 P3",
    ),
    "dilation": (
        lambda x: convolve(wrapped(x, 2, 2), drawn(*KERNEL), rhs_dilation=(2, 2)),
        "1,1 | P2 W6 W8 P3",
    ),
    "dilation and stride": (
        lambda x: convolve(x, drawn(2, 3, 2, 3), (2, 2), rhs_dilation=(3, 2)),
        "2,2 | P2 W2 W2 P3",
    ),
    "groups": (
        lambda x: convolve(wrapped(x), drawn(3, 3, 1, 4), feature_group_count=2),
        "1,1 | P2 W6 W8 P4",
    ),
    "batch groups": (
        lambda x: convolve(x, drawn(*KERNEL[:3], 4), (1, 2), batch_group_count=2),
        "1,2 | 1 W4 W3 P4",
    ),
    "channels first": (
        lambda x: convolve(
            jnp.moveaxis(x, 3, 1), drawn(3, 2, 3, 3), (2, 1), numbers=("NCHW", "OIHW", "HWNC")
        ),
        "2,1 | W2 W6 P2 P3",
    ),
}

# Taps that read one position of the torus of 6 x 8 are one.
LONG = {
    "once and a half around": (
        lambda x: convolve(wrapped(x, 4, 4), drawn(9, 11, 2, 3)),
        "1,1 | P2 W6 W6 P3",
    ),
    "by every second position": (
        lambda x: convolve(wrapped(x, 7, 7), drawn(5, 6, 2, 3), rhs_dilation=(2, 2)),
        "1,1 | P2 W12 W12 P3",
    ),
    "by steps that divide the torus in part": (
        lambda x: convolve(wrapped(x, 12, 12), drawn(4, 3, 2, 3), rhs_dilation=(4, 6)),
        "1,1 | P2 W18 W20 P3",
    ),
    "by steps that do not divide it": (
        lambda x: convolve(wrapped(x, 20, 20), drawn(7, 9, 2, 3), rhs_dilation=(5, 3)),
        "1,1 | P2 W16 W24 P3",
    ),
    "all at one position": (
        lambda x: convolve(wrapped(x, 6, 6), drawn(3, 2, 2, 3), (2, 1), rhs_dilation=(6, 8)),
        "2,1 | P2 W3 W12 P3",
    ),
    "groups and channels first": (
        lambda x: convolve(
            jnp.moveaxis(wrapped(x, 3, 3), 3, 1),
            drawn(4, 9, 8, 1),
            (1, 2),
            numbers=("NCHW", "OHWI", "NCHW"),
            feature_group_count=2,
        ),
        "1,2 | P2 P4 W4 W4",
    ),
    "transposed": (
        lambda x: convolve(
            wrapped(x, 5, 5), drawn(13, 3, 2, 3), padding=[(0, 0)] * 2, lhs_dilation=(2, 1)
        ),
        "1,1 | P2 W19/2 W16 P3",
    ),
    "by a kernel made of the input": (
        lambda x: convolve(wrapped(x, 4, 4), drawn(7, 9, 2, 3) * x[:, ::2].mean()),
        "2,1 | P2 W8/2 W8 P3",
    ),
}

TRANSPOSED = {
    "transposed": (
        lambda x: lax.conv_transpose(x, drawn(2, 2, 2, 3), (2, 2), "VALID"),
        "1,1 | P2 W12/2 W16/2 P3",
    ),
    "transposed, kernel shorter than the stride": (
        lambda x: convolve(x, drawn(1, 2, 2, 3), (1, 1), ((0, 0), (1, 2)), lhs_dilation=(2, 3)),
        "1,1 | P2 W11/2 W24/3 P3",
    ),
    "transposed, then subsampled by another step": (
        lambda x: convolve(x, drawn(3, 3, 2, 3), (3, 2), ((1, 1), (1, 1)), lhs_dilation=(2, 2)),
        "3,1 | P2 W4/2 W8 P3",
    ),
    "transposed and cut to the period before anything reads the border": (
        lambda x: convolve(
            wrapped(x), drawn(*KERNEL), (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2)
        )[:, 2:14, 2:18],
        "1,1 | P2 W12/2 W16/2 P3",
    ),
    "the same, cut along one axis after the other, twice": (
        lambda x: convolve(
            wrapped(x), drawn(*KERNEL), (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2)
        )[:, :, 1:19][:, 2:14, 1:17][:, ::2],
        "1,1 | P2 W6 W16/2 P3",
    ),
    "cut along one axis only": (
        lambda x: convolve(
            wrapped(x), drawn(*KERNEL), (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2)
        )[:, 2:14],
        "1,8 | P2 W12/2 P21 P3",
    ),
}

PADDED = {
    "negative padding": (
        lambda x: convolve(x, drawn(*KERNEL), (1, 1), ((-1, 0), (-2, -1))),
        "1,1 | P2 W3 W3 P3",
    ),
    "zero padding": (
        lambda x: convolve(x, drawn(*KERNEL), (1, 1), ((1, 1), (0, 0))),
        "6,1 | P2 P6 W6 P3",
    ),
    "zero padding of which the border is read": (
        lambda x: convolve(x, drawn(*KERNEL), (1, 1), ((2, 2), (0, 0)))[:, 1:-1],
        "6,1 | P2 P6 W6 P3",
    ),
    "zero padding that is cut off again": (
        lambda x: convolve(x, drawn(*KERNEL), (2, 1), ((2, 3), (0, 0)))[:, 1:3],
        "2,1 | P2 W2 W6 P3",
    ),
}

OTHERS = {
    "of what is the same everywhere": (
        lambda x: convolve(spread(x[:, ::2], x.shape), drawn(*KERNEL), (1, 2)),
        "2,1 | P2 U4 U3 P3",
    ),
    "of what is the same everywhere, padded": (
        lambda x: convolve(spread(x), drawn(*KERNEL), padding="SAME"),
        "1,1 | P2 P6 P8 P3",
    ),
    "by a kernel made of the input": (
        lambda x: convolve(x, drawn(*KERNEL) * x[:, ::2].mean(), (1, 1)),
        "2,1 | P2 W4/2 W6 P3",
    ),
    "by a kernel that moves": (
        lambda x: convolve(drawn(1, 8, 8, 1), x[:1, :3, :3].reshape(3, 3, 1, 2)),
        "6,8 | 1 P6 P6 P2",
    ),
}


@pytest.mark.parametrize("least", [1, LEAST_PRODUCTS], ids=["by matrix products", "by lax"])
@pytest.mark.parametrize("cases", [CONVOLUTIONS, LONG, TRANSPOSED, PADDED, OTHERS])
def test_convolutions(cases, least, monkeypatch):
    monkeypatch.setattr(processor_convolution, "LEAST_PRODUCTS", least)
    monkeypatch.setattr(processor_convolution, "LEAST_WORK", 0)
    assert_states(cases, drawn(2, 6, 8, 2))


MAX = (-jnp.inf, lax.max)
MIN = (jnp.inf, lax.min)
SUM = (0.0, lax.add)

POOLS = {
    "maximum": (lambda x: pooled(x, *MAX, (2, 3), (1, 1)), "1,1 | P2 W5 W6 P2"),
    "minimum": (lambda x: pooled(x, *MIN, (2, 2), (2, 2)), "2,2 | P2 W3 W4 P2"),
    "sum": (lambda x: pooled(x, *SUM, (3, 2), (3, 4)), "3,4 | P2 W2 W2 P2"),
    "product": (lambda x: pooled(x, 1.0, lax.mul, (2, 2), (2, 1)), "2,1 | P2 W3 W7 P2"),
    "maximum by a function": (
        lambda x: pooled(x, jnp.asarray(-jnp.inf), lax.max, (2, 2), (2, 1)),
        "2,1 | P2 W3 W7 P2",
    ),
    "long": (lambda x: pooled(wrapped(x, 4, 5), *MAX, (10, 1), (1, 1)), "1,1 | P2 W6 W17 P2"),
    "long product": (
        lambda x: pooled(wrapped(x, 4, 5), 1.0, lax.mul, (10, 1), (1, 1)),
        "1,1 | P2 W6 W17 P2",
    ),
    "dilated": (
        lambda x: pooled(x, *SUM, (2, 3), (1, 2), window_dilation=(1, 2, 3, 1)),
        "1,2 | P2 W4 W1 P2",
    ),
    "all positions": (lambda x: pooled(x, *SUM, (6, 8), (1, 1)), "1,1 | P2 1 1 P2"),
    "all positions, many times": (
        lambda x: pooled(wrapped(x, 0, 3), *MIN, (6, 8), (1, 2)),
        "1,1 | P2 U4 U2 P2",
    ),
    "all positions, in another order": (
        lambda x: pooled(wrapped(x, 10, 10), *SUM, (6, 8), (1, 1), window_dilation=(1, 5, 3, 1)),
        "1,1 | P2 1 U7 P2",
    ),
    "part of the positions, several times": (
        lambda x: pooled(wrapped(x, 0, 5), *SUM, (6, 1), (1, 1), window_dilation=(1, 2, 1, 1)),
        "1,1 | P2 W1 W13 P2",
    ),
    "zero padding": (
        lambda x: pooled(x, *SUM, (3, 3), (2, 2), ((0, 0), (1, 1), (0, 0), (0, 0))),
        "6,2 | P2 P3 W3 P2",
    ),
    "zeros in between": (
        lambda x: pooled(x, *SUM, (2, 2), (1, 1), base_dilation=(1, 2, 1, 1)),
        "1,1 | P2 W10/2 W7 P2",
    ),
    "maximum with gaps": (
        lambda x: pooled(x, *MAX, (3, 3), (2, 1), base_dilation=(1, 2, 3, 1)),
        "1,1 | P2 W5 W20/3 P2",
    ),
    "along channels": (
        lambda x: lax.reduce_window(x, *MAX, (1, 1, 1, 2), (1, 1, 1, 1), "SAME"),
        "1,1 | P2 W6 W8 P2",
    ),
    "sum of what is the same everywhere": (
        lambda x: pooled(spread(x), *SUM, (2, 3), (1, 2)),
        "1,1 | P2 U5 U3 P2",
    ),
    "maximum of what is the same everywhere": (
        lambda x: pooled(spread(x), *MAX, (2, 3), (1, 2)),
        "1,1 | P2 U5 U3 P2",
    ),
    "product of what is the same everywhere": (
        lambda x: pooled(spread(x), 1.0, lax.mul, (2, 3), (1, 2)),
        "1,1 | P2 U5 U3 P2",
    ),
    "padding that no output reads": (
        lambda x: pooled(x, *MAX, (2, 2), (2, 2), ((0, 0), (0, 1), (0, 0), (0, 0))),
        "2,2 | P2 W3 W4 P2",
    ),
    "with an initial value that counts": (
        lambda x: pooled(x, jnp.asarray(0.5), lax.add, (2, 2), (1, 1)),
        "6,8 | P2 P5 P7 P2",
    ),
    "with a function of its own": (
        lambda x: pooled(x, jnp.asarray(0.0), lambda a, b: a + 2 * b, (2, 1), (1, 1)),
        "6,8 | P2 P5 P8 P2",
    ),
}


def test_pools():
    assert_states(POOLS, drawn(2, 6, 8, 2))


def test_one_and_three_dimensions():
    def line(x):
        return convolve(x, drawn(3, 2, 2), (2,), "VALID", ("NHC", "HIO", "NHC"))

    def volume(x):
        return convolve(x, drawn(2, 2, 1, 1, 2), (1, 2, 1), "VALID", ("NHWDC", "HWDIO", "NHWDC"))

    assert states_when_right(line, drawn(1, 10, 2), axes=(1,)) == ["2 | 1 W4 P2"]
    assert states_when_right(volume, drawn(1, 3, 4, 3, 1), axes=(1, 2, 3)) == [
        "1,2,1 | 1 W2 W2 W3 P2"
    ]


def test_two_dimensions_that_move_along_one_axis():
    def pairs(x):
        y = jnp.tanh(x[:, :, None]) * x[:, None]
        return convolve(y, drawn(2, 2, 2, 1), (2, 2))

    assert states_when_right(pairs, drawn(1, 6, 2), axes=(1,)) == ["2 | 1 W3 W3 1"]
    # 5 is not divisible: what ends the first dimension's symmetry ends the second's.
    assert states_when_right(pairs, drawn(1, 5, 2), axes=(1,)) == ["5 | 1 P2 P2 1"]


def test_only_the_cosets_asked_for_are_computed():
    def fun(x):
        return pooled(convolve(wrapped(x), drawn(*KERNEL), (2, 2)), *MAX, (2, 2), (1, 2))

    result = walked(fun, drawn(1, 6, 8, 2), shifts=((0, 3), (1, 5, 6)))
    assert_same_at_every_shift(result)
    assert result.states == ["2,4 | 1 W2 W2 P3"]


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(jnp.bfloat16, 2e-2), (jnp.float32, 1e-5), (jnp.int32, 0)]
)
def test_dtypes(dtype, rtol):
    x = jnp.round(4 * drawn(1, 4, 6, 2)).astype(dtype)

    def fun(x):
        lowest = np.asarray(-np.inf if x.dtype.kind == "f" else np.iinfo(np.int32).min)
        if x.dtype == jnp.bfloat16:
            lowest = np.asarray(-np.inf, jnp.bfloat16)
        kernel = jnp.round(4 * drawn(3, 3, 2, 2)).astype(x.dtype)
        y = convolve(wrapped(x), kernel)
        return pooled(y, lowest.astype(x.dtype), lax.max, (2, 2), (2, 2)), pooled(
            wrapped(x, 4, 5), lowest.astype(x.dtype), lax.max, (10, 10), (1, 1)
        )

    result = walked(fun, x)
    assert_same_at_every_shift(result, rtol=rtol)
    assert result.states == ["2,2 | 1 W2 W3 P2", "1,1 | 1 W4 W6 P2"]


def test_taps_are_not_added_in_a_type_that_is_too_narrow():
    def fun(x):
        kernel = np.full((5, 1, 2, 1), 100, np.int8)
        return convolve(wrapped(x, 2, 2), kernel, preferred_element_type=np.int32)

    x = jnp.round(4 * drawn(1, 2, 3, 2)).astype(np.int8)
    assert_same_at_every_shift(walked(fun, x), rtol=0)


def test_pools_of_numbers_without_infinities():
    """Masks, and floats of which none is infinite."""
    small = jnp.float8_e4m3fn
    least = np.asarray(-float(jnp.finfo(small).max), small)

    def fun(x):
        inside = wrapped(x > 0.3, 5, 4)
        low = pooled(wrapped(x.astype(small), 5, 4), least, lax.max, (10, 10), (1, 1))
        return (
            pooled(inside, np.bool_(False), lax.max, (3, 3), (2, 2)),
            pooled(inside, np.bool_(True), lax.min, (10, 10), (1, 1)),
            low.astype(x.dtype),
        )

    result = walked(fun, drawn(1, 4, 6, 2))
    assert_same_at_every_shift(result)
    assert result.states == ["2,2 | 1 W6 W7 P2", "1,1 | 1 W4 W6 P2", "1,1 | 1 W4 W6 P2"]


def test_precision_and_accumulation_type_are_kept():
    def fun(x):
        return convolve(
            x,
            drawn(*KERNEL, dtype=jnp.bfloat16),
            precision=lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )

    x = drawn(1, 6, 8, 2, dtype=jnp.bfloat16)
    (output,) = walked(fun, x).outputs
    assert output.got.dtype == np.float32
    np.testing.assert_allclose(output.got, output.want, rtol=1e-5)
