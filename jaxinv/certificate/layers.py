"""The layers of any function, as its certificate names them: their outputs by name."""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Num, Shaped

from jaxinv.certificate.steps import States, equation_steps, head_of, layer_groups, rows_of
from jaxinv.symmetry.layer_names import layer_names
from jaxinv.symmetry.program import Program
from jaxinv.symmetry.state import State
from jaxinv.symmetry.tracing import Traced, trace
from jaxinv.symmetry.walk import both_walks


class _Layer(NamedTuple):
    """Where a layer's output is, and how it becomes a map.

    Attributes:
      name: the layer's path, or the operation with its line where nothing names one.
      number: of the value in the program.
      factors: the sizes that its dimensions fall into.
      spatial: the factor along each axis; empty for what is no map.
    """

    name: str
    number: int
    factors: tuple[int, ...]
    spatial: tuple[int, ...]


def layers_of(
    fun: Callable[[Array], Any], *, axes: Sequence[int] = (1, 2)
) -> Callable[[Num[Array, "n ..."]], dict[str, Shaped[Array, "..."]]]:
    """The outputs of the layers of any function, as a function of the same images.

    The layers are those of the certificate: modules of Flax, Equinox, Keras or PyTorch by their
    path, and the operations of plain functions by their line. Maps come with their spatial
    dimensions where the images have them, whichever layout the network computes in; tokens of
    patches as the map that they are. Left out are numbers that are not floating-point.

    Args:
      fun: a function of a batch of images (n, ...), in evaluation mode.
      axes: the spatial dimensions of the images.

    Returns:
      A function of images that returns arrays by name, in the order of the program; the last is
      the output of `fun`. It composes with `jit`, `grad` and `vmap`.

    Raises:
      ValueError: when called, if the images have no such axes.

    Example:
      >>> import flax.linen as nn, jax.numpy as jnp, jaxinv
      >>> pool = lambda x: nn.max_pool(x, (2, 2), (2, 2))
      >>> outputs = jaxinv.layers_of(lambda x: jnp.tanh(pool(x)).mean((1, 2)))
      >>> [y.shape for y in outputs(jnp.ones((1, 8, 8, 3))).values()]
      [(1, 4, 4, 3), (1, 3), (1, 3)]
    """

    @functools.lru_cache(maxsize=8)
    def found(shape, dtype) -> tuple[_Layer, ...]:
        images = jnp.zeros(shape, dtype)
        return tuple(_layers(trace(fun, (images,), argnums=0, axes=axes), axes))

    def layers(images: Array) -> dict[str, Array]:
        images = jnp.asarray(images)
        rows = found(images.shape, images.dtype)
        # Traced again: what the function closes over may be traced itself.
        traced = trace(fun, (images,), argnums=0, axes=axes)
        values = _values(traced.program, images)
        return {
            row.name: _as_map(values[row.number], row, tuple(a % images.ndim for a in axes))
            for row in rows
        }

    return layers


def _values(program: Program, images: Array) -> dict[int, Array]:
    """The value of each number of a program."""
    values = program.constants | {program.inputs[0]: images}
    for equation in program.equations:
        results = equation.bind(*(values[number] for number in equation.ins))
        values |= dict(zip(equation.outs, results, strict=True))
    return values


def _layers(traced: Traced, axes: Sequence[int]) -> Iterator[_Layer]:
    """The layers with floating-point output, in order."""
    program = traced.program
    circular, line = both_walks(traced)
    names = layer_names(program, circular.records)
    rows = rows_of(circular, names, circular)
    states = States(traced, circular, line, tuple(axes)), States(traced, line, line, tuple(axes))
    named = {}
    for group in layer_groups(list(equation_steps(program, rows, states[0])), rows):
        head = head_of([step for step, _ in group])
        named[group[-1][1].results[0]] = head.layer if group[0][1].name else head.place
    for path, number in zip(traced.out_paths, program.outputs, strict=True):
        named.setdefault(number, "/".join(filter(None, ["output", path])))
    images = program.avals[program.inputs[0]].shape
    # A value that `vmap` keeps the images of elsewhere is no layer of a batch.
    batch = images[:1]
    calls: Counter[str] = Counter()
    last: tuple[int, ...] = ()
    for number, name in named.items():
        aval = program.avals[number]
        if not jnp.issubdtype(aval.dtype, jnp.floating) or aval.shape[:1] != batch:
            continue
        again = f"[{calls[name]}]" if calls[name] else ""
        calls[name] += 1
        factors, spatial = _factors(aval.shape, [s[number] for s in states], len(traced.sizes))
        if not spatial and len(last) and aval.ndim > max(last) and factors == aval.shape:
            spatial = last  # beyond what is proved, laid out as the map before
        elif spatial and factors == aval.shape:
            last = spatial
        yield _Layer(name + again, number, factors, spatial)


def _factors(
    shape: tuple[int, ...], states: Sequence[State], n_axes: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The factors of the dimensions, and which of them moves along each axis, if each has one."""
    for state in states:
        # A dimension of one position has no factors.
        flat = tuple(itertools.chain.from_iterable(row or [(1, None, 0)] for row in state.layout))
        moved = [[i for i, (_, axis, _) in enumerate(flat) if axis == a] for a in range(n_axes)]
        if all(len(places) == 1 for places in moved):
            return tuple(size for size, _, _ in flat), tuple(places[0] for places in moved)
    return shape, ()


def _as_map(value: Array, layer: _Layer, axes: tuple[int, ...]) -> Array:
    """A map with its spatial dimensions at `axes` and the rest behind; what is no map as it is."""
    if not layer.spatial:
        return value
    moved = jnp.moveaxis(value.reshape(layer.factors), layer.spatial, axes)
    rank = max(axes) + 2
    return moved.reshape(*moved.shape[: rank - 1], -1) if moved.ndim > rank else moved
