"""Every primitive of this jax release is drawn by the random programs, or named here with a reason.

A primitive with a rule that no program holds is a rule that nothing holds to the truth; one
without a rule is written out at each shift, which is held to it as well.
"""

import functools

import jax
import pytest
from jax import lax
from jax.extend.core import primitives

from jaxinv.symmetry.registry import REGISTERED
from tests.symmetry.drawn import counted
from tests.symmetry.steps import RARE

# Every rare step has its turn in one program of three; and some that have none.
SEEDS = [seed for seed in range(3 * len(RARE)) if seed % 3 == 1 or seed < 150]

COLLECTIVE = "talks to other devices, along a named axis that no function of one image has"
EFFECT = "a side effect, which certify refuses and orbit runs shift by shift"
EXCUSED = {
    "all_gather": COLLECTIVE,
    "all_to_all": COLLECTIVE,
    "axis_index": COLLECTIVE,
    "pmax": COLLECTIVE,
    "pmin": COLLECTIVE,
    "ppermute": COLLECTIVE,
    "psum": COLLECTIVE,
    "ragged_all_to_all": COLLECTIVE,
    "after_all": EFFECT,
    "create_token": EFFECT,
    "get": EFFECT,
    "swap": EFFECT,
    "rng_uniform": "another result at each call, so no program is a function of its input",
    "sharding_constraint": "says where an array lies; needs a mesh",
    "call": "of old releases; no public function makes it",
    "closed_call": "jit under another name, inlined as jit is; no public function makes it",
    "custom_lin": "the tangent of a custom_vjp, which jax itself cannot evaluate",
    "dce_sink": "no public function makes it",
    "empty2": "only within custom derivatives of the compiler's own",
    "select_and_scatter": "no public function makes it; max pools make select_and_scatter_add",
    "stage": "no public function makes it",
}


def all_primitives() -> dict:
    """Every primitive that jax shows, by its name."""
    return {
        name.removesuffix("_p"): getattr(module, name)
        for module in (lax, primitives)
        for name in dir(module)
        if name.endswith("_p")
    }


@functools.cache
def drawn() -> frozenset:
    with jax.enable_x64(True):
        forward, _ = counted(SEEDS, gradients=False)
    return frozenset(forward)


def test_every_primitive_is_drawn_or_excused():
    missing = [n for n, p in all_primitives().items() if p not in drawn() and n not in EXCUSED]
    assert not missing, f"draw these in tests/symmetry/steps_*.py, or say why not: {missing}"


def test_excuses_are_still_needed():
    drawn_after_all = [n for n, p in all_primitives().items() if n in EXCUSED and p in drawn()]
    assert not drawn_after_all


def test_no_rule_is_excused():
    shown = all_primitives()
    # closed_call is inlined, which is no rule; a declaration is jaxinv's own.
    excused = [n for n in EXCUSED if shown.get(n) in REGISTERED]
    assert not excused


def test_every_rule_is_drawn():
    from jaxinv.declarations import declare_p

    idle = [str(p) for p in REGISTERED if p not in drawn() and p is not declare_p]
    assert not idle, f"rules that no random program runs: {idle}"


@pytest.mark.slow
def test_gradients_are_drawn_as_well():
    with jax.enable_x64(True):
        _, backward = counted(SEEDS, gradients=True)
    assert primitives.select_and_scatter_add_p in backward
    assert primitives.scatter_add_p in backward
