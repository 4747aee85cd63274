"""How the devices divide a sweep: a shard of images each, and parts of the shifts where some idle.

Every device runs the program of a single one, so that its numbers are the same bit for bit. Only
where there are fewer shards than devices are the rows of shifts dealt out as well: device j takes
every p-th row from the j-th on. These are the shifts of the image moved by j, so that one program
serves all devices. Cosets of a period that p divides are then computed on one device only.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array

from jaxinv.orbit import ShiftSet, orbit
from jaxinv.orbit.extension import extend


@dataclasses.dataclass(frozen=True)
class Division:
    """How the local devices divide a sweep.

    Attributes:
      shards: how many shards of images are evaluated at once.
      parts: on how many devices each, with a part of the shifts.
    """

    shards: int = 1
    parts: int = 1

    @property
    def devices(self) -> list[Any]:
        """The devices that compute."""
        return jax.local_devices()[: self.shards * self.parts]

    @property
    def names(self) -> tuple[str, ...]:
        """The devices in words."""
        return tuple(map(str, self.devices))

    @property
    def mesh(self) -> Mesh:
        """The devices, by shard and by part of the shifts."""
        axes = {"data": self.shards, "shifts": self.parts}
        return jax.make_mesh(
            tuple(axes.values()),
            tuple(axes),
            axis_types=(AxisType.Auto,) * len(axes),
            devices=self.devices,
        )

    @property
    def part(self) -> Array | int:
        """On a device: the number of its part of the shifts."""
        return jax.lax.axis_index("shifts") if self.parts > 1 else 0

    def at(self, outputs: Array, row: int, column: int) -> Array:
        """On a device: the outputs at one of all shifts, from the device that has them."""
        own = outputs[row // self.parts, column]
        if self.parts == 1:
            return own
        return jax.lax.psum(jnp.where(self.part == row % self.parts, own, 0), "shifts")


def divide(shards: int, rows: int) -> Division:
    """The division of a number of shards, each at a number of rows of shifts.

    Example:
      >>> divide(1000, 65).shards == jax.local_device_count()
      True
    """
    devices = jax.local_device_count()
    at_once = min(devices, shards)
    longest = math.ceil(rows / (devices // at_once))
    return Division(at_once, math.ceil(rows / longest))


def part_of_shifts(
    apply: Callable,
    shifts: ShiftSet,
    parts: int,
    **options: Any,
) -> Callable[[Array, Array], Array]:
    """A function of images and j: the outputs at the rows j, j + parts, ... of the shifts.

    The same number of rows for each j; those past the last are without meaning.

    Args:
      apply: the network.
      shifts: all shifts, a grid, and what enters at the border.
      parts: the number of parts.
      **options: `chunk` and `share` of `jaxinv.orbit`.
    """
    down, right = shifts.rows
    steps = range(0, len(down), parts)
    if shifts.mode == "wrap":
        listed = [(down[0] + step, t) for step in steps for t in right]
        outputs_at = orbit(apply, shifts=listed, **options)
    else:
        # Windows of the image with all that any shift brings in.
        (reach,) = {*map(abs, (down[0], down[-1], right[0], right[-1]))}
        listed = [(step - reach, t) for step in steps for t in right]
        outputs_at = orbit(apply, mode="crop", max_shift=reach, shifts=listed, **options)

    def outputs(images: Array, part: Array) -> Array:
        wide = images if shifts.mode == "wrap" else extend(images, (1, 2), shifts)
        flat = outputs_at(jnp.roll(wide, part, axis=1))
        return jnp.reshape(flat, (len(steps), len(right), *flat.shape[1:]))

    return outputs


def over_devices(
    fun: Callable, division: Division, dims: dict[str, int], *, rows: int
) -> Callable[..., dict[str, np.ndarray]]:
    """Runs a function of the images and labels of a shard on all devices that compute.

    Args:
      fun: what each device runs; it returns arrays by name.
      division: which devices.
      dims: the dimension of each array that counts images. If that is not the first, the first
        counts rows of shifts.
      rows: of all parts of the shifts.

    Returns:
      A function of the images and labels of all shards that are evaluated at once.
    """
    if len(division.devices) == 1:
        compiled = jax.jit(fun)
    else:
        given = PartitionSpec("data")
        results = {n: PartitionSpec(*["shifts", None][:dim], "data") for n, dim in dims.items()}
        # Networks need not say which of their values differ between devices.
        local = jax.shard_map(
            fun, mesh=division.mesh, in_specs=given, out_specs=results, check_vma=False
        )
        compiled = jax.jit(local)

    def in_order(array: np.ndarray) -> np.ndarray:
        """Rows as they follow one another, of rows part by part."""
        split = array.reshape(division.parts, -1, *array.shape[1:])
        return split.swapaxes(0, 1).reshape(array.shape)[:rows]

    def everywhere(*arrays: np.ndarray) -> dict[str, np.ndarray]:
        made = {name: np.asarray(value) for name, value in compiled(*arrays).items()}
        if division.parts == 1:
            return made
        return {name: in_order(value) if dims[name] else value for name, value in made.items()}

    return everywhere
