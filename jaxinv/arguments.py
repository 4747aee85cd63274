"""The arguments of a transformed function: its arrays, and what is no array."""

import dataclasses
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class StaticArguments:
    """What `jax.jit` must know of a call beforehand: its structure and all that is no array."""

    tree: jax.tree_util.PyTreeDef
    leaves: tuple[Any, ...]  # None where an array belongs; a 1-tuple elsewhere

    def __eq__(self, other):
        if not isinstance(other, StaticArguments) or self.tree != other.tree:
            return False
        return all(map(_same, self.leaves, other.leaves))

    def __hash__(self):
        return hash((self.tree, tuple(map(_hash, self.leaves))))

    def restore(self, arrays: Sequence[jax.Array]) -> tuple[tuple, dict[str, Any]]:
        """Puts the arrays back and returns the positional and the named arguments."""
        rest = iter(arrays)
        return jax.tree.unflatten(
            self.tree, [next(rest) if s is None else s[0] for s in self.leaves]
        )


def split_arguments(args: tuple, kwargs: dict[str, Any]) -> tuple[list[Any], StaticArguments]:
    """Separates the arrays of a call from the rest of it.

    Example:
      >>> import numpy as np
      >>> arrays, static = split_arguments((np.ones(2), "mean"), {"train": False})
      >>> len(arrays), static.restore(arrays)[1]
      (1, {'train': False})
    """
    leaves, tree = jax.tree.flatten((args, kwargs))
    arrays = [leaf for leaf in leaves if _is_array(leaf)]
    return arrays, StaticArguments(tree, tuple(None if _is_array(v) else (v,) for v in leaves))


def check_argnums(argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    """Returns the positions of the translated arguments, counted from 0.

    Raises:
      ValueError: if there is none, one is out of range for `count` arguments, or occurs twice.

    Example:
      >>> check_argnums((0, -1), 3)
      (0, 2)
    """
    several = argnums if isinstance(argnums, Sequence) else (argnums,)
    try:
        given = tuple(map(operator.index, several))
    except TypeError:
        raise ValueError(f"argnums is {argnums!r}; allowed are whole numbers") from None
    if not given:
        raise ValueError("argnums is empty; at least one argument must be translated")
    for at in given:
        if not -count <= at < count:
            raise ValueError(
                f"argnums {given} names argument {at} of a call with {count} positional arguments"
            )
    positive = tuple(at % count for at in given)
    if len(set(positive)) < len(positive):
        raise ValueError(f"argnums {given} names an argument twice")
    return positive


def check_callable(fun: Callable) -> None:
    """Raises ValueError if `fun` cannot be called."""
    if not callable(fun):
        raise ValueError(f"fun is a {type(fun).__name__}, which cannot be called; give a function")


def _is_array(leaf):
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _same(a, b):
    if a is None or b is None:
        return a is b
    # 1, 1.0 and True are equal, but a function may tell them apart.
    return a[0] is b[0] or (type(a[0]) is type(b[0]) and bool(a[0] == b[0]))


def _hash(static):
    try:
        return hash(static)
    except TypeError:
        return hash(type(static[0]))
