"""One batch on several devices."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array


def data_mesh(batch_size: int) -> Mesh | None:
    """A mesh of as many local devices as divide the smallest batch evenly; None for one."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    if count == 1:
        return None
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=devices[:count])


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Puts arrays on every device of the mesh (the default device without one)."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def spread(tree: Any, mesh: Mesh | None, *, dim: int = 0) -> Any:
    """Puts arrays on the devices of the mesh, a dimension (the first one) split over them.

    Example:
      >>> images = spread(jnp.zeros((8, 4, 4, 1)), data_mesh(8))
      >>> len(images.devices()) == min(8, jax.local_device_count())
      True
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*[None] * dim, "data")))


def shard_batch(mesh: Mesh | None) -> Callable[[Array], Array]:
    """A function, for use under jit, that splits the first dimension over the devices."""
    if mesh is None:
        return lambda batch: batch
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return lambda batch: jax.lax.with_sharding_constraint(batch, sharding)


def padded_to_devices(batch_size: int, mesh: Mesh | None) -> int:
    """The smallest batch from `batch_size` up that the devices share evenly."""
    count = 1 if mesh is None else mesh.size
    return math.ceil(batch_size / count) * count
