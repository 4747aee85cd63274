"""A call of a function, some of whose arguments are cut into tiles."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.arguments import check_argnums, check_callable, hinting_at_the_image
from jaxinv.shift_options import check_axes, common_sizes
from jaxinv.symmetry.tracing import trace
from jaxinv.symmetry.walk import line_of, walk
from jaxinv.tiling.matrix_order import in_one_order
from jaxinv.tiling.reading import Sized
from jaxinv.tiling.rounds import with_rounds


def in_words(sizes: Sequence[int]) -> str:
    """Sizes along the axes: "64 x 64"."""
    return " x ".join(map(str, sizes))


# Those of Flax's linen and nnx.
_OF_TRAINING = ("ModifyScopeVariableError", "TraceContextError")


def dtype_in_jax(dtype: Any) -> np.dtype:
    """What JAX makes of a dtype: in its order of bytes, and in 32 bits unless 64 are enabled.

    Example:
      >>> dtype_in_jax(np.dtype(">f4"))
      dtype('float32')
    """
    # That of tensorstore is one of its own.
    found = np.dtype(getattr(dtype, "numpy_dtype", dtype)).newbyteorder("=")
    return jax.dtypes.canonicalize_dtype(found)


def _has_numbers(dtype: Any) -> bool:
    try:
        kind = dtype_in_jax(dtype)
    except TypeError:
        return False
    return dtype is not None and (kind.kind == "b" or jnp.issubdtype(kind, np.number))


@dataclass(frozen=True)
class Call:
    """A function with its arguments, of which some are cut into tiles.

    Attributes:
      fun: the function.
      args: its positional arguments; arrays, or anything with a shape and a dtype.
      kwargs: its arguments by name.
      argnums: which arguments are cut.
      axes: along which of their dimensions.
    """

    fun: Callable
    args: tuple
    kwargs: dict[str, Any]
    argnums: int | Sequence[int]
    axes: Sequence[int]

    @functools.cached_property
    def moved(self) -> tuple[int, ...]:
        """The positions of the arguments that are cut, counted from 0."""
        check_callable(self.fun)
        return tuple(sorted(check_argnums(self.argnums, len(self.args))))

    @functools.cached_property
    def leaves(self) -> list[Any]:
        """The arrays that are cut.

        Raises:
          ValueError: if one of them has no shape or no numbers.
        """
        found = jax.tree.leaves([self.args[i] for i in self.moved])
        for leaf in found:
            if not hasattr(leaf, "shape") or not _has_numbers(getattr(leaf, "dtype", None)):
                what = f" of {leaf.dtype}" if hasattr(leaf, "dtype") else ""
                raise ValueError(
                    f"the tiled argument holds a {type(leaf).__name__}{what}; allowed are arrays "
                    "of numbers, or what has their shape and dtype and can be sliced"
                )
        return found

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        """Their positions along each axis."""
        with hinting_at_the_image(self.args, self.moved, self.axes):
            return common_sizes(self.leaves, self.axes, "the tiled argument")

    @functools.cached_property
    def dims(self) -> list[tuple[int, ...]]:
        """The dimension of each of these arrays along each axis."""
        return [check_axes(self.axes, len(leaf.shape)) for leaf in self.leaves]

    def with_leaves(self, leaves: Sequence[Any]) -> tuple:
        """The positional arguments with other arrays in place of those that are cut."""
        given, rest = list(self.args), iter(leaves)
        for i in self.moved:
            given[i] = jax.tree.map(lambda _: next(rest), self.args[i])
        return tuple(given)

    def with_sizes(self, sizes: Sequence[int]) -> tuple:
        """The positional arguments with shapes of these sizes in place of what is cut."""
        shapes = []
        for leaf, dims in zip(self.leaves, self.dims, strict=True):
            shape = list(leaf.shape)
            for dim, size in zip(dims, sizes, strict=True):
                shape[dim] = size
            shapes.append(jax.ShapeDtypeStruct(tuple(shape), dtype_in_jax(leaf.dtype)))
        return self.with_leaves(shapes)

    def at(self, sizes: Sequence[int]) -> Sized:
        """The function at these sizes, walked over on the line.

        Raises:
          ValueError: if it has side effects, or cannot be applied to arrays of these sizes.
        """
        args = self.with_sizes(sizes)
        try:
            traced = trace(self.fun, args, self.kwargs, argnums=self.moved, axes=self.axes)
        except Exception as error:
            if type(error).__name__ in _OF_TRAINING:
                raise ValueError(
                    "the network changes its variables while it is called, as in training; tiles "
                    f"need it in evaluation mode: {str(error).partition(chr(10))[0]}"
                ) from error
            if tuple(sizes) == self.sizes:
                raise
            raise ValueError(
                f"the function takes {in_words(self.sizes)} positions and not {in_words(sizes)}; "
                "tiles need one that takes any multiple of the grid: "
                f"{str(error).partition(chr(10))[0]}"
            ) from error
        if traced.effects:
            raise ValueError(
                f"the function has side effects ({traced.effects}); tiles need a pure function"
            )
        cut = zip(traced.program.inputs, traced.dims, strict=True)
        moved = {number for number, dims in cut if dims is not None}
        program = in_one_order(with_rounds(traced.program, moved), moved)
        traced = dataclasses.replace(traced, program=program)
        return Sized(traced, walk(traced, line_of(traced.sizes)))
