"""A program with the rounds of its loops, the branches of its choices and the steps of its filters.

What a border spreads grows with each round of a loop, and a tile is compared with its image
equation by equation: so each round stands there by itself. A Fourier filter, which is read as one
where images are circular, has no tiles along what it transforms.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun, primitives

from jaxinv.symmetry.program import Equation, Program, Source, flatten
from jaxinv.symmetry.rules.loops import scan_counts

# Each round is walked over by itself.
_MOST_ROUNDS = 64


def with_rounds(program: Program, moved: set[int]) -> Program:
    """A program in which loops over layers, known choices and filters stand equation by equation.

    Args:
      program: the program.
      moved: the inputs that are cut. A scan along what depends on them stays.
    """
    touched = set(moved)
    avals, constants = dict(program.avals), dict(program.constants)
    equations: list[Equation] = []
    stands_for: dict[int, int] = {}
    for equation in _step_by_step(program.equations):
        rounds = _body_of(equation, program, touched)
        if not touched.isdisjoint(equation.ins):
            touched.update(equation.outs)
        ins = tuple(stands_for.get(number, number) for number in equation.ins)
        if rounds is None:
            equations.append(dataclasses.replace(equation, ins=ins))
            continue
        first = max(avals) + 1
        numbers = {number: first + number for number in rounds.avals}
        numbers |= dict(zip(rounds.inputs, ins, strict=True))
        avals |= {numbers[number]: aval for number, aval in rounds.avals.items()}
        constants |= {numbers[number]: value for number, value in rounds.constants.items()}
        equations += [_renumbered(inner, numbers, equation.source) for inner in rounds.equations]
        results = (numbers[number] for number in rounds.outputs)
        stands_for |= dict(zip(equation.outs, results, strict=True))
    outputs = [stands_for.get(number, number) for number in program.outputs]
    return dataclasses.replace(
        program, equations=equations, outputs=outputs, avals=avals, constants=constants
    )


def _step_by_step(equations: Sequence[Equation]) -> list[Equation]:
    """The equations with the steps of each filter in its place."""
    steps = itertools.chain(*(e.whole.path if e.whole else [e] for e in equations))
    # Of two filters of one spectrum both have its steps.
    return list({step.outs: step for step in steps}.values())


def _body_of(equation: Equation, program: Program, touched: set[int]) -> Program | None:
    """What a loop or a choice does, as a program of its operands; None if that is not known.

    Args:
      equation: the equation.
      program: the program that it is of.
      touched: the values that depend on what is cut.
    """
    if touched.isdisjoint(equation.ins):
        return None
    body = _chosen(equation, program) or _rounds(equation, touched)
    if body is None:
        return None
    closed = jax.make_jaxpr(body)(*equation.in_avals)
    inside = flatten(closed)
    cut = zip(inside.inputs, equation.ins, strict=True)
    return with_rounds(inside, {number for number, given in cut if given in touched})


def _chosen(equation: Equation, program: Program) -> Callable | None:
    """The branch that a choice takes, if that is known."""
    if equation.primitive is not primitives.cond_p:
        return None
    branches, index = equation.params["branches"], program.known_value(equation.ins[0])
    if index is None:
        return None
    taken = jaxpr_as_fun(branches[min(max(int(index), 0), len(branches) - 1)])
    return lambda index, *operands: taken(*operands)


def _rounds(equation: Equation, touched: set[int]) -> Callable | None:
    """The rounds of a scan over layers, if an equation is one."""
    if equation.primitive is not primitives.scan_p:
        return None
    length, reverse = equation.params["length"], equation.params["reverse"]
    consts, carried = scan_counts(equation)
    layers = equation.ins[consts + carried :]
    if length > _MOST_ROUNDS or not touched.isdisjoint(layers):
        return None
    body = jaxpr_as_fun(equation.params["jaxpr"])

    def unrolled(*operands: Any) -> list[Any]:
        carry = list(operands[consts : consts + carried])
        rows: list[Sequence[Any]] = [()] * length
        for at in reversed(range(length)) if reverse else range(length):
            layer = [x[at] for x in operands[consts + carried :]]
            made = body(*operands[:consts], *carry, *layer)
            carry, rows[at] = list(made[:carried]), made[carried:]
        return [*carry, *map(jnp.stack, zip(*rows, strict=True))]

    return unrolled


def _renumbered(equation: Equation, numbers: dict[int, int], loop: Source) -> Equation:
    """An equation of a round with the numbers of the program that it is put into."""
    source = equation.source
    module = "/".join(filter(None, [loop.module, source.module]))
    return dataclasses.replace(
        equation,
        ins=tuple(numbers[number] for number in equation.ins),
        outs=tuple(numbers[number] for number in equation.outs),
        source=dataclasses.replace(source, module=module, caller=source.caller or loop),
    )
