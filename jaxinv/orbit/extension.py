"""One extended image, from which every shift reads a window."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Shaped

from jaxinv.orbit.shift_set import ShiftSet


def extend(x: Shaped[Array, "..."], dims: Sequence[int], shifts: ShiftSet) -> Shaped[Array, "..."]:
    """Adds to each spatial dimension what any of the shifts brings in.

    Args:
      x: an image; for `mode="crop"` the larger one, which is returned as it is.
      dims: its spatial dimensions.
      shifts: the shifts.

    Returns:
      The extended image. `window` reads the shifts off it.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.orbit.shift_set import shift_set
      >>> print(extend(jnp.array([1, 2, 3]), (0,), shift_set((3,))))
      [2 3 1 2 3]
    """
    if shifts.mode == "crop":
        return x
    margins = dict(zip(dims, shifts.margins(), strict=True))
    pad: Callable = functools.partial(
        jnp.pad, pad_width=[margins[d] for d in sorted(dims)], mode=shifts.mode
    )
    # Along dimensions with no margin numpy's padding still reads the ends, those of the batch,
    # which may lie on different devices.
    for dim in range(x.ndim):
        if dim not in dims:
            pad = jax.vmap(pad, in_axes=dim, out_axes=dim)
    return pad(x)


def window(
    extended: Shaped[Array, "..."],
    dims: Sequence[int],
    shifts: ShiftSet,
    shift: Int[Array, " axes"],
) -> Shaped[Array, "..."]:
    """The image moved by one of the shifts: a window of the extended image.

    Args:
      extended: what `extend` returned.
      dims: its spatial dimensions.
      shifts: the shifts.
      shift: one of them, in pixels; may be traced.

    Returns:
      The moved image, of `shifts.sizes` positions.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.orbit.shift_set import shift_set
      >>> shifts = shift_set((3,))
      >>> wide = extend(jnp.array([1, 2, 3]), (0,), shifts)
      >>> print(window(wide, (0,), shifts, jnp.array([1])))
      [3 1 2]
    """
    starts = [jnp.zeros((), jnp.int32)] * extended.ndim
    shape = list(extended.shape)
    for axis, (dim, (before, _)) in enumerate(zip(dims, shifts.margins(), strict=True)):
        starts[dim] = before - shifts.moves(axis, shift[axis])
        shape[dim] = shifts.sizes[axis]
    # XLA merges a slice at a place that is not known with one of the function's own, and loses
    # the bounds of the inner one (docs/method.md shows it).
    return lax.optimization_barrier(lax.dynamic_slice(extended, starts, shape))
