"""The arithmetic of indices in numpy: compiling it would take longer than all the analysis.

What numpy warns of, such as a division by zero or a number that its type cannot hold, XLA decides
in its own way, and so it does here.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import primitives


def _select(params, which, *cases):
    if len(cases) > 2:
        raise FloatingPointError("a case that is not there")
    return np.where(which, *cases[::-1])


def _broadcast(params, operand):
    shape = [1] * len(params["shape"])
    for size, dim in zip(operand.shape, params["broadcast_dimensions"], strict=True):
        shape[dim] = size
    return np.broadcast_to(operand.reshape(shape), params["shape"])


def _divide(params, x, y):
    if not np.issubdtype(x.dtype, np.integer):
        return np.divide(x, y)
    below = np.floor_divide(x, y)
    return below + ((below * y != x) & ((x < 0) != (y < 0)))  # XLA rounds towards zero.


def _convert(params, x):
    new = params["new_dtype"]
    if np.issubdtype(new, np.integer) and x.dtype.kind not in "iub":
        limits = np.iinfo(new)
        if not ((x >= limits.min) & (x <= limits.max)).all():
            raise FloatingPointError("a number that the type cannot hold")
    return x.astype(new)


def _iota(params):
    row = np.arange(params["shape"][params["dimension"]]).astype(params["dtype"])
    return _broadcast(params | {"broadcast_dimensions": (params["dimension"],)}, row)


def _pointwise(function: Callable) -> Callable:
    return lambda params, *operands: function(*operands)


_NUMPY: dict[Any, Callable] = {
    primitives.add_p: _pointwise(np.add),
    primitives.and_p: _pointwise(np.bitwise_and),
    primitives.ceil_p: _pointwise(np.ceil),
    primitives.clamp_p: _pointwise(lambda low, x, high: np.clip(x, low, high)),
    primitives.div_p: _divide,
    primitives.eq_p: _pointwise(np.equal),
    primitives.floor_p: _pointwise(np.floor),
    primitives.ge_p: _pointwise(np.greater_equal),
    primitives.gt_p: _pointwise(np.greater),
    primitives.le_p: _pointwise(np.less_equal),
    primitives.lt_p: _pointwise(np.less),
    primitives.max_p: _pointwise(np.maximum),
    primitives.min_p: _pointwise(np.minimum),
    primitives.mul_p: _pointwise(np.multiply),
    primitives.ne_p: _pointwise(np.not_equal),
    primitives.neg_p: _pointwise(np.negative),
    primitives.or_p: _pointwise(np.bitwise_or),
    primitives.sign_p: _pointwise(np.sign),
    primitives.sub_p: _pointwise(np.subtract),
    primitives.broadcast_in_dim_p: _broadcast,
    primitives.concatenate_p: lambda params, *x: np.concatenate(x, params["dimension"]),
    primitives.convert_element_type_p: _convert,
    primitives.iota_p: _iota,
    primitives.reshape_p: lambda params, x: np.reshape(x, params["new_sizes"]),
    primitives.rem_p: _pointwise(np.fmod),
    primitives.select_n_p: _select,
    primitives.squeeze_p: lambda params, x: np.squeeze(x, params["dimensions"]),
}


def has_numbers(aval) -> bool:
    """Whether numpy can hold a value; it cannot hold random keys."""
    return isinstance(getattr(aval, "dtype", None), np.dtype)


def _is_real(aval) -> bool:
    """Whether it is of an order that numpy and XLA agree on: complex numbers have two."""
    return has_numbers(aval) and not np.issubdtype(aval.dtype, np.complexfloating)


def evaluated(equation, operands: list[Any], number: int) -> Any:
    """The result of an equation that is value `number`, from concrete operands.

    An array of numpy, or of jax where it holds random keys.
    """
    function = _NUMPY.get(equation.primitive)
    if function is not None and all(map(_is_real, (*equation.in_avals, *equation.out_avals))):
        dtype = equation.out_avals[0].dtype
        with contextlib.suppress(FloatingPointError), np.errstate(all="raise", under="ignore"):
            return np.asarray(function(equation.params, *operands), dtype)
    at = equation.outs.index(number)
    with jax.ensure_compile_time_eval():
        result = equation.bind(*operands)[at]
    return np.asarray(result) if has_numbers(equation.out_avals[at]) else result
