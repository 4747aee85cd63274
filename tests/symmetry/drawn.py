"""Which primitives random programs hold, counted from their jaxprs."""

import collections

import jax
import jax.numpy as jnp

from tests.symmetry import programs
from tests.symmetry.reference import equations


def primitives_of(fun, *args) -> collections.Counter:
    """How often each primitive stands in the program of a function."""
    return collections.Counter(e.primitive for e in equations(jax.make_jaxpr(fun)(*args)))


def counted(seeds, *, gradients: bool) -> tuple[collections.Counter, collections.Counter]:
    """In how many programs each primitive stands, and in how many gradients of programs."""
    forward, backward = collections.Counter(), collections.Counter()
    for seed in seeds:
        program = programs.seeded(seed)
        forward.update(set(primitives_of(program.fun, program.x)))
        if not gradients:
            continue

        def gradient(x, fun=program.fun):
            outputs, pull = jax.vjp(fun, x)
            return pull(jax.tree.map(jnp.ones_like, outputs))

        try:
            backward.update(set(primitives_of(gradient, program.x)))
        except Exception:  # integers, loops: no gradient
            continue
    return forward, backward
