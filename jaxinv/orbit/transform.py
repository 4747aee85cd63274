"""The orbit transform: a function at every translation of its argument."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxinv.arguments import check_argnums, split_arguments
from jaxinv.orbit import execution
from jaxinv.orbit.alignment import Align, aligned
from jaxinv.orbit.brute_force import every_shift
from jaxinv.orbit.captured import hoisted
from jaxinv.orbit.choice import Asked, best_plan
from jaxinv.orbit.memory import refuse_if_too_large
from jaxinv.orbit.plan import Plan
from jaxinv.orbit.translated import seen_arguments
from jaxinv.shift_options import OrbitMode
from jaxinv.symmetry.tracing import trace


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
    differentiated: bool = False,
) -> Plan | None:
    """The plan of a call, or None where every shift has to run by itself.

    That is so for programs with side effects, and for images of one position along an axis.
    Derivatives have to be those of evaluating each shift where the plan is `differentiated`; of
    listed shifts only a full grid is then shared, as what is computed for the rest of the grid
    could send NaN back.

    Raises:
      ValueError: if the shifts do not fit the arguments, or the outputs do not fit into memory.
    """
    seen, chosen, _ = seen_arguments(
        args, argnums=argnums, axes=axes, mode=mode, max_shift=max_shift, shifts=shifts
    )
    if min(chosen.sizes) < 2 or (differentiated and not chosen.is_grid):
        return None
    traced = trace(fun, seen, kwargs, argnums=argnums, axes=axes, enter=not differentiated)
    if traced.effects:
        return None
    refuse_if_too_large(chosen.count * traced.output_bytes, chosen.count)
    return best_plan(traced, Asked(chosen, differentiated))


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
    align: Align = False,
) -> Callable:
    r"""Transforms `fun` into the function that evaluates it at each translation of its argument.

    .. math::

      \mathrm{out}[t_1, t_2] = \mathrm{fun}(\mathrm{translate}(x, (t_1, t_2)))

    As long as a value is equivariant, its copy at another shift is a roll of what is known. So
    the jaxpr is read by the rules of `jaxinv.certify`, each distinct activation is computed once,
    for one representative of each coset, and only the equations that share nothing (after a dense
    layer, a position embedding) run shift by shift. Where maps are padded, the interior is shared
    and only the corners run so, if that is less work. The result is that of
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
      align: True moves each output that moves with the image back by the shift, so that a position
        shows the same place at every shift; of the outputs stay the places that are in the picture
        at all of them. `"interior"` keeps only those of them that never meet the border's padding,
        where equivariance is exact for multiples of the period. `orbit(lambda y: y, ...)` with the
        same options cuts label maps alike.

    Returns:
      A function of the same arguments. Each array of its output has leading axes for the shifts,
      one per spatial axis. It works under `jax.jit`, `jax.grad` and `jax.vmap`.

    Raises:
      ValueError: if `fun` is not callable, an option is unknown or out of range, an argument has
        no such axes, or the outputs do not fit into memory; with `align`, if an output is not
        proved to move with the image or to stay, or a shift moves it by a fraction of a position.

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
    if align is not False:
        plain = orbit(fun, chunk=chunk, share=share, **options)
        return aligned(plain, fun, align, options)
    if not share:
        return every_shift(fun, chunk=chunk, **options)
    direct = _shared(fun, chunk, options)

    @functools.wraps(fun, updated=())
    def at_every_shift(*args, **kwargs):
        moved = check_argnums(argnums, len(args))
        seen = seen_arguments(args, **options)
        of_captured, captured = hoisted(fun, seen.args, kwargs)
        if not captured:
            return direct(*args, **kwargs)
        behind = options | {"argnums": tuple(i + 1 for i in moved)}
        return _shared(of_captured, chunk, behind)(captured, *args, **kwargs)

    return at_every_shift


def _shared(fun: Callable, chunk: int | None, options: dict[str, Any]) -> Callable:
    """`orbit` of a function that closes over nothing that is differentiated."""
    brute = every_shift(fun, chunk=chunk, **options)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def evaluate(static, differentiated, arrays):
        args, kwargs = static.restore(arrays)
        plan = plan_call(fun, args, kwargs, differentiated=differentiated, **options)
        if plan is None or plan.saves_nothing():
            return brute(*args, **kwargs)
        count, traced = plan.shifts.count, plan.traced
        refuse_if_too_large(count * traced.output_bytes + plan.held_bytes, count)
        flat = execution.evaluate(plan, arrays, chunk)
        outs = [jnp.reshape(out, plan.shifts.shape + out.shape[1:]) for out in flat]
        return jax.tree.unflatten(traced.out_tree, outs)

    # What is differentiated is planned by itself: of equal positions each shift chooses its own,
    # so that a sort or a maximum over the torus can be shared for its value only.
    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def values(static, arrays):
        return evaluate(static, False, arrays)

    def with_derivatives(static, primals, tangents):
        (arrays,), (dots,) = primals, tangents
        moving = [i for i, dot in enumerate(dots) if not isinstance(dot, SymbolicZero)]

        def of_moving(moved):
            moved = dict(zip(moving, moved, strict=True))
            return evaluate(static, True, [moved.get(i, a) for i, a in enumerate(arrays)])

        return jax.jvp(of_moving, ([arrays[i] for i in moving],), ([dots[i] for i in moving],))

    values.defjvp(with_derivatives, symbolic_zeros=True)

    def at_every_shift(*args, **kwargs):
        arrays, static = split_arguments(args, kwargs)
        return values(static, arrays)

    return at_every_shift
