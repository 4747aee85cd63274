"""The translated arguments of an orbit: which shifts they have, and along which dimensions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxinv.arguments import check_argnums
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


class Seen(NamedTuple):
    """Arguments as the function sees them at each shift, and where they come from.

    Attributes:
      args: the arguments; those translated as shapes of the window that is seen.
      chosen: the shifts.
      lengths: positions along each axis of what is translated.
    """

    args: tuple
    chosen: ShiftSet
    lengths: tuple[int, ...]


def seen_arguments(args: tuple, *, argnums: int | Sequence[int], **options: Any) -> Seen:
    """The arguments of a function as it sees them at each shift.

    Args:
      args: positional arguments.
      argnums: which of them are translated.
      **options: those of `shifts_of_arguments`.

    Raises:
      ValueError: as `shifts_of_arguments`, and if `argnums` names no argument.

    Example:
      >>> import numpy as np
      >>> seen = seen_arguments((2.0, np.ones((1, 8, 8))), argnums=1, axes=(1, 2), mode="crop",
      ...     max_shift=1, shifts=None)
      >>> seen.args[1].shape, seen.lengths
      ((1, 6, 6), (8, 8))
    """
    moved = check_argnums(argnums, len(args))
    chosen, dims = shifts_of_arguments([args[i] for i in moved], **options)
    leaves, tree = jax.tree.flatten([args[i] for i in moved])
    seen = []
    for leaf, dim in zip(leaves, dims, strict=True):
        shape = list(leaf.shape)
        for d, size in zip(dim, chosen.sizes, strict=True):
            shape[d] = size
        seen.append(jax.ShapeDtypeStruct(tuple(shape), leaf.dtype))
    given = list(args)
    for i, value in zip(moved, jax.tree.unflatten(tree, seen), strict=True):
        given[i] = value
    return Seen(tuple(given), chosen, tuple(leaves[0].shape[d] for d in dims[0]))
