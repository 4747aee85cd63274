"""What a layer declared of itself stands in place of what the rules found."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from jaxinv.declarations import declare_p
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.registry import register_rule
from jaxinv.symmetry.relayout import Context, normal
from jaxinv.symmetry.rules.windowed import window_of
from jaxinv.symmetry.values import Dimension, Plain, Value, Window, positions


@dataclass(frozen=True)
class Decision:
    """What chose the phases of a subsampled value, and what had rolled that value before."""

    number: int
    before: tuple


def declared(
    ctx: Context, equation: Equation, reference: Value, value: Value, *others: Value
) -> list[Value]:
    """The state that the declaration promises, or the one found where it cannot hold.

    Promises are about circular shifts of all that the layer sees. On the line content enters at
    the border, of which they say nothing.
    """
    params = equation.params
    if not ctx.believes or ctx.torus.endless:
        return [value]
    windows = [_whole_window(ctx, reference, dim) for dim in params["reference_dims"]]
    beside = others[params["decides"] :]
    for other, along in zip(beside, params["beside"], strict=False):  # a margin may follow
        if not along and not other.is_constant:
            return [value]
        found = [_whole_window(ctx, other, dim) for dim in along]
        if along and not _move_alike(reference, other, windows, found):
            return [value]
    if not params["value_dims"]:
        return [_invariant(reference, value, windows)]
    if params["decides"] and others[0].is_constant:
        return [value]  # The same phase at every shift is none that follows the image.
    choice = Decision(equation.ins[2], reference.decisions) if params["decides"] else None
    dims: list[Dimension] = list(value.dims)
    period, decisions = list(value.period), list(value.decisions)
    for window, to, stride in zip(windows, params["value_dims"], params["strides"], strict=True):
        if window is None or not _fits(ctx, reference, window, stride, params, choice):
            return [value]
        axis = window.axis
        period[axis], decisions[axis] = reference.period[axis], reference.decisions[axis]
        rate: int | Fraction = window.rate
        if params["restores"]:
            assert choice is not None
            decision = reference.decisions[axis]
            assert isinstance(decision, Decision)
            rate, decisions[axis] = _whole(window.rate * Fraction(stride)), decision.before[axis]
        elif choice is not None:
            rate, decisions[axis] = _whole(Fraction(window.rate) / stride), choice
        else:
            period[axis] = period[axis] * stride
        dims = [_still(row, {axis}) for row in dims]
        dims[to] = (Window(axis, 0, value.shape[to], rate),)
    moved = dataclasses.replace(
        value,
        period=tuple(period),
        dims=tuple(dims),
        decisions=tuple(decisions),
        origin=object(),
    )
    return [normal(ctx, moved)]


def _whole_window(ctx: Context, reference: Value, dim: int) -> Window | None:
    """The window that is all of a dimension and shows all of its torus."""
    window = window_of(reference, dim)
    if window is None or window.size != positions(ctx.torus, reference, window):
        return None
    # Rolls along one dimension are no shift of what moves along another one as well.
    return window if len(list(reference.windows(window.axis))) == 1 else None


def _move_alike(
    one: Value, two: Value, of_one: Sequence[Window | None], of_two: Sequence[Window | None]
) -> bool:
    """Whether two values follow each shift by the same rolls of the same dimensions.

    Along the axes that move neither of them so, nothing is promised.
    """
    for a, b in zip(of_one, of_two, strict=True):
        if (a and (a.axis, a.rate)) != (b and (b.axis, b.rate)):
            return False
        if a and (one.period[a.axis], one.decisions[a.axis]) != (
            two.period[a.axis],
            two.decisions[a.axis],
        ):
            return False
    return True


def _invariant(reference: Value, value: Value, windows: Sequence[Window | None]) -> Value:
    """The value that does not follow the shifts that translate the reference."""
    axes = {window.axis for window in windows if window is not None}
    period = tuple(
        reference.period[axis] if axis in axes else d for axis, d in enumerate(value.period)
    )
    dims = tuple(_still(row, axes) for row in value.dims)
    return dataclasses.replace(value, period=period, dims=dims, origin=object())


def _still(row: Dimension, axes: Collection[int]) -> Dimension:
    """Factors of which none follows these axes."""
    return tuple(
        Plain(f.size) if isinstance(f, Window) and f.axis in axes else f
        for f in row
        if not (isinstance(f, Window) and f.axis in axes and f.size == 1)
    )


def _fits(ctx: Context, reference: Value, window: Window, stride: int, params, choice) -> bool:
    """Whether the subsampled torus is whole, and what is restored was chosen by the same."""
    if params["restores"]:
        decision = reference.decisions[window.axis]
        return isinstance(decision, Decision) and decision.number == choice.number
    if choice is not None and window.rate < 0 and stride > 2:
        # A phase chosen on a map that moves forwards names others on its mirror image.
        return False
    return positions(ctx.torus, reference, window) % stride == 0


def _whole(rate: Fraction) -> int | Fraction:
    return int(rate) if rate.denominator == 1 else rate


register_rule(declare_p, declared, layer="declared")
