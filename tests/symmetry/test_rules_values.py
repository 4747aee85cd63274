"""Pointwise primitives, reductions, contractions and orders, read at every shift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.symmetry.shifted import (
    assert_same_at_every_shift,
    assert_states,
    drawn,
    states_when_right,
    walked,
)

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | P2 W6 W4 P3"


def every_second(x):
    return x[:, ::2, ::2]


def circular(x, kernel, strides=(1, 1)):
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
    return lax.conv_general_dilated(
        x, kernel, strides, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_pointwise(x):
    cases = {
        "unary": (lambda x: jnp.tanh(x) * 2 + lax.erf(x), EVERY),
        "comparison": (lambda x: x > 0.5, EVERY),
        "choice": (lambda x: jnp.where(x > jnp.roll(x, 1, 1), x, 0.0), EVERY),
        "a choice for all positions": (lambda x: lax.select(x.sum() > 0, x, -x), EVERY),
        "channels": (lambda x: x * drawn(3) + drawn(2, 1, 1, 1), EVERY),
        "two periods": (
            lambda x: jnp.repeat(every_second(x), 2, 1) + x[:, :, ::2],
            "2,2 | P2 W3*P2 W2 P3",
        ),
        "two periods, one that does not move": (
            lambda x: x * x[:, ::2].mean((1, 2), keepdims=True),
            "2,1 | P2 W6/2 W4 P3",
        ),
        "another offset": (lambda x: x[:, 1:4] - x[:, :3], "1,1 | P2 W3 W4 P3"),
        "another axis": (
            lambda x: x[:, :4, :, None] * jnp.swapaxes(x[:, :4], 1, 2)[:, :, :, None],
            "6,4 | P2 P4 P4 1 P3",
        ),
        "an outer product": (
            lambda x: x[:, :, None, 0] * jnp.sin(x[:, None, :, 0]),
            "1,4 | P2 W6 W6 P3",
        ),
        "an embedding": (lambda x: x + drawn(6, 4, 3), "6,4 | P2 P6 P4 P3"),
        "an embedding of rows": (lambda x: x + drawn(6, 1, 1), "6,1 | P2 P6 W4 P3"),
        "an embedding of phases": (
            lambda x: x.reshape(2, 3, 2, 4, 3) + drawn(2, 1, 1),
            "2,1 | P2 W3 P2 W4 P3",
        ),
        "single positions": (lambda x: lax.mul(x, x.mean((1, 2), keepdims=True) + 0 * x), EVERY),
        "a stretched single position": (lambda x: x[:, :1] + 0 * x[:, :3], "6,1 | P2 P3 W4 P3"),
    }
    assert_states(cases, x)


def test_pointwise_primitives_stretch_single_positions_by_themselves():
    # As jax 0.10 writes keepdims=True; one operand moves where the other has one position.
    def fun(x):
        return lax.mul_p.bind(x, jnp.mean(x, 1, keepdims=True))

    assert states_when_right(fun, drawn(1, 6, 2), axes=(1,)) == ["1 | 1 W6 P2"]


def test_reductions(x):
    cases = {
        "mean": (lambda x: x.mean((1, 2)), "1,1 | P2 P3"),
        "of a part": (lambda x: x[:, 1:].sum((1, 2)), "6,1 | P2 P3"),
        "maximum of a part": (lambda x: x[:, 1:].max(1), "6,1 | P2 W4 P3"),
        "of every second": (lambda x: every_second(x).max((1, 2)), "2,2 | P2 P3"),
        "along one axis": (lambda x: x.min(2), "1,1 | P2 W6 P3"),
        "channels": (lambda x: x.prod(3), "1,1 | P2 W6 W4"),
        "everything": (lambda x: jnp.any(x > 1), "1,1 | "),
        "tokens": (lambda x: x.reshape(2, 24, 3).sum(1), "1,1 | P2 P3"),
        "what is the same everywhere": (lambda x: jnp.repeat(x, 2, 1).sum((1, 2)), "1,1 | P2 P3"),
        "once around and more": (
            lambda x: jnp.concatenate([x, x[:, :2]], 1).max(1),
            "1,1 | P2 W4 P3",
        ),
        "twice around": (lambda x: jnp.concatenate([x, x], 1).sum(1), "1,1 | P2 W4 P3"),
        "once around and more, summed": (
            lambda x: jnp.concatenate([x, x[:, :2]], 1).sum(1),
            "6,1 | P2 W4 P3",
        ),
        "all rows with all rows": (
            lambda x: (x[:, :, None, 0] * jnp.sin(x[:, None, :, 0])).sum((1, 2)),
            "1,4 | P2 P3",
        ),
        "best class": (lambda x: x.mean((1, 2)).argmax(-1), "1,1 | P2"),
        "best channel": (lambda x: x.argmin(3), "1,1 | P2 W6 W4"),
        "best position": (lambda x: x.argmax(1), "6,1 | P2 W4 P3"),
        "best of one position": (lambda x: x + x[:, :1].argmax(1, keepdims=True), EVERY),
        "best of one value": (lambda x: (x[..., :1] + drawn(6, 4, 1)).argmax(3), "1,1 | U2 U6 U4"),
    }
    assert_states(cases, x)


def test_reductions_keep_their_type():
    def fun(x):
        signs = (x > 0).astype(jnp.int8)
        return lax.reduce(signs, np.int8(0), lax.bitwise_xor, (1, 2)), jnp.all(x < 9, axis=1)

    assert states_when_right(fun, drawn(2, 6, 4, 3)) == ["1,1 | P2 P3", "1,1 | P2 W4 P3"]


def test_orders_and_running_sums(x):
    cases = {
        "sorted channels": (lambda x: jnp.sort(x, axis=3), EVERY),
        "sorted positions": (lambda x: jnp.sort(x, axis=1), "1,1 | P2 P6 W4 P3"),
        "sorted tokens": (lambda x: jnp.sort(x.reshape(2, 24, 3), axis=1), "1,1 | P2 P24 P3"),
        "some sorted positions": (lambda x: jnp.sort(x[:, 1:], axis=1), "6,1 | P2 P5 W4 P3"),
        "sorted with another": (
            lambda x: lax.sort((x, -x), dimension=3, num_keys=1)[1],
            EVERY,
        ),
        "positions sorted with another": (
            lambda x: lax.sort((x, x**2), dimension=1, num_keys=1)[1],
            "6,1 | P2 P6 W4 P3",
        ),
        "median of all": (lambda x: jnp.median(x, axis=(1, 2)), "1,1 | P2 P3"),
        "running sum": (lambda x: jnp.cumsum(x, axis=3), EVERY),
        "running maximum of positions": (lambda x: lax.cummax(x, axis=1), "6,1 | P2 P6 W4 P3"),
        "of one channel": (lambda x: jnp.cumsum(x[..., :1], axis=3), "1,1 | P2 W6 W4 1"),
    }
    assert_states(cases, x)


def test_fourier_transforms(x):
    cases = {
        "channels": (lambda x: jnp.abs(jnp.fft.fft(x, axis=3)), EVERY),
        "half the frequencies": (
            lambda x: jnp.abs(jnp.fft.rfft(x.mean((1, 2)))),
            "1,1 | P2 P2",
        ),
        "of two dimensions, one of them single": (
            lambda x: jnp.real(jnp.fft.fft2(x[..., None])),
            "1,1 | P2 W6 W4 P3 1",
        ),
        "positions": (lambda x: jnp.fft.fft(x, axis=1).real, "6,1 | P2 P6 W4 P3"),
    }
    assert_states(cases, x)


def test_contractions(x):
    def attention(x):
        t = circular(x, drawn(3, 3, 3, 4), (2, 2)).reshape(2, 6, 4)
        scores = jax.nn.softmax(jnp.einsum("nic,njc->nij", t @ drawn(4, 4), t))
        return jnp.einsum("nij,njc->nic", scores, t)

    cases = {
        "of channels": (lambda x: x @ drawn(3, 5), "1,1 | P2 W6 W4 P5"),
        "by what is made of all": (
            lambda x: jnp.einsum("nhwc,nc->nhw", x, x.mean((1, 2))),
            "1,1 | P2 W6 W4",
        ),
        "attention": (attention, "2,2 | P2 W3*W2 P4"),
        "scores": (
            lambda x: jnp.einsum("nhc,nkc->nhk", x.mean(2), x.sum(2)),
            "1,1 | P2 W6 W6",
        ),
        "Gram matrix": (lambda x: jnp.einsum("nhwc,nhwd->ncd", x, x), "1,1 | P2 P3 P3"),
        "Gram matrix of a part": (
            lambda x: jnp.einsum("nhwc,nhwd->ncd", x[:, 1:], x[:, 1:]),
            "6,1 | P2 P3 P3",
        ),
        "summed": (lambda x: jnp.einsum("nhwc->nc", x), "1,1 | P2 P3"),
        "with what is the same everywhere": (
            lambda x: jnp.einsum("nhc,hd->ncd", jnp.repeat(x.mean(2), 2, 1), jnp.ones((12, 1)) * 2),
            "1,1 | P2 P3 1",
        ),
        "both the same everywhere": (
            lambda x: jnp.einsum(
                "nh,h->n", jnp.broadcast_to(x.mean((1, 2, 3))[:, None], (2, 5)), jnp.full(5, 2.0)
            ),
            "1,1 | P2",
        ),
        "locally connected": (
            lambda x: jnp.einsum("nhwc,hcd->nhwd", x, drawn(6, 3, 2)),
            "6,1 | P2 P6 W4 P2",
        ),
    }
    assert_states(cases, x)


def test_flatten_and_dense(x):
    cases = {
        "whole": (lambda x: x.reshape(2, 72) @ drawn(72, 5), "6,4 | P2 P5"),
        "a matrix in front": (lambda x: drawn(5, 72) @ x.reshape(2, 72).T, "6,4 | P5 P2"),
        "strided": (
            lambda x: circular(x, drawn(3, 3, 3, 2), (2, 2)).reshape(2, 12) @ drawn(12, 4),
            "6,4 | P2 P4",
        ),
        "a window": (lambda x: x[:, 2:, :3].reshape(2, 36) @ drawn(36, 4), "6,4 | P2 P4"),
        "more than a torus": (
            lambda x: jnp.concatenate([x, x[:, :3]], 1).reshape(2, 108) @ drawn(108, 4),
            "6,4 | P2 P4",
        ),
        "one axis": (lambda x: jnp.einsum("nhwc,hk->nkwc", x, drawn(6, 2)), "6,1 | P2 P2 W4 P3"),
        "up-sampled": (
            lambda x: (
                lax.conv_transpose(x, drawn(2, 1, 3, 2), (2, 1), "VALID").reshape(2, 96)
                @ drawn(96, 2)
            ),
            "6,4 | P2 P2",
        ),
        "reversed": (lambda x: jnp.flip(x, (1, 2)).reshape(2, 72) @ drawn(72, 2), "6,4 | P2 P2"),
        "by a matrix made of the input": (
            lambda x: x.reshape(2, 72) @ (drawn(72, 2) * x[:, ::2].mean()),
            "6,4 | P2 P2",
        ),
    }
    assert_states(cases, x)


@pytest.mark.parametrize("size", [(5, 7), (2, 3)])
def test_flatten_and_dense_of_odd_sizes(size):
    n = 2 * size[0] * size[1]
    states = states_when_right(lambda x: x.reshape(1, n) @ drawn(n, 3), drawn(1, *size, 2))
    assert states == [f"{size[0]},{size[1]} | 1 P3"]


def test_flatten_and_dense_at_the_shifts_asked_for():
    def fun(x):
        return x[:, ::2, ::2].reshape(1, 12) @ drawn(12, 3)

    result = walked(fun, drawn(1, 6, 8, 1), shifts=((1, 2, 5), (0, 3)))
    assert_same_at_every_shift(result)
    assert result.states == ["6,8 | 1 P3"]


@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.bfloat16, 2e-2), (jnp.float32, 1e-5)])
def test_dtypes(dtype, rtol):
    def fun(x):
        features = jax.nn.relu(x) @ drawn(3, 2, dtype=dtype)
        dense = features.reshape(2, 48) @ drawn(48, 4, dtype=dtype)
        return features.sum((1, 2)), features[:, 1:].sum((1, 2)), dense

    result = walked(fun, drawn(2, 6, 4, 3, dtype=dtype))
    assert_same_at_every_shift(result, rtol=rtol)
    assert {output.got.dtype for output in result.outputs} == {np.dtype(dtype)}


def test_precision_and_accumulation_type_are_kept():
    def fun(x):
        y = jnp.einsum(
            "nhwc,cd->nhwd", x, drawn(3, 2, dtype=jnp.bfloat16), preferred_element_type=jnp.float32
        )
        return y, lax.dot_general(
            x.reshape(2, 72),
            drawn(72, 2, dtype=jnp.bfloat16),
            (((1,), (0,)), ((), ())),
            precision=lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )

    result = walked(fun, drawn(2, 6, 4, 3, dtype=jnp.bfloat16))
    assert_same_at_every_shift(result, rtol=1e-5)
    assert {output.got.dtype for output in result.outputs} == {np.dtype(np.float32)}


def test_integers_and_complex_numbers_are_contracted_at_each_shift(x):
    cases = {
        "integers": (
            lambda x: (x > 0).astype(jnp.int32).reshape(2, 72) @ jnp.arange(144).reshape(72, 2),
            "6,4 | P2 P2",
        ),
        "complex": (
            lambda x: jnp.real((x + 1j).reshape(2, 72) @ drawn(72, 2)),
            "6,4 | P2 P2",
        ),
    }
    assert_states(cases, x)
