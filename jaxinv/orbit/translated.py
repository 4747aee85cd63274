"""The translated arguments of an orbit: which shifts they have, and along which dimensions."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxinv.arguments import check_argnums, hinting_at_the_image, of_shape
from jaxinv.orbit.shift_set import ShiftSet, shift_set
from jaxinv.shift_options import OrbitMode, check_axes, common_sizes


class Seen(NamedTuple):
    """Arguments as the function sees them at each shift, and where they come from.

    Attributes:
      args: the arguments; those translated as shapes of the window that is seen.
      shifts: the shifts.
      dims: the spatial dimensions of each leaf of the translated arguments.
    """

    args: tuple
    shifts: ShiftSet
    dims: list[tuple[int, ...]]


def seen_arguments(
    args: tuple,
    *,
    argnums: int | Sequence[int],
    axes: Sequence[int],
    mode: OrbitMode,
    max_shift: int | Sequence[int] | None,
    shifts: Sequence[Sequence[int]] | None,
) -> Seen:
    """The arguments of a function as it sees them at each shift.

    Args:
      args: positional arguments.
      argnums: which of them are translated.
      axes: their spatial axes.
      mode: what enters at the border.
      max_shift: as in `shift_set`.
      shifts: as in `shift_set`.

    Raises:
      ValueError: if `argnums` names no argument, there are no arrays, a leaf lacks an axis, or the
        leaves differ in size.

    Example:
      >>> import numpy as np
      >>> seen = seen_arguments((2.0, np.ones((1, 8, 8))), argnums=1, axes=(1, -1), mode="crop",
      ...     max_shift=1, shifts=None)
      >>> seen.args[1].shape, seen.shifts.shape, seen.dims
      ((1, 6, 6), (3, 3), [(1, 2)])
    """
    moved = check_argnums(argnums, len(args))
    leaves, tree = jax.tree.flatten([args[i] for i in moved])
    with hinting_at_the_image(args, moved, axes):
        sizes = common_sizes(leaves, axes, "the translated argument")
        dims = [check_axes(axes, np.ndim(leaf)) for leaf in leaves]
    chosen = shift_set(sizes, mode=mode, max_shift=max_shift, shifts=shifts)
    windows = []
    for leaf, dim in zip(leaves, dims, strict=True):
        shape = list(leaf.shape)
        for d, size in zip(dim, chosen.sizes, strict=True):
            shape[d] = size
        windows.append(of_shape(leaf, shape))
    seen = list(args)
    for i, value in zip(moved, jax.tree.unflatten(tree, windows), strict=True):
        seen[i] = value
    return Seen(tuple(seen), chosen, dims)
