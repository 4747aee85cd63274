"""Outputs that move with the image, moved back: at every shift one position shows one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxinv.arguments import check_argnums, of_shape
from jaxinv.orbit.shift_set import ShiftSet
from jaxinv.orbit.translated import Seen, seen_arguments
from jaxinv.symmetry.state import BROKEN, EQUIVARIANT, INVARIANT, AxisState, describe
from jaxinv.symmetry.tracing import Traced, trace
from jaxinv.symmetry.walk import both_walks

Align = bool | Literal["interior"]

# So many times as large an image is asked how an output moves whose every position sees a border.
LARGER = (1, 2, 4, 8)


@dataclass(frozen=True)
class Movement:
    """How one output follows the image along one axis.

    Attributes:
      dim: its dimension that moves.
      scale: its positions for each pixel; negative if it moves the other way.
      size: its positions along that dimension.
      circular: whether they are all those of a torus.
      exact: first position at which equivariance holds exactly, and one past the last.
    """

    dim: int
    scale: Fraction
    size: int
    circular: bool
    exact: tuple[int, int]


def aligned(outputs_at: Callable, fun: Callable, align: Align, options: dict[str, Any]) -> Callable:
    """The orbit `outputs_at` of `fun` with every output moved back by the shift.

    Args:
      outputs_at: the orbit.
      fun: the function.
      align: True, or `"interior"`.
      options: those of the orbit that say which arguments move, and how.

    Raises:
      ValueError: if `align` is something else.
    """
    if align is not True and align != "interior":
        raise ValueError(f"align is {align!r}; allowed are True, False and 'interior'")

    def moved_back(*args, **kwargs):
        seen = seen_arguments(args, **options)
        shifts = seen.shifts
        movements = movements_of(fun, seen, kwargs, options)
        leaves, tree = jax.tree.flatten(outputs_at(*args, **kwargs))
        for axis in range(len(shifts.sizes)):
            moves = [row[axis] for row in movements]
            leaves = [
                out if movement is None else _back(out, shifts, axis, movement, align)
                for out, movement in zip(leaves, moves, strict=True)
            ]
        return jax.tree.unflatten(tree, leaves)

    return moved_back


def movements_of(
    fun: Callable, seen: Seen, kwargs: dict[str, Any], options: dict[str, Any]
) -> list[list[Movement | None]]:
    """For each output and each axis how it follows the image; None where it stays.

    Raises:
      ValueError: if that is not proved of an output.
    """
    traced = _traced(fun, seen, kwargs, options, times=1)
    states = _states(traced)
    shapes = [traced.program.avals[number].shape for number in traced.program.outputs]
    larger: dict[int, Any] = {}

    def at(times: int) -> Any:
        """The states for a larger image; None where the function does not take one."""
        if times not in larger:
            try:
                larger[times] = _states(_traced(fun, seen, kwargs, options, times=times))
            except Exception:  # of the function, for a size that is not its own
                larger[times] = None
        return larger[times]

    def movement(output: int, axis: int) -> Movement | None:
        circle, line = states[output]
        state = circle[axis]
        if state.kind == INVARIANT:
            return None
        size = traced.sizes[axis]
        of_one = isinstance(state.dims, int) and state.moves is not None
        if of_one and state.kind == EQUIVARIANT and state.whole:
            assert isinstance(state.dims, int)
            n = shapes[output][state.dims]
            scale = _scale(state)
            # Circular padding is a border where something else enters.
            exact = (0, n) if seen.shifts.mode == "wrap" else _exact(line[axis])
            return Movement(state.dims, scale, n, n == abs(scale) * size, exact)
        for times in LARGER:
            found = states if times == 1 else at(times)
            if found is None:
                break
            state = found[output][1][axis]
            if isinstance(state.dims, int) and state.moves is not None and state.interior:
                n, scale = shapes[output][state.dims], _scale(state)
                exact = _exact(line[axis]) if times == 1 else (0, 0)
                return Movement(state.dims, scale, n, n == abs(scale) * size, exact)
        name = traced.out_paths[output]
        raise ValueError(
            f"align: the output{f' {name!r}' * bool(name)} of shape {shapes[output]} is not proved "
            f"to move with axis {options['axes'][axis]}, so it cannot be moved back; "
            "jaxinv.certify says why"
        )

    axes = range(len(traced.sizes))
    return [[movement(output, axis) for axis in axes] for output in range(len(shapes))]


def _traced(
    fun: Callable, seen: Seen, kwargs: dict[str, Any], options: dict[str, Any], *, times: int
) -> Traced:
    args = list(seen.args)
    for i in check_argnums(options["argnums"], len(args)):
        args[i] = jax.tree.map(
            lambda leaf: _enlarged(leaf, options["axes"], times) if times > 1 else leaf, args[i]
        )
    return trace(fun, tuple(args), kwargs, argnums=options["argnums"], axes=options["axes"])


def _enlarged(leaf: Any, axes: Sequence[int], times: int) -> jax.ShapeDtypeStruct:
    shape = list(leaf.shape)
    for axis in axes:
        shape[axis] *= times
    return of_shape(leaf, shape)


def _states(traced: Traced) -> list[tuple[tuple[AxisState, ...], tuple[AxisState, ...]]]:
    """For each output how it moves on the circle, and on the line."""
    circle, line = both_walks(traced)
    sizes = traced.sizes
    names = [(axis, axis) for axis in range(len(sizes))]
    return [
        (
            describe(circle.torus, sizes, names, circle.values[n], None).per_axis,
            describe(line.torus, sizes, names, line.values[n], line.values[n]).per_axis,
        )
        for n in traced.program.outputs
    ]


def _exact(line: AxisState) -> tuple[int, int]:
    """The interior on the line, or nothing."""
    return (0, 0) if line.interior is None else (line.interior.start, line.interior.stop)


def _scale(state: AxisState) -> Fraction:
    """Positions of an output for each pixel."""
    assert state.moves is not None
    period = state.period if state.kind != BROKEN or not state.interior else state.interior.period
    return Fraction(state.moves, period)


def _back(out: Array, shifts: ShiftSet, axis: int, movement: Movement, align: Align) -> Array:
    """An orbit's output moved back along one axis."""
    listed = shifts.listed is not None
    row = [shift[axis] for shift in shifts.listed] if listed else shifts.rows[axis]  # type: ignore[union-attr]
    positions = source_positions(row, movement, align, fills=shifts.mode != "wrap")
    leading = 1 if listed else len(shifts.sizes)
    along, dim = 0 if listed else axis, leading + movement.dim
    shape = [1] * out.ndim
    shape[along], shape[dim] = positions.shape
    return jnp.take_along_axis(out, jnp.asarray(positions.reshape(shape)), axis=dim)


