"""Resampling by a known table: away from the border each output reads as one some places before.

A table (indices, or a matrix of weights) that upsamples by `p / s` repeats itself: output `o + p`
reads `s` positions further on what output `o` reads. On a torus that has to hold all around, as
nearest neighbours at a whole ratio do. On the line it holds inside, and what is read beyond the
border is not valid.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from jaxinv.symmetry.bounds import EachBorder, Valid
from jaxinv.symmetry.factoring import as_plain, as_single
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.relayout import Context, replace_factor, resample
from jaxinv.symmetry.rules.layout import transposed
from jaxinv.symmetry.rules.per_position import still
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Value, Window

# What is upsampled repeats its pattern after this many positions at most.
LONGEST_PATTERN = 16


@dataclass(frozen=True)
class Pattern:
    """From `first` to `stop`, `count` outputs later `step` positions further on are read."""

    count: int
    step: int
    first: int
    stop: int


def longest_pattern(steps_after: Callable[[int], np.ndarray], size: int) -> Pattern | None:
    """The pattern that most outputs keep; None if none is seen twice.

    Args:
      steps_after: of a count, for each output but the last `count`, how much further on the output
        that many later reads; 0 where it reads differently.
      size: the number of outputs.
    """
    best: Pattern | None = None
    for count in range(1, min(LONGEST_PATTERN, size // 2) + 1):
        steps = steps_after(count)
        bounds = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
        for first, stop in itertools.pairwise(bounds):
            pattern = Pattern(count, int(steps[first]), first, stop + count)
            if pattern.step > 0 and stop - first >= count and _gain(pattern) > _gain(best):
                best = pattern
    return best


def _gain(pattern: Pattern | None) -> int:
    return -1 if pattern is None else pattern.stop - pattern.first - 2 * pattern.count


def resampled(
    ctx: Context,
    value: Value,
    dim: int,
    pattern: Pattern,
    reads: tuple[np.ndarray, np.ndarray],
    reason: Reason,
) -> Value:
    """On the line: the value with its dimension resampled, valid where pattern and input are.

    Args:
      ctx: the context.
      value: the value; the dimension is one window.
      dim: the dimension.
      pattern: what the outputs keep.
      reads: of each output the first and the last position that it reads.
      reason: why the symmetry ends, if no output is valid.
    """
    window = window_of(value, dim)
    assert window is not None
    at = np.arange(len(reads[0]))
    good = (at >= pattern.first) & (at < pattern.stop)
    if ctx.torus.bordered:
        lo, hi = window.interior
        good &= (reads[0] >= lo) & (reads[1] < hi)
    valid: Valid = _longest_run(good)
    axis, size = window.axis, len(at)
    growth = pattern.step // math.gcd(pattern.step, int(window.rate))
    fits = ctx.torus.lengths[axis] % (value.period[axis] * growth) == 0
    if valid[0] < valid[1] and value.decisions[axis] is None and fits:
        if growth > 1:
            ctx.note(axis, Cause.STRIDE(stride=pattern.step, period=value.period[axis] * growth))
        # The input moves by rate * growth now, and the outputs by count for each step of that.
        rate = window.rate * growth * pattern.count // pattern.step
        value = resample(ctx, value, axis, growth)
        kept = None if valid == (0, size) else valid
        if not ctx.torus.bordered:
            kept = window.valid and _fields(window.valid, pattern, reads)
        return replace_factor(value, value.place(dim), Window(axis, 0, size, rate, kept))
    value = as_plain(ctx, value, dim, reason)
    return value.with_base(None, dims=value.dims_with(dim, still(size)))


def _fields(valid: Valid, pattern: Pattern, reads: tuple[np.ndarray, np.ndarray]) -> Valid:
    """What is valid of an output that goes on as the pattern does."""
    inside = slice(pattern.first, pattern.stop)
    if isinstance(valid[0], EachBorder):
        # Of `count` outputs that differ, o + count * q reads from first[o] + step * q to
        # last[o] + step * q. Lost are all before the last one that reads too early.
        outputs = np.arange(len(reads[0]))[inside][: pattern.count].tolist()
        count, step = pattern.count, pattern.step

        def reading(read: np.ndarray, position: int) -> list[int]:
            """Of the outputs that differ, the first each that reads from there on."""
            return [o - count * ((int(read[o]) - position) // step) for o in outputs]

        return (
            math.ceil(valid[0]).each(lambda lo: max(reading(reads[0], lo)) - count + 1),
            math.floor(valid[1]).each(lambda hi: min(reading(reads[1], hi))),
        )
    # In parts of an input position: how far before and after its place each output reads.
    at = np.arange(len(reads[0])) * pattern.step
    before, after = ((pattern.count * read - at)[inside] for read in reads)
    # Output o is valid if at[o] + before[o] >= first and at[o] + after[o] <= last.
    first, last = valid[0] * pattern.count, (valid[1] - 1) * pattern.count
    return (
        (first - int(before.min())) / Fraction(pattern.step),
        (last - int(after.max())) / Fraction(pattern.step) + 1,
    )


def _longest_run(good: np.ndarray) -> tuple[int, int]:
    """Where the longest run of True starts and stops."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return max(runs, key=lambda run: run[1] - run[0], default=(0, 0))


