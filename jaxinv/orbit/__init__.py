"""Runs a function at every translation of its argument."""

from collections.abc import Callable, Sequence

from jaxinv.orbit.every_shift import every_shift
from jaxinv.orbit.shift_set import OrbitMode, ShiftSet, shift_set

__all__ = ["ShiftSet", "every_shift", "orbit", "shift_set"]


def orbit(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    mode: OrbitMode = "wrap",
    max_shift: int | Sequence[int] | None = None,
    shifts: Sequence[Sequence[int]] | None = None,
    chunk: int | None = None,
    share: bool = True,
) -> Callable:
    """Transforms `fun` into the function that evaluates it at each translation of its argument.

    See `every_shift`, which does the work and documents the options, the result and the errors.
    Every shift is evaluated on its own, whatever `share` says.

    Args:
      fun: the function.
      argnums: its translated arguments.
      axes: their spatial dimensions.
      mode: what enters at the border.
      max_shift: the largest shift along each axis.
      shifts: only these shifts.
      chunk: number of shifts evaluated together.
      share: permission to compute values common to several shifts once.

    Returns:
      A function of the same arguments whose outputs have leading axes for the shifts.

    Raises:
      ValueError: as `every_shift`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(orbit(jnp.sum, axes=(0,))(jnp.array([1.0, 2.0])))
      [3. 3.]
    """
    del share
    return every_shift(
        fun,
        argnums=argnums,
        axes=axes,
        mode=mode,
        max_shift=max_shift,
        shifts=shifts,
        chunk=chunk,
    )
