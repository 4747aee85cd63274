"""What an orbit will cost, told from shapes before anything runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxinv.orbit.transform import plan_call
from jaxinv.shift_options import OrbitMode
from jaxinv.symmetry.cost import elements


@dataclass(frozen=True)
class OrbitCost:
    """The cost of an orbit. Operations count a multiplication and an addition as two.

    Attributes:
      shifts: the number of shifts.
      distinct_activations: elements of all values that are held for all shifts at once.
      forward_flops: operations of one forward pass.
      shared_flops: operations that all shifts share, in all.
      flops_per_shift: operations that each shift needs besides.
      forward_passes: all operations, in forward passes.
      ratio: operations of brute force over those of the orbit.
      peak_bytes: about the memory needed: the outputs and the largest value held.
      dominant_layer: the layer with the most operations over all shifts.
    """

    shifts: int
    distinct_activations: int
    forward_flops: int
    shared_flops: int
    flops_per_shift: int
    forward_passes: float
    ratio: float
    peak_bytes: int
    dominant_layer: str

    def __str__(self) -> str:
        return (
            f"{self.shifts:,} shifts: {self.forward_passes:,.1f} forward passes' work instead of "
            f"{self.shifts:,} ({self.ratio:,.0f} times less), most of it in {self.dominant_layer}; "
            f"about {self.peak_bytes / 2**20:,.0f} MiB"
        )


def orbit_cost(
    fun: Callable,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    mode: OrbitMode = "wrap",
    max_shift: int | Sequence[int] | None = None,
    shifts: Sequence[Sequence[int]] | None = None,
) -> OrbitCost:
    """Tells what `jaxinv.orbit` will cost, from shapes alone.

    Args:
      fun: as in `jaxinv.orbit`.
      *args: its arguments, or `jax.ShapeDtypeStruct`s of them.
      argnums: as in `jaxinv.orbit`.
      axes: as in `jaxinv.orbit`.
      mode: as in `jaxinv.orbit`.
      max_shift: as in `jaxinv.orbit`.
      shifts: as in `jaxinv.orbit`.

    Returns:
      The cost.

    Raises:
      ValueError: as `jaxinv.orbit`; also for a function with side effects.

    Example:
      >>> import jax, jax.numpy as jnp, jaxinv
      >>> x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
      >>> cost = jaxinv.orbit_cost(lambda x: jnp.mean(jnp.tanh(x), axis=(1, 2)), x)
      >>> cost.shifts, cost.forward_passes, cost.ratio
      (1024, 1.0, 1024.0)

    Reference:
      The method is described in docs/method.md.
    """
    plan = plan_call(
        fun, args, {}, argnums=argnums, axes=axes, mode=mode, max_shift=max_shift, shifts=shifts
    )
    if plan is None:
        raise ValueError(
            "a function with side effects, or an image of one position, runs at each shift; "
            "its orbit costs one forward pass each"
        )
    total, count = plan.cost(), plan.shifts.count
    torus = plan.embedding.torus
    held = sum(
        elements(torus, plan.states[out])
        for equation in plan.shared
        for out in equation.outs
        if not plan.states[out].is_constant
    )
    layers = {name: a + b * count for name, (a, b) in plan.costs.items()}
    return OrbitCost(
        shifts=count,
        distinct_activations=held,
        forward_flops=plan.single_cost,
        shared_flops=plan.shared_cost,
        flops_per_shift=plan.deferred_cost,
        forward_passes=total / max(1, plan.single_cost),
        ratio=count * plan.single_cost / max(1, total),
        peak_bytes=count * plan.traced.output_bytes + plan.held_bytes,
        dominant_layer=max(layers, key=lambda name: layers[name], default=""),
    )
