"""What fits into the memory of the device: how many shifts together, and what is refused."""

import logging
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import psutil
from jax.extend.core import Literal, primitives

from jaxinv.orbit.one_batch import in_one_batch
from jaxinv.symmetry.program import inner_jaxprs

_log = logging.getLogger(__name__)

_LOOPS = (primitives.scan_p, primitives.while_p)
_WEIGHTED = (primitives.conv_general_dilated_p, primitives.dot_general_p)
# Of the free memory, what a chunk's activations may take; the rest is the caller's.
SHARE_OF_MEMORY = 0.25
# Wide chunks do not pay on a CPU: beyond its caches, activations go through main memory. In
# docs/benchmarks.md the best chunk holds about 2 MiB; for a LeNet a wider one is five times slower.
# Weights go through memory once a chunk: where they are larger, its activations may be as large.
# One shift of a ResNet-18 at a time takes twice the time of several together.
CPU_CHUNK_BYTES = 2 * 2**20
CPU_CHUNK = 64


def choose_chunk(at_shift: Callable, shift: Any, count: int) -> int:
    """Chooses the number of shifts that are evaluated together.

    Args:
      at_shift: the function of one shift.
      shift: a shift, for its shape.
      count: the number of shifts in all.

    Returns:
      The chunk, such that its activations take no more than `SHARE_OF_MEMORY` of what the device
      has free (on a CPU also no more than its caches hold, or than the weights take): a divisor of
      `count` where one is near, so that no shorter last chunk is compiled, else a power of two.

    Example:
      >>> import jax.numpy as jnp
      >>> choose_chunk(lambda t: jnp.zeros((4096, 4096)) + t, jnp.zeros(()), 10)
      1
    """
    need, weights = bytes_of_one_pass(at_shift, shift)
    need = max(1, need)
    room = int(free_bytes() * SHARE_OF_MEMORY) // need
    if jax.default_backend() == "cpu":
        room = min(room, max(CPU_CHUNK_BYTES, weights) // need, CPU_CHUNK)
    chunk = count
    if room < count:
        divisors = [c for c in range(max(1, room), room // 2, -1) if count % c == 0]
        chunk = divisors[0] if divisors else 2 ** int(np.log2(max(1, room)))
    _log.debug("%d of %d shifts together, about %d bytes each", chunk, count, need)
    return chunk


def in_chunks(at_shift: Callable, rows: Any, count: int, chunk: int | None) -> Any:
    """Evaluates a function at each shift, a chunk of them together, one chunk after the other.

    Args:
      at_shift: the function of one shift, and of what belongs to that shift alone.
      rows: its arguments at all shifts, a pytree of arrays with one leading axis.
      count: the number of shifts.
      chunk: how many are evaluated together; None chooses.

    Returns:
      Its outputs at all shifts. A function that `jax.vmap` does not take (a callback without
      `vmap_method`, an ordered one) is evaluated at one shift after the other.

    Example:
      >>> import jax.numpy as jnp
      >>> print(in_chunks(lambda t: t * t, jnp.arange(5), 5, 2))
      [ 0  1  4  9 16]
    """
    row = jax.tree.map(lambda a: a[0], rows)
    together = chunk or choose_chunk(at_shift, row, count)
    of_several = in_one_batch(at_shift, row)
    if together > 1:
        try:
            if together >= count:
                return jax.vmap(of_several)(rows)
            return jax.lax.map(of_several, rows, batch_size=together)
        except (NotImplementedError, ValueError):  # The second for ordered callbacks.
            pass
    return jax.lax.map(of_several, rows)


def free_bytes() -> int:
    """Free memory of the device that computations run on, in bytes.

    Example:
      >>> free_bytes() > 0
      True
    """
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    device = chosen or jax.local_devices()[0]
    stats = None if isinstance(device, str) else device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return psutil.virtual_memory().available


def refuse_if_too_large(need: int, count: int) -> None:
    """Raises before anything runs if an orbit cannot fit into the memory that is free.

    Args:
      need: bytes of the outputs at all shifts, and of what is held beside them.
      count: the number of shifts.

    Raises:
      ValueError: if that is more than the device has free.

    Example:
      >>> refuse_if_too_large(1000, 784)
    """
    room = free_bytes()
    if need > room:
        raise ValueError(
            f"an orbit of {count:,} shifts needs about {need / 2**30:.1f} GiB and "
            f"{room / 2**30:.1f} GiB are free; give a smaller max_shift, fewer shifts, a smaller "
            "batch or chunk, or use jaxinv.distinct_orbit"
        )


def bytes_of_one_pass(fun: Callable, *args: Any) -> tuple[int, int]:
    """Estimates of the memory for one evaluation, in bytes, from shapes alone.

    Args:
      fun: the function; it is traced, not run.
      *args: its arguments, or anything of their shapes and dtypes.

    Returns:
      The operands and results of the largest equation of its program, and its outputs, as far as
      they depend on the arguments: what does not is there once, however many evaluations there are.
      Second, the weights: what convolutions and matrix products read that does not depend on them.

    Example:
      >>> import jax.numpy as jnp
      >>> bytes_of_one_pass(lambda x: jnp.exp(x) @ jnp.ones((100, 2)), jnp.zeros(100, jnp.float32))
      (808, 800)
    """
    closed = jax.make_jaxpr(fun)(*args)
    jaxpr = getattr(closed, "jaxpr", closed)
    largest, weights, varying = _largest_equation(jaxpr, jaxpr.invars)
    outs = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    return largest + sum(map(_size, outs & varying)), weights


def _largest_equation(jaxpr, given):
    """Bytes of the largest equation, of weights, and the variables that depend on the given."""
    varying = set(given)
    largest, weights = 0, 0
    for eqn in jaxpr.eqns:
        operands = [v for v in eqn.invars if not isinstance(v, Literal)]
        read = [v for v in operands if v in varying]
        if not read:
            continue
        varying.update(eqn.outvars)
        if eqn.primitive in _WEIGHTED:
            weights += sum(_size(v) for v in operands if v not in varying)
        inner = inner_jaxprs(eqn.params)
        for body in inner:
            # A loop hands on what changes in places of its own; there everything may.
            called = eqn.primitive not in _LOOPS and len(body.invars) == len(eqn.invars)
            entering = [
                new
                for old, new in zip(eqn.invars if called else body.invars, body.invars, strict=True)
                if not called or old in read
            ]
            largest_inside, weights_inside, _ = _largest_equation(body, entering)
            largest, weights = max(largest, largest_inside), weights + weights_inside
        if not inner:
            largest = max(largest, sum(map(_size, (*read, *eqn.outvars))))
    return largest, weights, varying


def _size(variable):
    return bytes_of(variable.aval) if hasattr(variable.aval, "shape") else 0


def bytes_of(aval: Any) -> int:
    """Bytes of an array, from anything that has its shape and dtype.

    Example:
      >>> bytes_of(np.zeros((2, 3), np.float32))
      24
    """
    return math.prod(aval.shape) * getattr(aval.dtype, "itemsize", 0)
