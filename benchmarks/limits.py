"""What limits sharing where maps are padded, counted from a network's program."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend.core import primitives

from jaxinv.symmetry.cost import flops
from jaxinv.symmetry.tracing import trace
from jaxinv.symmetry.values import Value
from jaxinv.symmetry.walk import line_of, walk


def border_bound(fun: Callable, *args: Any, argnums: int, axes: Sequence[int]) -> float:
    """How many times fewer operations all circular shifts take, if only borders are new at each.

    A map of n positions along each axis, b of which have met padding, has `min(n, 1 + b)` distinct
    copies along an axis for n shifts of it. Convolutions count by their operations; where each is
    computed `min(n, 1 + b) ** 2` times instead of `n ** 2`, nothing is left to share.

    Args:
      fun: the network.
      *args: its arguments, or anything of their shapes and dtypes.
      argnums: which one is translated.
      axes: its spatial dimensions.

    Example:
      >>> import jax.numpy as jnp
      >>> from jax import lax
      >>> x, kernel = jnp.zeros((1, 1, 8)), jnp.ones((1, 1, 3))
      >>> blurred = lambda x: lax.conv(x, kernel, (1,), "SAME")
      >>> border_bound(blurred, x, argnums=0, axes=(2,)) == 8 / 3
      True
    """
    traced = trace(fun, args, argnums=argnums, axes=axes)
    at_each = distinct = 0.0
    for record in walk(traced, line_of(traced.sizes)).records:
        if record.equation.primitive is primitives.conv_general_dilated_p:
            once = flops(record.equation)
            at_each += once
            distinct += once * _share_that_is_new(record.results[0])
    return at_each / distinct


def _share_that_is_new(value: Value) -> float:
    """Distinct copies of a map, as a share of its positions."""
    share = 1.0
    for _, window in value.windows():
        lo, hi = window.interior
        share *= min(1.0, (1 + window.size - max(0, hi - lo)) / window.size)
    return share
