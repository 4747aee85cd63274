"""The arguments of a call, arrays and all else; options with one number per axis."""

import contextlib
import dataclasses
import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from numbers import Number
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Shaped

# Beyond it a number is infinite in float32.
LARGEST_FLOAT = float(np.finfo(np.float32).max)

# Labels are held in int32.
_MOST_CLASSES = 2**31


@dataclasses.dataclass(frozen=True, eq=False)
class StaticArguments:
    """What `jax.jit` must know of a call beforehand: its structure and all but its arrays."""

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

    def call(self, fun: Callable, arrays: Sequence[jax.Array]) -> Any:
        """What a function makes of the arguments, with the arrays put back."""
        args, kwargs = self.restore(arrays)
        return fun(*args, **kwargs)


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
        indices = tuple(map(operator.index, several))
    except TypeError:
        raise ValueError(f"argnums is {argnums!r}; allowed are whole numbers") from None
    if not indices:
        raise ValueError("argnums is empty; at least one argument must be translated")
    for at in indices:
        if not -count <= at < count:
            raise ValueError(
                f"argnums {indices} names argument {at} of a call with {count} positional arguments"
            )
    positive = tuple(at % count for at in indices)
    if len(set(positive)) < len(positive):
        raise ValueError(f"argnums {indices} names an argument twice")
    return positive


def check_callable(fun: Callable) -> None:
    """Raises ValueError if `fun` cannot be called, or is a linen module without variables."""
    if not callable(fun):
        raise ValueError(
            f"fun is of type {type(fun).__name__}, which cannot be called; give a function"
        )
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(fun, linen.Module) and fun.scope is None:
        raise ValueError(
            f"fun is the Flax module {type(fun).__name__}; give its apply, the variables and the "
            "images, with argnums=1"
        )


@contextlib.contextmanager
def hinting_at_the_image(
    args: Sequence[Any], moved: Sequence[int], axes: Sequence[int]
) -> Iterator[None]:
    """Lets an error about the axes of some arguments say which other one has such axes.

    Args:
      args: all positional arguments.
      moved: those that are translated.
      axes: their spatial dimensions.

    Raises:
      ValueError: that of the block; if one other argument alone is of arrays with such axes, that
        `argnums` can name it.
    """
    try:
        yield
    except ValueError as error:
        arrays = [split_arguments((arg,), {})[0] for arg in args]
        ranks = {i: [np.ndim(a) for a in found] for i, found in enumerate(arrays)}
        try:
            fitting = [
                i
                for i, found in ranks.items()
                if found and all(-rank <= axis < rank for rank in found for axis in axes)
            ]
        except TypeError:  # axes are no whole numbers, as the error says
            raise error from None
        if len(fitting) != 1 or fitting[0] in moved:
            raise
        raise ValueError(
            f"{error}; argument {fitting[0]} has such axes: argnums={fitting[0]}"
        ) from None


def check_key(key: Any) -> None:
    """Raises ValueError unless `key` is one random key, of JAX's new kind or the old.

    Example:
      >>> check_key(0)
      Traceback (most recent call last):
      ValueError: key is a int; allowed is one key of jax.random.key
    """
    dtype: Any = getattr(key, "dtype", None)
    shape = getattr(key, "shape", None)
    if dtype == jnp.uint32:
        one = shape == jax.random.key_data(jax.random.key(0)).shape
    else:
        one = shape == () and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not one:
        of = f" of shape {shape}" if shape else ""
        raise ValueError(f"key is a {type(key).__name__}{of}; allowed is one key of jax.random.key")


def as_array(values: Any, what: str, allowed: str) -> Shaped[Array, "..."]:
    """An array of numbers, of keys or of arrays; words are refused.

    Raises:
      ValueError: if it cannot be one, or holds whole numbers beyond JAX's own; `what` says what it
        is, `allowed` what it should hold.
    """
    leaves = jax.tree.leaves(values, is_leaf=lambda v: v is None)
    if all(hasattr(leaf, "dtype") or isinstance(leaf, Number) for leaf in leaves):
        try:
            array = jnp.asarray(values)
        except OverflowError as error:
            raise ValueError(f"{what}: {error}") from None
        except (TypeError, ValueError):
            pass
        else:
            whole = isinstance(values, np.ndarray) and values.dtype.kind in "iu"
            if whole and is_known(array) and (other := np.asarray(array) != values).any():
                raise ValueError(
                    f"{what}: {values[other].flat[0]} is held as another number in "
                    f"{array.dtype}; allowed are up to {jnp.iinfo(array.dtype).max}"
                )
            return array
    raise ValueError(f"{what} is no array but a {type(values).__name__}; allowed are {allowed}")


