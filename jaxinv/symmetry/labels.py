"""Which numbers of an array are equal whatever they are: a parameter that is read several times.

A relative position bias is read from a table of parameters at known distances. Its numbers are not
known, but those that are read from one place of the table are equal. So each number gets a label;
where two labels are equal, so are the numbers.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import primitives

from jaxinv.symmetry.constant_folding import has_numbers
from jaxinv.symmetry.program import Equation, Program
from jaxinv.symmetry.registry import REGISTERED, rule_of

# An array of more numbers is not looked at.
_LARGEST = 1 << 20


def labels(program: Program, number: int) -> np.ndarray | None:
    """Labels of the numbers of a value, in its shape; None for a value that is too large.

    Args:
      program: the program.
      number: the value.
    """
    aval = program.avals[number]
    if not has_numbers(aval) or aval.size > _LARGEST:
        return None
    known = program.known_value(number)
    if known is not None:
        return _bits(known)
    if number in program.outside:
        return labels(*program.outside[number])
    equation = program.producers.get(number)
    own = None if equation is None else _of_result(program, equation)
    return np.arange(aval.size).reshape(aval.shape) if own is None else own


def _of_result(program: Program, equation: Equation) -> np.ndarray | None:
    """The labels of a result from those of the operands, where it repeats what they hold."""
    known = REGISTERED.get(equation.primitive)
    if known is None or equation.whole is not None or len(equation.outs) > 1:
        return None
    shape = equation.out_avals[0].shape
    if equation.primitive is primitives.gather_p:
        index = program.known_value(equation.ins[1])
        return None if index is None else _bound(program, equation, [index])
    if known.rule is rule_of(primitives.add_p):
        if any(aval.shape not in ((), shape) for aval in equation.in_avals):
            return None
        found = [labels(program, i) for i in equation.ins]
        rows = [row for row in found if row is not None]
        return _numbered(rows, shape) if len(rows) == len(found) else None
    return _bound(program, equation, []) if known.moves_only and len(equation.ins) == 1 else None


def _bits(known: np.ndarray) -> np.ndarray:
    """The bits of numbers: minus zero equals zero, but divides to another infinity."""
    if known.dtype == np.complex128:
        return _numbered([_bits(known.real), _bits(known.imag)], known.shape)
    return np.ascontiguousarray(known).view(f"i{known.dtype.itemsize}").reshape(known.shape)


def _bound(program: Program, equation: Equation, rest: list[np.ndarray]) -> np.ndarray | None:
    """What a primitive that only moves numbers makes of labels."""
    row = labels(program, equation.ins[0])
    if row is None:
        return None
    if row.size and (row.min() < 0 or row.max() > np.iinfo(np.int32).max):
        row = _numbered([row], row.shape)
    params = equation.params
    if "fill_value" in params:  # Beyond the ends all numbers are alike, and like none inside.
        params = params | {"fill_value": -1}
    with jax.ensure_compile_time_eval():
        moved = equation.primitive.bind(jnp.asarray(row, jnp.int32), *rest, **params)
    return np.asarray(moved[0] if equation.primitive.multiple_results else moved)


def _numbered(rows: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """One number for each combination of what stands in several arrays."""
    numbers = np.zeros(math.prod(shape), int)
    for row in rows:
        own = np.unique(np.broadcast_to(row, shape), return_inverse=True)[1].ravel()
        pairs = numbers * (own.max(initial=0) + 1) + own
        numbers = np.unique(pairs, return_inverse=True)[1].ravel()
    return numbers.reshape(shape)
