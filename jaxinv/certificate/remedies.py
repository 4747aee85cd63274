"""What other borders and other sampling would make of a network: its program with them, read anew.

Padding becomes circular, strides keep the phase that the content chooses. The statements about such
a program are proved as all others are, by a walk over it; it can be run as well.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import primitives

from jaxinv.borders.rewriting import literal, of_original
from jaxinv.layers.adaptive import adaptive_polyphase_sample
from jaxinv.symmetry.kernels import Geometry, geometries_of_convolution, geometries_of_pool
from jaxinv.symmetry.program import Equation, Program, flatten
from jaxinv.symmetry.relayout import periodic_slice
from jaxinv.symmetry.tracing import Traced
from jaxinv.symmetry.values import Value

CIRCULAR, ADAPTIVE = "circular padding", "adaptive sampling"
_POOLS = (
    primitives.reduce_window_max_p,
    primitives.reduce_window_min_p,
    primitives.reduce_window_sum_p,
    primitives.reduce_window_p,
)


@dataclass(frozen=True)
class Remedied:
    """A program with other borders and other sampling.

    Attributes:
      traced: the program.
      changes: what is other, `"circular padding"` and `"adaptive sampling"`; empty if nothing is.
    """

    traced: Traced
    changes: tuple[str, ...]


def remedied(traced: Traced, line: dict[int, Value], *, adaptive: bool) -> Remedied:
    """The program with circular padding and, if asked for, with adaptive sampling.

    Strides after the same choices share their phase, as the branches of a residual block have to
    (Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks", 2021,
    https://arxiv.org/abs/2011.14214).

    Args:
      traced: the program.
      line: its values on the line without borders.
      adaptive: whether strides keep the phase that the content chooses.
    """
    program = traced.program
    rewriting = _Rewriting(program, line, adaptive)
    closed = jax.make_jaxpr(rewriting.outputs)(*(program.avals[i] for i in program.inputs))
    changed = flatten(closed)
    changed.equations = [of_original(e, program.equations) for e in changed.equations]
    return Remedied(
        dataclasses.replace(traced, program=changed),
        tuple(change for change in (CIRCULAR, ADAPTIVE) if change in rewriting.changes),
    )


class _Rewriting:
    """Runs a program with other borders and other sampling, and remembers what was changed."""

    def __init__(self, program: Program, line: dict[int, Value], adaptive: bool):
        self._program, self._line, self._adaptive = program, line, adaptive
        self.changes: set[str] = set()
        # How many choices of a phase each value comes after, and the phases by what is sampled.
        self._depth: dict[int, int] = {}
        self._phases: dict[tuple, tuple[Any, int]] = {}
        # Of what was padded, what it was and by how much along which dimensions.
        self._padded: dict[int, tuple[Any, dict[int, tuple[int, int]]]] = {}

    def outputs(self, *inputs: Any) -> list[Any]:
        """The outputs of the program."""
        program = self._program
        values = {i: literal(v, program.avals[i]) for i, v in program.constants.items()}
        values |= dict(zip(program.inputs, inputs, strict=True))
        for index, equation in enumerate(program.equations):
            with jax.named_scope(f"equation={index}"):
                operands = [values[i] for i in equation.ins]
                depth = max((self._depth.get(i, 0) for i in equation.ins), default=0)
                change = None if equation.whole is not None else self._change(equation)
                results = None
                if change is not None:
                    results, depth = change(equation, operands, depth)
                if results is None:
                    results = equation.bind(*operands)
            values |= dict(zip(equation.outs, results, strict=True))
            self._depth |= dict.fromkeys(equation.outs, depth)
        return [values[i] for i in program.outputs]

    def _change(self, equation: Equation) -> Callable[..., tuple[list[Any] | None, int]] | None:
        if equation.primitive is primitives.conv_general_dilated_p:
            return self._convolution
        if equation.primitive in _POOLS and len(equation.outs) == 1:
            return self._pool
        return {primitives.pad_p: self._padding, primitives.slice_p: self._slice}.get(
            equation.primitive
        )

    def _convolution(self, equation: Equation, operands: Sequence[Any], depth: int):
        params = equation.params
        numbers = params["dimension_numbers"]
        dims = numbers.lhs_spec[2:]
        kinds = geometries_of_convolution(params, operands[1].shape)

        def applied(x, strides):
            ones = (1,) * len(strides)
            none = ((0, 0),) * len(strides)
            changed = {"window_strides": strides, "padding": none, "lhs_dilation": ones}
            one = dataclasses.replace(equation, params=params | changed)
            return one.bind(x, operands[1])[0]

        order = (numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1])
        return self._windowed(operands[0], dims, kinds, applied, order, equation, depth)

    def _pool(self, equation: Equation, operands: Sequence[Any], depth: int):
        params = equation.params
        every = geometries_of_pool(params)
        dims = [dim for dim, kind in enumerate(every) if not kind.is_identity]
        kinds = [every[dim] for dim in dims]
        if any(kind.base_dilation > 1 for kind in kinds):
            return None, depth

        def applied(x, strides):
            steps = [1] * x.ndim
            for dim, stride in zip(dims, strides, strict=True):
                steps[dim] = stride
            none = ((0, 0),) * x.ndim
            changed = {"window_strides": tuple(steps), "padding": none}
            one = dataclasses.replace(equation, params=params | changed)
            return one.bind(x, *operands[1:])[0]

        rest = [dim for dim in range(len(every)) if dim not in dims]
        order = (*rest[:1], *dims, *rest[1:])
        return self._windowed(operands[0], dims, kinds, applied, order, equation, depth)

    def _windowed(
        self,
        x: Any,
        dims: Sequence[int],
        kinds: Sequence[Geometry],
        applied: Callable[[Any, tuple[int, ...]], Any],
        order: Sequence[int],
        equation: Equation,
        depth: int,
    ):
        """A kernel that slides around the image, at all positions where it samples adaptively.

        Args:
          x: what it slides over.
          dims: along which dimensions.
          kinds: how, along each.
          applied: makes the outputs at some strides from what was extended, without padding.
          order: the dimensions of the result: the images, those that were slid along, the rest.
          equation: the convolution or pool.
          depth: after how many choices it comes.
        """
        within, widths = self._padded.get(equation.ins[0], (x, {}))
        if widths.keys() <= set(dims):
            # Padding by an operation of its own is that of the kernel.
            x = within
            ends = [widths.get(dim, (0, 0)) for dim in dims]
            kinds = [
                dataclasses.replace(kind, low=kind.low + before, high=kind.high + after)
                for kind, (before, after) in zip(kinds, ends, strict=True)
            ]
        sizes = [x.shape[dim] for dim in dims]
        strided = [kind.stride > 1 for kind in kinds]
        chosen = (
            self._adaptive
            and any(strided)
            and jnp.issubdtype(x.dtype, jnp.floating)
            and self._line[equation.ins[0]].touched
            and all(
                kind.base_dilation == 1 and kind.count(n) * kind.stride == n
                for n, kind, thins in zip(sizes, kinds, strided, strict=True)
                if thins
            )
        )
        if not chosen and all(kind.reads_inside for kind in kinds):
            return None, depth
        for dim, kind, thins in zip(dims, kinds, strided, strict=True):
            high = kind.span - 1 - kind.low if chosen and thins else kind.high
            if kind.base_dilation > 1:
                between = [(0, 0, 0)] * x.ndim
                between[dim] = (0, kind.slack, kind.slack)
                x = lax.pad(x, jnp.zeros((), x.dtype), between)
                high -= kind.slack
            x = periodic_slice(x, dim, -kind.low, kind.low + x.shape[dim] + high)
        if not all(kind.reads_inside for kind in kinds):
            self.changes.add(CIRCULAR)
        strides = tuple(kind.stride for kind in kinds)
        if not chosen:
            return [applied(x, strides)], depth
        return self._sampled(applied(x, (1,) * len(strides)), strides, order, depth)

    def _sampled(self, x: Any, strides: tuple[int, ...], order: Sequence[int], depth: int):
        """Every so manyth position, from the phase on that the content chooses."""
        x = jnp.transpose(x, order)
        # (n, *s, ...) -> (n, *s, c)
        kept = x.shape[1 + len(strides) :]
        x = jnp.reshape(x, (*x.shape[: 1 + len(strides)], math.prod(kept)))
        key = (depth, strides, x.shape[:-1])
        phase, after = self._phases.get(key, (None, 0))
        y, phase = adaptive_polyphase_sample(x, strides, phase=phase)
        if not after:
            after = 1 + max((depth for _, depth in self._phases.values()), default=0)
            self._phases[key] = phase, after
        y = jnp.reshape(y, (*y.shape[:-1], *kept))
        back = sorted(range(len(order)), key=order.__getitem__)
        self.changes.add(ADAPTIVE)
        return [jnp.transpose(y, back)], after

    def _padding(self, equation: Equation, operands: Sequence[Any], depth: int):
        x, fill = given, _ = operands
        left = list(equation.params["padding_config"])
        widths = {}
        for dim, (low, high, interior) in enumerate(left):
            if interior == 0 and max(low, high) > 0 and self._is_padding(equation, dim):
                x = periodic_slice(x, dim, -low, low + x.shape[dim] + high)
                left[dim], widths[dim] = (0, 0, 0), (low, high)
                self.changes.add(CIRCULAR)
        if not widths:
            return None, depth
        if set(left) == {(0, 0, 0)}:
            self._padded[equation.outs[0]] = given, widths
        return [lax.pad(x, fill, left)], depth

    def _is_padding(self, equation: Equation, dim: int) -> bool:
        """Whether a dimension of an image is padded: what moves, or what a kernel slides over."""
        (out,) = equation.outs
        readers = [e for e in self._program.equations if out in e.ins]
        return self._line[equation.ins[0]].moves_in(dim) or (
            bool(readers) and all(_slides(reader, dim) for reader in readers)
        )

    def _slice(self, equation: Equation, operands: Sequence[Any], depth: int):
        (x,) = operands
        params = equation.params
        steps = params["strides"] or (1,) * x.ndim
        dims = [dim for dim, step in enumerate(steps) if step > 1]
        fits = all(
            self._line[equation.ins[0]].moves_in(dim)
            and params["start_indices"][dim] < steps[dim]
            and equation.out_avals[0].shape[dim] * steps[dim] == x.shape[dim]
            for dim in dims
        )
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        if not (self._adaptive and dims and fits and floating):
            return None, depth
        starts, limits = list(params["start_indices"]), list(params["limit_indices"])
        for dim in dims:
            x = periodic_slice(x, dim, starts[dim], x.shape[dim])
            starts[dim], limits[dim] = 0, x.shape[dim]
        x = lax.slice(x, starts, limits)
        rest = [dim for dim in range(x.ndim) if dim not in dims]
        order = (*rest[:1], *dims, *rest[1:])
        return self._sampled(x, tuple(steps[dim] for dim in dims), order, depth)


def _slides(equation: Equation, dim: int) -> bool:
    """Whether a kernel slides along a dimension of the first operand of an equation."""
    if equation.primitive is primitives.conv_general_dilated_p:
        return dim in equation.params["dimension_numbers"].lhs_spec[2:]
    if equation.primitive in _POOLS:
        return equation.params["window_dimensions"][dim] > 1
    return False
