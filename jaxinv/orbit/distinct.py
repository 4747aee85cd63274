"""Only the distinct outputs of an orbit."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.arguments import check_argnums
from jaxinv.notebook import html_table
from jaxinv.orbit.plan import Plan
from jaxinv.orbit.transform import orbit, plan_call
from jaxinv.symmetry.values import Value, positions


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["period", "moves"]
)
@dataclass(frozen=True, repr=False)
class DistinctOutputs:
    """One output of a function at one shift of each coset.

    Attributes:
      values: the outputs, with one leading axis for each axis of the shifts, of `period` entries:
        entry `[r1, r2]` belongs to the shift `(r1, r2)`.
      period: per axis, in pixels.
      moves: whether the output follows the shift. If not, the output at shift `t` is that at
        `t mod period`; if so, it is that one, rolled.
    """

    values: Any
    period: tuple[int, ...]
    moves: bool

    def __repr__(self) -> str:
        return f"DistinctOutputs({self._array()}, period={self.period}, moves={self.moves})"

    def _repr_html_(self) -> str:
        """What it holds, in a notebook."""
        count = math.prod(self.period)
        title = f"The outputs at {count:,} shifts, one of each coset" if count > 1 else "One output"
        at = "that at t mod period"
        rows = [
            ("values", self._array()),
            ("period", " x ".join(map(str, self.period))),
            ("at a shift t", f"{at}, rolled" if self.moves else at),
        ]
        return html_table(title, rows)

    def _array(self) -> str:
        values = self.values
        if not hasattr(values, "dtype"):
            return repr(values)
        return f"{values.dtype}[{','.join(map(str, values.shape))}]"


def distinct_orbit(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    chunk: int | None = None,
) -> Callable:
    """Transforms `fun` into the function that returns only the distinct outputs of its orbit.

    The network with global pooling and total stride 4 has 16, whatever the size of the image; an
    invariant one has one. The shifts are all circular ones.

    Args:
      fun: as in `jaxinv.orbit`.
      argnums: as in `jaxinv.orbit`.
      axes: as in `jaxinv.orbit`.
      chunk: as in `jaxinv.orbit`.

    Returns:
      A function of the same arguments. In place of each array of its output stands a
      `DistinctOutputs`: the values at one shift of each coset, and the period.

    Raises:
      ValueError: as `jaxinv.orbit`.

    Example:
      >>> import jax.numpy as jnp, jaxinv
      >>> x = jnp.arange(8.0)
      >>> distinct = jaxinv.distinct_orbit(lambda x: x[::2].sum(), axes=(0,))(x)
      >>> distinct.period, distinct.values
      ((2,), Array([12., 16.], dtype=float32))

    Reference:
      Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks" (2021),
      https://arxiv.org/abs/2011.14214: an orbit falls into the cosets of the stride.
    """

    @functools.wraps(fun, updated=())
    def at_each_coset(*args, **kwargs):
        check_argnums(argnums, len(args))
        outputs, tree = _outputs(fun, args, kwargs, argnums=argnums, axes=axes)
        results: dict[int, Any] = {}
        # The representatives of an output's cosets are the shifts 0 .. d - 1: outputs of one period
        # are evaluated together.
        for period in dict.fromkeys(period for period, _ in outputs):
            run = orbit(
                fun, argnums=argnums, axes=axes, shifts=grid(*map(range, period)), chunk=chunk
            )
            leaves = jax.tree.leaves(run(*args, **kwargs))
            for i, (leaf, (own, moves)) in enumerate(zip(leaves, outputs, strict=True)):
                if own == period:
                    # (d1 * d2, ...) -> (d1, d2, ...)
                    values = jnp.reshape(leaf, period + leaf.shape[1:])
                    results[i] = DistinctOutputs(values, period, moves)
        return jax.tree.unflatten(tree, [results[i] for i in range(len(outputs))])

    return at_each_coset


def grid(*rows: Iterable[int]) -> list[tuple[int, ...]]:
    """All shifts with an entry of each row, in order."""
    return list(itertools.product(*rows))


def planned(
    fun: Callable, args: tuple, kwargs: dict[str, Any], *, argnums: Any, axes: Sequence[int]
) -> Plan:
    """The plan of all circular shifts.

    Raises:
      ValueError: if every shift has to run by itself, or as `jaxinv.orbit`.
    """
    plan = plan_call(
        fun, args, kwargs, argnums=argnums, axes=axes, mode="wrap", max_shift=None, shifts=None
    )
    if plan is None:
        raise ValueError(
            "the distinct outputs of a function with side effects, or of an image of one "
            "position, are not known; use jaxinv.orbit"
        )
    return plan


def values_of_outputs(plan: Plan) -> list[Value | None]:
    """What is known of each output; None where it has a value of its own at every shift."""
    # On a longer torus a period says nothing of circular shifts of the image.
    states = {} if plan.embedding.extended else plan.states
    return [states.get(number) for number in plan.traced.program.outputs]


def _outputs(fun, args, kwargs, *, argnums, axes):
    """Per output its period and whether it moves; and the outputs' structure."""
    plan = planned(fun, args, kwargs, argnums=argnums, axes=axes)
    outputs = []
    for value in values_of_outputs(plan):
        if value is None:
            outputs.append((plan.shifts.sizes, False))
        else:
            outputs.append((_period_of_output(plan.embedding.torus, value), value.moves))
    return outputs, plan.traced.out_tree


def _period_of_output(torus, value: Value) -> tuple[int, ...]:
    """The period; all shifts along an axis of which the output shows only a window."""
    return tuple(
        d
        if all(w.size == positions(torus, value, w) for _, w in value.windows(axis))
        else torus.lengths[axis]
        for axis, d in enumerate(value.period)
    )
