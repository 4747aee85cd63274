"""The checker catches false claims and missed symmetries, and passes exact ones."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.symmetry import measured

X = np.random.default_rng(0).normal(size=(1, 8, 6, 2))
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 2, 2))


def convolved(v, *, circular, stride=1):
    if circular:
        v = jnp.pad(v, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="wrap")
    strides = (stride, stride)
    spec = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(v, KERNEL, strides, "VALID", dimension_numbers=spec)


def claim(period, dims, *, moves=(1, 1), whole=(True, True)):
    return SimpleNamespace(period=period, dims=dims, moves=moves, whole=whole)


def held(case, output):
    """The orbit of a case, and the claim with the layout of its output, one part a dimension."""
    orbit = measured.Orbit(CASES[case][0], X, (1, 2))
    shape = orbit.at((0, 0))[0].shape
    layout = []
    for dim, size in enumerate(shape):
        axis = output.dims.index(dim) if dim in output.dims else None
        layout.append(((size, axis, 0 if axis is None else output.moves[axis]),))
    return orbit, [SimpleNamespace(**vars(output), layout=tuple(layout))]


def repeated(v):
    return jnp.repeat(convolved(v, circular=True), 2, axis=1)


def windowed(v):
    return convolved(v, circular=False)


CASES = {
    "circular": (lambda v: convolved(v, circular=True), claim((1, 1), (1, 2))),
    "stride": (lambda v: convolved(v, circular=True, stride=2), claim((2, 2), (1, 2))),
    "window": (windowed, claim((1, 1), (1, 2), whole=(False, False))),
    "upsampled": (repeated, claim((1, 1), (1, 2), moves=(2, 1))),
    "pooled": (lambda v: jnp.mean(jnp.tanh(v), (1, 2)), claim((1, 1), (None, None))),
    "pooled after stride": (
        lambda v: jnp.max(convolved(v, circular=True, stride=2), (1, 2)),
        claim((2, 2), (None, None)),
    ),
    "pooled over one axis": (
        lambda v: jnp.mean(convolved(v, circular=True), 1),
        claim((1, 1), (None, 1)),
    ),
    "dense": (lambda v: v.reshape(1, -1)[:, :3], claim((8, 6), (None, None))),
}
FALSE = {
    "a stride ignored": ("stride", claim((1, 1), (1, 2))),
    "a window taken for a torus": ("window", claim((1, 1), (1, 2))),
    "moving taken for still": ("circular", claim((1, 1), (None, 2))),
    "axes swapped": ("circular", claim((1, 1), (2, 1), whole=(False, False))),
    "rate ignored": ("upsampled", claim((1, 1), (1, 2))),
    "dense taken for pooled": ("dense", claim((1, 6), (None, None))),
    "pooled too early": ("pooled after stride", claim((1, 2), (None, None))),
}
COARSE = {
    "a stride too many": ("circular", claim((2, 1), (1, 2), moves=(2, 1))),
    "equivariance called broken": ("circular", claim((1, 6), (1, None))),
    "a window called broken": ("window", claim((8, 1), (None, 2), whole=(True, False))),
    "invariance called broken": ("pooled", claim((8, 6), (None, None))),
    "invariance of too long a period": ("pooled after stride", claim((4, 2), (None, None))),
}


@pytest.mark.parametrize("name", CASES)
def test_exact_claims_pass(name):
    with jax.enable_x64(True):
        orbit, outputs = held(name, CASES[name][1])
        assert not list(measured.violations(orbit, outputs, every=True))
        assert not list(measured.finer_symmetry(orbit, outputs))


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("name", FALSE)
def test_false_claims_are_caught(name, every):
    with jax.enable_x64(True):
        orbit, outputs = held(*FALSE[name])
        assert list(measured.violations(orbit, outputs, every=every))


@pytest.mark.parametrize(("start", "stop", "sound"), [(1, 7, True), (0, 7, False), (1, 8, False)])
def test_interiors_are_held_to_their_positions(start, stop, sound):
    """Zero padding of one: all but the outermost position on each side follow the shift."""

    def padded(v):
        return convolved(jnp.pad(v, [(0, 0), (1, 1), (1, 1), (0, 0)]), circular=False)

    inner = SimpleNamespace(period=1, start=start, stop=stop, size=8)
    layout = (((1, None, 0),), ((8, 0, 1),), ((6, None, 0),), ((2, None, 0),))
    output = SimpleNamespace(
        period=(8, 6), dims=(1, None), moves=(1, None), whole=(False, True), layout=layout,
        interior=(inner, None),
    )  # fmt: skip
    with jax.enable_x64(True):
        orbit = measured.Orbit(padded, X, (1, 2))
        assert bool(list(measured.interior_violations(orbit, [output]))) is not sound


def differences(v):
    """They cancel over the torus, but for rounding."""
    return (v - jnp.roll(v, 1, 1)).sum((1, 2))


UNSETTLED = {
    "the sign of what cancels": lambda v: jnp.sign(differences(v)),
    "the largest of what cancels": lambda v: jnp.argmax(differences(v), -1),
    "one over what cancels": lambda v: 1 / (differences(v) + 1e-17),
}


@pytest.mark.parametrize("name", UNSETTLED)
def test_what_hangs_on_rounding_is_not_held_against_a_claim(name):
    invariant = SimpleNamespace(
        period=(1, 1), dims=(None, None), moves=(None, None), whole=(True, True)
    )
    with jax.enable_x64(True):
        orbit = measured.Orbit(UNSETTLED[name], X, (1, 2))
        shape = orbit.at((0, 0))[0].shape
        invariant.layout = tuple(((size, None, 0),) for size in shape)
        assert not orbit.is_settled((1, 0))
        assert not list(measured.violations(orbit, [invariant], every=True))


@pytest.mark.parametrize("name", CASES)
def test_what_hangs_on_more_is(name):
    with jax.enable_x64(True):
        orbit = measured.Orbit(CASES[name][0], X, (1, 2))
        assert orbit.is_settled((1, 0))
        # Rounding does not touch numbers of few digits: nothing is nudged.
        whole = measured.Orbit(UNSETTLED["the sign of what cancels"], np.round(X), (1, 2))
        assert whole.is_settled((1, 0))


@pytest.mark.parametrize("name", COARSE)
def test_missed_symmetries_are_caught(name):
    with jax.enable_x64(True):
        orbit, outputs = held(*COARSE[name])
        assert not list(measured.violations(orbit, outputs, every=True))
        assert list(measured.finer_symmetry(orbit, outputs))
