"""One batch on several devices."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array


def data_mesh(batch_size: int) -> Mesh | None:
    """A mesh of as many local devices as divide the smallest batch evenly; None for one."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return None if count == 1 else _mesh(devices[:count])


def global_mesh(batch_size: int) -> Mesh | None:
    """A mesh of the devices of all processes, as many of each as divide a batch evenly.

    It is that of the local devices where there is one process.

    Raises:
      ValueError: the processes cannot divide the batch.
    """
    processes = jax.process_count()
    if processes == 1:
        return data_mesh(batch_size)
    if batch_size % processes:
        raise ValueError(
            f"batch_size is {batch_size}, of one accumulated part; it must be a multiple of "
            f"{processes}, the number of processes"
        )
    groups = [[d for d in jax.devices() if d.process_index == p] for p in range(processes)]
    least = min(map(len, groups))
    count = max(n for n in range(1, least + 1) if batch_size % (n * processes) == 0)
    return _mesh([device for group in groups for device in group[:count]])


def _mesh(devices: list) -> Mesh:
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def own_rows(count: int, mesh: Mesh | None) -> slice:
    """The rows of a batch that lie on the devices of this process, on a mesh of all processes.

    Example:
      >>> own_rows(8, None)
      slice(0, 8, None)
    """
    if mesh is None:
        return slice(0, count)
    numbers = [i for i, d in enumerate(mesh.devices.flat) if d.process_index == jax.process_index()]
    each = count // mesh.size
    return slice(each * numbers[0], each * (numbers[-1] + 1))


def everywhere(mesh: Mesh | None) -> NamedSharding | None:
    """Where results of a compiled function lie: on all devices, if they are of several processes.

    None leaves it to the compiler, as long as one process can read everything.
    """
    if mesh is None or not mesh.is_multi_process:
        return None
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Puts arrays on every device of the mesh (the default device without one).

    Where the devices belong to several processes, each has the same arrays.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    sharding = NamedSharding(mesh, PartitionSpec())
    if not mesh.is_multi_process:
        return jax.device_put(tree, sharding)

    def put(leaf: Any) -> Array:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])

    return jax.tree.map(put, tree)


def spread(tree: Any, mesh: Mesh | None, *, dim: int = 0) -> Any:
    """Puts arrays on the devices of the mesh, a dimension (the first one) split over them.

    Where the devices belong to several processes, each gives its own rows, see `own_rows`.

    Example:
      >>> images = spread(jnp.zeros((8, 4, 4, 1)), data_mesh(8))
      >>> len(images.devices()) == min(8, jax.local_device_count())
      True
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    sharding = NamedSharding(mesh, PartitionSpec(*[None] * dim, "data"))
    if not mesh.is_multi_process:
        return jax.device_put(tree, sharding)
    return jax.tree.map(
        lambda own: jax.make_array_from_process_local_data(sharding, np.asarray(own)), tree
    )


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
