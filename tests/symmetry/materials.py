"""What flows through a random program: generic numbers, ties, and numbers that are none.

Generic numbers tell every position apart, but they have no ties, and images are full of them.
Whole numbers and halves have ties everywhere, and arithmetic on them does not round: what ties
does so in whatever order sums are taken, and a choice between equal values has one right answer.
So programs of such a material keep to it: a step whose result is no small multiple of a power of
two is drawn again, but for the last one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Material:
    """The numbers of a program's input, and which results may go on.

    Attributes:
      name: what it is called.
      dtype: of everything that flows.
      exact: whole numbers and halves, so that ties are ties.
      special: with infinities and NaN at a few places.
      quantum: what exact numbers are multiples of.
      bound: what exact numbers lie below.
    """

    name: str
    dtype: Any
    exact: bool = False
    special: bool = False
    quantum: float = 2.0**-12
    bound: float = 2.0**12

    def numbers(self, generator: np.random.Generator, shape) -> np.ndarray:
        """An input; the first draw of a program."""
        if not self.exact:
            return generator.normal(size=shape).astype(self.dtype)
        kinds = ([0, 1], [-1, 0, 1], [0, 0, 0, 1], [0, 1, 2, 3], [-2, -1, 0.5, 1, 2])
        x = generator.choice(kinds[generator.integers(len(kinds))], size=shape).astype(self.dtype)
        if self.special:
            places = generator.choice(x.size, size=min(x.size, 1 + x.size // 24), replace=False)
            x.reshape(-1)[places] = generator.choice(
                [np.nan, np.inf, -np.inf, np.inf, -0.0], size=len(places)
            )
        return x

    def another(self, generator: np.random.Generator, x: np.ndarray) -> np.ndarray:
        """A generic input in place of `x`: what it leaves unchanged is a symmetry, not a tie."""
        if x.dtype.kind in "iu":
            return generator.integers(0, 200, size=x.shape).astype(x.dtype)
        return generator.normal(size=x.shape).astype(x.dtype)

    def accepts(self, value, *, last: bool) -> bool:
        """Whether a step's result may go on: it still tells inputs apart, and still is exact.

        A chain of relus that has become zero is invariant to everything, which no proof from
        shapes can see and no test should count.
        """
        array = np.asarray(value)
        if array.size == 0 or array.size > 4000 or array.dtype != self.dtype:
            return False
        with np.errstate(all="ignore"):
            return self._accepts(array, last)

    def _accepts(self, array: np.ndarray, last: bool) -> bool:
        finite = array[np.isfinite(array)] if self.special else array
        if finite.size * 3 < array.size or not np.isfinite(finite).all():
            return False
        scale = np.abs(finite).max()
        if not self.exact:
            if not 1e-3 < scale < 1e3:
                return False
            distinct = np.unique(np.round(array / scale, 9)).size
            return distinct >= max(1 if array.size < 4 else 2, array.size // 16)
        if array.size >= 4 and np.unique(np.round(finite, 9)).size < 2:
            return False
        if last:
            return bool(scale < 1e6)
        whole = finite / self.dtype(self.quantum)
        return bool(scale < self.bound and np.array_equal(whole, np.round(whole)))


GENERIC = Material("generic", np.float64)
TIED = Material("ties", np.float64, exact=True)
TIED_SINGLE = Material("ties, float32", np.float32, exact=True, quantum=2.0**-4, bound=2.0**8)
SPECIAL = Material(
    "float32 with infinities and NaN", np.float32, exact=True, special=True,
    quantum=2.0**-4, bound=2.0**8,
)  # fmt: skip
# Their shares among the programs; matrices and the like, which are rare, are of finite numbers.
ORDINARY = (*[GENERIC] * 10, *[TIED] * 5, *[TIED_SINGLE] * 2, *[SPECIAL] * 5)
WITH_RARE = (*[GENERIC] * 12, *[TIED] * 5, *[TIED_SINGLE] * 2)
