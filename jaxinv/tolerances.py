"""How far two results of the same computation may differ: the only place for tolerances."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

# Relative spacing of the significand with which a matrix product reads float32 operands, by the
# setting jax_default_matmul_precision; None is the platform's default.
_TF32, _BF16, _FLOAT32 = 2.0**-10, 2.0**-7, 2.0**-23
_SPACING = {
    "gpu": {None: _TF32, "default": _TF32, "fastest": _TF32, "high": _TF32, "bfloat16": _BF16},
    "tpu": {None: _BF16, "default": _BF16, "fastest": _BF16, "high": 2.0**-16, "bfloat16": _BF16},
}
_SPACING_BY_NAME = {"tensorfloat32": _TF32, "bfloat16_3x": 2.0**-16}


def tolerance(dtype: DTypeLike, *, depth: int = 32) -> tuple[float, float]:
    r"""Relative and absolute tolerance between two evaluations that differ only in rounding.

    .. math::

      \mathrm{rtol} = 16 \, \epsilon \sqrt{\mathrm{depth}}

    with `epsilon` the spacing of the dtype, or that of the matrix products where it is wider:
    TF32 on GPUs and bfloat16 on TPUs, unless `jax_default_matmul_precision` says otherwise.
    Rounding errors of successive layers are nearly independent, hence the square root; 16 covers
    the worst of the many entries that are compared. Float32 on a CPU gives about 1e-5.

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
    if depth < 1:
        raise ValueError(f"depth is {depth}; allowed are numbers from 1")
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.bool_):
        return 0.0, 0.0
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(f"dtype is {dtype}; allowed are numbers and booleans")
    spacing = float(jnp.finfo(dtype).eps)
    if dtype.itemsize < 8 or dtype == jnp.complex64:
        spacing = max(spacing, _matmul_spacing())
    bound = 16 * spacing * math.sqrt(depth)
    return bound, bound


def _matmul_spacing() -> float:
    backend = jax.default_backend()
    platform = "gpu" if backend in ("gpu", "cuda", "rocm") else backend
    by_precision = _SPACING.get(platform)
    if by_precision is None:  # A CPU multiplies float32 as float32.
        return _FLOAT32
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return by_precision.get(precision) or _SPACING_BY_NAME.get(str(precision), _FLOAT32)
