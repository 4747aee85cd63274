"""How far two results of the same computation may differ: the only place for tolerances."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxinv.arguments import number_or_nan
from jaxinv.symmetry.program import inner_jaxprs, open_jaxpr

# Relative spacing of the significand with which a matrix product reads float32 operands, by the
# setting jax_default_matmul_precision; None is the platform's default.
_TF32, _BF16, _FLOAT32 = 2.0**-10, 2.0**-7, 2.0**-23
_SPACING = {
    "gpu": {None: _TF32, "default": _TF32, "fastest": _TF32, "high": _TF32, "bfloat16": _BF16},
    "tpu": {None: _BF16, "default": _BF16, "fastest": _BF16, "high": 2.0**-16, "bfloat16": _BF16},
}
_SPACING_BY_NAME = {
    "tensorfloat32": _TF32,
    "bfloat16_3x": 2.0**-16,
    "tf32_tf32_f32": _TF32,
    "bf16_bf16_f32": _BF16,
    "bf16_bf16_bf16": _BF16,
    "f16_f16_f32": _TF32,
    "f16_f16_f16": _TF32,
    "bf16_bf16_f32_x3": 2.0**-16,
}

# The largest tolerance, relative and absolute each. Together they allow 2.5% of the largest output:
# half of the 5% that have to be seen in every dtype, so that as much again is left to rounding
# (0.4% at a time in bfloat16). What bfloat16's rounding errors might add up to in 32 layers, 70%,
# would tell nothing apart.
LARGEST = 0.0125


def tolerance(dtype: DTypeLike, *, depth: int = 32) -> tuple[float, float]:
    r"""Relative and absolute tolerance between two evaluations that differ only in rounding.

    .. math::

      \mathrm{rtol} = \min(16 \, \epsilon \sqrt{\mathrm{depth}}, \; 0.0125)

    with `epsilon` the spacing of the dtype, or that of the matrix products where it is wider:
    TF32 on GPUs and bfloat16 on TPUs, unless `jax_default_matmul_precision` says otherwise.
    Rounding errors of successive layers are nearly independent, so the root is taken; 16 covers
    the worst of the many entries that are compared. Float32 on a CPU gives about 1e-5. Wider
    tolerances than `LARGEST` would no longer tell results apart: in bfloat16, and on matrix
    products in TF32, rounding errors of deep networks may exceed it.

    Args:
      dtype: dtype of the compared arrays.
      depth: number of layers between input and output.

    Returns:
      `(rtol, atol)`, the same number twice, used as `|a - b| <= atol * scale + rtol * |b|`, where
      `scale` is the largest magnitude in `b`: a small entry of a large array carries the array's
      rounding error. Zero for whole numbers and booleans.

    Raises:
      ValueError: if depth is below 1, or the dtype is no number.

    Example:
      >>> rtol, atol = tolerance("float64", depth=1)
      >>> print(f"{rtol:.1e}")
      3.6e-15
      >>> tolerance("int32")
      (0.0, 0.0)

    Reference:
      Higham and Mary, "A new approach to probabilistic rounding error analysis" (2019),
      https://doi.org/10.1137/18M1226312: errors grow with the square root of their number.
    """
    if not number_or_nan(depth) >= 1:
        raise ValueError(f"depth is {depth}; allowed are numbers from 1")
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.bool_):
        return 0.0, 0.0
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(f"dtype is {dtype}; allowed are numbers and booleans")
    spacing = float(jnp.finfo(dtype).eps)
    if _is_multiplied_coarsely(dtype):
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
        spacing = max(spacing, _matmul_spacing(precision))
    bound = min(rounding(spacing, depth=depth), LARGEST)
    return bound, bound


def rounding(spacing: float, *, depth: int) -> float:
    """What rounding errors may add up to in `depth` layers, however much that is.

    Example:
      >>> f"{rounding(2.0**-7, depth=32):.2f}"  # bfloat16
      '0.71'
    """
    return 16 * spacing * math.sqrt(depth)


def spacing_of(program: Any) -> float:
    """The widest relative spacing to which a program rounds, in its values and matrix products.

    A network that computes in bfloat16 and returns float32 has the rounding errors of bfloat16. The
    program is what `jax.make_jaxpr` returned, traced with the setting of
    `jax_default_matmul_precision` that it will run with; 0 where there are only whole numbers and
    booleans.

    Example:
      >>> spacing_of(jax.make_jaxpr(lambda x: x.astype("bfloat16") * 2.0)(jnp.ones(3)))
      0.0078125
    """
    widest = 0.0
    for equation in open_jaxpr(program)[0].eqns:
        dtypes = [v.aval.dtype for v in equation.outvars if hasattr(v.aval, "dtype")]
        real = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact)]
        widest = max([widest, *(float(jnp.finfo(dtype).eps) for dtype in real)])
        if "precision" in equation.params and any(map(_is_multiplied_coarsely, real)):
            pinned = equation.params["precision"]
            pinned = pinned if isinstance(pinned, tuple) else (pinned,)
            widest = max([widest, *map(_matmul_spacing, pinned)])
        if "mantissa_bits" in equation.params:  # reduce_precision
            widest = max(widest, 2.0 ** -equation.params["mantissa_bits"])
        for inner in inner_jaxprs(equation.params):
            widest = max(widest, spacing_of(inner))
    return widest


def _is_multiplied_coarsely(dtype) -> bool:
    """Whether matrix products may read the dtype in fewer bits than it has."""
    return dtype.itemsize < 8 or dtype == jnp.complex64


def _matmul_spacing(precision: Any) -> float:
    """The spacing of matrix products in a setting, an enumerated precision or an algorithm."""
    if precision is not None:
        precision = getattr(precision, "name", str(precision)).lower()
    if precision in _SPACING_BY_NAME:
        return _SPACING_BY_NAME[precision]
    backend = jax.default_backend()
    platform = "gpu" if backend in ("gpu", "cuda", "rocm") else backend
    # A CPU multiplies float32 as float32.
    return _SPACING.get(platform, {}).get(precision, _FLOAT32)
