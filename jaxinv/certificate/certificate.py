"""The certificate: which shifts a network commutes with, and which line ends that."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxinv.borders.rewriting import apart_at_seams
from jaxinv.certificate.questions import Questions, Remedy, is_finer
from jaxinv.certificate.steps import States, Step, equation_steps, layer_steps, rows_of
from jaxinv.certificate.wording import field_table, html, summary, table
from jaxinv.shift_options import OrbitMode, check_mode
from jaxinv.symmetry.cost import Work
from jaxinv.symmetry.layer_names import layer_names
from jaxinv.symmetry.state import AxisState, Interior, State
from jaxinv.symmetry.tracing import Traced, trace
from jaxinv.symmetry.walk import both_walks


@dataclass(frozen=True)
class OutputCertificate:
    """The verdict on one array of the output; the attributes are those of its `State`."""

    path: str
    shape: tuple[int, ...]
    state: State

    per_axis = property(lambda self: self.state.per_axis)
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


@dataclass(frozen=True, repr=False)
class Certificate:
    """What `certify` found.

    Attributes:
      shape: of the translated input, of the first of several.
      sizes: positions of the input along each axis.
      axes: the spatial axes of the input.
      mode: what enters at the border.
      outputs: one verdict for each array of the output.
      layers: one row for each layer, as `steps`, without receptive fields.
      equations: one row for each equation that the output depends on.
      breaks: the equations at which a period grew or the symmetry ended.
      assumptions: conditions that declared layers stated.
      questions: answers what is asked for later: `work`, `steps`, `remedies`.
    """

    shape: tuple[int, ...]
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    mode: str
    outputs: tuple[OutputCertificate, ...]
    layers: tuple[Step, ...]
    equations: tuple[Step, ...]
    breaks: tuple[Step, ...]
    assumptions: tuple[str, ...]
    questions: Questions | None = field(repr=False, compare=False)

    @functools.cached_property
    def work(self) -> Work:
        """What `jaxinv.orbit` computes for all circular shifts, counted when first asked for."""
        return self._asked.work()

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """One row for each layer, with its receptive field, when first asked for."""
        return self._asked.with_fields(self.layers)

    @functools.cached_property
    def remedies(self) -> tuple[Remedy, ...]:
        """What circular padding would give, and adaptive sampling as well, when first asked for.

        Each is proved by a walk over the program with that change. None for a function that is
        invariant to every shift, or that has neither padding nor strides.
        """
        return self._asked.remedies()

    @property
    def receptive_fields(self) -> str:
        """A table of how far each layer sees: receptive field, stride and halo, in pixels."""
        return field_table(self)

    @property
    def _asked(self) -> Questions:
        assert self.questions is not None
        return self.questions

    @property
    def cost(self) -> float:
        """Operations of all circular shifts, as a multiple of one forward pass."""
        return self.work.passes

    def __getstate__(self) -> dict[str, Any]:
        # What counts holds the program, which cannot be pickled.
        answers = {"work": self.work, "steps": self.steps, "remedies": self.remedies}
        return vars(self) | answers | {"questions": None}

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
        """`"equivariant"`, `"invariant"` or `"broken"` of the single output, see `State.kind`."""
        return self.only.kind

    @property
    def per_axis(self) -> tuple[AxisState, ...]:
        """How the single output moves along each axis: kind, period and movement."""
        return self.only.per_axis

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
    def has_batch(self) -> bool:
        """Whether the input is images, (n, H, W, C) or (n, C, H, W) say, and not a single one."""
        return 0 not in self.axes and len(self.shape) >= len(self.axes) + 2

    @property
    def interior_ends(self) -> Step | None:
        """The first equation after which no position is left whose field misses the border."""
        if any(any(output.interior) for output in self.outputs):
            return None
        left = [any(step.after.interior) for step in self.equations]
        last = max((i for i, some in enumerate(left) if some), default=-1)
        gone = [
            i for i, step in enumerate(self.equations) if any(step.before.interior) and not left[i]
        ]
        # A branch that skips what ends it may be computed on after that, as far as their sum.
        found = next((i for i in gone if i > last), gone[-1] if gone else None)
        return None if found is None else self.equations[found]

    @property
    def first_end(self) -> Step | None:
        """The first equation at which the symmetry ends along some axis."""
        return next((step for step in self.breaks if step.ends), None)

    @property
    def first_ends(self) -> dict[int, Step]:
        """For each axis along which the symmetry ends the first equation at which it does."""
        ends: dict[int, Step] = {}
        for step in self.breaks:
            for axis in step.ended:
                ends.setdefault(axis, step)
        return ends

    def to_dict(self) -> dict[str, Any]:
        """The certificate as JSON can hold it."""
        return {
            "shape": list(self.shape),
            "sizes": list(self.sizes),
            "axes": list(self.axes),
            "mode": self.mode,
            "outputs": [output.to_dict() for output in self.outputs],
            "steps": [step.to_dict() for step in self.steps],
            "breaks": [step.to_dict() for step in self.breaks],
            "remedies": [remedy.to_dict() for remedy in self.remedies],
            "assumptions": list(self.assumptions),
            "cost": self.work.passes,
            "largest_part": {"name": self.work.largest, "share": self.work.share},
        }

    def __str__(self) -> str:
        return table(self)

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        """The table, in a notebook."""
        return html(self)


def certify(
    fun: Callable,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    mode: OrbitMode = "wrap",
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
      The certificate. `print` shows it as a table; `per_axis` says what holds along each axis.

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
      >>> along_rows = jaxinv.certify(lambda x: jnp.cumsum(x, 1), jnp.zeros((1, 8, 8, 3)))
      >>> [state.kind for state in along_rows.per_axis]
      ['broken', 'equivariant']

    Reference:
      Cohen and Welling, "Group equivariant convolutional networks" (2016),
      https://arxiv.org/abs/1602.07576, for the notion; the method is described in docs/method.md.
    """
    check_mode(mode, OrbitMode)
    traced = trace(fun, args, argnums=argnums, axes=axes)
    if traced.effects:
        raise ValueError(
            f"the function has side effects ({traced.effects}); certify needs a pure function"
        )
    _warn_of_channels_first(traced)
    circular, line = walks = both_walks(traced)
    original = circular if mode == "wrap" else line
    names = layer_names(traced.program, original.records)
    program, main = traced.program, original
    as_traced = traced
    apart = apart_at_seams(traced, circular.values, differentiated=False)
    if apart is not None:
        found = both_walks(apart)
        in_pieces = found[walks.index(original)]
        if is_finer(apart, in_pieces, traced, original):
            traced, main, (_, line) = apart, in_pieces, found
    states = States(traced, main, line, tuple(axes))
    rows = rows_of(original, names, main)
    equations = tuple(equation_steps(program, rows, states))
    outputs = tuple(_verdicts(traced, states))
    moved = zip(traced.program.inputs, traced.dims, strict=True)
    return Certificate(
        shape=next(traced.program.avals[number].shape for number, dims in moved if dims),
        sizes=traced.sizes,
        axes=states.names,
        mode=mode,
        outputs=outputs,
        layers=tuple(layer_steps(equations, rows)),
        equations=equations,
        breaks=tuple(step for step in equations if step.reasons),
        assumptions=main.assumptions,
        questions=Questions(
            as_traced,
            original,
            tuple(names),
            traced,
            tuple(axes),
            tuple(output.state for output in outputs),
        ),
    )


def _warn_of_channels_first(traced: Traced) -> None:
    """Warns where the axes are those of a colour and a row: images with channels first."""
    for number, dims in zip(traced.program.inputs, traced.dims, strict=True):
        shape = traced.program.avals[number].shape
        if dims == (1, 2) and len(shape) == 4 and shape[1] == 3 < 8 <= shape[2] == shape[3]:
            warnings.warn(
                f"axes (1, 2) of images of shape {shape} are 3 channels and a row, it seems; "
                "where channels come first, axes=(2, 3)",
                stacklevel=3,
            )


def _verdicts(traced: Traced, states: States):
    for path, number in zip(traced.out_paths, traced.program.outputs, strict=True):
        yield OutputCertificate(
            path,
            traced.program.avals[number].shape,
            states[number],
        )
