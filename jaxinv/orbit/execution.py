"""A function at every translation of its argument, each distinct activation computed once."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.orbit.memory import in_chunks
from jaxinv.orbit.plan import Plan, frontier, shared_needed
from jaxinv.orbit.torus import lay_out
from jaxinv.symmetry.relayout import Context, program_shaped, reader
from jaxinv.symmetry.values import Value, is_broken
from jaxinv.symmetry.walk import inputs_of, interpret


def evaluate(plan: Plan, arrays: Sequence[jax.Array], chunk: int | None) -> list[jax.Array]:
    """The outputs of a plan at all shifts, flat, with one leading axis for the shifts.

    Args:
      plan: the plan.
      arrays: the arguments, in the order of the program's inputs.
      chunk: how many shifts run together; None chooses.

    Raises:
      ValueError: if an argument lies on a mesh with explicit axes.
    """
    program = plan.traced.program
    _refuse_explicit_axes(arrays)
    values = _held_values(plan, arrays)
    ctx = _context(plan)
    residues = plan.embedding.residues()
    deferred = {out for equation in plan.deferred for out in equation.outs}
    still = [
        number
        for number in dict.fromkeys(program.outputs)
        if number not in deferred and not values[number].moves
    ]
    results = {number: _by_coset(ctx, values[number], residues) for number in still}
    rest = [number for number in dict.fromkeys(program.outputs) if number not in results]
    if rest:
        alone = [n for n in values if _one_for_each_shift(ctx, values[n])]
        readers = {
            number: reader(ctx, value) for number, value in values.items() if number not in alone
        }

        def at_shift(given):
            shift, own = given
            shift = [shift[axis] for axis in range(residues.shape[1])]
            env = _Reader(readers, shift)
            env.update(own)
            for equation in plan.deferred:
                operands = [env[i] for i in equation.ins]
                if equation.has_own_backward:
                    operands = [
                        operand if i in values and not values[i].touched else _tied(operand, shift)
                        for i, operand in zip(equation.ins, operands, strict=True)
                    ]
                outs = equation.bind(*operands)
                env.update(zip(equation.outs, outs, strict=True))
            return [env[number] for number in rest]

        table = jnp.asarray(residues, jnp.int32)
        rows = (table, {number: _by_coset(ctx, values[number], residues) for number in alone})
        flat = in_chunks(at_shift, rows, len(residues), chunk)
        results |= dict(zip(rest, flat, strict=True))
    return [results[number] for number in program.outputs]


def _refuse_explicit_axes(arrays: Sequence[jax.Array]) -> None:
    # Reshapes that merge cosets and images would each have to say how their results lie.
    for array in arrays:
        mesh = jax.typeof(array).sharding.mesh
        explicit = [
            name
            for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
            if kind == jax.sharding.AxisType.Explicit
        ]
        if explicit:
            raise ValueError(
                f"an array lies on a mesh whose axes {', '.join(map(str, explicit))} are explicit; "
                "allowed are axes of AxisType.Auto"
            )


def _context(plan: Plan) -> Context:
    return Context(
        plan.embedding.torus,
        plan.traced.program,
        computes=True,
        differentiated=plan.differentiated,
    )


def _one_for_each_shift(ctx: Context, value: Value) -> bool:
    """Whether nothing of a value serves two shifts, so that it is handed on row by row."""
    axes = range(value.n_axes)
    return not value.moves and all(
        is_broken(ctx.torus, value, axis) and value.base.shape[axis] > 1 for axis in axes
    )


def _tied(operand, shift):
    """The operand as a value of this shift alone, even where shifts share it.

    Under `vmap` a `custom_vjp` function of what is not mapped runs once, on the sum of the
    cotangents; its backward pass need not be linear.
    """
    return jnp.where(shift[0] >= 0, operand, operand)


class _Reader(dict):
    """The values of the program at one shift, read off what is held when first needed."""

    def __init__(self, readers: dict[int, Callable[[Sequence], Any]], shift):
        super().__init__()
        self._readers, self._shift = readers, shift

    def __missing__(self, number: int):
        self[number] = self._readers[number](self._shift)
        return self[number]


def _held_values(plan: Plan, arrays: Sequence[jax.Array]) -> dict[int, Value]:
    """The shared equations, evaluated; only what is read later is kept."""
    traced, embedding = plan.traced, plan.embedding
    wide = [
        array if dims is None else lay_out(array, dims, embedding)
        for dims, array in zip(traced.dims, arrays, strict=True)
    ]
    inputs = inputs_of(traced, embedding.torus, embedding.offsets, wide)
    needed = shared_needed(plan)
    values = interpret(_context(plan), traced.program, inputs, equations=needed)
    return {number: values[number] for number in frontier(plan)}


def _by_coset(ctx: Context, value: Value, residues: np.ndarray) -> Any:
    """A value without windows at every shift."""
    base = program_shaped(value)
    rows = []
    for axis in range(value.n_axes):
        if base.shape[axis] == 1:
            rows.append(np.zeros(len(residues), np.int32))
        else:
            index = {r: i for i, r in enumerate(ctx.torus.residues(axis, value.period[axis]))}
            rows.append(np.array([index[t % value.period[axis]] for t in residues[:, axis]]))
    # Row of each shift in the base with its cosets in one axis: (*cosets, ...) -> (cosets, ...).
    cosets = base.shape[: value.n_axes]
    flat = np.ravel_multi_index(rows, cosets).astype(np.int32)
    base = jnp.reshape(base, (math.prod(cosets), *base.shape[value.n_axes :]))
    if np.array_equal(flat, np.arange(base.shape[0])):
        return base
    return jnp.take(base, flat, axis=0, mode="clip")
