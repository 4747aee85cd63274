"""Energy above a coarser grid's Nyquist frequency: closed forms and the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.metrics import energy_above_nyquist


def test_white_noise_spreads_evenly():
    noise = jax.random.normal(jax.random.key(0), (200, 16, 16, 1))
    # Frequencies -4..4 of each axis survive a grid of 8: 81 of 256, less the constant.
    expected = (256 - 81) / 255
    np.testing.assert_allclose(energy_above_nyquist(noise, 8), expected, rtol=0.01)


@pytest.mark.parametrize(("cycles", "share"), [(3, 0), (4, 0), (5, 1), (8, 1)])
def test_a_wave_is_above_or_below(cycles, share):
    wave = 7 + jnp.cos(2 * jnp.pi * cycles * jnp.arange(16) / 16)
    np.testing.assert_allclose(energy_above_nyquist(wave, 8, axes=(0,)), share, atol=1e-6)


@pytest.mark.parametrize("part", [1, 1 + 2j], ids=["real", "complex"])
@pytest.mark.parametrize(
    ("positions", "sizes"), [(3, (6, 7)), ((4, 2), (7, 6)), ((1, 7), (6, 7)), ((6, 5), (7, 6))]
)
def test_by_definition(positions, sizes, part):
    rng = np.random.default_rng(0)
    x = part * rng.normal(size=(2, *sizes, 3)) + np.imag(part) * rng.normal(size=(2, *sizes, 3))
    coarse = (positions, positions) if isinstance(positions, int) else positions
    above = total = 0.0
    for frequency in np.ndindex(sizes):
        turns = [k * np.arange(n) / n for k, n in zip(frequency, sizes, strict=True)]
        wave = np.exp(-2j * np.pi * np.add.outer(*turns))
        energy = np.sum(np.abs(np.einsum("nhwc,hw->nc", x, wave)) ** 2)
        signed = [min(k, n - k) for k, n in zip(frequency, sizes, strict=True)]
        total += energy if any(frequency) else 0
        if any(k > p / 2 for k, p in zip(signed, coarse, strict=True)):
            above += energy
    np.testing.assert_allclose(energy_above_nyquist(x, positions), above / total, rtol=1e-4)


def test_constants_have_nothing_to_lose():
    assert energy_above_nyquist(jnp.full((1, 4, 4, 1), 3.0), 2) == 0
    assert energy_above_nyquist(jnp.zeros((1, 4, 4, 1), "uint8"), 2) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"positions": 0}, "from 1"), ({"positions": 2, "axes": (4,)}, "out of range")],
)
def test_wrong_use_is_a_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        energy_above_nyquist(jnp.zeros((1, 4, 4, 1)), **options)
