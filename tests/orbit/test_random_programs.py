"""The shared orbit of random programs equals the program at each shift, and so do gradients.

The orbit transform is traced, and what it made of the program is evaluated by numpy: that takes
no compilation. The truth is the program itself at translated inputs, evaluated the same way.
`JAXINV_ORBIT_PROGRAMS` sets how many programs (1,000 by default).
"""

import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.symmetry.rules import matrix_products
from tests.symmetry import measured, programs, reference

COUNT = int(os.environ.get("JAXINV_ORBIT_PROGRAMS", "1000"))
CHUNK = 100
# Of the programs every so many also: its gradient, and a few shifts instead of all.
GRADIENT, SUBSET = 16, 5
# One program in ten is compared at every shift, the others at so many drawn at random.
EVERY, LOOKED_AT = 10, 12
# For each fill so many programs.
FILLS = 12
TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def _convolutions_both_ways(monkeypatch):
    """The programs have few channels: from 4 products on they take the way of large kernels."""
    monkeypatch.setattr(matrix_products, "LEAST_PRODUCTS", 4)
    monkeypatch.setattr(matrix_products, "LEAST_WORK", 0)


def close(mine, truth) -> bool:
    if mine.shape != truth.shape:
        return False
    if truth.dtype.kind != "f":
        return bool(np.array_equal(mine, truth))
    scale = max(1.0, float(np.max(np.abs(truth), initial=0.0)))
    return bool(np.allclose(mine, truth, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True))


def some_shifts(program, seed):
    """All shifts of an image, or a few."""
    lengths = [program.x.shape[a] for a in program.axes]
    everything = list(itertools.product(*map(range, lengths)))
    if seed % SUBSET:
        return None, everything
    picked = np.random.default_rng(seed).choice(
        len(everything), min(5, len(everything)), replace=False
    )
    few = [everything[i] for i in picked]
    return few, few


def shared_orbit(program, shifts):
    return jaxinv.orbit(program.fun, axes=program.axes, shifts=shifts, chunk=4)


def disagreement(program, seed) -> str:
    """The first output that differs from the program at some shift, or ""."""
    chosen, everything = some_shifts(program, seed)
    fun = shared_orbit(program, chosen)
    truth = measured.Orbit(program.fun, program.x, program.axes)
    lead = () if chosen is None else (len(chosen),)
    lead = lead or truth.lengths
    compared = range(len(everything))
    if seed % EVERY:
        count = min(LOOKED_AT, len(everything))
        compared = np.random.default_rng(seed).choice(len(everything), count, replace=False)
    for leaf, mine in enumerate(reference.run(fun, program.x)):
        rows = mine.reshape(len(everything), *mine.shape[len(lead) :])
        for i in compared:
            if not close(rows[i], truth.at(everything[i])[leaf]):
                return f"output {leaf} at shift {everything[i]}"
    return ""


def gradient_disagreement(program, seed) -> str | None:
    """Pulls random cotangents back through the orbit, and through the program at each shift.

    What is wrong, "" if nothing is, and None where JAX has no gradient of the program itself.
    """
    chosen, everything = some_shifts(program, seed)
    fun = shared_orbit(program, chosen)
    numbers = np.random.default_rng(seed)
    shapes = jax.tree.leaves(jax.eval_shape(fun, program.x))
    if not all(s.dtype == np.float64 for s in shapes):
        return None
    cotangents = [numbers.normal(size=s.shape) for s in shapes]
    n_lead = 1 if chosen is not None else len(program.axes)
    rows = [c.reshape(len(everything), *c.shape[n_lead:]) for c in cotangents]

    def pull(run, x, given):
        _, back = jax.vjp(lambda v: jax.tree.leaves(run(v)), x)
        return back(given)[0]

    try:
        single = jax.make_jaxpr(lambda x, *c: pull(program.fun, x, list(c)))(
            program.x, *(row[0] for row in rows)
        )
    except (NotImplementedError, ValueError):
        return None  # while loops, dilated pools
    shared = jax.make_jaxpr(lambda x, *c: pull(fun, x, list(c)))(program.x, *cotangents)
    (mine,) = reference.evaluate(shared, program.x, *cotangents)
    truth = np.zeros_like(program.x)
    for i, shift in enumerate(everything):
        moved = np.roll(program.x, shift, program.axes)
        (pulled,) = reference.evaluate(single, moved, *(row[i] for row in rows))
        truth += np.roll(pulled, [-t for t in shift], program.axes)
    return "" if close(mine, truth) else f"gradient off by {np.max(np.abs(mine - truth)):.3g}"


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
def test_shared_orbit_is_the_program_at_each_shift(start):
    wrong = []
    with jax.enable_x64(True):
        for seed in range(start, min(COUNT, start + CHUNK)):
            program = programs.seeded(seed)
            found = disagreement(program, seed)
            if found:
                wrong.append(f"seed {seed}: {found}\n{program}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("start", range(0, COUNT, 2 * CHUNK))
def test_gradient_of_the_shared_orbit(start):
    wrong = []
    seeds = range(start, min(COUNT, start + 2 * CHUNK), GRADIENT)
    compared = 0
    with jax.enable_x64(True):
        for seed in seeds:
            program = programs.seeded(seed)
            found = gradient_disagreement(program, seed)
            compared += found is not None
            if found:
                wrong.append(f"seed {seed}: {found}\n{program}")
    assert not wrong, "\n\n".join(wrong)
    assert compared > 0.8 * len(seeds)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "crop", "wrap"])
def test_other_fills(mode):
    """Content that enters at the border: the shared orbit equals the one that shares nothing."""
    wrong = []
    with jax.enable_x64(True):
        for seed in range(FILLS):
            program = programs.seeded(seed)
            options = {"axes": program.axes, "mode": mode, "max_shift": 1 + seed % 2, "chunk": 4}
            x = program.x
            if mode == "crop":
                wide = [2 * (1 + seed % 2) if a in program.axes else 0 for a in range(x.ndim)]
                larger = [n + w for n, w in zip(x.shape, wide, strict=True)]
                x = np.random.default_rng(seed).normal(size=larger)
            shared, each = (
                reference.run(jaxinv.orbit(program.fun, share=share, **options), x)
                for share in (True, False)
            )
            if not all(map(close, shared, each)):
                wrong.append(f"seed {seed}\n{program}")
    assert not wrong, "\n\n".join(wrong)


def test_a_wrong_orbit_is_noticed():
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(1, 6, 1))
        assert close(np.asarray(jnp.sin(x)), np.sin(x))
        assert not close(np.sin(x) + 1e-8, np.sin(x))
        assert not close(np.sin(x)[:, :5], np.sin(x))
        assert not close(np.ones(3, int), np.array([1, 1, 2]))
