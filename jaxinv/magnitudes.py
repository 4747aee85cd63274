"""Numbers of any magnitude: units in which no square overflows or vanishes, norms, quotients."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact, Num

from jaxinv.arguments import as_inexact


def magnitude(x: Inexact[Array, "..."], axis: Sequence[int]) -> Inexact[Array, "..."]:
    """The power of two nearest to the largest of some numbers, to measure them in.

    In these units no square overflows or vanishes, and the change of units rounds nothing. It has
    no derivative: what is measured does not depend on the units.

    Args:
      x: real or complex numbers.
      axis: the axes over which they belong together.

    Returns:
      The units, with these axes of size 1; 1 where all are zero or one is not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> magnitude(jnp.array([[3e4, -7e4], [0, 0]]), (1,)).tolist()
      [[65536.0], [1.0]]
    """
    largest = lax.stop_gradient(jnp.max(jnp.abs(x), axis=tuple(axis), keepdims=True, initial=0))
    info = jnp.finfo(largest.dtype)
    power = lax.reduce_precision(largest, exponent_bits=info.nexp, mantissa_bits=0)
    # XLA on CPU divides by a larger one through its reciprocal, which it takes for zero.
    power = jnp.clip(power, info.tiny, 2.0 ** (info.maxexp - 2))
    return jnp.where(jnp.isfinite(largest) & (largest > 0), power, 1)


def norm(
    values: Num[Array, "..."], *, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Float[Array, "..."]:
    """Euclidean norm of numbers of any magnitude: their squares neither overflow nor vanish.

    NaN where a number is not finite. The gradient at zero is zero.

    Example:
      >>> import jax.numpy as jnp
      >>> print(norm(jnp.array([3e30, 4e30])), norm(jnp.full((5, 256), 256, "float16")).round())
      5e+30 9159.0
    """
    values = as_inexact(values)
    axes = range(values.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    unit = magnitude(values, axes)
    parts = values / unit
    squares = jnp.sum(jnp.real(parts * jnp.conj(parts)), axis=tuple(axes), keepdims=True)
    lengths = unit * jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    lengths = jnp.where(jnp.isfinite(squares), lengths, jnp.nan)
    return lengths if keepdims else jnp.squeeze(lengths, tuple(axes))


def directions(values: Num[Array, "n features"]) -> Num[Array, "n features"]:
    """Each row divided by its norm, which itself may overflow; rows of zeros stay.

    Example:
      >>> print(directions(jnp.array([[3e38, 3e38], [0, 0]])).round(3))
      [[0.707 0.707]
       [0.    0.   ]]
    """
    parts = values / magnitude(values, (-1,))
    return divided(parts, norm(parts, axis=-1, keepdims=True))


def quotient(distance: Float[Array, "..."], scale: Float[Array, "..."]) -> Float[Array, "..."]:
    """A distance in units of a scale, or as it is where the scale is zero; NaN if not finite."""
    ratio = divided(distance, scale)
    return jnp.where(jnp.isfinite(distance) & jnp.isfinite(scale), ratio, jnp.nan)


def divided(values: Num[Array, "..."], scale: Float[Array, "..."]) -> Num[Array, "..."]:
    """Numbers in units of a scale, or as they are where the scale is zero.

    Args:
      values: numbers.
      scale: what to divide them by, of a shape that broadcasts.

    Returns:
      The quotients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(divided(jnp.array([1e38, 3e38]), jnp.array(2e38)))
      [0.5 1.5]
    """
    scale = jnp.where(scale == 0, 1, scale)
    # XLA on CPU divides by one number through its reciprocal, and takes that of 1e38 for zero.
    large = 2.0 ** (jnp.finfo(scale.dtype).maxexp - 2)
    smaller = jnp.where(scale > large, 0.25, 1).astype(scale.dtype)
    return (values * smaller) / (scale * smaller)
