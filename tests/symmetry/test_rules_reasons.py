"""Each reason for which a symmetry thins or ends, in the words that a certificate shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinv
from jaxinv.symmetry import Cause, Reason
from tests.symmetry.shifted import drawn, walked

pytestmark = pytest.mark.usefixtures("x64")

IMAGES = jax.ShapeDtypeStruct((2, 96, 96, 3), jnp.float64)


def convolve(x, shape, strides=(1, 1), padding="VALID", **options):
    return lax.conv_general_dilated(
        x, drawn(*shape), strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


def pooled(x, init, combine, window, strides, padding="VALID"):
    return lax.reduce_window(x, init, combine, (1, *window, 1), (1, *strides, 1), padding)


def outer(x):
    """Two dimensions that move along the first axis: (N, H, H)."""
    return x[..., 0].sum(2)[:, :, None] * jnp.sin(x[..., 0].sum(2)[:, None])


def chosen(x, stride=2):
    """A declared layer: of two phases along H the one with the larger norm."""
    decision = jnp.argmax(jnp.array([jnp.sum(x[:, 0::2] ** 2), jnp.sum(x[:, 1::2] ** 2)]))
    y = jnp.where(decision == 0, x[:, 0::2], x[:, 1::2])
    return jaxinv.declare_equivariance(x, y, axes=(1,), stride=2, decision=decision)


REASONS = {
    "stride 2: even shifts only": lambda x: x[:, ::2],
    "stride 3: multiples of 3 only": lambda x: x[:, ::3],
    "stride 3: multiples of 6 only": lambda x: x[:, ::2][:, ::3],
    "6 positions are not divisible by stride 4": lambda x: x[:, ::4],
    "3 positions are not divisible by stride 2": lambda x: pooled(
        x[:, ::2], 0.0, lax.add, (2, 1), (2, 1)
    ),
    "split into groups of 3: multiples of 3 only": lambda x: x.reshape(2, 2, 3, 4, 3),
    "6 is not divisible by 4": lambda x: jnp.concatenate([x[:, 4:], x], 1).reshape(2, 2, 4, 4, 3),
    "zero padding of 1 meets the border": lambda x: convolve(x, (3, 1, 3, 2), padding="SAME"),
    "zero padding of 2 meets the border": lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0), (0, 0))),
    "padding of 1 meets the border": lambda x: pooled(x, -jnp.inf, lax.max, (3, 1), (1, 1), "SAME"),
    "constant padding of 1 meets the border": lambda x: jnp.pad(
        x, ((0, 0), (1, 0), (0, 0), (0, 0)), constant_values=2.0
    ),
    "edge padding meets the border": lambda x: jnp.pad(
        x, ((0, 0), (1, 1), (2, 0), (0, 0)), mode="edge"
    ),
    "reflect padding meets the border": lambda x: jnp.pad(
        x, ((0, 0), (0, 2), (1, 1), (0, 0)), mode="reflect"
    ),
    "padding that does not wrap around meets the border": lambda x: jnp.concatenate(
        [x[:, :1], x, x[:, -1:]], 1
    ),
    "every receptive field meets the border": lambda x: convolve(
        x, (9, 1, 3, 2), padding=((8, 8), (0, 0))
    ),
    "a constant that differs between positions meets what moves": lambda x: x + drawn(6, 1, 1),
    "dimensions that move differently meet": lambda x: x[:, ::2] + jnp.flip(x[:, ::2], 1),
    "opposite directions meet: multiples of 3 only": lambda x: x + jnp.flip(x, 1),
    "a single position is read": lambda x: x[:, 0],
    "a reshape cuts through positions that move": lambda x: x.reshape(2, 9, 8),
    "a slice cuts through positions that move": lambda x: x.reshape(2, 24, 3)[:, 1:12],
    "a window slides over a dimension that moves in parts": lambda x: lax.reduce_window(
        x.reshape(2, 24, 3), 0.0, lax.add, (1, 3, 1), (1, 1, 1), "VALID"
    ),
    "pieces that move differently are joined": lambda x: jnp.concatenate([x, jnp.sin(x)], 1),
    "positions that do not move are joined to positions that do": lambda x: jnp.concatenate(
        [drawn(2, 1, 4, 3), x], 1
    ),
    "positions that are grouped differently meet": lambda x: (
        x.reshape(2, 24, 3) + jnp.swapaxes(x, 1, 2).reshape(2, 24, 3)
    ),
    "positions that move are put in another order": lambda x: x[:, jnp.array([0, 2, 1, 3, 4, 5])],
    "positions at a fixed place are replaced": lambda x: x.at[:, 2].set(0.0),
    "positions that are not known beforehand are read": lambda x: x[:, x.mean((1, 2)).argmax(1)],
    "5 of 6 positions are reduced": lambda x: x[:, 1:].sum((1, 2)),
    "the position of an extremum is read": lambda x: x.argmax(1),
    "cumsum runs along positions that move": lambda x: jnp.cumsum(x, 1),
    "sort runs along positions that move": lambda x: jnp.sort(x[:, 1:], 1),
    "the Fourier transform runs along what moves": lambda x: jnp.fft.rfft(x, axis=1),
    "Dense after flatten mixes fixed positions": lambda x: x.reshape(2, 72) @ drawn(72, 2),
    "weights that differ between positions mix them": lambda x: jnp.einsum(
        "ntc,ts->nsc", x.reshape(2, 24, 3), drawn(24, 24)
    ),
    "part of the positions that move is contracted": lambda x: jnp.einsum(
        "nhwc,nhwd->ncd", x[:, 1:], x[:, 1:]
    ),
    "channels that move are mixed": lambda x: convolve(jnp.swapaxes(x, 1, 3), (1, 1, 6, 2)),
    "batch groups that move are mixed": lambda x: convolve(
        jnp.swapaxes(x, 0, 1), (1, 1, 3, 2), batch_group_count=2
    ),
    "the kernel moves with the input": lambda x: (
        convolve(jnp.ones((1, 4, 4, 4)), (1, 1, 4, 3))
        + lax.conv_general_dilated(
            jnp.ones((1, 4, 4, 4)),
            x[:1, :, :, :1].reshape(6, 1, 4, 1)[:1],
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    ),
    "a pool with a function or initial value of its own": lambda x: pooled(
        x, jnp.asarray(0.5), lax.add, (2, 1), (1, 1)
    ),
    "positions that move are ranked": lambda x: lax.top_k(jnp.swapaxes(x, 1, 3), 2),
    "cholesky has no rule": lambda x: jnp.linalg.cholesky(x[..., None] * x[..., None, :]),
    "resampling weights differ between positions": lambda x: jax.image.resize(
        x, (2, 12, 4, 3), "linear"
    ),
    "the scan runs along what moves": lambda x: lax.scan(
        lambda c, v: (c + v, None), x[:, 0] * 0, jnp.moveaxis(x, 1, 0)
    ),
    "shifts leave a loop at different times": lambda x: lax.while_loop(
        lambda c: c[1] < x[0, 0, 0, 0], lambda c: (c[0] * 2, c[1] + 1), (x, 0.0)
    ),
    "shifts choose different branches": lambda x: lax.cond(x[0, 0, 0, 0] > 0, jnp.sin, jnp.cos, x),
    "branches that move differently meet": lambda x: lax.cond(
        x.sum() > 0, lambda x: drawn(2, 6, 4, 3), jnp.cos, x
    ),
    "the body of a loop changes how what it carries moves": lambda x: lax.scan(
        lambda c, _: (drawn(2, 6, 4, 3), None), x, jnp.arange(2)
    ),
    "the phase of a rolled value is not known": lambda x: chosen(x)[:, :2].reshape(2, 1, 2, 4, 3)[
        :, :, ::2
    ],
    "values rolled by different decisions meet": lambda x: chosen(x) + chosen(x * drawn(3)),
}


@pytest.mark.parametrize(
    ("reason", "fun"),
    [
        ("edge padding meets the border", lambda x: x[:, np.clip(np.arange(-2, 7), 0, 5)]),
        ("reflect padding meets the border", lambda x: x[:, np.abs(np.arange(-2, 6))]),
        (
            "reflect padding meets the border",
            lambda x: x[:, :, 3 - np.abs(3 - np.arange(-1, 6) % 6)],
        ),
        ("positions are read at uneven distances", lambda x: x[:, np.array([0, 1, 1, 2, 4, 5])]),
        ("resampling weights differ", lambda x: jax.image.resize(x, (2, 7, 4, 3), "cubic")),
        ("resampling weights differ", lambda x: jax.image.resize(x, (2, 6, 3, 3), "linear")),
        ("resampling weights differ", lambda x: jax.image.resize(x, (2, 5, 4, 3), "nearest")),
        ("weights that differ", lambda x: jnp.swapaxes(x.reshape(2, 24, 3), 1, 2) @ drawn(24, 5)),
        ("Dense after flatten", lambda x: x.reshape(-1, 72) @ drawn(72, 5)),
        ("Dense after flatten", lambda x: jax.vmap(lambda z: drawn(5, 72) @ z.ravel())(x)),
    ],
)
def test_each_reason_is_in_the_words_of_what_was_written(reason, fun):
    certificate = jaxinv.certify(fun, jax.ShapeDtypeStruct((2, 6, 4, 3), jnp.float64))
    (row,) = (step for step in certificate.steps if step.ends)
    assert row.reason.startswith(reason)
    assert {r.axis for r in row.reasons} >= set(row.ended)


def test_reasons_are_data():
    certificate = jaxinv.certify(
        lambda x: convolve(x[:, :, ::2], (3, 1, 3, 2), padding="SAME"), IMAGES
    )
    thinned, ended = certificate.breaks
    assert thinned.reasons == (Reason(Cause.STRIDE, (("stride", 2), ("period", 2)), 2),)
    assert ended.reasons == (Reason(Cause.ZERO_PADDING, (("width", 1),), 1),)
    assert ended.to_dict()["reasons"] == [{"cause": "zero_padding", "axis": 1, "width": 1}]
    assert "Circular padding would keep it" in str(certificate)


def test_no_two_causes_have_the_same_words():
    # Enumerations make one member of two with the same value.
    assert len(list(Cause)) == len(Cause.__members__)


@pytest.mark.parametrize("reason", REASONS)
def test_reasons(reason):
    certificate = jaxinv.certify(REASONS[reason], jax.ShapeDtypeStruct((2, 6, 4, 3), jnp.float64))
    assert reason in {r for step in certificate.breaks for r in step.reason.split("; ")}


def padded_layers(depth):
    def fun(x):
        return lax.scan(
            lambda c, _: (convolve(c, (3, 3, 3, 3), padding="SAME"), None), x, jnp.arange(depth)
        )[0]

    return fun


@pytest.mark.parametrize(
    ("reason", "fun"),
    [
        ("positions up to the border are reduced", lambda x: x.sum((1, 2))),
        ("the body of a loop changes how what it carries moves", padded_layers(40)),
    ],
)
def test_reasons_where_content_enters(reason, fun):
    certificate = jaxinv.certify(fun, IMAGES, mode="constant")
    assert reason in {r for step in certificate.breaks for r in step.reason.split("; ")}


def test_the_interior_of_padded_layers_in_a_scan():
    interior, _ = jaxinv.certify(padded_layers(3), IMAGES, mode="constant").interior
    assert (interior.start, interior.stop, interior.size) == (3, 93, 96)


@jax.custom_jvp
def rolling_derivative(x):
    return jnp.sin(x)


@jax.custom_jvp
def mixing_derivative(x):
    return jnp.sin(x)


@jax.custom_jvp
def untraceable_derivative(x):
    return jnp.sin(x)


@jax.custom_vjp
def own_backward(x):
    return jnp.sin(x)


rolling_derivative.defjvp(lambda p, t: (jnp.sin(p[0]), t[0][:, :1] + 0 * t[0]))
mixing_derivative.defjvp(lambda p, t: (jnp.sin(p[0]), jnp.cumsum(t[0], 1)))
untraceable_derivative.defjvp(lambda p, t: 1 / 0)
own_backward.defvjp(lambda x: (jnp.sin(x), None), lambda _, ct: (ct,))


@pytest.mark.parametrize(
    ("reason", "fun"),
    [
        ("its derivative moves differently", rolling_derivative),
        ("its derivative moves differently", mixing_derivative),
        ("its derivative cannot be traced", untraceable_derivative),
        ("its backward pass is the caller's own", own_backward),
    ],
)
def test_reasons_of_execution(reason, fun):
    notes = walked(fun, jnp.ones((1, 6, 4, 1))).notes
    assert reason in notes[0]
