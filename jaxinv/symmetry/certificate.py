"""The certificate: which shifts a network commutes with, and which line ends that."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax

from jaxinv.declarations import declare_p
from jaxinv.symmetry import layers_of
from jaxinv.symmetry.analysis import Record, Traced, Walked, line_of, torus_of, trace, walk
from jaxinv.symmetry.cost import flops, shared_flops
from jaxinv.symmetry.state import Interior, State, describe
from jaxinv.symmetry.text import table

Mode = Literal["wrap", "constant", "edge", "reflect", "crop"]


@dataclass(frozen=True)
class Step:
    """One row of a certificate: a layer, or a single equation.

    Attributes:
      layer: the path of the layer, or the operation where nothing names one.
      where: `file.py:12`.
      primitive: the operation.
      shape: shape of the result.
      before: how the operands move.
      after: how the result moves.
      copies: how many distinct copies of the result there are over all shifts.
      reason: why the symmetry was thinned or ended here, in plain words, or "".
      ends: whether it ended here, along some axis.
    """

    layer: str
    where: str
    primitive: str
    shape: tuple[int, ...]
    before: State
    after: State
    copies: int
    reason: str
    ends: bool

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON can hold it."""
        return {
            "layer": self.layer,
            "where": self.where,
            "primitive": self.primitive,
            "shape": list(self.shape),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "copies": self.copies,
            "reason": self.reason,
            "ends": self.ends,
        }


