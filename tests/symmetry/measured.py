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

# By the size of the numbers: rounding of sums that are taken in another order.
TOLERANCE = {8: 1e-8, 4: 1e-4, 16: 1e-8}


def same(a, b) -> bool:
    """Equality of values that were computed in another order; NaN and infinities at one place."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "biu":
        return bool(np.array_equal(a, b))
    scale = max(1e-3, float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a))))
    atol = TOLERANCE[a.dtype.itemsize] * scale
    return bool(np.allclose(a, b, rtol=0.0, atol=atol, equal_nan=True))


def is_settled(jaxpr, x, *rest, alike=same) -> bool:
    """Whether the outputs stay as they are where the input is nudged in its last digits.

    Where they do not, rounding decides: the sign of a sum of differences that cancel, or the
    reciprocal of what is almost zero, says nothing of symmetry. Numbers of few binary digits are
    not nudged, for what is computed of them is exact.
    """
    if x.dtype.kind != "f":
        return True
    truth = reference.evaluate(jaxpr, x, *rest)
    exact = ~np.isfinite(x) | (8 * x == np.round(8 * x))
    for seed in range(NUDGES):
        by = np.random.default_rng(seed).uniform(-4, 4, x.shape) * np.finfo(x.dtype).eps
        nudged = np.where(exact, x, x * (1 + by)).astype(x.dtype)
        found = reference.evaluate(jaxpr, nudged, *rest)
        if not all(map(alike, map(np.asarray, found), map(np.asarray, truth))):
            return False
    return True


NUDGES = 8


class Orbit:
    """The outputs of a program at shifted inputs, computed when asked for.

    The first of the inputs is the program's own; `generic` ones follow, then some of whole numbers,
    of which many are equal, of large numbers, and of negative ones: what clips those does not pass
    for the identity.
    """

    def __init__(self, fun, x, axes, another=None):
        self.axes = axes
        self.lengths = tuple(x.shape[a] for a in axes)
        self.jaxpr = jax.make_jaxpr(fun)(x)
        numbers = np.random.default_rng(0)
        another = another or (lambda numbers, x: numbers.normal(size=x.shape))
        self.inputs = [x, *(another(numbers, x) for _ in range(12))]
        self.generic = range(1, len(self.inputs))
        self.inputs += [numbers.integers(-1, 3, size=x.shape).astype(x.dtype) for _ in range(2)]
        if x.dtype.kind == "f":
            large = numbers.normal(size=(2, *x.shape)).astype(x.dtype)
            self.inputs += [10 * large[0], -np.abs(large[1])]
        self.known: dict[tuple, list] = {}

    def at(self, shift, *, start=0) -> list:
        """All output leaves at a shift of one of the inputs (the first is the program's own)."""
        key = (start, tuple(t % n for t, n in zip(shift, self.lengths, strict=True)))
        if key not in self.known:
            moved = np.roll(self.inputs[start], key[1], self.axes)
            self.known[key] = [np.asarray(y) for y in reference.evaluate(self.jaxpr, moved)]
        return self.known[key]

    def is_settled(self, shift, *, start=0) -> bool:
        """Whether the outputs hang on more than rounding, at a shift and unshifted."""
        x = self.inputs[start]
        return all(is_settled(self.jaxpr, v) for v in (x, np.roll(x, tuple(shift), self.axes)))


class Claim(NamedTuple):
    """What a certificate says of one output leaf.

    Attributes:
      period: per axis.
      factors: the sizes of the parts that the output's dimensions consist of.
      moving: per axis the parts that follow the shift, and by how many positions a period.
      rolls: per axis the dimension that alone moves, as a whole and by `jnp.roll`, and by how
        much; or None.
    """

    period: tuple[int, ...]
    factors: tuple[int, ...]
    moving: tuple[tuple[tuple[int, int], ...], ...]
    rolls: tuple[tuple[int, int] | None, ...]

    @classmethod
    def of(cls, output) -> "Claim":
        parts = [part for row in output.layout for part in row]
        axes = range(len(output.period))
        moving = tuple(
            tuple((i, rate) for i, (_, mover, rate) in enumerate(parts) if mover == axis)
            for axis in axes
        )
        rolls = tuple(
            (dim, output.moves[axis])
            if dim is not None
            and output.whole[axis]
            and len(moving[axis]) == len(output.layout[dim]) == 1
            else None
            for axis, dim in enumerate(output.dims)
        )
        return cls(tuple(output.period), tuple(size for size, *_ in parts), moving, rolls)


def follows(before, after, moved: dict[int, tuple[int, int]]) -> bool:
    """Whether `after` is `before` with its content moved along some dimensions.

    Args:
      before: the output at one shift.
      after: the output at another.
      moved: for each moving dimension by how many positions, and the length of the torus of which
        it shows a part. Positions whose content was or has come into view are compared.
    """
    for dim, (by, m) in moved.items():
        n = after.shape[dim]
        pairs = [(now, old) for now in range(n) for old in range((now - by) % m, n, m)]
        after = after.take([now for now, _ in pairs], dim)
        before = before.take([old for _, old in pairs], dim)
    return same(after, before)


def violations(
    orbit: Orbit, outputs, *, every: bool = False, seed: int = 0, start: int = 0
) -> Iterator[str]:
    """The shifts at which a claim fails, of one of the inputs; none for a sound certificate."""
    for leaf, output in enumerate(outputs):
        claim = Claim.of(output)
        for counts in _multiples(orbit, claim, every, seed):
            shift = [c * d for c, d in zip(counts, claim.period, strict=True)]
            before = orbit.at([0] * len(shift), start=start)[leaf]
            after = orbit.at(shift, start=start)[leaf]
            moved = {
                part: (rate * count, length * abs(rate) // period)
                for parts, count, length, period in zip(
                    claim.moving, counts, orbit.lengths, claim.period, strict=True
                )
                for part, rate in parts
            }
            shape = claim.factors
            if not follows(before.reshape(shape), after.reshape(shape), moved):
                if orbit.is_settled(shift, start=start):
                    yield f"output {leaf} claims {claim}, but not at shift {shift}: {moved}"
                continue
            rolled = before
            for roll, count in zip(claim.rolls, counts, strict=True):
                if roll is not None:
                    rolled = np.roll(rolled, roll[1] * count, roll[0])
            rolling = all(
                roll is not None or not parts
                for roll, parts in zip(claim.rolls, claim.moving, strict=True)
            )
            if rolling and not same(rolled, after) and orbit.is_settled(shift, start=start):
                yield f"output {leaf} claims {claim}, but does not roll so at shift {shift}"


def _multiples(orbit, claim, every, seed):
    counts = [n // d for n, d in zip(orbit.lengths, claim.period, strict=True)]
    if every:
        return itertools.product(*map(range, counts))
    axes = range(len(counts))
    generators = [tuple(int(a == b) for b in axes) for a in axes if counts[a] > 1]
    numbers = np.random.default_rng(seed)
    return [*generators, tuple(int(numbers.integers(0, n)) for n in counts)]


def interior_violations(orbit: Orbit, outputs) -> Iterator[str]:
    """Positions on which equivariance was claimed although content enters at the border.

    Args:
      orbit: the program's. That what leaves on one side enters on the other is as good as any
        other content: nothing is claimed of positions that see it.
      outputs: verdicts of `certify(..., mode="constant")`.
    """
    for leaf, output in enumerate(outputs):
        claim = Claim.of(output)
        for axis, inner in enumerate(output.interior):
            if inner is None or len(claim.moving[axis]) != 1:
                continue
            ((part, rate),) = claim.moving[axis]
            each = inner.size // claim.factors[part]  # positions of the dimension for one of it
            assert claim.factors[part] * each == inner.size
            (first, rest), (last, more) = divmod(inner.start, each), divmod(inner.stop, each)
            assert rest == more == 0
            for count in (1, 2, -1):
                shift = [count * inner.period if a == axis else 0 for a in range(len(orbit.axes))]
                now = [i for i in range(first, last) if first <= i - rate * count < last]
                before = orbit.at([0] * len(shift))[leaf].reshape(claim.factors)
                after = orbit.at(shift)[leaf].reshape(claim.factors)
                old = [i - rate * count for i in now]
                seen = now and abs(shift[axis]) < orbit.lengths[axis]
                if seen and not _same_where_finite(after.take(now, part), before.take(old, part)):
                    yield f"output {leaf} claims {inner} along axis {axis}, not at {shift}"


def _same_where_finite(one, two) -> bool:
    """Equality where both are finite: a zero weight spreads an infinity beyond what it reads."""
    if one.dtype.kind not in "fc":
        return same(one, two)
    finite = np.isfinite(one) & np.isfinite(two)
    return same(one[finite], two[finite])


def finer_symmetry(orbit: Orbit, outputs) -> Iterator[tuple[int, int, int, str]]:
    """Symmetries that hold although the certificate does not claim them.

    An output that is the same for another input too, a saturated one, shows none. Nor is that a
    symmetry which equal, large or negative numbers break: of two largest `argmax` takes the first.

    Yields:
      The leaf, the axis, the shift along it that the output withstands, and how.
    """
    still = [0] * len(orbit.axes)
    for leaf, output in enumerate(outputs):
        rest = [orbit.at(still, start=start)[leaf] for start in orbit.generic]
        if rest and all(same(orbit.at(still)[leaf], other) for other in rest):
            continue
        claim = Claim.of(output)
        for axis, (length, period) in enumerate(zip(orbit.lengths, claim.period, strict=True)):
            divisors = [t for t in range(1, length) if length % t == 0 and t % period]
            for t in divisors:
                how = _how_it_follows(orbit, output, leaf, axis, t)
                if how is not None:
                    yield leaf, axis, t, how
                    break
            else:
                moving = claim.moving[axis] and period < length
                if moving and _how_it_follows(orbit, output, leaf, axis, period) == "invariant":
                    yield leaf, axis, period, "invariant, not only equivariant"


def _how_it_follows(orbit, output, leaf, axis, t) -> str | None:
    """The first symmetry that explains the output at a shift, for every input tried."""
    shift = [t if a == axis else 0 for a in range(len(orbit.axes))]
    still = [0] * len(shift)

    def pair(start):
        return orbit.at(still, start=start)[leaf], orbit.at(shift, start=start)[leaf]

    before, after = pair(0)
    if before.size == 0 or (before.ndim == 0 and not same(before, after)):
        return None
    windows = not Claim.of(output).moving[axis]
    for name, moved in _candidates(before.shape, windows=windows):
        if follows(before, after, moved) and all(
            follows(*pair(start), moved) for start in range(1, len(orbit.inputs))
        ):
            return name
    return None


def _candidates(shape, *, windows):
    """Ways to move; windows are looked for where the claim has nothing that moves."""
    yield "invariant", {}
    for dim, n in enumerate(shape):
        for by in range(1, n):
            yield f"rolls by {by} along {dim}", {dim: (by, n)}
        for by in (1, 2, 3, -1, -2, -3):
            if windows and n - abs(by) >= 3:
                yield f"a window that moves by {by} along {dim}", {dim: (by, 1 << 20)}
    for one, two in itertools.combinations(range(len(shape)), 2):
        for by in range(1, math.gcd(shape[one], shape[two])):
            both = {one: (by, shape[one]), two: (by, shape[two])}
            yield f"rolls by {by} along {one} and {two}", both
