"""Public functions of jax through certify, orbit and gradient, held to brute force.

A function that a new release brings is noticed: it needs a pattern in `public_functions.py`, or a
reason why it has none.
"""

import inspect
import types

import jax
import numpy as np
import pytest

from tests.symmetry import judged
from tests.symmetry.domains import Domain
from tests.symmetry.materials import GENERIC, SPECIAL, TIED, TIED_SINGLE
from tests.symmetry.patterns import SHAPE
from tests.symmetry.programs import Program
from tests.symmetry.public_functions import MODULES
from tests.symmetry.steps import Step

MODULE_NAMES = {module.__name__: module for module in MODULES}
CASES = [
    (module.__name__, name, i)
    for module, (patterns, _) in MODULES.items()
    for name, row in patterns.items()
    for i in range(len(row))
]
MATERIALS = (GENERIC, TIED, TIED_SINGLE, SPECIAL)
# The short test takes every so many of the patterns, the slow ones take all.
EVERY, CHUNK = 20, 24


def public_functions(module) -> list[str]:
    """What the module shows that can be called: neither classes nor modules nor primitives."""
    found = []
    for name in dir(module):
        if name.startswith("_") or name.endswith("_p"):
            continue
        try:
            value = getattr(module, name)
        except AttributeError:  # deprecated names that only raise
            continue
        other = isinstance(value, types.ModuleType) or inspect.isclass(value)
        if callable(value) and not other:
            found.append(name)
    return found


def program_of(module: str, name: str, i: int, material, *, shifts=None) -> Program:
    pattern = MODULES[MODULE_NAMES[module]][0][name][i]
    x = material.numbers(np.random.default_rng([len(name), i]), SHAPE)
    table = tuple((t,) for t in range(SHAPE[1])) if shifts is None else shifts
    options = {} if shifts is None else {"shifts": table}
    domain = Domain("wrap", table, (len(table),), options, forced=True)
    steps = [Step(f"{module}.{name}, pattern {i}", pattern, "NHC")]
    return Program(steps, (1,), x, "NHC", (1,), material, domain)


def faults(program: Program) -> list[str]:
    """What the certificate claims falsely, and where orbit and gradient are off."""
    found = judged.false_claims(program, seed=0)
    for check in (judged.wrong_values, judged.wrong_gradient):
        wrong = check(program, seed=0)
        found += [wrong] if wrong else []
    return [f"{program.steps[0].name} ({program.material.name}): {fault}" for fault in found]


def judged_all(cases) -> list[str]:
    found = []
    with jax.enable_x64(True):
        for program in cases:
            try:
                found += faults(program)
            except Exception as error:
                found.append(f"{program.steps[0].name} ({program.material.name}): {error!r:.300}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_every_function_has_a_pattern_or_a_reason(module):
    patterns, excused = MODULES[module]
    missing = [n for n in public_functions(module) if n not in patterns and n not in excused]
    assert not missing, f"give these a pattern in public_functions.py, or a reason: {missing}"
    assert not [name for name in excused if name in patterns]


@pytest.mark.parametrize("start", range(0, len(CASES), EVERY * CHUNK))
def test_public_functions_keep_both_promises(start):
    """With generic numbers, ties, or infinities in turn."""
    numbers = range(start, min(len(CASES), start + EVERY * CHUNK), EVERY)
    found = judged_all(program_of(*CASES[k], MATERIALS[k % len(MATERIALS)]) for k in numbers)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("material", MATERIALS, ids=lambda m: m.name)
@pytest.mark.parametrize("start", range(0, len(CASES), CHUNK))
def test_public_functions_with_every_material(start, material):
    """At every shift, and each with one of the materials at two of them."""
    cases = CASES[start : start + CHUNK]
    found = judged_all(program_of(*case, material) for case in cases)
    own = cases[MATERIALS.index(material) :: len(MATERIALS)]
    found += judged_all(program_of(*case, material, shifts=((1,), (-2,))) for case in own)
    assert not found, "\n".join(found)
