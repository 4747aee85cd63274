"""The translated arguments of an orbit: which shifts they have, and along which dimensions."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxinv.orbit.shift_set import OrbitMode, ShiftSet, shift_set
from jaxinv.shifts import check_axes


def shifts_of_arguments(
    values: Any,
    *,
    axes: Sequence[int],
    mode: OrbitMode,
    max_shift: int | Sequence[int] | None,
    shifts: Sequence[Sequence[int]] | None,
) -> tuple[ShiftSet, list[tuple[int, ...]]]:
    """The shifts of translated arguments, and the spatial dimensions of each of their leaves.

    Args:
      values: the translated arguments: any pytree of arrays.
      axes: their spatial axes.
      mode: what enters at the border.
      max_shift: as in `shift_set`.
      shifts: as in `shift_set`.

    Returns:
      The set of shifts, and one tuple of dimensions per leaf.

    Raises:
      ValueError: if there are no arrays, a leaf lacks an axis, or the leaves differ in size.

    Example:
      >>> import numpy as np
      >>> chosen, dims = shifts_of_arguments(
      ...     np.ones((8, 5, 6, 3)), axes=(1, -2), mode="wrap", max_shift=None, shifts=None)
      >>> chosen.shape, dims
      ((5, 6), [(1, 2)])
    """
    leaves = jax.tree.leaves(values)
    if not leaves:
        raise ValueError("the translated argument holds no arrays")
    dims = [check_axes(axes, np.ndim(leaf), "the translated argument") for leaf in leaves]
    sizes = [tuple(leaf.shape[d] for d in dim) for leaf, dim in zip(leaves, dims, strict=True)]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"the translated arrays differ in size along axes {tuple(axes)}: "
            f"{' and '.join(map(str, sorted(set(sizes))))}; they must move together"
        )
    return shift_set(sizes[0], mode=mode, max_shift=max_shift, shifts=shifts), dims
