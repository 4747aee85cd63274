"""A function at every translation of its argument, one forward pass per shift: the brute force."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.arguments import check_argnums, check_callable, split_arguments, whole_number
from jaxinv.orbit.extension import extend, window
from jaxinv.orbit.memory import bytes_of, in_chunks, refuse_if_too_large
from jaxinv.orbit.translated import seen_arguments
from jaxinv.shift_options import OrbitMode


def every_shift(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    mode: OrbitMode = "wrap",
    max_shift: int | Sequence[int] | None = None,
    shifts: Sequence[Sequence[int]] | None = None,
    chunk: int | None = None,
) -> Callable:
    r"""Transforms `fun` into the function that evaluates it at each translation of its argument.

    .. math::

      \mathrm{out}[t_1, t_2] = \mathrm{fun}(\mathrm{translate}(x, (t_1, t_2)))

    Every shift costs one forward pass. The image is extended once, and each shift reads a window
    of it. `chunk` shifts are evaluated together (`jax.vmap`), the chunks one after the other
    (`lax.map`), so that activations of no more than `chunk` shifts are held at a time. The
    result is compiled; it may be used under `jax.jit`, `jax.grad` and `jax.vmap`.

    Args:
      fun: any function of arrays that `jax.jit` accepts. Arguments, or leaves of them, that are
        no arrays are passed on as they are: a new value compiles again.
      argnums: which positional arguments are translated, together: one number or several. They
        are arrays or pytrees of arrays with the same sizes along `axes`.
      axes: the spatial dimensions of the translated arrays; one, two or three, in any place.
      mode: what enters at the border: `"wrap"`, `"constant"` (zeros), `"edge"`, `"reflect"`, or
        `"crop"`, where the argument is a larger image and `fun` sees windows of it that are
        `2 * max_shift` smaller.
      max_shift: `m`, for the `2m + 1` shifts `-m .. m` along each axis, index k meaning `k - m`;
        one number or one per axis. None means all `P` shifts, for `"wrap"` only.
      shifts: only these shift tuples; the outputs then have one leading axis.
      chunk: number of shifts evaluated together. None chooses it from the memory of the device.

    Returns:
      A function of the same arguments. Each array of its output has leading axes for the shifts,
      one per spatial axis.

    Raises:
      ValueError: if `fun` is not callable, an option is unknown or out of range (see
        `shift_set`), or an argument has no such axes.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[1.0, 2.0, 3.0, 4.0]])
      >>> print(every_shift(lambda x: x[0, :2], axes=(1,))(x))
      [[1. 2.]
       [4. 1.]
       [3. 4.]
       [2. 3.]]

    Reference:
      Kauderer-Abrams, "Quantifying translation-invariance in convolutional neural networks"
      (2017), https://arxiv.org/abs/1801.01450: an output at every translation of its input.
    """
    check_callable(fun)
    if chunk is not None:
        whole_number(chunk, "chunk")

    @functools.partial(jax.jit, static_argnums=0)
    def evaluate(static, arrays):
        args, kwargs = static.restore(arrays)
        moved = check_argnums(argnums, len(args))
        values = [args[i] for i in moved]
        seen, chosen, dims = seen_arguments(
            args, argnums=moved, axes=axes, mode=mode, max_shift=max_shift, shifts=shifts
        )
        refuse_if_too_large(chosen.count * _output_bytes(fun, seen, kwargs), chosen.count)
        leaves, tree = jax.tree.flatten(values)
        wide = [extend(leaf, dim, chosen) for leaf, dim in zip(leaves, dims, strict=True)]

        def at_shift(t):
            windows = [window(leaf, dim, chosen, t) for leaf, dim in zip(wide, dims, strict=True)]
            shifted = list(args)
            for i, value in zip(moved, jax.tree.unflatten(tree, windows), strict=True):
                shifted[i] = value
            return fun(*shifted, **kwargs)

        table = jnp.asarray(chosen.table())
        flat = in_chunks(at_shift, table, chosen.count, chunk)
        return jax.tree.map(lambda out: out.reshape(chosen.shape + out.shape[1:]), flat)

    @functools.wraps(fun, updated=())
    def at_every_shift(*args, **kwargs):
        arrays, static = split_arguments(args, kwargs)
        return evaluate(static, arrays)

    return at_every_shift


def _output_bytes(fun: Callable, args: tuple, kwargs: dict[str, Any]) -> int:
    """Bytes of a function's outputs, from the shapes of its arguments."""
    shapes, static = split_arguments(args, kwargs)
    outputs = jax.eval_shape(functools.partial(static.call, fun), shapes)
    return sum(map(bytes_of, jax.tree.leaves(outputs)))
