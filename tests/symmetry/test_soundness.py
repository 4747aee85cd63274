"""No certificate claims what the measured orbit contradicts, and few claim less than it shows.

`JAXINV_PROGRAMS` sets how many random programs are held to this (2,000 by default), in chunks so
that workers can share them. `python -m tests.symmetry.survey` runs as many as one likes and lists
what is coarser than the truth by its cause.
"""

import os

import jax
import pytest
from hypothesis import HealthCheck, given, settings

import jaxinv
from tests.symmetry import measured, programs

COUNT = int(os.environ.get("JAXINV_PROGRAMS", "2000"))
CHUNK = 100
# One program in ten is run at every shift, the others at the generators of their claims.
EVERY = 10
# Of the programs with generic weights at least so many have a certificate that is exact.
SHARP = 0.95


def certified(program):
    return jaxinv.certify(program.fun, program.x, axes=program.axes).outputs


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
def test_no_claim_is_contradicted(start):
    false = []
    with jax.enable_x64(True):
        for seed in range(start, min(COUNT, start + CHUNK)):
            program = programs.seeded(seed)
            outputs = certified(program)
            orbit = measured.Orbit(program.fun, program.x, program.axes)
            every = seed % EVERY == 0
            claims = measured.violations(orbit, outputs, every=every, seed=seed)
            false += [f"seed {seed}: {claim}\n{program}" for claim in claims]
    assert not false, "\n\n".join(false)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(program=programs.programs())
def test_no_claim_is_contradicted_and_failures_shrink(program):
    with jax.enable_x64(True):
        orbit = measured.Orbit(program.fun, program.x, program.axes)
        assert not list(measured.violations(orbit, certified(program), every=True))


def test_interiors_are_not_contradicted():
    false, partial = [], 0
    with jax.enable_x64(True):
        for seed in range(COUNT, COUNT + 100):
            program = programs.seeded(seed)
            certificate = jaxinv.certify(program.fun, program.x, axes=program.axes, mode="constant")
            inner = [i for o in certificate.outputs for i in o.interior if i is not None]
            partial += sum(i.stop - i.start < i.size for i in inner)
            orbit = measured.Orbit(program.fun, program.x, program.axes)
            claims = measured.interior_violations(orbit, certificate.outputs)
            false += [f"seed {seed}: {claim}\n{program}" for claim in claims]
    assert not false, "\n\n".join(false)
    assert partial >= 10


def test_claims_are_sharp():
    coarse = []
    seeds = range(COUNT, COUNT + 300)
    with jax.enable_x64(True):
        for seed in seeds:
            program = programs.seeded(seed)
            outputs = certified(program)
            orbit = measured.Orbit(program.fun, program.x, program.axes)
            if any(measured.finer_symmetry(orbit, outputs)):
                coarse.append(seed)
    assert len(coarse) <= (1 - SHARP) * len(seeds), f"coarser than the truth: seeds {coarse}"


def test_programs_keep_some_symmetry_and_lose_some():
    kinds = set()
    with jax.enable_x64(True):
        for seed in range(60):
            for output in certified(programs.seeded(seed)):
                trivial = all(d == 1 for d in output.period)
                kinds.add((output.kind, trivial or output.kind == "broken"))
    assert kinds >= {(k, t) for k in ("equivariant", "invariant") for t in (True, False)}
    assert ("broken", True) in kinds
