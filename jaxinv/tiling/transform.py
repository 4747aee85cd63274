"""The transform: a function evaluated tile by tile."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxinv.arguments import check_argnums, check_callable, split_arguments
from jaxinv.tiling import arrays, stored
from jaxinv.tiling.call import Call
from jaxinv.tiling.plan import tiles_of


def tiled(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    tile: int | Sequence[int] | None = None,
    halo: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
    exact: bool = True,
    out: Any = None,
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
    tensorstore) is read tile by tile, and what comes out is written tile by tile.

    Args:
      fun: a function of images that `jax.jit` accepts, and whose outputs are maps of them: they may
        have another scale, channels and dtype.
      argnums: which positional arguments are cut, together: one number or several. They are arrays
        or pytrees of arrays with the same sizes along `axes`.
      axes: the spatial dimensions of the arrays that are cut; one, two or three, in any place.
      tile: positions of a tile along each axis, with its halo: a multiple of the grid, one number
        or one per axis, or the size of the image. Where the grid does not divide the image, a tile
        is larger by the remainder. None takes 512, or eight times what is lost of a tile, or the
        image where it is smaller.
      halo: positions that are lost at the first and the last end of a tile: one number, one per
        axis, or one pair per axis. None takes those that are proved to suffice.
      exact: False allows a smaller halo and leaves the proof out.
      out: what the outputs are written to, in their structure: anything of their shape that can be
        assigned to. None makes new arrays.
      progress: whether to show a bar of the tiles on a terminal, where they are written one by one.

    Returns:
      A function of the same arguments. For arrays of JAX it works under `jax.jit`, `jax.grad` and
      `jax.vmap` and returns such; for others it returns `out`, or arrays of numpy.

    Raises:
      ValueError: if `fun` is not callable, an option is unknown or out of range, an argument has no
        such axes, no halo suffices, or `fun` reads the size of its image.

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
    plan = functools.partial(tiles_of, tile=tile, halo=halo, exact=exact)

    @functools.partial(jax.jit, static_argnums=0)
    def evaluate(static, leaves):
        args, kwargs = static.restore(leaves)
        call = Call(fun, args, kwargs, argnums, axes)
        return arrays.evaluated(call, plan(call))

    compiled = jax.jit(fun)

    @functools.wraps(fun, updated=())
    def tile_by_tile(*args, **kwargs):
        moved = check_argnums(argnums, len(args))
        images = jax.tree.leaves([args[i] for i in moved])
        if any(0 in getattr(leaf, "shape", ()) for leaf in images):
            return compiled(*args, **kwargs)  # Nothing to cut.
        if out is None and all(isinstance(leaf, jax.Array) for leaf in images):
            leaves, static = split_arguments(args, kwargs)
            return evaluate(static, leaves)
        call = Call(fun, args, kwargs, argnums, axes)
        tiles = plan(call)
        return stored.evaluated(call, tiles, compiled, out=out, progress=progress)

    return tile_by_tile
