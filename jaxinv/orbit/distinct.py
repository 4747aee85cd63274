"""Only the distinct outputs of an orbit, and what can be made of them."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxinv.arguments import check_argnums, split_arguments
from jaxinv.declarations import declare_invariance
from jaxinv.notebook import html_table
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
            run = orbit(fun, argnums=argnums, axes=axes, shifts=_grid(period), chunk=chunk)
            leaves = jax.tree.leaves(run(*args, **kwargs))
            for i, (leaf, (own, moves)) in enumerate(zip(leaves, outputs, strict=True)):
                if own == period:
                    # (d1 * d2, ...) -> (d1, d2, ...)
                    values = jnp.reshape(leaf, period + leaf.shape[1:])
                    results[i] = DistinctOutputs(values, period, moves)
        return jax.tree.unflatten(tree, [results[i] for i in range(len(outputs))])

    return at_each_coset


def _grid(period: tuple[int, ...]) -> list[tuple[int, ...]]:
    grid: list[tuple[int, ...]] = [()]
    for d in period:
        grid = [(*shift, r) for shift in grid for r in range(d)]
    return grid


def _outputs(fun, args, kwargs, *, argnums, axes):
    """Per output its period and whether it moves; and the outputs' structure."""
    plan = plan_call(
        fun, args, kwargs, argnums=argnums, axes=axes, mode="wrap", max_shift=None, shifts=None
    )
    if plan is None:
        raise ValueError(
            "the distinct outputs of a function with side effects, or of an image of one "
            "position, are not known; use jaxinv.orbit"
        )
    # On a longer torus a period says nothing of circular shifts of the image.
    states = {} if plan.embedding.extended else plan.states
    outputs = []
    for number in plan.traced.program.outputs:
        value = states.get(number)
        if value is None:
            outputs.append((plan.shifts.sizes, False))
        else:
            moves = any(True for _ in value.windows())
            outputs.append((_period_of_output(plan.embedding.torus, value), moves))
    return outputs, plan.traced.out_tree


def _period_of_output(torus, value: Value) -> tuple[int, ...]:
    """The period; all shifts along an axis of which the output shows only a window."""
    return tuple(
        d
        if all(w.size == positions(torus, value, w) for _, w in value.windows(axis))
        else torus.lengths[axis]
        for axis, d in enumerate(value.period)
    )


def symmetrize(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    reduce: Literal["mean", "max"] = "mean",
    chunk: int | None = None,
) -> Callable:
    r"""Makes any function invariant to circular shifts: its mean, or maximum, over the whole orbit.

    .. math::

      \bar f(x) = \frac{1}{|G|} \sum_{t \in G} f(\mathrm{translate}(x, t))

    The mean is the Reynolds operator. Nothing is trained again. It costs the distinct outputs
    only: 16 for a network of total stride 4 with global pooling, whatever the size of the image.

    Args:
      fun: as in `jaxinv.orbit`; its outputs are arrays of numbers, for the mean floating-point
        ones: that of class numbers names no class.
      argnums: as in `jaxinv.orbit`.
      axes: as in `jaxinv.orbit`.
      reduce: `"mean"` or `"max"`, over the shifts, for each entry of the output.
      chunk: as in `jaxinv.orbit`.

    Returns:
      A function of the same arguments with the same shapes of output, invariant to every circular
      shift. `jaxinv.certify` says so.

    Raises:
      ValueError: if `reduce` is unknown or does not apply to the dtype of an output; else as
        `jaxinv.orbit`.

    Example:
      >>> import jax.numpy as jnp, jaxinv
      >>> first = jaxinv.symmetrize(lambda x: x[0], axes=(0,))
      >>> first(jnp.array([1.0, 2.0, 6.0])), first(jnp.array([6.0, 1.0, 2.0]))
      (Array(3., dtype=float32), Array(3., dtype=float32))

    Reference:
      Murphy et al., "Janossy pooling" (2019), https://arxiv.org/abs/1811.01900, section 2.1;
      Mumford, Fogarty and Kirwan, "Geometric invariant theory" (1994), for the operator.
    """
    if reduce not in ("mean", "max"):
        raise ValueError(f"reduce is {reduce!r}; allowed are 'mean' and 'max'")
    combine = jnp.mean if reduce == "mean" else jnp.max
    compact = distinct_orbit(fun, argnums=argnums, axes=axes, chunk=chunk)
    full = orbit(fun, argnums=argnums, axes=axes, chunk=chunk)

    @functools.wraps(fun, updated=())
    def symmetric(*args, **kwargs):
        moved = check_argnums(argnums, len(args))
        distinct, tree = jax.tree.flatten(
            compact(*args, **kwargs), is_leaf=lambda v: isinstance(v, DistinctOutputs)
        )
        # Where an output moves, the entries at one place come from all shifts.
        moving = any(d.moves for d in distinct)
        every = jax.tree.leaves(full(*args, **kwargs)) if moving else []
        arrays, _ = split_arguments(tuple(args[i] for i in moved), {})
        outs = []
        for i, output in enumerate(distinct):
            values = every[i] if output.moves else output.values
            _check_reducible(values.dtype, reduce)
            reduced = combine(values, axis=tuple(range(len(axes)))).astype(values.dtype)
            outs.append(declare_invariance(arrays[0], reduced, axes=axes))
        return jax.tree.unflatten(tree, outs)

    return symmetric


def _check_reducible(dtype, reduce):
    if reduce == "mean" and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(
            f"an output has dtype {dtype}, whose mean is no such number; allowed are "
            "floating-point outputs (take the argmax of the symmetrized logits), or reduce='max'"
        )
    if reduce == "max" and jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"an output has dtype {dtype}, which has no maximum; allowed is 'mean'")
