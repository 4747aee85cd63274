"""What an equation costs, from shapes: for one shift, and for all shifts shared."""

import math
from collections.abc import Sequence

from jax.extend.core import primitives

from jaxinv.symmetry.correlation import DIRECT, TOGETHER
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.values import Torus, Value, Window, is_broken, positions, stored_shape

_FREE = {
    primitives.reshape_p,
    primitives.squeeze_p,
    primitives.broadcast_in_dim_p,
    primitives.transpose_p,
    primitives.slice_p,
    primitives.concatenate_p,
    primitives.convert_element_type_p,
    primitives.copy_p,
    primitives.stop_gradient_p,
}
_POOLS = {
    primitives.reduce_window_max_p,
    primitives.reduce_window_min_p,
    primitives.reduce_window_sum_p,
}


def flops(equation: Equation) -> int:
    """Floating-point operations of an equation for one shift; multiply and add count as two."""
    out = math.prod(equation.out_avals[0].shape)
    if equation.primitive is primitives.conv_general_dilated_p:
        kernel = equation.in_avals[1].shape
        features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2 * out * (math.prod(kernel) // max(1, features))
    if equation.primitive is primitives.dot_general_p:
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * out * math.prod(equation.in_avals[0].shape[d] for d in contracted)
    if equation.primitive in _POOLS:
        return out * math.prod(equation.params["window_dimensions"])
    if equation.primitive in _FREE:
        return 0
    inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
    if inner is not None:
        body = getattr(inner, "jaxpr", inner)
        rounds = equation.params.get("length", 1)
        return rounds * sum(_flops_of_jaxpr_eqn(e) for e in body.eqns)
    return max(out, *(math.prod(aval.shape) for aval in equation.in_avals), 0)


def _flops_of_jaxpr_eqn(eqn) -> int:
    view = Equation(
        primitive=eqn.primitive,
        params=eqn.params,
        ins=(),
        outs=(),
        in_avals=tuple(v.aval for v in eqn.invars),
        out_avals=tuple(v.aval for v in eqn.outvars),
        source=None,  # type: ignore[arg-type]
    )
    return flops(view) if eqn.outvars else 0


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
    return int(flops(equation) * elements(torus, result) / size)


def _is_contracted(equation: Equation, operands: Sequence[Value], axis: int) -> bool:
    """Whether positions are summed over; as batch dimensions (unshared weights) they are not."""
    contracted, _ = equation.params["dimension_numbers"]
    rows = [v.dims[d] for v, dims in zip(operands, contracted, strict=True) for d in dims]
    return any(isinstance(f, Window) and f.axis == axis for row in rows for f in row)


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
