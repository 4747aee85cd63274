"""How much memory a tile takes, and the largest that fits."""

import bisect
import math
from collections.abc import Callable, Sequence

import jax

from jaxinv.orbit.memory import SHARE_OF_MEMORY, free_bytes
from jaxinv.symmetry.values import Value, Window
from jaxinv.tiling.reading import Sized


def bytes_for_a_tile(*, devices: int) -> int:
    """Of the free memory, what the values of one tile may take.

    Args:
      devices: how many tiles are evaluated at once, each on its own device.
    """
    shared = devices if jax.default_backend() == "cpu" else 1
    return int(free_bytes() * SHARE_OF_MEMORY) // shared


def largest_that_fits(tile_of: Callable[[int], Sequence[int]], most: int, *, planned, room: int):
    """The largest of some tiles whose planned memory fits; the first if none does.

    Args:
      tile_of: the tiles, by a number from 1 to `most`, each no smaller than the one before.
      most: how many there are.
      planned: the memory of a tile in bytes.
      room: what it may take.
    """
    fitting = bisect.bisect_right(range(1, most + 1), room, key=lambda n: planned(tile_of(n)))
    return tile_of(max(1, fitting))


def planned_bytes(image: Sized, tile: Sequence[int], *, all_held: bool) -> int:
    """The memory that the values of one tile take, from the program of the image.

    Args:
      image: the function at the size of the image; what does not depend on it is not counted.
      tile: positions of a tile along each axis.
      all_held: whether all that is computed is held, as derivatives need it; else a value is held
        from where it is made to where it is read last.
    """
    program = image.traced.program
    shorter = [size - n for size, n in zip(image.traced.sizes, tile, strict=True)]
    values = image.walked.values

    def size(number: int) -> int:
        if not values[number].touched:
            return 0
        itemsize = getattr(program.avals[number].dtype, "itemsize", 0)
        return _positions(values[number], shorter) * itemsize

    cut = zip(program.inputs, image.traced.dims, strict=True)
    given = [number for number, dims in cut if dims is not None]
    held = sum(map(size, given))
    if all_held:
        return held + sum(size(out) for e in image.equations for out in e.outs)
    read_last = {number: at for at, e in enumerate(image.equations) for number in e.ins}
    read_last |= dict.fromkeys([*given, *program.outputs], len(image.equations))
    ends: dict[int, int] = {}
    most = held
    for at, equation in enumerate(image.equations):
        for out in equation.outs:
            held += size(out)
            last = read_last.get(out, at)
            ends[last] = ends.get(last, 0) + size(out)
        most = max(most, held)
        held -= ends.pop(at, 0)
    return most


def _positions(value: Value, shorter: Sequence[int]) -> int:
    """The numbers that a value holds at a size that is shorter along each axis."""
    count = 1
    for factor in value.factors:
        n = factor.size
        if isinstance(factor, Window):
            n -= math.floor(shorter[factor.axis] * factor.pace / value.period[factor.axis])
        count *= max(n, 1)
    return count
