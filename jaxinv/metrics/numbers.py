"""Arrays as numbers to compute with: wide enough, not empty, and norms of any magnitude."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact, per_axis


def two_alike(first: Any, second: Any, what: str) -> tuple[Array, Array]:
    """Two arrays of numbers to be compared, see `as_inexact`: of one shape, and not empty.

    Raises:
      ValueError: if the shapes differ or nothing is there to compare.

    Example:
      >>> import jax.numpy as jnp
      >>> [v.dtype.name for v in two_alike(jnp.ones(2, "uint8"), jnp.ones(2, "bfloat16"), "maps")]
      ['float32', 'float32']
    """
    one, other = as_inexact(first, what), as_inexact(second, what)
    if one.shape != other.shape:
        raise ValueError(
            f"{what} have shapes {one.shape} and {other.shape}; allowed are two of one shape"
        )
    if one.size == 0:
        raise ValueError(f"{what} have shape {one.shape}; there is nothing to compare")
    return one, other


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
    axis = axis if axis is None or isinstance(axis, int) else tuple(axis)
    # The norm does not depend on this scale, so neither does its derivative.
    largest = lax.stop_gradient(jnp.max(jnp.abs(values), axis=axis, keepdims=True, initial=0))
    unit = divided(values, largest)
    squares = jnp.sum(jnp.real(unit * jnp.conj(unit)), axis=axis, keepdims=True)
    lengths = largest * jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    return lengths if keepdims else jnp.squeeze(lengths, _axes(axis, values.ndim))


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


def index_of(origin: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The index of a shift, which JAX would move inside where it is out of range.

    Raises:
      ValueError: if an entry is out of range.
    """
    index = per_axis(tuple(origin), len(shape), "origin")
    if any(not 0 <= i < size for i, size in zip(index, shape, strict=True)):
        raise ValueError(f"origin is {index}; allowed are indices of {tuple(shape)} shifts, from 0")
    return index


def is_known(*values: Any) -> bool:
    """Whether values can be looked at: not while JAX traces a function of them."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def _axes(axis, rank):
    return tuple(range(rank)) if axis is None else axis
