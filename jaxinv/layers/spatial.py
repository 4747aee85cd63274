"""What all layers share: arguments for each spatial axis, precision, errors that name the layer."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped

from jaxinv import arguments
from jaxinv.arguments import as_inexact

_Function = TypeVar("_Function", bound=Callable[..., Any])

# XLA counts the steps and taps of windows in 32 bits.
LARGEST = 2**31 - 1
# Strides, windows and sizes of layers are at least one.
per_axis = functools.partial(arguments.per_axis, least=1, most=LARGEST)


def spatial_rank(x: Array) -> int:
    """Number of spatial axes of `x`: all but the first (batch) and the last (channels).

    Raises:
      ValueError: if there is none.
    """
    if not hasattr(x, "ndim"):
        raise ValueError(f"input is a {type(x).__name__}; needed is an array")
    if x.ndim < 3:
        raise ValueError(
            f"input has shape {x.shape}; needed is (batch, one or more axes, channels)"
        )
    return x.ndim - 2


def strided(
    x: Shaped[Array, "n *s c"], starts: Sequence[int], counts: Sequence[int], strides: Sequence[int]
) -> Shaped[Array, "n *t c"]:
    """Positions `start + stride * i` of each spatial axis, for `i < count`."""
    rows = zip(starts, counts, strides, strict=True)
    stops = [start + (count - 1) * stride + 1 for start, count, stride in rows]
    return lax.slice(x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *strides, 1))


def in_one_float(*arrays: Shaped[Array, "..."]) -> list[Array]:
    """Arrays in the floating point type that they have in common, float32 for whole numbers."""
    common = jnp.result_type(*arrays)
    if not jnp.issubdtype(common, jnp.inexact):
        common = as_inexact(jnp.zeros((), common)).dtype
    return [jnp.asarray(a).astype(common) for a in arrays]


def summed_in_float32(function: _Function) -> _Function:
    """Makes a function of a map compute in float32 at least.

    Sums in half precision lose digits or overflow, and weights that are fractions vanish in whole
    numbers. The result has the type of the map, float32 for whole numbers and booleans.

    Example:
      >>> import jax.numpy as jnp
      >>> summed_in_float32(lambda x: x / 2)(jnp.full((1, 2, 1), 3, jnp.uint8)).ravel()
      Array([1.5, 1.5], dtype=float32)
    """

    @functools.wraps(function)
    def wide(x, *args, **kwargs):
        spatial_rank(x)
        y = function(as_inexact(x, "input"), *args, **kwargs)
        return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else y

    return cast(_Function, wide)


@contextlib.contextmanager
def naming(module: nn.Module) -> Iterator[None]:
    """Puts the layer's class and its place in the model before the message of a ValueError.

    Example:
      >>> with naming(nn.Dense(3, name="head")):
      ...     per_axis(0, 2, "stride")
      Traceback (most recent call last):
      ValueError: Dense 'head': stride is 0; allowed are whole numbers from 1 to 2147483647
    """
    try:
        yield
    except ValueError as error:
        place = "/".join(module.path) if module.scope is not None else ""
        place = place or module.name or ""
        label = type(module).__name__ + (f" '{place}'" if place else "")
        raise ValueError(f"{label}: {error}") from error
