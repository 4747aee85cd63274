"""A function, and what it becomes with its borders cut."""

import jax
import numpy as np

from jaxinv.borders.rewriting import Borders, on_pieces
from jaxinv.symmetry.tracing import Traced, trace
from jaxinv.symmetry.walk import line_of, walk


def in_pieces(fun, x, *, axes=(1,), end=10**9, differentiated=False) -> Traced:
    traced = trace(fun, (x,), argnums=0, axes=axes, enter=not differentiated)
    line = walk(traced, line_of(traced.sizes)).values
    return on_pieces(traced, Borders(line), end=end, differentiated=differentiated)


def run(traced: Traced, x) -> list[np.ndarray]:
    """The outputs of a flat program, one equation after the other."""
    program = traced.program
    values = dict(program.constants) | dict(zip(program.inputs, [x], strict=True))
    for equation in program.equations:
        outs = equation.bind(*(values[i] for i in equation.ins))
        values |= dict(zip(equation.outs, outs, strict=True))
    return [values[i] for i in program.outputs]


def assert_equal(fun, x, **options) -> Traced:
    """The rewritten program, after it has given the outputs of the original."""
    cut = in_pieces(fun, x, **options)
    outputs = jax.tree.leaves(fun(x))
    for mine, truth in zip(run(cut, x), outputs, strict=True):
        assert mine.dtype == truth.dtype
        np.testing.assert_allclose(mine, truth, rtol=1e-12, atol=1e-12)
    return cut


def lengths(traced: Traced) -> list[int]:
    """The lengths of the pieces that the first output is joined from, along the joined dimension.

    An output in one piece has none.
    """
    made = traced.program.producers[traced.program.outputs[0]]
    if str(made.primitive) != "concatenate":
        return []
    dim = made.params["dimension"]
    return [aval.shape[dim] for aval in made.in_avals]


def shapes(traced: Traced, primitive: str) -> list[tuple[int, ...]]:
    """The results of a primitive, in order."""
    return [e.out_avals[0].shape for e in traced.program.equations if str(e.primitive) == primitive]
