"""Fourier transforms, and the filters that they are parts of."""

from jaxinv.symmetry.align import align
from jaxinv.symmetry.factoring import as_plain
from jaxinv.symmetry.moves import Context
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.rules import reduction
from jaxinv.symmetry.rules.per_position import results_of
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Value, positions


def fft(ctx: Context, equation: Equation, *operands: Value) -> list[Value]:
    """A filter commutes with every shift of a whole torus; a transform alone with none."""
    whole = equation.whole
    if whole is None:
        return reduction.fft(ctx, equation, *operands)
    signal, *others = operands
    others = [_still(ctx, v) for v in others]
    for dim in (*whole.along, *whole.mixed):
        if dim not in whole.along or not _is_whole(ctx, signal, dim):
            signal = as_plain(ctx, signal, dim, Cause.FOURIER())
    signal, *others = align(ctx, [signal, *others], [])
    row = [(0, dim) for dim in whole.dims]
    return results_of(ctx, [signal, *others], [], whole, [row])


def _is_whole(ctx: Context, value: Value, dim: int) -> bool:
    window = window_of(value, dim)
    return (
        window is not None
        and window.valid is None
        and window.size == positions(ctx.torus, value, window)
    )


def _still(ctx: Context, value: Value) -> Value:
    for dim in range(len(value.dims)):
        value = as_plain(ctx, value, dim, Cause.FOURIER())
    return value
