"""Fourier filters along what moves, and all that is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.numpy import fft

import jaxinv
from tests.symmetry.shifted import assert_same_gradient, assert_states, drawn

pytestmark = pytest.mark.usefixtures("x64")

EVERY = "1,1 | P2 W6 W4 P3"
NUMBERS = np.random.default_rng(0)
ROWS = NUMBERS.normal(size=(6, 1, 1)) + 1j
BOTH = NUMBERS.normal(size=(6, 4, 1)) + 1j * NUMBERS.normal(size=(6, 4, 1))
RUNS_ALONG = "the Fourier transform runs along what moves"


def filtered(x, gains, axes):
    return fft.ifftn(fft.fftn(x, axes=axes) * gains, axes=axes).real


def test_filters():
    x = drawn(2, 6, 4, 3)
    cases = {
        "one axis": (lambda x: filtered(x, ROWS, (1,)), EVERY),
        "the other": (lambda x: filtered(x, BOTH[0], (2,)), EVERY),
        "both": (lambda x: filtered(x, BOTH, (1, 2)), EVERY),
        "one after the other": (lambda x: filtered(filtered(x, BOTH[0], (2,)), ROWS, (1,)), EVERY),
        "gains that differ along the other axis": (
            lambda x: filtered(x, BOTH, (1,)),
            "1,4 | P2 W6 P4 P3",
        ),
        "gains of channels": (lambda x: filtered(x, ROWS * np.arange(3), (1,)), EVERY),
        "divided": (
            lambda x: fft.ifft(fft.fft(x, axis=1) / (3 + ROWS), axis=1).imag,
            EVERY,
        ),
        "of real numbers": (
            lambda x: fft.irfft(fft.rfft(x, axis=1) * ROWS[:4], axis=1),
            EVERY,
        ),
        "of real numbers, both": (
            lambda x: fft.irfft2(fft.rfft2(x, axes=(1, 2)) * BOTH[:, :3], axes=(1, 2)),
            EVERY,
        ),
        "another layout": (
            lambda x: filtered(jnp.moveaxis(x, 3, 1), BOTH[..., 0], (2, 3)),
            "1,1 | P2 P3 W6 W4",
        ),
        "after components that differ": (
            lambda x: filtered(
                (x.reshape(2, 3, 2, 4, 3) * drawn(2, 1, 1)).reshape(x.shape), ROWS, (1,)
            ),
            "2,1 | P2 W6/2 W4 P3",
        ),
        "of a coarse map": (
            lambda x: filtered(x[:, ::2], ROWS[:3], (1,)).mean((1, 2)),
            "2,1 | P2 P3",
        ),
        "a gain from the data": (
            lambda x: filtered(x, x[:, ::3].mean((1, 2), keepdims=True), (1,)),
            "3,1 | P2 W6/3 W4 P3",
        ),
        "a gain that moves": (lambda x: filtered(x, x, (1,)), "6,4 | P2 P6 P4 P3"),
        "a part": (lambda x: filtered(x[:, 1:], ROWS[1:], (1,)), "6,1 | P2 P5 W4 P3"),
        "another length": (
            lambda x: fft.irfft(fft.rfft(x, axis=1) * ROWS[:4], n=5, axis=1),
            "6,1 | P2 P5 W4 P3",
        ),
        "a constant added": (
            lambda x: fft.ifft(fft.fft(x, axis=1) + ROWS, axis=1).real,
            "6,1 | P2 P6 W4 P3",
        ),
        "squared": (
            lambda x: fft.ifft(fft.fft(x, axis=1) ** 2, axis=1).real,
            "6,1 | P2 P6 W4 P3",
        ),
        "the divisor": (
            lambda x: fft.ifft(ROWS / (9 + fft.fft(x, axis=1)), axis=1).real,
            "6,1 | P2 P6 W4 P3",
        ),
        "forth again": (
            lambda x: fft.fft(fft.fft(x, axis=1) * ROWS, axis=1).real,
            "6,1 | P2 P6 W4 P3",
        ),
        "along channels": (lambda x: filtered(x, np.arange(3), (3,)), EVERY),
    }
    assert_states(cases, x)


def neural_operator(x, axes=(1, 2), modes=2, start=0, fill=0.0):
    """Low frequencies by a matrix each, put among zeros; all others are left out."""
    spectrum = fft.rfftn(x, axes=axes)
    axis = axes[0]
    ends = [slice(0, modes)] if len(axes) == 1 else [slice(0, modes), slice(-modes, None)]
    out = jnp.full(spectrum.shape, fill, spectrum.dtype)
    for i, rows in enumerate(ends):
        kept = (slice(None),) * axis + (rows, slice(0, modes))[: len(axes)]
        low = spectrum[kept]
        matrices = drawn(*low.shape[1:], 3, seed=i) + 1j * drawn(*low.shape[1:], 3, seed=7)
        if len(axes) == 1:
            matrices = matrices.mean((0, 1)) if axis == 1 else matrices[0]
        if start:
            kept = (slice(None),) * axis + (slice(start, start + modes),)
        out = out.at[kept].set(jnp.einsum("...i,...io->...o", low, matrices))
    return fft.irfftn(out, s=[x.shape[a] for a in axes], axes=axes)


def test_frequencies_that_are_cut_out():
    x = drawn(2, 6, 4, 3)
    centred = lambda x: fft.fftshift(fft.rfft2(x, axes=(1, 2)), axes=1)  # noqa: E731
    back = lambda f: fft.irfft2(fft.ifftshift(f, axes=1), s=(6, 4), axes=(1, 2))  # noqa: E731
    low = lambda x: fft.rfft(x, axis=1)[:, :2]  # noqa: E731
    cases = {
        "a matrix for each of both": (neural_operator, EVERY),
        "of one axis": (lambda x: neural_operator(x, (1,)), EVERY),
        "of a coarse map, one axis": (
            lambda x: neural_operator(x[:, :, ::2], (1,)),
            "1,2 | P2 W6 W2 P3",
        ),
        "of part of the other axis": (
            lambda x: neural_operator(x[:, :, 1:], (1,)),
            "1,4 | P2 W6 P3 P3",
        ),
        "other channels": (
            lambda x: fft.irfft(low(x) @ (drawn(3, 5) + 1j), n=6, axis=1),
            "1,1 | P2 W6 W4 P5",
        ),
        "from the middle": (
            lambda x: back(jnp.zeros((2, 6, 3, 3), complex).at[:, 2:5].set(centred(x)[:, 2:5])),
            EVERY,
        ),
        "beside zeros": (
            lambda x: fft.irfft(
                jnp.concatenate([low(x), jnp.zeros((2, 2, 4, 3), complex)], 1), axis=1
            ),
            EVERY,
        ),
        "without the mean": (
            lambda x: fft.irfft2(fft.rfft2(x, axes=(1, 2)).at[:, 0, 0].set(0), axes=(1, 2)),
            EVERY,
        ),
        "some channels": (
            lambda x: fft.irfft(low(x)[..., 1:] @ (drawn(2, 5) + 1j), n=6, axis=1),
            "1,1 | P2 W6 W4 P5",
        ),
        "of tokens": (
            lambda x: fft.irfft(
                jnp.einsum(
                    "bcf,cf->bf",
                    low(jnp.swapaxes(x, 2, 3).reshape(2, 6, 12)).swapaxes(1, 2),
                    drawn(12, 2) + 1j,
                ),
                n=6,
                axis=1,
            ),
            "1,4 | P2 W6",
        ),
        "channels put elsewhere": (
            lambda x: fft.irfft(jnp.roll(fft.rfft(x, axis=1), 1, 3), axis=1),
            EVERY,
        ),
        "power": (lambda x: jnp.abs(low(x)), "1,1 | P2 P2 W4 P3"),
        "power of sums over channels": (
            lambda x: jnp.abs(low(x) @ (drawn(3, 5) + 1j)),
            "1,1 | P2 P2 W4 P5",
        ),
        "at other places": (
            lambda x: neural_operator(x, (1,), start=1),
            "6,1 | P2 P6 W4 P3",
        ),
        "among ones": (lambda x: neural_operator(x, (1,), fill=1.0), "6,1 | P2 P6 W4 P3"),
        "in another order": (
            lambda x: fft.irfft(jnp.roll(fft.rfft(x, axis=1), 1, 1), axis=1),
            "6,1 | P2 P6 W4 P3",
        ),
        "mixed with one another": (
            lambda x: fft.irfft(jnp.einsum("nfwc,fg->ngwc", low(x), drawn(2, 4) + 1j), axis=1),
            "6,1 | P2 P6 W4 P3",
        ),
        "neighbours added": (
            lambda x: fft.irfft(
                fft.rfft(x, axis=1)[:, 1:] + fft.rfft(x, axis=1)[:, :-1], n=6, axis=1
            ),
            "6,1 | P2 P6 W4 P3",
        ),
        "the other axis rolled": (
            lambda x: fft.irfft(jnp.roll(fft.rfft(x, axis=1), 1, 2), axis=1),
            "1,4 | P2 W6 P4 P3",
        ),
        "the other axis reversed": (
            lambda x: fft.irfft(fft.rfft(x, axis=1)[:, :, ::-1], axis=1),
            "6,1 | P2 P6 W4/-1 P3",
        ),
        "each part by itself": (
            lambda x: fft.irfft(jax.lax.complex(jnp.tanh(low(x).real), low(x).imag), n=6, axis=1),
            "6,1 | P2 P6 W4 P3",
        ),
        "to another length": (lambda x: fft.irfft(low(x), n=4, axis=1), "6,1 | P2 P4 W4 P3"),
    }
    assert_states(cases, x)
    assert_same_gradient(lambda x: [neural_operator(x)], x)


def test_power_spectra():
    x = drawn(2, 6, 4, 3)
    with_conjugate = lambda f: f.conj() * (f * 2)  # noqa: E731
    spectrum = lambda x: fft.fft(x, axis=1)  # noqa: E731
    cases = {
        "absolute": (lambda x: jnp.abs(spectrum(x)), "1,1 | P2 P6 W4 P3"),
        "of real numbers": (lambda x: jnp.abs(fft.rfft(x, axis=1)), "1,1 | P2 P4 W4 P3"),
        "both axes": (lambda x: jnp.abs(fft.fft2(x, axes=(1, 2))), "1,1 | P2 P6 P4 P3"),
        "of real numbers, both": (
            lambda x: jnp.abs(fft.rfft2(x, axes=(1, 2))) ** 2,
            "1,1 | P2 P6 P3 P3",
        ),
        "weighted": (lambda x: jnp.abs(spectrum(x) * ROWS), "1,1 | P2 P6 W4 P3"),
        "weighted along the other": (lambda x: jnp.abs(spectrum(x) * BOTH), "1,4 | P2 P6 P4 P3"),
        "of a coarse map": (lambda x: jnp.abs(spectrum(x[:, ::2])), "2,1 | P2 P3 W4 P3"),
        "times its conjugate": (
            lambda x: with_conjugate(spectrum(x)).real,
            "1,1 | P2 P6 W4 P3",
        ),
        "conjugate, weighted": (
            lambda x: with_conjugate(ROWS * spectrum(x)).real,
            "1,1 | P2 P6 W4 P3",
        ),
        "correlation with itself": (
            lambda x: fft.irfft(jnp.abs(fft.rfft(x, axis=1)) ** 2, n=6, axis=1),
            "1,1 | P2 P6 W4 P3",
        ),
        "times itself": (lambda x: (spectrum(x) * spectrum(x)).real, "6,1 | P2 P6 W4 P3"),
        "times another's conjugate": (
            lambda x: (spectrum(x) * spectrum(x**2).conj()).real,
            "6,1 | P2 P6 W4 P3",
        ),
        "with a constant": (lambda x: jnp.abs(spectrum(x) + ROWS), "6,1 | P2 P6 W4 P3"),
        "of a part": (lambda x: jnp.abs(spectrum(x[:, 1:])), "6,1 | P2 P5 W4 P3"),
        "back from the conjugate": (
            lambda x: fft.ifft(spectrum(x).conj(), axis=1).real,
            "6,1 | P2 P6 W4 P3",
        ),
        "along channels": (lambda x: jnp.abs(fft.fft(x, axis=3)), EVERY),
    }
    assert_states(cases, x)


def test_gradients_of_filters_move():
    x = drawn(2, 6, 4, 3)

    def gradient(fun):
        return jax.grad(lambda x: jnp.sum(jnp.tanh(fun(x))))

    cases = {
        "one axis": (gradient(lambda x: filtered(x, ROWS, (1,))), EVERY),
        "both": (gradient(lambda x: filtered(x, BOTH, (1, 2))), EVERY),
    }
    assert_states(cases, x)


def test_an_orbit_of_a_filter():
    x = drawn(1, 6, 4, 1, dtype=np.float32)

    def net(x):
        return filtered(jnp.tanh(filtered(x, BOTH, (1, 2))), BOTH, (1, 2)).max((1, 2))

    shared, each = (jaxinv.orbit(net, share=share)(x) for share in (True, False))
    np.testing.assert_allclose(shared, each, rtol=0, atol=1e-5)
    assert jaxinv.orbit_cost(net, x).ratio > 10


def test_a_filter_reads_up_to_the_border():
    certificate = jaxinv.certify(
        lambda x: filtered(x, ROWS, (1,)), jnp.ones((1, 6, 4, 1)), mode="constant"
    )
    assert certificate.outputs[0].interior[0] is None
    assert [step.reason for step in certificate.breaks] == [RUNS_ALONG]
