"""Each public layer: trained behind a convolution, saved, restored, certified, and measured."""

import inspect
from functools import partial

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import certify, layers
from jaxinv.orbit import orbit
from tests.layers.generic import trained
from tests.sweeps import few

SIZES = (6, 8)
EVERY, EVEN, NONE = (1, 1), (2, 2), SIZES
ROLLED = "equivariant up to a roll"
CIRCULAR = {"padding": "CIRCULAR"}


# The public layer, one with its arguments, what the certificate says, at which period.
LIVES = [
    ("Conv", layers.Conv(2, stride=2, **CIRCULAR), "equivariant", EVEN),
    ("Conv", layers.Conv(4, groups="depthwise", padding="REFLECT"), "broken", NONE),
    ("LocallyConnected", layers.LocallyConnected(2, **CIRCULAR), "broken", NONE),
    ("ConvTranspose", layers.ConvTranspose(2, **CIRCULAR), "equivariant", EVERY),
    ("AdaptivePolyphaseSampling", layers.AdaptivePolyphaseSampling(), ROLLED, EVERY),
    ("LearnablePolyphaseSampling", layers.LearnablePolyphaseSampling(hidden=2), ROLLED, EVERY),
    ("Activation", layers.Activation("filtered_polynomial"), "equivariant", EVERY),
    ("Polynomial", layers.Polynomial(), "equivariant", EVERY),
    ("Norm", layers.Norm("batch"), "equivariant", EVERY),
    ("Norm", layers.Norm("alias_free"), "equivariant", EVERY),
    ("Head", layers.Head("attention"), "invariant", EVERY),
    ("Head", layers.Head("flatten"), "equivariant", EVERY),
    (
        "SpatialTransformer",
        layers.SpatialTransformer(layers.Head("gap"), "thin_plate_spline"),
        "broken",
        NONE,
    ),
    *(
        (
            "Downsample",
            layers.Downsample(kind, **CIRCULAR),
            ROLLED if kind in ("aps", "lps") else "equivariant",
            EVERY if kind in ("aps", "lps", "none") else EVEN,
        )
        for kind in layers.DOWNSAMPLES
    ),
]


class Net(nn.Module):
    """A convolution, so that there is something to train before layers without weights."""

    layer: nn.Module

    @nn.compact
    def __call__(self, x, *, train=False):
        x = layers.Conv(4, 3, padding="CIRCULAR")(x)
        takes = "train" in inspect.signature(type(self.layer).__call__).parameters
        y = self.layer(x, train=train) if takes else self.layer(x)
        return y[0] if isinstance(y, tuple) else y


def moved(y, shift, kind):
    """The map moved as far as the input, in positions of its own grid, also if it is flattened."""
    if kind == "invariant":
        return y
    grid = y if y.ndim == 4 else y.reshape(len(y), *SIZES, -1)
    far = tuple(t * m // n for t, m, n in zip(shift, grid.shape[1:3], SIZES, strict=True))
    return np.roll(grid, far, (1, 2)).reshape(y.shape)


def same_up_to_a_roll(y, z):
    rolls = (np.roll(z, s, (0, 1)) for s in np.ndindex(z.shape[:2]))
    return any(np.allclose(y, roll, rtol=1e-4, atol=1e-5) for roll in rolls)


def test_every_public_layer_lives_here():
    public = {
        name
        for name, value in vars(layers).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    assert public == {name for name, *_ in LIVES}


BY_NAME = {
    f"{name}-{getattr(row[0], 'kind', getattr(row[0], 'padding', ''))}": row for name, *row in LIVES
}
assert len(BY_NAME) == len(LIVES)


@pytest.mark.parametrize(
    "case",
    few(
        BY_NAME,
        "LocallyConnected-CIRCULAR",
        "ConvTranspose-CIRCULAR",
        "Activation-filtered_polynomial",
        "Norm-batch",
        "Head-attention",
        "Downsample-maxblur",
        "Downsample-lps",
    ),
)
def test_trained_saved_restored_certified_and_measured(case, signal, weights, tmp_path):
    layer, kind, period = BY_NAME[case]
    net, x = Net(layer), signal(2, *SIZES, 2)
    start = weights(net, x)
    variables, losses = trained(net, start, x, lambda y: jnp.mean((y - 1) ** 2))
    assert losses[2] < losses[0]
    path = tmp_path / "layer.msgpack"
    path.write_bytes(flax.serialization.to_bytes(variables))
    restored = flax.serialization.from_bytes(start, path.read_bytes())
    jax.tree.map(np.testing.assert_array_equal, restored, variables)

    forward = partial(net.apply, restored)
    certificate = certify(forward, x)
    assert (certificate.kind, certificate.period) == (kind, period)

    every = np.asarray(jax.jit(orbit(forward))(x))
    shifts = list(np.ndindex(SIZES))
    rolled = np.concatenate([np.roll(x, shift, (1, 2)) for shift in shifts])
    direct = np.asarray(jax.jit(forward)(rolled)).reshape(len(shifts), *every.shape[2:])
    np.testing.assert_allclose(every.reshape(direct.shape), direct, rtol=1e-3, atol=1e-4)

    kept = [all(t % p == 0 for t, p in zip(s, period, strict=True)) for s in shifts]
    if kind == ROLLED:
        pairs = [(ys[n], direct[0, n]) for ys in direct for n in range(len(x))]
        assert all(same_up_to_a_roll(y, z) for y, z in pairs)
    else:
        errors = [
            abs(y - moved(direct[0], shift, kind)).max()
            for y, shift in zip(direct, shifts, strict=True)
        ]
        assert max(e for e, here in zip(errors, kept, strict=True) if here) < 1e-4
        # and not more than is proved: shifts off the lattice change the values
        if period != EVERY:
            assert min(e for e, here in zip(errors, kept, strict=True) if not here) > 1e-3