def as_inexact(values: Any, what: str = "values") -> Inexact[Array, "..."]:
    """Numbers in float32 at least: whole numbers would wrap around, half precision overflows.

    Args:
      values: numbers or booleans of any dtype.
      what: what they are, for the message.

    Returns:
      The same numbers; float32 or wider, complex where they are.

    Raises:
      ValueError: if they are no numbers.

    Example:
      >>> import numpy as np
      >>> print(as_inexact(np.array([200], np.uint8)) - 210)
      [-10.]
    """
    array = as_array(values, what, "numbers")
    if jnp.issubdtype(array.dtype, jnp.inexact):
        return array.astype(jnp.promote_types(array.dtype, jnp.float32))
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool:
        return array.astype(float)
    raise ValueError(f"{what} has dtype {array.dtype}; allowed are numbers and booleans")


def is_known(*values: Any) -> bool:
    """Whether values can be looked at: not while JAX traces a function of them."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def of_shape(array: Any, shape: Sequence[int]) -> jax.ShapeDtypeStruct:
    """An array of another shape, of the dtype that JAX makes of it: of float64 mostly float32.

    Example:
      >>> of_shape(jnp.zeros((2, 3), jnp.int8), (4, 3))
      ShapeDtypeStruct(shape=(4, 3), dtype=int8)
    """
    return jax.ShapeDtypeStruct(tuple(shape), jax.eval_shape(lambda a: a, array).dtype)


def whole_number(value: Any, name: str, *, least: int = 1) -> int:
    """Returns a whole number from `least`, and raises ValueError for anything else."""
    try:
        number = _whole(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers from {least}")
    return number


def check_classes(
    labels: Shaped[np.ndarray, "..."], classes: int | None, *, void: int | None = None
) -> None:
    """Refuses labels that are neither one of so many classes, None for any number, nor void.

    They are held in int32, so that there are at most 2^31 classes.

    Raises:
      ValueError: it names a label, and those allowed.
    """
    wrong = (labels < 0) | (labels >= (_MOST_CLASSES if classes is None else classes))
    if void is not None:
        wrong &= labels != void
    if wrong.any():
        values = labels[wrong]
        limit = f"0 to {(_MOST_CLASSES if classes is None else classes) - 1}"
        also = "" if void is None else f", and {void} for no class"
        named = values.min() if values.min() < 0 else values.max()
        raise ValueError(f"label {named} is no class; allowed are {limit}{also}")


def per_axis(
    value: Any, count: int, name: str, *, least: int | None = None, most: int | None = None
) -> tuple[int, ...]:
    """Returns one whole number per axis from a number for all of them or a sequence.

    Args:
      value: a whole number, or a sequence of `count` of them.
      count: the number of axes.
      name: the option's name, for the message.
      least: the smallest number allowed; by default any.
      most: the largest number allowed, where there is a smallest.

    Raises:
      ValueError: if an entry is no whole number or out of range, or the sequence has another
        length.

    Example:
      >>> per_axis(3, 2, "size")
      (3, 3)
    """
    try:
        entries = (_whole(value),) * count
    except TypeError:
        try:
            entries = tuple(map(_whole, value))
        except TypeError:
            raise ValueError(
                f"{name} is {value!r}; allowed are a whole number or one per axis"
            ) from None
    if least is not None and not all(least <= n <= (n if most is None else most) for n in entries):
        limits = f"from {least}" + ("" if most is None else f" to {most}")
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers {limits}")
    return _one_each(entries, count, name)


def number_or_nan(value: Any) -> float:
    """A finite real number; NaN for anything else, so that no comparison with it holds.

    Args:
      value: anything.

    Returns:
      The number, or NaN; `True` and `False` are no numbers.

    Example:
      >>> [0 <= number_or_nan(value) <= 1 for value in (0.5, 2, "half", True)]
      [True, False, False, False]
    """
    number = _finite(value)
    return math.nan if number is None else number


def real_number(value: Any, name: str) -> float:
    """Returns a finite number, in float32 as well, from one of any real type.

    Raises:
      ValueError: if it is no finite number, or `True` or `False`.
    """
    number = _finite(value)
    if number is None:
        raise ValueError(f"{name} is {value!r}; allowed are finite numbers")
    return number


def real_per_axis(value: Any, count: int, name: str) -> tuple[float, ...]:
    """Returns one finite number per axis from a number for all of them or a sequence.

    Raises:
      ValueError: if an entry is no finite number, or the sequence has another length.

    Example:
      >>> real_per_axis(0.5, 2, "max_shift")
      (0.5, 0.5)
    """
    several = isinstance(value, Sequence | np.ndarray | jax.Array) and np.ndim(value) == 1
    entries = tuple(map(_finite, value if several else (value,) * count))
    if None in entries:
        raise ValueError(f"{name} is {value!r}; allowed are a finite number or one per axis")
    return _one_each(entries, count, name)


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


def _finite(value):
    """The number as a float, or None if it is none."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST_FLOAT else None


def _whole(value):
    if isinstance(value, bool | np.bool_):
        raise TypeError("True and False are no numbers of pixels")
    return operator.index(value)


def _one_each(entries, count, name):
    if len(entries) != count:
        raise ValueError(f"{name} {entries} has {len(entries)} entries for {count} axes")
    return entries
