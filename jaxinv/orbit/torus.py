"""Laying the translated argument on a torus from which all shifts asked for can be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Shaped

from jaxinv.orbit.extension import extend
from jaxinv.orbit.shift_set import ShiftSet
from jaxinv.symmetry.values import Torus


@dataclass(frozen=True)
class Embedding:
    """A torus, and where on it the window starts that the program sees.

    Attributes:
      shifts: the shifts asked for.
      torus: its lengths, and the residues of the shifts.
      offsets: the window's start at shift 0, one per axis.
    """

    shifts: ShiftSet
    torus: Torus
    offsets: tuple[int, ...]

    @property
    def extended(self) -> bool:
        """Whether the torus is longer than the image.

        Then what enters at the border is laid out once, and only windows of it are meaningful.
        """
        return self.torus.lengths != self.shifts.sizes

    def residues(self) -> Int[np.ndarray, "count axes"]:
        """All shifts as places on the torus, in the order of `shifts.table()`.

        The walk and the shift-by-shift part know a shift by its residue alone.
        """
        columns = enumerate(zip(self.shifts.table().T, self.torus.lengths, strict=True))
        return np.stack([self.shifts.moves(axis, t) % n for axis, (t, n) in columns], axis=-1)


def exact(shifts: ShiftSet) -> Embedding:
    """The image itself as the torus, for circular shifts."""
    return Embedding(shifts, _torus(shifts, shifts.sizes), (0,) * len(shifts.sizes))


def longer(shifts: ShiftSet, multiple: Sequence[int]) -> Embedding:
    """A torus that holds the extended image and whose length the strides divide.

    Args:
      shifts: the shifts.
      multiple: what the length of the torus has to be a multiple of.
    """
    margins = shifts.margins()
    lengths = tuple(
        -(-(before + size + after) // m) * m
        for size, (before, after), m in zip(shifts.sizes, margins, multiple, strict=True)
    )
    return Embedding(shifts, _torus(shifts, lengths), tuple(before for before, _ in margins))


def _torus(shifts: ShiftSet, lengths: tuple[int, ...]) -> Torus:
    rows = [
        tuple(sorted({shifts.moves(axis, t) % length for t in row}))
        for axis, (row, length) in enumerate(zip(shifts.rows, lengths, strict=True))
    ]
    return Torus(
        lengths,
        tuple(None if len(row) == n else row for row, n in zip(rows, lengths, strict=True)),
    )


def lay_out(
    x: Shaped[Array, "..."], dims: Sequence[int], embedding: Embedding
) -> Shaped[Array, "..."]:
    """The argument on the torus; positions that no shift reads are zero."""
    if not embedding.extended:
        return x
    wide = extend(x, dims, embedding.shifts)
    widths = [(0, 0, 0)] * wide.ndim
    for dim, length in zip(dims, embedding.torus.lengths, strict=True):
        widths[dim] = (0, length - wide.shape[dim], 0)
    return lax.pad(wide, jnp.zeros((), wide.dtype), widths)
