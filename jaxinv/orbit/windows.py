"""One extended image, from which every shift reads a window."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Shaped

from jaxinv.orbit.shift_set import OrbitMode, ShiftSet


def extend(
    x: Shaped[Array, "..."], dims: Sequence[int], chosen: ShiftSet, mode: OrbitMode
) -> Shaped[Array, "..."]:
    """Adds to each spatial dimension what any of the shifts brings in.

    Args:
      x: an image; for `mode="crop"` the larger one, which is returned as it is.
      dims: its spatial dimensions.
      chosen: the shifts.
      mode: what enters at the border.

    Returns:
      The extended image. `window` reads the shifts off it.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.orbit.shift_set import shift_set
      >>> print(extend(jnp.array([1, 2, 3]), (0,), shift_set((3,)), "wrap"))
      [2 3 1 2 3]
    """
    if mode == "crop":
        return x
    margins = dict(zip(dims, _margins(chosen, mode), strict=True))
    pad: Callable = functools.partial(
        jnp.pad, pad_width=[margins[d] for d in sorted(dims)], mode=mode
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
    chosen: ShiftSet,
    mode: OrbitMode,
    shift: Int[Array, " axes"],
) -> Shaped[Array, "..."]:
    """The image moved by one of the shifts: a window of the extended image.

    Args:
      extended: what `extend` returned.
      dims: its spatial dimensions.
      chosen: the shifts.
      mode: what enters at the border.
      shift: one of them, in pixels; may be traced.

    Returns:
      The moved image, of `chosen.sizes` positions.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.orbit.shift_set import shift_set
      >>> chosen = shift_set((3,))
      >>> wide = extend(jnp.array([1, 2, 3]), (0,), chosen, "wrap")
      >>> print(window(wide, (0,), chosen, "wrap", jnp.array([1])))
      [3 1 2]
    """
    starts = [jnp.zeros((), jnp.int32)] * extended.ndim
    shape = list(extended.shape)
    for i, dim in enumerate(dims):
        size, length = chosen.sizes[i], extended.shape[dim]
        if mode == "crop":
            starts[dim] = (length - size) // 2 - shift[i]
        elif mode == "wrap":
            starts[dim] = _margins(chosen, mode)[i][0] - jnp.mod(shift[i], size)
        else:
            starts[dim] = _margins(chosen, mode)[i][0] - shift[i]
        shape[dim] = size
    # XLA merges a slice at a place that is not known with one of the function's own, and loses
    # the bounds of the inner one (docs/method.md shows it).
    return lax.optimization_barrier(lax.dynamic_slice(extended, starts, shape))


def _margins(chosen, mode):
    if mode != "wrap":
        return chosen.margins()
    # On the torus a shift of -1 is one of P - 1: everything comes in from the start.
    return tuple(
        (max(t % size for t in row), 0) for row, size in zip(chosen.rows, chosen.sizes, strict=True)
    )
