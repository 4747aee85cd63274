"""The orbit transform: a function at every translation of its argument."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxinv.arguments import check_argnums, split_arguments
from jaxinv.orbit import shared
from jaxinv.orbit.arguments import shifts_of_arguments
from jaxinv.orbit.chunks import refuse_if_too_large
from jaxinv.orbit.every_shift import every_shift
from jaxinv.orbit.plan import Plan
from jaxinv.orbit.shift_set import OrbitMode, ShiftSet
from jaxinv.symmetry.analysis import Traced, trace


class Call(NamedTuple):
    """One call of a transformed function: what is translated, and how it is planned."""

    traced: Traced
    plan: Plan
    chosen: ShiftSet


def plan_call(
    fun: Callable,
    args: tuple,
    kwargs: dict[str, Any],
    *,
    argnums: int | Sequence[int],
    axes: Sequence[int],
    mode: OrbitMode,
    max_shift: int | Sequence[int] | None,
    shifts: Sequence[Sequence[int]] | None,
) -> Call | None:
    """The plan of a call, or None where every shift has to run by itself.

    That is so for programs with side effects, and for images of one position along an axis.
    """
    moved = check_argnums(argnums, len(args))
    values = [args[i] for i in moved]
    chosen, dims = shifts_of_arguments(
        values, axes=axes, mode=mode, max_shift=max_shift, shifts=shifts
    )
    if min(chosen.sizes) < 2:
        return None
    leaves, tree = jax.tree.flatten(values)
    seen = []
    for leaf, dim in zip(leaves, dims, strict=True):
        shape = list(leaf.shape)
        for d, size in zip(dim, chosen.sizes, strict=True):
            shape[d] = size
        seen.append(jax.ShapeDtypeStruct(tuple(shape), leaf.dtype))
    given = list(args)
    for i, value in zip(moved, jax.tree.unflatten(tree, seen), strict=True):
        given[i] = value
    traced = trace(
        fun, tuple(given), kwargs, argnums=moved, axes=axes, enter=lambda primitive: False
    )
    if traced.effects:
        return None
    lengths = tuple(leaves[0].shape[d] for d in dims[0])
    return Call(traced, shared.best_plan(traced, chosen, mode, lengths), chosen)


def orbit(
    fun: Callable,
    *,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
    mode: OrbitMode = "wrap",
    max_shift: int | Sequence[int] | None = None,
    shifts: Sequence[Sequence[int]] | None = None,
    chunk: int | None = None,
    share: bool = True,
) -> Callable:
    r"""Transforms `fun` into the function that evaluates it at each translation of its argument.

    .. math::

      \mathrm{out}[t_1, t_2] = \mathrm{fun}(\mathrm{translate}(x, (t_1, t_2)))

    As long as a value is equivariant, its copy at another shift is a roll of what is known. So
    the jaxpr is read by the rules of `jaxinv.certify`, each distinct activation is computed once,
    for one representative of each coset, and only the equations that share nothing (after a dense
    layer, zero padding, a position embedding) run shift by shift. The result is that of
    evaluating each shift, to rounding: a primitive without a rule runs at each shift as it is,
    custom derivatives stay, and declarations of layers are not believed.

    The shift-by-shift part runs `chunk` shifts at a time (`jax.vmap`), the chunks one after the
    other (`lax.map`). Memory is that of the outputs, of the shared values (at most a quarter of
    the free memory each), and of `chunk` times the activations of the rest.

    Args:
      fun: any function of arrays that `jax.jit` accepts. Arguments, or leaves of them, that are
        no arrays are passed on as they are: a new value compiles again.
      argnums: which positional arguments are translated, together: one number or several. They
        are arrays or pytrees of arrays with the same sizes along `axes`.
      axes: the spatial dimensions of the translated arrays; one, two or three, in any place.
      mode: what enters at the border: `"wrap"`, `"constant"` (zeros), `"edge"`, `"reflect"`, or
        `"crop"`, where the argument is a larger image and `fun` sees windows of it that are
        `2 * max_shift` smaller.
      max_shift: `m`, for the `2m + 1` shifts `-m .. m` along each axis, index k meaning `k - m`,
        in pixels; one number or one per axis. None means all `P` shifts, for `"wrap"` only.
      shifts: only these shift tuples; the outputs then have one leading axis, and cosets that no
        shift meets are not computed.
      chunk: number of shifts evaluated together. None chooses it from the memory of the device.
      share: False evaluates each shift on its own, as `every_shift` does.

    Returns:
      A function of the same arguments. Each array of its output has leading axes for the shifts,
      one per spatial axis. It works under `jax.jit`, `jax.grad` and `jax.vmap`.

    Raises:
      ValueError: if `fun` is not callable, an option is unknown or out of range, an argument has
        no such axes, or the outputs do not fit into memory.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.orbit import orbit
      >>> def mean_of_every_second(x):
      ...     return jnp.mean(x[:, ::2, ::2], axis=(1, 2))
      >>> x = jnp.arange(16.0).reshape(1, 4, 4)
      >>> orbit(mean_of_every_second)(x)[:2, :2, 0]
      Array([[ 5.,  6.],
             [ 9., 10.]], dtype=float32)

    Reference:
      Kauderer-Abrams, "Quantifying translation-invariance in convolutional neural networks"
      (2017), https://arxiv.org/abs/1801.01450: an output at every translation of its input.
    """
    options: dict[str, Any] = {
        "argnums": argnums,
        "axes": axes,
        "mode": mode,
        "max_shift": max_shift,
        "shifts": shifts,
    }
    brute = every_shift(fun, chunk=chunk, **options)
    if not share:
        return brute

    @functools.partial(jax.jit, static_argnums=0)
    def evaluate(static, arrays):
        args, kwargs = static.restore(arrays)
        call = plan_call(fun, args, kwargs, **options)
        if call is None or call.plan.saves_nothing(call.chosen.count):
            return brute(*args, **kwargs)
        traced, plan, chosen = call
        refuse_if_too_large(shared.bytes_needed(plan, chosen.count), chosen.count)
        flat = shared.evaluate(plan, arrays, chosen, mode, chunk)
        outs = [jnp.reshape(out, chosen.shape + out.shape[1:]) for out in flat]
        return jax.tree.unflatten(traced.out_tree, outs)

    @functools.wraps(fun, updated=())
    def at_every_shift(*args, **kwargs):
        arrays, static = split_arguments(args, kwargs)
        return evaluate(static, arrays)

    return at_every_shift
