"""Checks that all layers share: arguments for each spatial axis, errors that name the layer."""

import contextlib
from collections.abc import Iterator, Sequence

import flax.linen as nn
import numpy as np
from jaxtyping import Array


def spatial_rank(x: Array) -> int:
    """Number of spatial axes of `x`: all but the first (batch) and the last (channels).

    Args:
      x: an array `(n, *spatial, c)`.

    Returns:
      The number of spatial axes, at least 1.

    Raises:
      ValueError: if `x` has no spatial axis.

    Example:
      >>> import jax.numpy as jnp
      >>> spatial_rank(jnp.zeros((1, 8, 8, 3)))
      2
    """
    if x.ndim < 3:
        raise ValueError(
            f"input has shape {x.shape}; needed is (batch, one or more axes, channels)"
        )
    return x.ndim - 2


def per_axis(value: int | Sequence[int], rank: int, what: str, minimum: int = 1) -> tuple[int, ...]:
    """One integer per spatial axis, from one for all of them or a sequence.

    Args:
      value: an integer, or one for each spatial axis.
      rank: the number of spatial axes.
      what: the argument's name, for the error.
      minimum: the smallest value allowed.

    Returns:
      `rank` integers.

    Raises:
      ValueError: if the length or a value is not allowed.

    Example:
      >>> per_axis(2, 3, "stride")
      (2, 2, 2)
    """
    values = (value,) * rank if isinstance(value, int | np.integer) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"{what} is {values} for {rank} spatial axes; give one integer, or {rank}")
    if any(int(v) != v or v < minimum for v in values):
        raise ValueError(f"{what} is {value}; allowed are integers from {minimum}")
    return tuple(int(v) for v in values)


@contextlib.contextmanager
def naming(module: nn.Module) -> Iterator[None]:
    """Puts the layer's class and its place in the model before the message of a ValueError.

    Args:
      module: the linen module whose work is done in the `with` block.

    Yields:
      Nothing.

    Raises:
      ValueError: the one raised inside, with the layer named.

    Example:
      >>> with naming(nn.Dense(3, name="head")):
      ...     per_axis(0, 2, "stride")
      Traceback (most recent call last):
      ValueError: Dense 'head': stride is 0; allowed are integers from 1
    """
    try:
        yield
    except ValueError as error:
        place = "/".join(module.path) if module.scope is not None else ""
        place = place or module.name or ""
        label = type(module).__name__ + (f" '{place}'" if place else "")
        raise ValueError(f"{label}: {error}") from error
