"""What a program really commutes with, by running it at shifted inputs; and claims held to that.

Which shifts suffice. Write T for the shifts of the input along one axis of P positions, a cyclic
group, and f for the program. A claim of period d is one identity, f(T^d x) = R f(x) with R the
identity (invariant) or a roll (equivariant), for every x. If it holds for every x, it holds at
all multiples: f(T^2d x) = R f(T^d x) = R R f(x), and so along both axes together. So the
generators, one per axis, decide the claim, up to the choice of x: x and T^d x are both drawn from
one continuous distribution, and a program that is analytic but for finitely many kinds of kinks
either satisfies the identity or fails it with positive probability. Each claim is therefore held
at its generators, at one joint multiple drawn at random, and for part of the programs at every
multiple (`every=True`), which supposes nothing.

Sharpness needs fewer still. The measured symmetries of one kind along one axis form a subgroup of
Z/P, so they are the multiples of some divisor. If a finer period than d held, some proper divisor
of P that is no multiple of d would hold; if none of these does, d is the smallest.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from tests.symmetry import reference

TOLERANCE = 1e-8


def same(a, b) -> bool:
    """Equality of values that were computed in another order, in 64 bits."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "biu":
        return bool(np.array_equal(a, b))
    scale = max(1e-3, float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a))))
    return bool(np.allclose(a, b, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True))


class Orbit:
    """The outputs of a program at shifted inputs, computed when asked for."""

    def __init__(self, fun, x, axes):
        self.axes = axes
        self.lengths = tuple(x.shape[a] for a in axes)
        self.jaxpr = jax.make_jaxpr(fun)(x)
        numbers = np.random.default_rng(0)
        self.inputs = [x, *(numbers.normal(size=x.shape) for _ in range(3))]
        self.known: dict[tuple, list] = {}

    def at(self, shift, *, start=0) -> list:
        """All output leaves at a shift of one of the inputs (the first is the program's own)."""
        key = (start, tuple(t % n for t, n in zip(shift, self.lengths, strict=True)))
        if key not in self.known:
            moved = np.roll(self.inputs[start], key[1], self.axes)
            self.known[key] = [np.asarray(y) for y in reference.evaluate(self.jaxpr, moved)]
        return self.known[key]


class Claim(NamedTuple):
    """What a certificate says of one output leaf, axis by axis."""

    period: tuple[int, ...]
    dims: tuple[int | None, ...]
    moves: tuple[int, ...]
    whole: tuple[bool, ...]

    @classmethod
    def of(cls, output) -> "Claim":
        return cls(output.period, output.dims, output.moves, output.whole)


def follows(before, after, moved: dict[int, tuple[int, bool]]) -> bool:
    """Whether `after` is `before` with its content moved along some dimensions.

    Args:
      before: the output at one shift.
      after: the output at another.
      moved: for each moving dimension by how many positions, and whether it is a torus. On a
        window that is not one, only positions that are inside before and after are compared.
    """
    inside = [slice(None)] * after.ndim
    for dim, (by, whole) in moved.items():
        before = np.roll(before, by, dim)
        if not whole:
            n = after.shape[dim]
            inside[dim] = slice(max(0, by), max(0, min(n, n + by)))
    return same(after[tuple(inside)], before[tuple(inside)])


def violations(orbit: Orbit, outputs, *, every: bool = False, seed: int = 0) -> Iterator[str]:
    """The shifts at which a claim fails; none for a sound certificate."""
    for leaf, output in enumerate(outputs):
        claim = Claim.of(output)
        for counts in _multiples(orbit, claim, every, seed):
            shift = [c * d for c, d in zip(counts, claim.period, strict=True)]
            before, after = orbit.at([0] * len(shift))[leaf], orbit.at(shift)[leaf]
            for moved in _expected_moves(orbit, claim, counts):
                if not follows(before, after, moved):
                    yield f"output {leaf} claims {claim}, but not at shift {shift}: {moved}"


def _multiples(orbit, claim, every, seed):
    counts = [n // d for n, d in zip(orbit.lengths, claim.period, strict=True)]
    if every:
        return itertools.product(*map(range, counts))
    axes = range(len(counts))
    generators = [tuple(int(a == b) for b in axes) for a in axes if counts[a] > 1]
    numbers = np.random.default_rng(seed)
    return [*generators, tuple(int(numbers.integers(0, n)) for n in counts)]


def _expected_moves(orbit, claim, counts):
    """A window may have moved either way round its torus, so both are looked at."""
    options = []
    for axis, (dim, count) in enumerate(zip(claim.dims, counts, strict=True)):
        if dim is None:
            continue
        by = claim.moves[axis] * count
        m = claim.moves[axis] * (orbit.lengths[axis] // claim.period[axis])
        ways = [by] if claim.whole[axis] else [by, by - m]
        options.append([(dim, (way, claim.whole[axis])) for way in ways])
    return [dict(moved) for moved in itertools.product(*options)]


def finer_symmetry(orbit: Orbit, outputs) -> Iterator[tuple[int, int, int, str]]:
    """Symmetries that hold although the certificate does not claim them.

    Yields:
      The leaf, the axis, the shift along it that the output withstands, and how.
    """
    for leaf, output in enumerate(outputs):
        claim = Claim.of(output)
        for axis, (length, period) in enumerate(zip(orbit.lengths, claim.period, strict=True)):
            divisors = [t for t in range(1, length) if length % t == 0 and t % period]
            for t in divisors:
                how = _how_it_follows(orbit, leaf, axis, t)
                if how is not None:
                    yield leaf, axis, t, how
                    break
            else:
                moving = claim.dims[axis] is not None and period < length
                if moving and _how_it_follows(orbit, leaf, axis, period) == "invariant":
                    yield leaf, axis, period, "invariant, not only equivariant"


def _how_it_follows(orbit, leaf, axis, t) -> str | None:
    """The first symmetry that explains the output at a shift, for every input tried."""
    shift = [t if a == axis else 0 for a in range(len(orbit.axes))]
    still = [0] * len(shift)

    def pair(start):
        return orbit.at(still, start=start)[leaf], orbit.at(shift, start=start)[leaf]

    before, after = pair(0)
    if before.size == 0 or (before.ndim == 0 and not same(before, after)):
        return None
    for name, moved in _candidates(before.shape):
        if follows(before, after, moved) and all(
            follows(*pair(start), moved) for start in range(1, len(orbit.inputs))
        ):
            return name
    return None


def _candidates(shape):
    yield "invariant", {}
    for dim, n in enumerate(shape):
        for by in range(1, n):
            yield f"rolls by {by} along {dim}", {dim: (by, True)}
        for by in (1, 2, 3, -1, -2, -3):
            if n - abs(by) >= 2:
                yield f"a window that moves by {by} along {dim}", {dim: (by, False)}
    for one, two in itertools.combinations(range(len(shape)), 2):
        for by in range(1, math.gcd(shape[one], shape[two])):
            yield f"rolls by {by} along {one} and {two}", {one: (by, True), two: (by, True)}
