"""Laying the translated argument on a torus from which all shifts asked for can be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Shaped

from jaxinv.orbit.shift_set import OrbitMode, ShiftSet
from jaxinv.orbit.windows import extend
from jaxinv.symmetry.values import Torus


@dataclass(frozen=True)
class Embedding:
    """A torus, and where on it the window starts that the program sees.

    Attributes:
      torus: its lengths, and the residues of the shifts asked for.
      offsets: the window's start at shift 0, one per axis.
      extended: whether the torus is longer than the image: what enters at the border is laid out
        once, and only windows of it are meaningful.
      wraps: whether the shifts are circular.
    """

    torus: Torus
    offsets: tuple[int, ...]
    extended: bool
    wraps: bool

    def residues(self, chosen: ShiftSet) -> np.ndarray:
        """All shifts of the set as places on the torus, in the order of `chosen.table()`."""
        table = chosen.table()
        if self.wraps:
            table = table % np.array(chosen.sizes)
        return table % np.array(self.torus.lengths)


def exact(chosen: ShiftSet) -> Embedding:
    """The image itself as the torus, for circular shifts."""
    rows = tuple(
        _row(sorted({t % size for t in row}), size)
        for row, size in zip(chosen.rows, chosen.sizes, strict=True)
    )
    return Embedding(Torus(chosen.sizes, rows), (0,) * len(chosen.sizes), False, True)


def longer(
    chosen: ShiftSet, mode: OrbitMode, length: Sequence[int], multiple: Sequence[int]
) -> Embedding:
    """A torus that holds the extended image and whose length the strides divide.

    Args:
      chosen: the shifts.
      mode: what enters at the border.
      length: positions of the argument itself along each axis.
      multiple: what the length of the torus has to be a multiple of.
    """
    wraps = mode == "wrap"
    lengths, offsets, rows = [], [], []
    for axis, (row, size) in enumerate(zip(chosen.rows, chosen.sizes, strict=True)):
        moves = [t % size for t in row] if wraps else list(row)
        before, after = max(0, *moves), max(0, *(-t for t in moves))
        if mode == "crop":
            before = (length[axis] - size) // 2
            after = length[axis] - size - before
        total = before + size + after
        lengths.append(-(-total // multiple[axis]) * multiple[axis])
        offsets.append(before)
        rows.append(tuple(sorted({t % lengths[-1] for t in moves})))
    torus = Torus(tuple(lengths), tuple(rows))
    return Embedding(torus, tuple(offsets), True, wraps)


def lay_out(
    x: Shaped[Array, "..."],
    dims: Sequence[int],
    embedding: Embedding,
    chosen: ShiftSet,
    mode: OrbitMode,
) -> Shaped[Array, "..."]:
    """The argument on the torus; positions that no shift reads are zero."""
    if not embedding.extended:
        return x
    wide = extend(x, dims, chosen, mode)
    widths = [(0, 0, 0)] * wide.ndim
    for dim, length in zip(dims, embedding.torus.lengths, strict=True):
        widths[dim] = (0, length - wide.shape[dim], 0)
    return lax.pad(wide, jnp.zeros((), wide.dtype), widths)


def _row(residues: list[int], size: int) -> tuple[int, ...] | None:
    return None if len(residues) == size else tuple(residues)
