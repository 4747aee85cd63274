"""Whether a function does the same to a tile as to the image that the tile is cut from.

The walk on the line speaks of one size: inside, shifts by the period move what is computed. That a
tile is made like the part of the image that it is cut from is another statement, for a function may
read its input's size, and a network that pads reads its border. So both programs are gone through
from their outputs back. What a corner of the tile's output reads has to be what the same corner of
the image's output reads: equation by equation, with the same parameters and constants, at the same
positions as counted from that corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxinv.arguments import is_known
from jaxinv.symmetry.program import Equation
from jaxinv.tiling.reading import ADDRESS, Box, Reading


class Differs(Exception):
    """Two programs do not do the same.

    Attributes:
      number: at which of their equations; None at their inputs.
    """

    def __init__(self, number: int | None):
        super().__init__()
        self.number = number


def require_same(one: Reading, two: Reading, apart: Sequence[int]) -> None:
    """Raises Differs unless both make alike what is asked of them.

    Args:
      one: of the function of the tile.
      two: of the function of the image.
      apart: along each axis how much further on the image is read.
    """
    pairs = list(zip(one.sized.equations, two.sized.equations, strict=False))
    for number, (a, b) in enumerate(pairs):
        if a.primitive is not b.primitive or len(a.ins) != len(b.ins):
            raise Differs(number)
    counts = len(one.sized.equations), len(two.sized.equations)
    if counts[0] != counts[1]:
        raise Differs(min(len(pairs), *counts) - 1 if min(counts) else None)
    same = _Pair(one, two, {})
    inputs = one.sized.traced.program.inputs, two.sized.traced.program.inputs
    same.stands_for.update(zip(*inputs, strict=True))
    for number, (a, b) in enumerate(pairs):
        same.stands_for.update(zip(a.outs, b.outs, strict=True))
        if one.made.get(number) != two.made.get(number) or not same.reads_alike(number, a, b):
            raise Differs(number)
    _require_apart(one, two, apart)


def _require_apart(one: Reading, two: Reading, apart: Sequence[int]) -> None:
    """Raises Differs unless both read the same part of their images, as counted from a corner."""
    program, dims = one.sized.traced.program, one.sized.traced.dims
    for a, b, along in zip(program.inputs, two.sized.traced.program.inputs, dims, strict=True):
        if along is None or (a not in one.boxes and b not in two.boxes):
            continue
        if a not in one.boxes or b not in two.boxes:
            raise Differs(None)
        wanted = [0] * len(one.boxes[a])
        for dim, by in zip(along, apart, strict=True):
            wanted[dim] = by
        rows = zip(one.boxes[a], two.boxes[b], wanted, strict=True)
        if any((lo + by, hi + by) != other for (lo, hi), other, by in rows):
            raise Differs(None)


@dataclass(frozen=True)
class _Pair:
    """Two readings, with the value of the second that each value of the first stands for."""

    one: Reading
    two: Reading
    stands_for: dict[int, int]

    def reads_alike(self, number: int, a: Equation, b: Equation) -> bool:
        """Whether an equation reads the same of the same operands."""
        for out in range(len(a.outs)):
            mine, its = self.one.reads.get((number, out)), self.two.reads.get((number, out))
            if mine is None or its is None:
                if mine is not its:
                    return False
                continue
            for x, y, of_x, of_y in zip(a.ins, b.ins, mine, its, strict=True):
                if len(of_x) != len(of_y):
                    return False
                if not all(self._alike(x, y, *pair) for pair in zip(of_x, of_y, strict=True)):
                    return False
        undivided = number in self.one.undivided, number in self.two.undivided
        texts = [ADDRESS.sub("", f"{e.params} {e.in_avals} {e.out_avals}") for e in (a, b)]
        return undivided[0] == undivided[1] and (not undivided[0] or texts[0] == texts[1])

    def _alike(self, x: int, y: int, box: Box, other: Box) -> bool:
        """Whether two reads are of the same positions, of values that are the same there."""
        if [hi - lo for lo, hi in box] != [hi - lo for lo, hi in other]:
            return False
        kept = self.one.keeps(x), self.two.keeps(y)
        if kept[0] != kept[1]:
            return False
        if kept[0]:
            return self.stands_for.get(x) == y and (
                self.one.from_box(x, box) == self.two.from_box(y, other)
            )
        return self._same_constant(x, y, box, other)

    def _same_constant(self, x: int, y: int, box: Box, other: Box) -> bool:
        one, two = self.one.sized, self.two.sized
        first, second = one.constant(x), two.constant(y)
        inputs = x in one.traced.program.inputs, y in two.traced.program.inputs
        if any(inputs):
            return all(inputs) and first == second and box == other
        if first is second and box == other:
            return True
        if not is_known(first, second):
            return False
        a, b = one.part(x, box), two.part(y, other)
        computed = x in one.traced.program.producers and y in two.traced.program.producers
        if computed and jnp.issubdtype(a.dtype, jnp.floating):
            return _near(a, b, max(two.traced.sizes))
        return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def _near(one: np.ndarray, two: np.ndarray, positions: int) -> bool:
    """Whether numbers that a program computes from positions are the same but for rounding."""
    largest = np.abs(one[np.isfinite(one)]).max(initial=0.0)
    within = 4 * positions * float(jnp.finfo(one.dtype).eps) * largest
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    with np.errstate(invalid="ignore"):  # of infinities
        return bool(np.all(same | (np.abs(one - two) <= within)))