@dataclass(frozen=True)
class Band:
    """A known matrix that resamples an operand.

    Attributes:
      side: which operand.
      first: the first position that each output reads.
      last: the last one.
      weights: those from the first on, a column for each output.
      near: by how much weights of each output may differ that are equal but for rounding.
    """

    side: int
    first: np.ndarray
    last: np.ndarray
    weights: np.ndarray
    near: np.ndarray

    def steps_after(self, count: int) -> np.ndarray:
        """How much further on the output that many later reads, 0 where it reads differently."""
        differ = np.abs(self.weights[:, count:] - self.weights[:, :-count]).max(0)
        return np.where(differ <= self.near[count:], self.first[count:] - self.first[:-count], 0)


def band(ctx: Context, equation: Equation, operands: Sequence[Value]) -> Band | None:
    """The matrix of a product, if it is known and none of its outputs reads all positions."""
    (contracted, batch) = equation.params["dimension_numbers"]
    if any(batch) or any(len(dims) != 1 for dims in contracted):
        return None
    for side in (0, 1):
        moving, matrix = operands[side], operands[1 - side]
        moves = moving.moves_in(contracted[side][0])
        if not moves or len(matrix.dims) != 2 or not matrix.is_constant:
            continue
        table = ctx.program.known_value(equation.ins[1 - side])
        if table is None or not jnp.issubdtype(table.dtype, jnp.floating):
            continue
        table = table if contracted[1 - side][0] == 0 else table.T
        band = _band(side, table, computed=equation.ins[1 - side] in ctx.program.producers)
        if band is not None:
            return band
    return None


def _band(side: int, table: np.ndarray, *, computed: bool) -> Band | None:
    """A table of weights as a band, if it is one.

    Weights that the program computes from positions are known to the rounding of the largest
    position; weights that it is given are what they are.
    """
    size, eps = len(table), jnp.finfo(table.dtype).eps
    table = table.astype(np.float64)
    # Half precision does not tell neighbouring positions apart.
    known_to = 4 * size * float(eps) if computed and eps < 1e-6 else 0.0
    near = np.abs(table).max(0) * known_to
    read = np.abs(table) > near
    first, last = read.argmax(0), size - 1 - read[::-1].argmax(0)
    if not (read.any(0).all() and (last - first + 1 < size).all() and np.isfinite(table).all()):
        return None
    taps = first + np.arange((last - first).max() + 1)[:, None]
    weights = np.take_along_axis(table, np.minimum(taps, size - 1), 0)
    return Band(side, first, last, np.where(taps < size, weights, 0), near)


def resized(ctx: Context, equation: Equation, operands: Sequence[Value]) -> list[Value] | None:
    """On the line: the product with a known matrix that resamples one operand, if it is one."""
    matrix = band(ctx, equation, operands) if ctx.torus.endless else None
    if matrix is None:
        return None
    pattern = longest_pattern(matrix.steps_after, len(matrix.first))
    dim = equation.params["dimension_numbers"][0][matrix.side][0]
    value = as_single(ctx, operands[matrix.side], dim, Cause.RESAMPLING())
    if pattern is None or window_of(value, dim) is None:
        return None
    value = resampled(ctx, value, dim, pattern, (matrix.first, matrix.last), Cause.RESAMPLING())
    rest = [d for d in range(len(value.dims)) if d != dim]
    return [transposed(value, [*rest, dim] if matrix.side == 0 else [dim, *rest])]
