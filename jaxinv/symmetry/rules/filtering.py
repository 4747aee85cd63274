"""Filters and power spectra: the way from a signal through its Fourier transform, as a whole."""

from jaxinv.symmetry.align import align
from jaxinv.symmetry.factoring import all_plain, as_plain, as_single
from jaxinv.symmetry.fourier import Filter
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.reasons import Cause
from jaxinv.symmetry.relayout import Context
from jaxinv.symmetry.rules.per_position import in_any_order, results_of
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Value, is_whole


def filtered(
    ctx: Context, equation: Equation, whole: Filter, signal: Value, *others: Value
) -> list[Value]:
    """A filter commutes with every shift of a whole torus; no shift changes a power spectrum."""
    others = tuple(all_plain(ctx, v, Cause.FOURIER()) for v in others)
    if whole.is_power:
        for dim in whole.along:
            signal = in_any_order(ctx, signal, dim)
    seen_whole = range(len(signal.dims)) if whole.holds_sizes else whole.along
    for dim in sorted({*seen_whole, *whole.mixed}):
        if dim not in whole.mixed:
            signal = as_single(ctx, signal, dim, Cause.FOURIER())
        window = None if dim in whole.mixed else window_of(signal, dim)
        if window is None or not is_whole(ctx.torus, signal, window):
            signal = as_plain(ctx, signal, dim, Cause.FOURIER())
    values = align(ctx, [signal, *others], [])
    sizes = equation.out_avals[0].shape
    row = [
        sizes[out] if dim is None or dim in whole.mixed else (0, dim)
        for out, dim in enumerate(whole.dims)
    ]
    return results_of(ctx, values, [], whole, [row])
