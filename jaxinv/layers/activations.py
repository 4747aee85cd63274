"""Activations by name."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.layers.spatial import naming

POINTWISE: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}
ACTIVATIONS: tuple[str, ...] = tuple(POINTWISE)


class Activation(nn.Module):
    """An activation by name; pointwise ones commute with every integer shift.

    Attributes:
      kind: one of `ACTIVATIONS`, or any function of an array.

    Example:
      >>> import jax.numpy as jnp
      >>> Activation("relu").apply({}, jnp.array([-1.0, 2.0]))
      Array([0., 2.], dtype=float32)
    """

    kind: str | Callable[[Array], Array] = "relu"

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies the activation.

        Args:
          x: any array.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if the name is unknown.
        """
        if callable(self.kind):
            return self.kind(x)
        with naming(self):
            if self.kind not in POINTWISE:
                raise ValueError(
                    f"activation is {self.kind!r}; allowed are {', '.join(ACTIVATIONS)}"
                )
            return POINTWISE[self.kind](x)
