"""What the metrics ask of arrays: numbers to be compared, indices in range."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array

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


def as_index(origin: Sequence[int]) -> tuple[int, ...]:
    """The entries of an index of a shift; raises ValueError for a single number."""
    try:
        return tuple(origin)
    except TypeError:
        raise ValueError(f"origin is {origin!r}; allowed is one whole number per axis") from None


def index_of(origin: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The index of a shift, which JAX would move inside where it is out of range.

    Raises:
      ValueError: if an entry is out of range.
    """
    index = per_axis(as_index(origin), len(shape), "origin")
    if any(not 0 <= i < size for i, size in zip(index, shape, strict=True)):
        raise ValueError(f"origin is {index}; allowed are indices of {tuple(shape)} shifts, from 0")
    return index
