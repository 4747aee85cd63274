"""Several seeds in one program."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from jaxinv.symmetry.processor_convolution import quick_in_loops


def over_seeds(fun: Callable, *, mapped: int) -> Callable:
    """Applies `fun` to several networks at once: its first `mapped` arguments have a leading axis.

    On accelerators this is `jax.vmap`. On the processor a convolution with one kernel per network
    becomes a grouped one, for which XLA has no fast code there (four times slower, measured), so
    the networks follow one another in a loop; the results are the same to rounding.

    Example:
      >>> import jax.numpy as jnp
      >>> total = over_seeds(lambda a, b: a + b, mapped=1)
      >>> print(total(jnp.array([1.0, 2.0]), 10.0))
      [11. 12.]
    """

    def across(*args: Any) -> Any:
        def one(networks: tuple[Any, ...]) -> Any:
            return fun(*networks, *args[mapped:])

        if jax.default_backend() != "cpu":
            return jax.vmap(one)(args[:mapped])
        return lax.map(quick_in_loops(one), args[:mapped])

    return across
