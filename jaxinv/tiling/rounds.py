"""A program with the rounds of its loops over layers and the steps of its filters one by one.

What a border spreads grows with each round of a loop, and a tile is compared with its image
equation by equation: so each round stands there by itself. A Fourier filter, which is read as one
where images are circular, has no tiles along what it transforms.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun, primitives

from jaxinv.symmetry.program import Equation, Program, Source, flatten
from jaxinv.symmetry.rules.loops import scan_counts

# Each round is walked over by itself.
_MOST_ROUNDS = 64


def with_rounds(program: Program, moved: set[int]) -> Program:
    """A program in which the rounds of a scan over layers and the steps of filters stand in order.

    Args:
      program: the program.
      moved: the inputs that are cut. A scan along what depends on them stays.
    """
    touched = set(moved)
    avals, constants = dict(program.avals), dict(program.constants)
    equations: list[Equation] = []
    stands_for: dict[int, int] = {}
    for equation in _step_by_step(program.equations):
        rounds = _rounds(equation, touched)
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


def _rounds(equation: Equation, touched: set[int]) -> Program | None:
    """The rounds of a scan over layers as a program of its operands, if an equation is one."""
    if equation.primitive is not primitives.scan_p or touched.isdisjoint(equation.ins):
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

    closed = jax.make_jaxpr(unrolled)(*equation.in_avals)
    inside = flatten(closed, enter=lambda primitive: True)
    cut = zip(inside.inputs, equation.ins, strict=True)
    return with_rounds(inside, {number for number, given in cut if given in touched})


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
