"""How much memory a tile takes, and how much there is."""

import math
from collections.abc import Sequence

import jax
from jax.extend.core import primitives

from jaxinv.orbit.memory import SHARE_OF_MEMORY, free_bytes
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.values import Value, Window
from jaxinv.tiling.reading import Sized

# What may bring its operands into another order first.
_COPYING = (primitives.conv_general_dilated_p, primitives.dot_general_p)


def bytes_for_a_tile(*, devices: int) -> int:
    """Of the free memory, what the values of one tile may take.

    Args:
      devices: how many tiles are evaluated at once, each on its own device.
    """
    shared = devices if jax.default_backend() == "cpu" else 1
    return int(free_bytes() * SHARE_OF_MEMORY) // shared


def planned_bytes(image: Sized, tile: Sequence[int], *, differentiated: bool) -> int:
    """The memory that the values of one tile take, from the program of the image.

    Args:
      image: the function at the size of the image; what does not depend on it is not counted.
      tile: positions of a tile along each axis.
      differentiated: whether there may be derivatives, for which all that is computed is held. Else
        a value is held from where it is made to where it is read last.
    """
    program = image.traced.program
    shorter = [size - n for size, n in zip(image.traced.sizes, tile, strict=True)]
    values = image.walked.values

    def size(number: int) -> int:
        if not values[number].touched:
            return 0
        itemsize = getattr(program.avals[number].dtype, "itemsize", 0)
        return _positions(values[number], shorter) * itemsize

    def copied(equation: Equation) -> int:
        return sum(map(size, equation.ins)) if equation.primitive in _COPYING else 0

    cut = zip(program.inputs, image.traced.dims, strict=True)
    given = [number for number, dims in cut if dims is not None]
    read_last = {number: at for at, e in enumerate(image.equations) for number in e.ins}
    read_last |= dict.fromkeys([*given, *program.outputs], len(image.equations))
    ending: dict[int, int] = {}
    held = most = made = sum(map(size, given))
    for at, equation in enumerate(image.equations):
        for out in equation.outs:
            held += size(out)
            made += size(out)
            last = read_last.get(out, at)
            ending[last] = ending.get(last, 0) + size(out)
        most = max(most, held + copied(equation))
        held -= ending.pop(at, 0)
    # On the way back each value has a derivative, and each equation is undone. Without, a compiler
    # may take equations in another order, branches at once say.
    return 2 * (made + most) if differentiated else 3 * most // 2


def _positions(value: Value, shorter: Sequence[int]) -> int:
    """The numbers that a value holds at a size that is shorter along each axis."""
    count = 1
    for factor in value.factors:
        n = factor.size
        if isinstance(factor, Window):
            n -= math.floor(shorter[factor.axis] * factor.pace / value.period[factor.axis])
        count *= max(n, 1)
    return count
