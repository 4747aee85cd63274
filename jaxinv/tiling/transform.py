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
    """Transforms `fun` into the function that evaluates it tile by tile, and equals it."""
    check_callable(fun)
    options = {"tile": tile, "halo": halo, "exact": exact}

    @functools.partial(jax.jit, static_argnums=0)
    def evaluate(static, leaves):
        args, kwargs = static.restore(leaves)
        call = Call(fun, args, kwargs, argnums, axes)
        return arrays.evaluated(call, tiles_of(call, **options))

    compiled = jax.jit(fun)

    @functools.wraps(fun, updated=())
    def tile_by_tile(*args, **kwargs):
        moved = check_argnums(argnums, len(args))
        images = jax.tree.leaves([args[i] for i in moved])
        if out is None and all(isinstance(leaf, jax.Array) for leaf in images):
            leaves, static = split_arguments(args, kwargs)
            return evaluate(static, leaves)
        call = Call(fun, args, kwargs, argnums, axes)
        tiles = tiles_of(call, **options)
        return stored.evaluated(call, tiles, compiled, out=out, progress=progress)

    return tile_by_tile


