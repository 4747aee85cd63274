"""The shared orbit of random programs equals the program at each shift, and so do gradients.

What is held to what is in `tests/symmetry/judged.py`. Modes, shift subsets and chunks are drawn
with the programs. `JAXINV_ORBIT_PROGRAMS` sets how many programs (100 by default).
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.symmetry import bordered, judged, programs
from tests.symmetry.domains import Domain
from tests.symmetry.materials import GENERIC, TIED
from tests.symmetry.programs import Program
from tests.symmetry.steps import Step

COUNT = int(os.environ.get("JAXINV_ORBIT_PROGRAMS", "100"))
CHUNK = 25
# Of the programs every so many also with its gradient.
GRADIENT = 5
# So many are padded with borders, which are cut.
BORDERED = COUNT // 4
# So many are compiled and run by XLA as well.
COMPILED = 3


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
def test_shared_orbit_is_the_program_at_each_shift(start):
    wrong = []
    with jax.enable_x64(True):
        for seed in range(start, min(COUNT, start + CHUNK)):
            program = programs.seeded(seed)
            found = judged.wrong_values(program, seed)
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
            found = judged.wrong_gradient(program, seed)
            compared += found is not None
            if found:
                wrong.append(f"seed {seed}: {found}\n{program}")
    assert not wrong, "\n\n".join(wrong)
    assert compared >= 0.6 * len(seeds)


@pytest.mark.parametrize("start", range(0, BORDERED, CHUNK))
def test_orbits_and_gradients_with_borders_cut(start):
    wrong = []
    with jax.enable_x64(True):
        for seed in range(start, min(BORDERED, start + CHUNK)):
            program = bordered.seeded(seed)
            found = judged.wrong_values(program, seed, cut=True)
            if not found and seed % GRADIENT == 0:
                found = judged.wrong_gradient(program, seed, cut=True)
            if found:
                wrong.append(f"seed {seed}: {found}\n{program}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("seed", range(COUNT, COUNT + COMPILED))
def test_the_compiled_orbit_is_the_compiled_program_at_each_shift(seed):
    with jax.enable_x64(True):
        program = programs.seeded(seed)
        assert not judged.wrong_when_compiled(program, seed), str(program)


def a_program(fun, *, material=GENERIC, mode="wrap", reach=2, shape=(1, 6, 2)) -> Program:
    """A program of one step over rows, at the shifts `-reach .. reach`."""
    x = material.numbers(np.random.default_rng(0), shape)
    table = tuple((t,) for t in range(-reach, reach + 1))
    larger = None
    if mode == "crop":
        larger = material.numbers(np.random.default_rng(1), (1, 6 + 2 * reach, 2))
        x = larger[:, reach : 6 + reach]
    domain = Domain(mode, table, (len(table),), {"max_shift": reach}, larger=larger)
    return Program([Step("a step", fun, "NHC")], (1,), x, "NHC", (1,), material, domain)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "crop", "wrap"])
def test_brute_force_is_the_definition(mode):
    """`y[i] = x[i - t]`, filled as `numpy.pad` fills; and its transpose, entry by entry."""
    program = a_program(jnp.sin, mode=mode)
    domain, x = program.domain, program.x
    argument = domain.argument(x)
    for (shift,) in domain.table:
        moved = domain.moved(x, (shift,), (1,))
        for i in range(6):
            source = i - shift + (2 if mode == "crop" else 0)
            n = argument.shape[1]
            if mode == "wrap":
                source %= n
            elif mode == "edge":
                source = min(max(source, 0), n - 1)
            elif mode == "reflect":
                source = abs(source) if source < n else 2 * (n - 1) - source
            expected = argument[:, source] if 0 <= source < n else np.zeros((1, 2))
            np.testing.assert_array_equal(moved[:, i], expected)
        back = np.random.default_rng(3).normal(size=moved.shape)
        product = np.sum(back * moved)
        transposed = domain.moved_back(back, (shift,), (1,))
        np.testing.assert_allclose(np.sum(transposed * argument), product, rtol=1e-12)


def test_wrong_orbits_and_gradients_are_noticed(monkeypatch):
    def damaged(fun, **options):
        right = honest(fun, **options)
        return lambda v: right(v) + 1e-6 * jnp.sum(v)

    with jax.enable_x64(True):
        for material in (GENERIC, TIED):
            program = a_program(lambda v: jnp.sin(v[:, ::2]), material=material)
            assert judged.wrong_values(program, 0) == judged.wrong_gradient(program, 0) == ""
            assert not judged.wrong_when_compiled(program, 0)
            with monkeypatch.context() as patch:
                honest = judged.jaxinv.orbit
                patch.setattr(judged.jaxinv, "orbit", damaged)
                assert judged.wrong_values(program, 0)
                assert judged.wrong_gradient(program, 0)
                assert judged.wrong_when_compiled(program, 0)


def test_equality_is_exact_about_what_is_no_number():
    nan, inf = np.nan, np.inf
    assert judged.close(np.array([1.0, nan, inf]), np.array([1.0, nan, inf]))
    assert not judged.close(np.array([1.0, nan, inf]), np.array([1.0, nan, nan]))
    assert not judged.close(np.array([1.0, inf]), np.array([1.0, -inf]))
    assert not judged.close(np.array([1.0, 2.0]), np.array([1.0, nan]))
    assert not judged.close(np.array([1.0 + 1e-8]), np.array([1.0]))
    assert not judged.close(np.zeros((1, 5)), np.zeros((1, 6)))
    assert not judged.close(np.ones(3, int), np.array([1, 1, 2]))
    assert not judged.close(np.ones(3, np.float32), np.ones(3))
    # Of a gradient: where the truth is not finite, neither is it, and elsewhere they are equal.
    assert judged.close(np.array([1.0, inf]), np.array([1.0, nan]), gradient=True)
    assert not judged.close(np.array([1.0, 0.0]), np.array([1.0, nan]), gradient=True)
    assert not judged.close(np.array([2.0, nan]), np.array([1.0, nan]), gradient=True)


def test_only_infinities_that_are_not_read_are_excused():
    x = np.array([np.inf, 2.0])

    def excused(gradient, mine, x=x):
        with np.errstate(invalid="ignore"):
            return judged._is_of_unread_infinities(np.array(mine), gradient(x), gradient, x)

    def of_product(x):
        return np.array([x[1], x[0]])

    def of_unread(x):
        return np.array([0 * x[0], 3.0])

    assert excused(of_unread, [0.0, 3.0])
    assert not excused(of_unread, [1.0, 3.0])
    assert not excused(of_unread, [0.0, 4.0])
    assert not excused(of_product, [2.0, 5.0])

    def of_unread_root(x):
        return np.array([0 * x[0] ** -0.5 + 2.0, 3.0])

    def of_root(x):
        return np.array([x[0] ** -0.5, 3.0])

    negative = np.array([-1.0, 2.0])
    assert excused(of_unread_root, [2.0, 3.0], negative)
    assert not excused(of_unread_root, [1.0, 3.0], negative)
    assert not excused(of_root, [0.5, 3.0], negative)
