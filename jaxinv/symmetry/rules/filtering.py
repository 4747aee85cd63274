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
    for dim in (*whole.along, *whole.mixed):
        window = None
        if dim in whole.along and not whole.is_power:
            signal = as_single(ctx, signal, dim, Cause.FOURIER())
            window = window_of(signal, dim)
        if window is None or not is_whole(ctx.torus, signal, window):
            signal = as_plain(ctx, signal, dim, Cause.FOURIER())
    values = align(ctx, [signal, *others], [])
    sizes = equation.out_avals[0].shape
    row = [
        sizes[out] if whole.is_power and dim in whole.along else (0, dim)
        for out, dim in enumerate(whole.dims)
    ]
    return results_of(ctx, values, [], whole, [row])
