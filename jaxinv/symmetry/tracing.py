"""A function's program: what it computes, and which of its inputs are translated."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxinv.arguments import check_argnums, check_callable, hinting_at_the_image, split_arguments
from jaxinv.shift_options import check_axes, common_sizes
from jaxinv.symmetry.array_names import array_names, closure_names
from jaxinv.symmetry.program import Program, flatten


@dataclass(frozen=True)
class Traced:
    """A function's program, and which of its inputs are translated.

    Attributes:
      program: the flat program.
      dims: for each input its spatial dimensions, or None if it is not translated.
      sizes: positions along each axis.
      out_tree: the structure of the outputs.
      effects: the side effects of the program, in words; "" for a pure one.
    """

    program: Program
    dims: tuple[tuple[int, ...] | None, ...]
    sizes: tuple[int, ...]
    out_tree: Any
    effects: str = ""

    @property
    def out_paths(self) -> list[str]:
        """The path of each output in their structure; "" for a single array."""
        tree = jax.tree.unflatten(self.out_tree, range(self.out_tree.num_leaves))
        rows = jax.tree_util.tree_flatten_with_path(tree)[0]
        return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in rows]

    @property
    def output_bytes(self) -> int:
        """Bytes of the outputs at one shift."""
        avals = [self.program.avals[number] for number in self.program.outputs]
        return sum(a.size * getattr(a.dtype, "itemsize", 0) for a in avals)


def trace(
    fun: Callable,
    args: tuple,
    kwargs: dict[str, Any] | None = None,
    *,
    argnums: int | Sequence[int],
    axes: Sequence[int],
    enter: bool = True,
) -> Traced:
    """Traces a function on the shapes of its arguments; `enter` is as in `flatten`.

    Raises:
      ValueError: if `fun` is no function, or an argument has no such axes, none that can be
        translated, or axes of one position.
    """
    check_callable(fun)
    moved = check_argnums(argnums, len(args))
    arrays, static = split_arguments(args, kwargs or {})
    out_tree = None

    def flat(*leaves):
        nonlocal out_tree
        outs, out_tree = jax.tree.flatten(static.call(fun, leaves))
        return outs

    names = closure_names(fun) | array_names(args)
    shapes = [jax.eval_shape(lambda a: a, a) for a in arrays]
    try:
        closed = jax.make_jaxpr(flat)(*shapes)
    except Exception as error:
        if _is_training(fun):
            error.add_note("fun is an nnx module in training mode; fun.eval() before may be all")
        raise
    with hinting_at_the_image(args, moved, axes):
        dims, sizes = _translated(args, moved, axes)
    leaves_of_kwargs = len(arrays) - len(dims)
    dims = [*dims, *[None] * leaves_of_kwargs]
    translated = [moves is not None for moves in dims]
    program = flatten(closed, enter=enter, constant_names=names, translated=translated)
    for number, leaf, moves in zip(program.inputs, arrays, dims, strict=True):
        if moves is None and id(leaf) in names:
            program.names[number] = names[id(leaf)]
    effects = ", ".join(sorted(map(str, closed.effects)))
    return Traced(program, tuple(dims), sizes, out_tree, effects)


def _is_training(fun: Callable) -> bool:
    """Whether a function is an nnx module with dropout or batch statistics that still change."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None or not isinstance(fun, nnx.Module):
        return False
    parts = [part for _, part in nnx.iter_modules(fun)]
    return any(
        getattr(part, "deterministic", None) is False
        or getattr(part, "use_running_average", None) is False
        for part in parts
    )


def _translated(args, moved, axes):
    """Per array leaf of the positional arguments its spatial dimensions or None; the sizes."""
    arrays = [split_arguments((arg,), {})[0] for arg in args]
    size = common_sizes([arrays[i] for i in moved], axes, "the translated argument")
    dims: list[tuple[int, ...] | None] = [
        check_axes(axes, np.ndim(leaf)) if at in moved else None
        for at, leaves in enumerate(arrays)
        for leaf in leaves
    ]
    if min(size) < 2:
        raise ValueError(
            f"the input has {size} positions along axes {tuple(axes)}; "
            "an axis of one position has no shifts"
        )
    return dims, size
