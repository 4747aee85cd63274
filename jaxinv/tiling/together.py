"""Several tiles at once, each on its own device."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxinv.arguments import StaticArguments, split_arguments
from jaxinv.devices import data_mesh, replicate, spread


def devices_used() -> int:
    """How many devices evaluate tiles: all of this process, or the one that was chosen."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return 1 if chosen is not None else jax.local_device_count()


def for_several(fun: Callable) -> Callable[..., list[jax.Array]]:
    """A function of tiles as one program, however many devices there are.

    Returns:
      A function of the mesh of the devices (None for one), of the arguments that are no arrays, of
      which of those that are arrays are tiles, and of the arrays. Where there is a mesh, tiles have
      a leading dimension of one tile a device, and so have the outputs.
    """

    def several(
        mesh: Mesh | None, static: StaticArguments, cut: tuple[bool, ...], arrays: Sequence[Any]
    ) -> list[jax.Array]:
        def of_one(*given):
            return jax.tree.leaves(static.call(fun, given))

        if mesh is None:
            return of_one(*arrays)

        def on_each(*given):
            one = [a[0] if is_cut else a for a, is_cut in zip(given, cut, strict=True)]
            return [made[None] for made in of_one(*one)]

        each, all_of_it = PartitionSpec("data"), PartitionSpec()
        # The function need not say what differs between devices: nothing of it is exchanged.
        return jax.shard_map(
            on_each,
            mesh=mesh,
            in_specs=tuple(each if is_cut else all_of_it for is_cut in cut),
            out_specs=each,
            check_vma=False,
        )(*arrays)

    return jax.jit(several, static_argnums=(0, 1, 2))


class Together:
    """A function of tiles with its other arguments, which lie on all devices that are used.

    Attributes:
      count: how many tiles are evaluated at once.
    """

    def __init__(self, run: Callable, args: tuple, kwargs: dict[str, Any], *, tiles: int):
        """Brings the arguments to the devices.

        Args:
          run: what `for_several` returned.
          args: the arguments, with a `jax.ShapeDtypeStruct` for each array that is cut.
          kwargs: those by name.
          tiles: how many tiles there are in all.
        """
        leaves, self._static = split_arguments(args, kwargs)
        self._cut = tuple(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
        self._run = run
        self._mesh = data_mesh(max(1, min(tiles, devices_used())))
        self.count = 1 if self._mesh is None else self._mesh.size
        self._given = [
            leaf if is_cut else replicate(leaf, self._mesh)
            for leaf, is_cut in zip(leaves, self._cut, strict=True)
        ]

    def __call__(self, tiles: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """The outputs for each of some tiles, of which there are no more than `count`.

        Args:
          tiles: for each tile what is cut, in the order of the arguments.
        """
        if self._mesh is None:
            stacked = list(tiles[0])
        else:
            # Devices for which nothing is left repeat the last tile.
            rows = [*tiles, *[tiles[-1]] * (self.count - len(tiles))]
            stacked = [spread(np.stack(column), self._mesh) for column in zip(*rows, strict=True)]
        rest = iter(stacked)
        arrays = [
            next(rest) if is_cut else leaf
            for leaf, is_cut in zip(self._given, self._cut, strict=True)
        ]
        made = list(map(np.asarray, self._run(self._mesh, self._static, self._cut, arrays)))
        if self._mesh is None:
            return [made]
        return [[array[row] for array in made] for row in range(len(tiles))]
