"""What an orbit will cost, told from shapes before anything runs."""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxinv.notebook import html_table
from jaxinv.orbit.choice import Asked, best_plan
from jaxinv.orbit.plan import Plan
from jaxinv.orbit.shift_set import shift_set
from jaxinv.orbit.transform import plan_call
from jaxinv.shift_options import OrbitMode
from jaxinv.symmetry.cost import Work, elements
from jaxinv.symmetry.layer_names import layer_or_operation, operation
from jaxinv.symmetry.program import Equation, Source
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import is_broken


@dataclass(frozen=True, repr=False)
class OrbitCost:
    """The cost of an orbit. Operations count a multiplication and an addition as two.

    Attributes:
      shifts: the number of shifts.
      distinct_activations: elements of all values that are held for all shifts at once.
      forward_flops: operations of one forward pass.
      shared_flops: operations that all shifts share, in all.
      flops_per_shift: operations that each shift needs besides.
      forward_passes: all operations, in forward passes; of a function without any, how often it
        is evaluated.
      ratio: operations of brute force over those of the orbit.
      peak_bytes: about the memory needed: the outputs and the largest value held.
      dominant_layer: the layer with the most operations over all shifts.
      dominant_part: the part of a layer with the most: where borders are cut, its interior, sides
        or corners.
      dominant_share: the share of all operations that this part takes.
      short_of_memory: whether with more memory more would be shared.
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
    dominant_part: str
    dominant_share: float
    short_of_memory: bool

    def to_dict(self) -> dict[str, Any]:
        """The cost as JSON can hold it."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        work = Work(self.forward_passes, self.dominant_part, self.dominant_share)
        return f"{self.shifts:,} shifts: {work.in_words(self.shifts)}; {self._memory()}"

    def __repr__(self) -> str:
        return f"OrbitCost({self})"

    def _repr_html_(self) -> str:
        """What it is made of, in a notebook."""
        rows = [
            ("operations of a forward pass", f"{self.forward_flops:,}"),
            ("shared by all shifts", f"{self.shared_flops:,}"),
            ("of each shift besides", f"{self.flops_per_shift:,}"),
            ("in forward passes", f"{self.forward_passes:,.1f}"),
            ("less than brute force, times", f"{self.ratio:,.1f}"),
            ("activations held for all shifts", f"{self.distinct_activations:,}"),
            ("bytes of memory", f"{self.peak_bytes:,}"),
        ]
        return html_table(str(self), rows, numbers=(1,))

    def _memory(self) -> str:
        short = "; with more memory more would be shared" if self.short_of_memory else ""
        return f"about {max(1, self.peak_bytes / 2**20):,.0f} MiB{short}"


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
    layers: collections.Counter[str] = collections.Counter()
    for equation, cost in _costs(plan).items():
        layers[layer_or_operation(equation)] += cost
    work = _work(plan, {})
    return OrbitCost(
        shifts=count,
        distinct_activations=held,
        forward_flops=plan.single_cost,
        shared_flops=plan.shared_cost,
        flops_per_shift=plan.deferred_cost,
        forward_passes=work.passes,
        ratio=count * plan.single_cost / max(1, total) if plan.single_cost else count / work.passes,
        peak_bytes=count * plan.traced.output_bytes + plan.held_bytes,
        dominant_layer=max(layers, key=lambda name: layers[name]) if work.share else "",
        dominant_part=work.largest,
        dominant_share=work.share,
        short_of_memory=plan.short_of_memory,
    )


def work_of_circular_shifts(traced: Traced, names: Mapping[Source, str]) -> Work:
    """What all circular shifts of a program cost where memory suffices, for its certificate.

    Args:
      traced: the program.
      names: its layers by where their equations come from.
    """
    asked = Asked(shift_set(traced.sizes), differentiated=False, memory=math.inf)
    return _work(best_plan(traced, asked), names)


def _costs(plan: Plan) -> dict[Equation, int]:
    """Operations of each equation for all shifts."""
    rounds = dict.fromkeys(plan.shared, 1) | dict.fromkeys(plan.deferred, plan.shifts.count)
    return {equation: plan.costs[equation] * n for equation, n in rounds.items()}


def _work(plan: Plan, names: Mapping[Source, str]) -> Work:
    """All operations in forward passes, and where most of them are."""
    parts: collections.Counter[tuple[str, str]] = collections.Counter()
    pieces = collections.defaultdict(set)
    costs = _costs(plan)
    modules = [layer_or_operation(equation) for equation in costs]
    parents = {module.rpartition("/")[0] for module in modules}
    for (equation, cost), module in zip(costs.items(), modules, strict=True):
        # What a module of modules does itself is known by what it does.
        own = operation(equation) if module in parents else module
        part = names.get(equation.source) or own, _kind(plan, equation)
        parts[part] += cost
        pieces[part].add(equation.piece)
    total = plan.cost()
    (layer, kind), most = max(parts.items(), key=lambda item: item[1], default=(("", ""), 0))
    largest = layer
    if kind:
        count = len(pieces[layer, kind])
        largest = f"{count} {kind}s of {layer}" if count > 1 else f"{kind} of {layer}"
    # A program without arithmetic costs what it takes to move its numbers.
    moved = plan.shifts.count if plan.deferred else 1
    passes = total / plan.single_cost if plan.single_cost else float(moved)
    return Work(passes, largest if most else "", most / max(1, total))


# A piece by the number of axes along which it is at the border.
_KINDS = {1: ("interior", "end"), 2: ("interior", "side", "corner")}
_KINDS[3] = ("interior", "face", "edge", "corner")


def _kind(plan: Plan, equation: Equation) -> str:
    """Which piece of a map an equation makes, "" for a map in one piece."""
    if equation.piece is None:
        return ""
    if plan.at_seams:
        return "piece"
    torus = plan.embedding.torus
    axes = range(len(torus.lengths))
    value = plan.states.get(equation.outs[0])
    if value is not None and value.is_constant:
        return "border"  # What was padded, and nothing else.
    borders = [value is None or is_broken(torus, value, axis) for axis in axes]
    kinds = _KINDS.get(len(axes), ("interior", *["border"] * (len(axes) - 1), "corner"))
    return kinds[sum(borders)]
