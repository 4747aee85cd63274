"""What a layer declared of itself stands in place of what the rules found."""

import dataclasses
from dataclasses import dataclass
from fractions import Fraction

from jaxinv.symmetry.moves import Context
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.values import Plain, Value, Window, positions


@dataclass(frozen=True)
class Decision:
    """What chose the phases of a subsampled value, and what had rolled that value before."""

    number: int
    before: tuple


def declared(
    ctx: Context, equation: Equation, reference: Value, value: Value, *decision: Value
) -> list[Value]:
    """The state that the declaration promises, or the one found where it cannot hold."""
    if not ctx.forward_only:
        return [value]
    params = equation.params
    if not params["value_dims"]:
        return [_invariant(reference, value, params["reference_dims"])]
    choice = Decision(equation.ins[2], reference.decisions) if decision else None
    dims = list(value.dims)
    period, decisions = list(value.period), list(value.decisions)
    for at, to, stride in zip(
        params["reference_dims"], params["value_dims"], params["strides"], strict=True
    ):
        row = reference.dims[at]
        window = row[0] if len(row) == 1 and isinstance(row[0], Window) else None
        if window is None or not _fits(ctx, reference, window, stride, params, choice):
            return [value]
        axis, size = window.axis, value.shape[to]
        period[axis], decisions[axis] = reference.period[axis], reference.decisions[axis]
        rate: int | Fraction = window.rate
        if params["restores"]:
            rate, decisions[axis] = _whole(window.rate * Fraction(stride)), choice.before[axis]
        elif choice is not None:
            rate, decisions[axis] = _whole(Fraction(window.rate) / stride), choice
        else:
            period[axis] = period[axis] * stride
        dims[to] = (Window(axis, 0, size, rate),)
    return [
        dataclasses.replace(
            value,
            period=tuple(period),
            dims=tuple(dims),
            decisions=tuple(decisions),
            origin=object(),
        )
    ]


def _invariant(reference: Value, value: Value, dims) -> Value:
    """The value without the axes that move the reference along these dimensions."""
    axes = {f.axis for dim in dims for f in reference.dims[dim] if isinstance(f, Window)}
    period = tuple(1 if axis in axes else d for axis, d in enumerate(value.period))
    rows = [
        tuple(Plain(f.size) if isinstance(f, Window) and f.axis in axes else f for f in row)
        for row in value.dims
    ]
    return dataclasses.replace(value, period=period, dims=tuple(rows), origin=object())


def _fits(ctx: Context, reference: Value, window: Window, stride: int, params, choice) -> bool:
    """Whether the reference moves as a whole, as the promise presumes."""
    m = positions(ctx.torus, reference, window)
    if window.size != m and not ctx.torus.endless:
        return False
    if params["restores"]:
        made = reference.decisions[window.axis]
        return isinstance(made, Decision) and made.number == choice.number
    return m % stride == 0


def _whole(rate: Fraction) -> int | Fraction:
    return int(rate) if rate.denominator == 1 else rate