@dataclass(frozen=True)
class OutputCertificate:
    """The verdict on one array of the output; the attributes are those of its `State`."""

    path: str
    shape: tuple[int, ...]
    state: State

    kind = property(lambda self: self.state.kind)
    period = property(lambda self: self.state.period)
    dims = property(lambda self: self.state.dims)
    moves = property(lambda self: self.state.moves)
    whole = property(lambda self: self.state.whole)
    interior = property(lambda self: self.state.interior)
    layout = property(lambda self: self.state.layout)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON can hold it."""
        return {"path": self.path, "shape": list(self.shape), **self.state.to_dict()}


@dataclass(frozen=True)
class Certificate:
    """What `certify` found.

    Attributes:
      sizes: positions of the input along each axis.
      axes: the spatial axes of the input.
      mode: what enters at the border.
      outputs: one verdict for each array of the output.
      steps: one row for each layer.
      equations: one row for each equation that the output depends on.
      breaks: the equations at which a period grew or the symmetry ended.
      assumptions: conditions that declared layers stated.
      cost: floating-point operations of all shifts shared, as a multiple of one forward pass.
    """

    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    mode: str
    outputs: tuple[OutputCertificate, ...]
    steps: tuple[Step, ...]
    equations: tuple[Step, ...]
    breaks: tuple[Step, ...]
    assumptions: tuple[str, ...]
    cost: float

    @property
    def only(self) -> OutputCertificate:
        """The verdict on a single output.

        Raises:
          ValueError: if the function returns several arrays.
        """
        if len(self.outputs) != 1:
            raise ValueError(
                f"the function returns {len(self.outputs)} arrays; read certificate.outputs"
            )
        return self.outputs[0]

    @property
    def kind(self) -> str:
        """`"equivariant"`, `"invariant"` or `"broken"` of the single output."""
        return self.only.kind

    @property
    def period(self) -> tuple[int, ...]:
        """The smallest lattice of shifts for which the statement holds."""
        return self.only.period

    @property
    def dims(self) -> tuple[int | tuple[int, ...] | None, ...]:
        """The output dimension that moves along each axis (a tuple of several), or None."""
        return self.only.dims

    @property
    def interior(self) -> tuple[Interior | None, ...]:
        """Per axis the output positions on which equivariance holds exactly, or None."""
        return self.only.interior

    @property
    def interior_ends(self) -> Step | None:
        """The first equation after which no position is left whose field misses the border."""
        for step in self.equations:
            had = any(i is not None for i in step.before.interior)
            if had and all(i is None for i in step.after.interior):
                return step
        return None

    @property
    def first_end(self) -> Step | None:
        """The first equation at which the symmetry ends along some axis."""
        return next((step for step in self.breaks if step.ends), None)

    def to_dict(self) -> dict[str, Any]:
        """The certificate as JSON can hold it."""
        return {
            "sizes": list(self.sizes),
            "axes": list(self.axes),
            "mode": self.mode,
            "outputs": [output.to_dict() for output in self.outputs],
            "steps": [step.to_dict() for step in self.steps],
            "breaks": [step.to_dict() for step in self.breaks],
            "assumptions": list(self.assumptions),
            "cost": self.cost,
        }

    def __str__(self) -> str:
        return table(self)


def certify(
    fun: Callable,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    mode: Mode = "wrap",
) -> Certificate:
    """Proves from a function's program which shifts it commutes with, and where that ends.

    The function is traced on shapes; each equation of its jaxpr is read by a rule that knows when
    `f(translate(x, t)) = translate(f(x), t / s)` survives it. No array of the network is computed.
    What has no rule counts as the end of the symmetry, so a certificate never claims too much:
    it may miss a symmetry that holds for reasons that no single equation shows.

    Args:
      fun: any function that `jax.make_jaxpr` can trace: linen's `apply`, an nnx or equinox module,
        a plain function. Evaluation mode, so that it returns arrays only.
      *args: its arguments: arrays, `jax.ShapeDtypeStruct`s, or pytrees of them. What is no array
        is passed on as it is.
      argnums: which arguments are translated, together.
      axes: their spatial dimensions; sizes in pixels.
      mode: `"wrap"` speaks of circular shifts. The other modes, `"constant"`, `"edge"`,
        `"reflect"` and `"crop"`, speak of shifts in which content enters and leaves at the
        border, and claim equivariance of what both images show.

    Returns:
      The certificate. `print` shows it as a table.

    Raises:
      ValueError: if `fun` is no function, an axis is not in the input or has one position, the
        mode is unknown, or nothing is translated. Errors of tracing are JAX's own.

    Example:
      >>> import jax, jax.numpy as jnp, jaxinv
      >>> def blur_and_halve(x):
      ...     return ((x + jnp.roll(x, 1, axis=1)) / 2)[:, ::2]
      >>> certificate = jaxinv.certify(blur_and_halve, jnp.zeros((1, 8, 3)), axes=(1,))
      >>> certificate.kind, certificate.period, certificate.dims
      ('equivariant', (2,), (1,))
      >>> certificate.breaks[0].reason
      'stride 2: even shifts only'

    Reference:
      Cohen and Welling, "Group equivariant convolutional networks" (2016),
      https://arxiv.org/abs/1602.07576, for the notion; the method is described in docs/method.md.
    """
    if mode not in get_args(Mode):
        allowed = ", ".join(map(repr, get_args(Mode)))
        raise ValueError(f"mode is {mode!r}; allowed are {allowed}")
    traced = trace(fun, args, argnums=argnums, axes=axes, enter=lambda primitive: True)
    if traced.effects:
        raise ValueError(
            f"the function has side effects ({traced.effects}); certify needs a pure function"
        )
    torus = torus_of(traced.sizes)
    circular = walk(traced, torus, forward_only=True)
    line = walk(traced, line_of(traced.sizes), forward_only=True)
    main = circular if mode == "wrap" else line
    names = layers_of.layer_names(traced.program, main.records)
    equations = tuple(_equation_steps(traced, main, line, names))
    (moving,) = {dims for dims in traced.dims if dims is not None} or {()}
    return Certificate(
        sizes=traced.sizes,
        axes=tuple(moving),
        mode=mode,
        outputs=tuple(_verdicts(traced, main, line)),
        steps=tuple(_layer_steps(equations, main.records, names)),
        equations=equations,
        breaks=tuple(step for step in equations if step.reason),
        assumptions=main.assumptions,
        cost=_cost(circular),
    )


def _verdicts(traced: Traced, main: Walked, line: Walked):
    paths = jax.tree_util.tree_flatten_with_path(
        jax.tree.unflatten(traced.out_tree, range(traced.out_tree.num_leaves))
    )[0]
    for (path, _), number in zip(paths, traced.program.outputs, strict=True):
        value = main.values[number]
        yield OutputCertificate(
            jax.tree_util.keystr(path, simple=True, separator="/"),
            value.shape,
            describe(main.torus, traced.sizes, value, line.values[number]),
        )


def _equation_steps(traced: Traced, main: Walked, line: Walked, names: Sequence[str]):
    for record, name in zip(main.records, names, strict=True):
        equation = record.equation
        operation = layers_of.operation(equation)
        moving = [i for i in equation.ins if not main.values[i].is_constant] or equation.ins[:1]
        result = record.results[0]
        if not moving:
            continue
        before = _least(traced, main, line, moving)
        after = describe(main.torus, traced.sizes, result, line.values[equation.outs[0]])
        yield Step(
            layer=name or operation,
            where=equation.source.line,
            primitive=operation,
            shape=equation.out_avals[0].shape,
            before=before,
            after=after,
            copies=math.prod(after.period),
            reason="; ".join(dict.fromkeys(r for rows in record.notes.values() for r in rows)),
            ends=any(
                not result.moves_along(axis)
                and result.period[axis] == main.torus.lengths[axis]
                and any(main.values[i].period[axis] < main.torus.lengths[axis] for i in moving)
                for axis in record.notes
            ),
        )


def _least(traced: Traced, main: Walked, line: Walked, numbers: Sequence[int]) -> State:
    """The state of the operand that commutes with the fewest shifts."""
    number = max(numbers, key=lambda i: math.prod(main.values[i].period))
    return describe(main.torus, traced.sizes, main.values[number], line.values[number])


def _layer_steps(equations: Sequence[Step], records: Sequence[Record], names: Sequence[str]):
    """Neighbouring equations of one layer as one row."""
    rows: list[list[Step]] = []
    last = None
    shown = [
        (record, name) for record, name in zip(records, names, strict=True) if record.equation.ins
    ]
    for step, (record, name) in zip(equations, shown, strict=True):
        still = all(v.is_constant for v in record.results)
        if still and record.equation.primitive is not declare_p:
            continue
        if name and name == last:
            rows[-1].append(step)
        elif name or layers_of.is_row(record, name):
            rows.append([step])
            last = name
        # What has no name and no consequence (an activation) belongs to no row.
    for row in rows:
        reasons = [s for s in row if s.reason]
        head = reasons[0] if reasons else row[0]
        yield Step(
            layer=head.layer,
            where=head.where,
            primitive=head.primitive,
            shape=row[-1].shape,
            before=row[0].before,
            after=row[-1].after,
            copies=row[-1].copies,
            reason="; ".join(dict.fromkeys(s.reason for s in reasons)),
            ends=any(s.ends for s in row),
        )


def _cost(walked: Walked) -> float:
    """All shifts, each distinct activation once, as a multiple of one forward pass."""
    once = sum(flops(r.equation) for r in walked.records)
    shared = sum(
        shared_flops(walked.torus, r.equation, r.operands, r.results[0]) for r in walked.records
    )
    return shared / max(1, once)