def source_positions(
    shifts: Sequence[int], movement: Movement, align: Align, *, fills: bool
) -> Int[np.ndarray, "shifts positions"]:
    """At each shift along one axis the positions that show the same places.

    Args:
      shifts: in pixels.
      movement: of the output.
      align: True for all places that are in the picture at each shift, `"interior"` for those of
        them at which equivariance is exact.
      fills: whether something else enters at the border, so that places leave the picture.

    Raises:
      ValueError: if a shift moves the output by a fraction, or no place is left.

    Example:
      >>> half = Movement(1, Fraction(1, 2), 4, True, (0, 4))
      >>> source_positions([0, 2], half, True, fills=False).tolist()
      [[0, 1, 2, 3], [1, 2, 3, 0]]
      >>> source_positions([-2, 0, 2], half, True, fills=True).tolist()
      [[0, 1], [1, 2], [2, 3]]
    """
    steps = [movement.scale * t for t in shifts]
    if any(step.denominator > 1 for step in steps):
        raise ValueError(
            f"align: an output that moves by {movement.scale} of a position for each pixel can be "
            f"moved back only after shifts by multiples of {movement.scale.denominator}; "
            "give them as shifts"
        )
    places = np.arange(movement.size)
    read = places + np.array([int(step) for step in steps])[:, None]
    circular = movement.circular and not fills
    if circular:
        read %= movement.size
    low, high = movement.exact if align == "interior" else (0, movement.size)
    there = ((read >= low) & (read < high)).all(axis=0)
    if not there.any():
        what = "free of the border" if align == "interior" else "in the output"
        raise ValueError(
            f"align: no position is {what} at each of the {len(steps)} shifts; take a smaller "
            "max_shift, or a larger image"
        )
    return read[:, there]
