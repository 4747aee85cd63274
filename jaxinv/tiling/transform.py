"""The transform: a function evaluated tile by tile."""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.arguments import check_callable, is_known, split_arguments
from jaxinv.shift_options import whole_axes
from jaxinv.tiling import arrays, journal, stored
from jaxinv.tiling.call import Call
from jaxinv.tiling.memory import bytes_for_a_tile
from jaxinv.tiling.plan import tiles_of
from jaxinv.tiling.together import devices_used, for_several


def tiled(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    tile: int | Sequence[int] | None = None,
    halo: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    exact: bool = True,
    out: Any = None,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Callable:
    r"""Transforms `fun` into the function that evaluates it tile by tile, and equals it.

    .. math::

      \mathrm{tiled}(\mathrm{fun})(x) = \mathrm{fun}(x)

    Tiles overlap by the halo that `jaxinv.tiling` states and start at multiples of its grid. At the
    image's border the tile's border is the image's, so a network's own padding stays. The last tile
    moves back to the end of the image, so all have one size and one program is compiled. The result
    is that of the whole image, to rounding; that it is, is proved before anything runs, and a
    function for which it is not is refused.

    Arrays of JAX are evaluated in one program (`lax.map`). Its derivatives compute each tile again
    (`jax.checkpoint`), so that activations of one tile are held at a time. Anything else that has a
    shape and a dtype and can be sliced (arrays of numpy, memory maps, zarr, h5py, dask,
    tensorstore) is read tile by tile, and what comes out is written tile by tile. Several local
    devices evaluate a tile each, outside `jax.jit`; `jax.default_device` chooses one alone.

    Args:
      fun: a function of images that `jax.jit` accepts, and whose outputs are maps of them: they may
        have another scale, channels and dtype.
      argnums: which positional arguments are cut, together: one number or several. They are arrays
        or pytrees of arrays with the same sizes along `axes`.
      axes: the spatial dimensions of the arrays that are cut; one, two or three, in any place.
      tile: positions of a tile along each axis, with its halo: a multiple of the grid, one number
        or one per axis, or the size of the image. Where the grid, or up to eight times the grid for
        a network that pads its image to multiples of that, does not divide the image, a tile is
        larger by the remainder. None takes the largest whose values fit into a quarter of the
        free memory of the device: those of a gradient for arrays of JAX, for others those that are
        held at a time.
      halo: positions that are lost at the first and the last end of a tile: one number, one per
        axis, or one pair per axis. None takes those that are proved to suffice.
      exact: False allows a smaller halo and leaves the proof out.
      out: what the outputs are written to, in their structure: anything of their shape that can be
        assigned to, but the image itself. None makes new arrays.
      resume: a file that notes which tiles are finished, beside an `out` that lasts. A run that
        finds it there goes on where the last one was interrupted: tiles that still stand in `out`
        as they were written are not evaluated again. The image has to be the same.
      progress: whether to show a bar of the tiles on a terminal, where they are written one by one.

    Returns:
      A function of the same arguments. For arrays of JAX it works under `jax.jit`, `jax.grad` and
      `jax.vmap` and returns such; for others it returns `out`, or arrays of numpy.

    Raises:
      ValueError: if `fun` is not callable, an option is unknown or out of range, an argument has no
        such axes, no halo suffices, `fun` reads the size of its image, `out` does not hold what is
        written to it, or `resume` is the file of another function, tile, halo or shape.

    Example:
      >>> import jax.numpy as jnp, numpy as np
      >>> from jaxinv.tiling import tiled
      >>> def blurred(x):
      ...     return (jnp.pad(x, ((0, 0), (1, 0)))[:, :-1] + x) / 2
      >>> x = np.arange(10.0, dtype=np.float32).reshape(1, 10)
      >>> print(tiled(blurred, tile=4, axes=(1,))(x))
      [[0.  0.5 1.5 2.5 3.5 4.5 5.5 6.5 7.5 8.5]]

    Reference:
      Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image
      segmentation" (2015), https://arxiv.org/abs/1505.04597, for overlapping tiles.
    """
    check_callable(fun)
    axes = whole_axes(axes)
    if resume is not None and not isinstance(resume, str | os.PathLike):
        raise ValueError(f"resume is {resume!r}; allowed is the path of a file")
    if resume is not None and out is None:
        raise ValueError("resume needs out=, in which finished tiles stand")
    notes = None if resume is None else Path(resume)
    plan = functools.partial(tiles_of, halo=halo, exact=exact)

    @functools.partial(jax.jit, static_argnums=0)
    def evaluate(static, leaves):
        args, kwargs = static.restore(leaves)
        call = Call(fun, args, kwargs, argnums, axes)
        room = bytes_for_a_tile(devices=1)
        tiles = plan(call, tile=tile, room=room, differentiated=True)
        return arrays.evaluated(call, tiles)

    whole, several = jax.jit(fun), for_several(fun)

    @functools.wraps(fun, updated=())
    def tile_by_tile(*args, **kwargs):
        call = Call(fun, args, kwargs, argnums, axes)
        leaves, static = split_arguments(args, kwargs)
        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
            raise ValueError("tiles are evaluated; give arrays, not shapes")
        if any(0 in getattr(leaf, "shape", ()) for leaf in call.leaves):
            return whole(*args, **kwargs)  # Nothing to cut.
        of_jax = out is None and all(isinstance(leaf, jax.Array) for leaf in call.leaves)
        if of_jax and not _helped_by_devices(call.leaves):
            return evaluate(static, leaves)
        room = bytes_for_a_tile(devices=devices_used())
        asked = journal.tile_of(notes) if tile is None and notes is not None else tile
        tiles = plan(call, tile=asked, room=room, differentiated=False)
        if _is_traced([*leaves, *tiles.program.constants.values()]):
            if out is not None or not all(map(_is_array, call.leaves)):
                raise ValueError(
                    "under jax.jit, jax.grad and jax.vmap, what is tiled is an array of JAX or "
                    "numpy, and there is no out"
                )
            return evaluate(static, leaves)
        made = stored.evaluated(call, tiles, several, out=out, resume=notes, progress=progress)
        return jax.device_put(made, *call.leaves[0].devices()) if of_jax else made

    return tile_by_tile


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _is_traced(values: Iterable[Any]) -> bool:
    """Whether a call is part of a program that is being traced."""
    # Under `jax.jit` all that is computed is traced, from constants as well.
    return not is_known(*values, jnp.zeros(()))


def _helped_by_devices(images: Sequence[jax.Array]) -> bool:
    """Whether arrays lie on one device and others are there as well."""
    if devices_used() == 1 or _is_traced(images):
        return False
    used = set().union(*(image.devices() for image in images))
    return len(used) == 1 and used <= set(jax.local_devices())
