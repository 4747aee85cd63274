"""Several seeds in one program, and one batch on several devices."""

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


def shard_batch(mesh: Mesh | None) -> Callable[[Array], Array]:
    """A function, for use under jit, that splits the first dimension over the devices."""
    if mesh is None:
        return lambda batch: batch
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return lambda batch: jax.lax.with_sharding_constraint(batch, sharding)


def over_seeds(fun: Callable, *, seeds: int, mapped: int) -> Callable:
    """Applies `fun` to several networks at once: its first `mapped` arguments have a leading axis.

    On accelerators this is `jax.vmap`. On the processor a convolution with one kernel per network
    becomes a grouped one, for which XLA has no fast code there (four times slower, measured), so
    the networks follow one another in the same program; the results are the same to rounding.

    Example:
      >>> total = over_seeds(lambda a, b: a + b, seeds=2, mapped=1)
      >>> print(total(jnp.array([1.0, 2.0]), 10.0))
      [11. 12.]
    """
    if jax.default_backend() != "cpu":

        def vmapped(*args: Any) -> Any:
            return jax.vmap(fun, in_axes=[0] * mapped + [None] * (len(args) - mapped))(*args)

        return vmapped

    def unrolled(*args: Any) -> Any:
        def one(index: int) -> Any:
            chosen = jax.tree.map(lambda leaf: leaf[index], args[:mapped])
            return fun(*chosen, *args[mapped:])

        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(one, range(seeds)))

    return unrolled


def padded_to_devices(batch_size: int, mesh: Mesh | None) -> int:
    """The smallest batch from `batch_size` up that the devices share evenly."""
    count = 1 if mesh is None else mesh.size
    return math.ceil(batch_size / count) * count
