"""What an equation costs, from shapes: for one shift, and for all shifts shared."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from jax.extend.core import primitives

from jaxinv.symmetry.correlation import DIRECT, TOGETHER
from jaxinv.symmetry.kernels import geometries_of_convolution
from jaxinv.symmetry.program import Equation, open_jaxpr
from jaxinv.symmetry.registry import REGISTERED
from jaxinv.symmetry.rules.windowed import adds_up, on_torus
from jaxinv.symmetry.values import Torus, Value, Window, is_broken, positions, stored_shape


class Work(NamedTuple):
    """What all shifts cost.

    Attributes:
      passes: operations of all shifts, in those of one forward pass.
      largest: the layer, or the pieces of one, with the most of them: "4 corners of conv3".
      share: what part of all operations that is.
    """

    passes: float
    largest: str
    share: float

    def in_words(self, shifts: int) -> str:
        """The cost of so many shifts, in words that follow a colon.

        Example:
          >>> Work(21.7, "dense0", 0.81).in_words(1024)
          "about 22 forward passes' work instead of 1,024, 81% of it in dense0"
          >>> Work(1.0, "", 0.0).in_words(64)
          "about one forward pass's work instead of 64"
          >>> Work(63.99, "", 0.0).in_words(64)
          "64 forward passes' work: nothing is shared"
        """
        passes = max(1.0, self.passes)
        rounded = f"{passes:,.{0 if passes >= 9.95 else 1}f}".removesuffix(".0")
        if rounded == f"{shifts:,}" or passes > shifts:
            words = f"{shifts:,} forward passes' work: nothing is shared"
        else:
            whose = "one forward pass's" if rounded == "1" else f"{rounded} forward passes'"
            words = f"about {whose} work instead of {shifts:,}"
        return words + (f", {self.share:.0%} of it in {self.largest}" if self.largest else "")


def flops(equation: Equation) -> int:
    """Floating-point operations of an equation for one shift; multiply and add count as two."""
    known = REGISTERED.get(equation.primitive)
    if known is not None and known.moves_only:
        return 0
    if known is not None and known.flops is not None:
        return known.flops(equation)
    return max(math.prod(aval.shape) for aval in equation.in_avals + equation.out_avals)


def flops_of_body(equation: Equation) -> int:
    """Operations of the body of a call, in all rounds of a loop of known length."""
    body, _ = open_jaxpr(equation.params.get("jaxpr") or equation.params["call_jaxpr"])
    rounds: int = equation.params.get("length", 1)
    once = [
        flops(
            Equation(
                primitive=eqn.primitive,
                params=eqn.params,
                ins=(),
                outs=(),
                in_avals=tuple(v.aval for v in eqn.invars),
                out_avals=tuple(v.aval for v in eqn.outvars),
                source=None,  # type: ignore[arg-type]
            )
        )
        for eqn in body.eqns
        if eqn.outvars
    ]
    return rounds * sum(once)


def elements(torus: Torus, value: Value) -> int:
    """Stored elements of a value at all shifts."""
    if value.is_constant:
        return math.prod(value.shape)
    return math.prod(stored_shape(torus, value))


def shared_flops(torus: Torus, equation: Equation, operands: Sequence[Value], result: Value) -> int:
    """Operations for all shifts, when each distinct element of the result is computed once."""
    if equation.primitive is primitives.dot_general_p:
        contracted, _ = equation.params["dimension_numbers"]
        for value, dims in zip(operands, contracted, strict=True):
            windows = [
                f
                for dim in dims
                for f in value.dims[dim]
                if isinstance(f, Window) and is_broken(torus, result, f.axis)
            ]
            if windows:
                return _correlation_flops(torus, equation, value, dims, windows)
    size = max(1, math.prod(equation.out_avals[0].shape))
    once: float = flops(equation)
    if equation.primitive is primitives.conv_general_dilated_p:
        once *= _taps_left(torus, equation, operands[0])
    return int(once * elements(torus, result) / size)


def _taps_left(torus: Torus, equation: Equation, image: Value) -> float:
    """The part of a kernel's taps that read positions of their own."""
    params, kernel = equation.params, equation.in_avals[1]
    if not adds_up(kernel.dtype, params):
        return 1.0
    geometries = geometries_of_convolution(params, kernel.shape)
    circular = on_torus(torus, image, params, geometries)
    taps, left = (math.prod(geometry.extent for geometry in row) for row in (geometries, circular))
    return left / max(1, taps)


def _correlation_flops(
    torus: Torus, equation: Equation, moving: Value, dims: Sequence[int], windows: list[Window]
) -> int:
    """A product a frequency, and the transforms there and back; on tiny tori the sum itself."""
    sizes = [positions(torus, moving, w) for w in windows]
    places = math.prod(sizes)
    inner = math.prod(moving.shape[d] for d in dims) // math.prod(w.size for w in windows)
    rows_at_one_shift = math.prod(moving.shape[d] for d in range(len(moving.dims)) if d not in dims)
    columns = math.prod(equation.out_avals[0].shape) // max(1, rows_at_one_shift)
    rows = elements(torus, moving) // max(1, places * inner)
    if places <= DIRECT:
        return 2 * places**2 * rows * inner * columns
    frequencies = places // sizes[-1] * (sizes[-1] // 2 + 1)
    reach = places if places <= TOGETHER else sum(sizes)
    transforms = places * reach * (rows * inner + inner * columns + rows * columns)
    return 4 * frequencies * rows * inner * columns + 2 * transforms
