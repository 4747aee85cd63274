"""Assertions in chex's manner: a function moves with its input, or stays put."""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped

from jaxinv.arguments import check_callable, is_known, per_axis
from jaxinv.orbit.brute_force import every_shift
from jaxinv.orbit.shift_set import ShiftSet, shift_set
from jaxinv.shift_options import check_axes, common_sizes
from jaxinv.shifts import translate, within_a_turn
from jaxinv.tolerances import LARGEST, rounding, spacing_of

Method = Literal["measure", "proof", "both"]

# Without `shifts`, all are measured up to this many; beyond it, a sample with those that break
# symmetries first: single pixels, halves, and random ones.
MOST_SHIFTS = 64


def assert_translation_equivariant(
    fun: Callable[[PyTree], PyTree],
    x: PyTree[Shaped[Array, "..."]],
    *,
    axes: Sequence[int] = (1, 2),
    stride: int | Sequence[int] = 1,
    shifts: Sequence[Sequence[int]] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method = "measure",
) -> None:
    r"""Asserts that a function moves with its input on the torus.

    .. math::

      f(T_t x) = T_{t / s} f(x) \quad \text{for every } t \in s \mathbb{Z}^d

    Args:
      fun: a function of `x` alone; its outputs have the dimensions `axes`, `stride` times smaller.
      x: input, an array or a pytree of arrays; random values reveal more than special ones. A
        proof takes `jax.ShapeDtypeStruct`s as well.
      axes: the spatial dimensions of inputs and outputs.
      stride: `s`, one number for all axes or one each.
      shifts: the shifts to measure, multiples of the stride. None means all of them where they
        are at most `MOST_SHIFTS`, else a fixed sample of that many with the one-stride shifts.
      rtol: relative tolerance, below 1. None takes that of `jaxinv.tolerance`, for the coarsest
        rounding in the program, which runs with `jax.default_matmul_precision("highest")`.
      atol: absolute tolerance in units of the largest output; None as for rtol.
      method: `"measure"` evaluates the shifts; `"proof"` asks `jaxinv.certify` instead and
        needs only the shapes of `x`; `"both"` does both.

    Raises:
      AssertionError: if a shift differs; it names the worst shift and the size of the difference,
        and says so where rounding in half precision explains as much. If an output is not finite;
        it names the number of images and the first shift. Or if the proof fails; it names the
        breaking line.
      ValueError: if `fun` is not callable or returns nothing, arrays are empty, a tolerance is out
        of range, axes, strides or shifts do not fit, or an output does not have `1 / stride` of the
        input's positions.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([3.0, 1.0, 4.0, 1.0])
      >>> assert_translation_equivariant(jnp.square, x, axes=(0,))
      >>> assert_translation_equivariant(jnp.cumsum, x, axes=(0,))
      Traceback (most recent call last):
      AssertionError: not translation equivariant: ... at shift (1,) by 8 ...

    Reference:
      Cohen and Welling, "Group equivariant convolutional networks" (2016), section 2,
      https://arxiv.org/abs/1602.07576.
    """
    sizes, outputs = _check(fun, x, axes, rtol, atol, method)
    strides = per_axis(stride, len(sizes), "stride", least=1)
    for leaf in outputs:
        dims = check_axes(axes, len(leaf.shape), "an output")
        for dim, size, s in zip(dims, sizes, strides, strict=True):
            if leaf.shape[dim] * s != size:
                raise ValueError(
                    f"an output of shape {leaf.shape} has {leaf.shape[dim]} positions along "
                    f"dimension {dim}; for stride {s} and an input of {size} it must be size / s"
                )
    if method != "measure":
        _prove(fun, x, axes, "equivariant", strides, shifts)
    if method != "proof":
        chosen = _shifts(sizes, shifts, strides)
        after = jnp.asarray(chosen.table() // np.array(strides))

        def moved(base):
            return jax.vmap(lambda t: translate(base, t, axes=axes))(after)

        _compare(fun, x, axes, chosen, rtol, atol, "equivariant", moved)


def assert_translation_invariant(
    fun: Callable[[PyTree], PyTree],
    x: PyTree[Shaped[Array, "..."]],
    *,
    axes: Sequence[int] = (1, 2),
    stride: int | Sequence[int] = 1,
    shifts: Sequence[Sequence[int]] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method = "measure",
) -> None:
    r"""Asserts that a function's output stays the same wherever its input is on the torus.

    .. math::

      f(T_t x) = f(x) \quad \text{for every } t \in s \mathbb{Z}^d

    Args:
      fun: a function of `x` alone, with outputs of any shape.
      x: input, an array or a pytree of arrays; random values reveal more than special ones. A
        proof takes `jax.ShapeDtypeStruct`s as well.
      axes: the spatial dimensions of the input.
      stride: `s`, one number for all axes or one each: only its multiples are meant.
      shifts: as in `assert_translation_equivariant`, and so are `rtol`, `atol` and `method`.

    Raises:
      AssertionError: as `assert_translation_equivariant`.
      ValueError: if `fun` is not callable or returns nothing, arrays are empty, a tolerance is out
        of range, or axes, strides or shifts do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([3.0, 1.0, 4.0, 1.0])
      >>> assert_translation_invariant(jnp.max, x, axes=(0,))
      >>> assert_translation_invariant(lambda x: x[0], x, axes=(0,))
      Traceback (most recent call last):
      AssertionError: not translation invariant: ... at shift (1,) by 2 ...

    Reference:
      Kauderer-Abrams, "Quantifying translation-invariance in convolutional neural networks"
      (2017), https://arxiv.org/abs/1801.01450.
    """
    sizes, _ = _check(fun, x, axes, rtol, atol, method)
    strides = per_axis(stride, len(sizes), "stride", least=1)
    if method != "measure":
        _prove(fun, x, axes, "invariant", strides, shifts)
    if method != "proof":
        chosen = _shifts(sizes, shifts, strides)

        def same(base):
            return jax.tree.map(lambda y: jnp.broadcast_to(y, (chosen.count, *y.shape)), base)

        _compare(fun, x, axes, chosen, rtol, atol, "invariant", same)


def _check(fun, x, axes, rtol, atol, method):
    check_callable(fun)
    if method not in ("measure", "proof", "both"):
        raise ValueError(f"method is {method!r}; allowed are 'measure', 'proof', 'both'")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (isinstance(value, Real) and 0 <= float(value) < 1):
            raise ValueError(f"{name} is {value!r}; allowed are numbers from 0 to below 1")
    sizes = common_sizes(x, axes, "x")
    _check_filled(map(np.shape, jax.tree.leaves(x)))
    outputs = jax.tree.leaves(jax.eval_shape(fun, x))
    if not outputs:
        raise ValueError("fun returns no arrays; allowed are outputs of numbers or booleans")
    _check_filled([leaf.shape for leaf in outputs])
    for leaf in outputs:
        if not (jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == bool):
            raise ValueError(f"an output has dtype {leaf.dtype}; allowed are numbers and booleans")
    return sizes, outputs


def _check_filled(shapes):
    for shape in shapes:
        if 0 in shape:
            raise ValueError(f"an array has shape {shape}; allowed are those that hold something")


def _shifts(sizes: Sequence[int], shifts: Any, strides: Sequence[int]) -> ShiftSet:
    if shifts is not None:
        chosen = shift_set(sizes, shifts=shifts)
        for t in chosen.listed or ():
            if any(step % s for step, s in zip(t, strides, strict=True)):
                raise ValueError(f"shift {t} is no multiple of the stride {tuple(strides)}")
        # On the torus; what lies far beyond it has no place in an index.
        listed = [tuple(map(within_a_turn, shift, sizes)) for shift in chosen.listed or ()]
        return shift_set(sizes, shifts=listed)
    # On the torus the multiples of a stride that does not divide it go around several times.
    counts = [size // math.gcd(size, s) for size, s in zip(sizes, strides, strict=True)]
    total = int(np.prod(counts))
    if total <= MOST_SHIFTS:
        steps = list(np.ndindex(*counts))
    else:
        # One step and half the image along each axis first: what depends on parity or on the
        # border shows there. The rest is drawn once and for all.
        units = np.eye(len(counts), dtype=int)
        halves = units * (np.array(counts) // 2)
        drawn = np.random.default_rng(0).integers(counts, size=(MOST_SHIFTS, len(counts)))
        steps = [*map(tuple, (*units, *-units, *halves, units.sum(0), *drawn))][:MOST_SHIFTS]
    listed = [tuple(int(i) * s for i, s in zip(t, strides, strict=True)) for t in steps]
    return shift_set(sizes, shifts=listed)


def _compare(fun, x, axes, chosen, rtol, atol, what, expected):
    """Compares the outputs at each shift with what `expected` makes of the unshifted ones."""
    unshifted = (0,) * len(chosen.sizes)
    # The unshifted outputs come from the same program as the others: another would round otherwise.
    with jax.default_matmul_precision("highest"):
        spacing = spacing_of(jax.make_jaxpr(fun)(x))
        at_shifts = every_shift(fun, axes=axes, shifts=(unshifted, *chosen.listed))(x)
    if not is_known(*jax.tree.leaves(at_shifts)):
        raise ValueError(
            "the outputs are traced, and their values not known; call assertions outside of jit, "
            "vmap and grad, or ask for method='proof'"
        )
    base, moved = (jax.tree.map(lambda y, i=i: y[i], at_shifts) for i in (0, slice(1, None)))
    listed = (unshifted, *chosen.listed)
    images = _count_images(x, axes)
    leaves = jax.tree_util.tree_leaves_with_path(at_shifts)
    names = [f"output{jax.tree_util.keystr(path)}" for path, _ in leaves]
    for name, (_, leaf) in zip(names, leaves, strict=True):
        _check_finite(name, _on_host(leaf), listed, images, what)
    for name, got, want in zip(
        names, jax.tree.leaves(moved), jax.tree.leaves(expected(base)), strict=True
    ):
        exact = not jnp.issubdtype(want.dtype, jnp.inexact)
        widest = 0.0 if exact else max(spacing, float(jnp.finfo(want.dtype).eps))
        default = min(rounding(widest, depth=32), LARGEST)
        tolerances = (default if rtol is None else rtol, default if atol is None else atol)
        # Beyond the tolerance, what a single layer may round by is not held against a network.
        unclear = rounding(widest, depth=1) if rtol is None and atol is None else 0.0
        _compare_leaf(name, _on_host(got), _on_host(want), chosen, tolerances, unclear, what)


def _on_host(leaf):
    wide = np.complex128 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else np.float64
    return np.asarray(leaf).astype(wide)


def _count_images(x, axes):
    """The number of images, or None if the arrays have no common axis before the spatial ones."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(x)]
    counts = {shape[0] for shape in shapes if 0 not in check_axes(axes, len(shape))}
    return counts.pop() if len(counts) == 1 else None


def _check_finite(name, outputs, shifts, images, what):
    bad = ~np.isfinite(outputs)
    if not bad.any():
        return
    first = shifts[int(np.argmax(bad.reshape(len(shifts), -1).any(axis=1)))]
    by_image = outputs.ndim > 1 and outputs.shape[1] == images
    anywhere = bad.any(axis=0).reshape((images, -1) if by_image else (-1, 1)).any(axis=1)
    counted = "images" if by_image else "entries"
    raise AssertionError(
        f"not translation {what}: {name} is not finite for {anywhere.sum()} of {anywhere.size} "
        f"{counted}, first at shift {first}"
    )


def _compare_leaf(name, got, want, chosen, tolerances, unclear, what):
    scale = np.abs(want).max(initial=0)
    rtol, atol = tolerances
    try:
        chex.assert_trees_all_close(got, want, rtol=rtol, atol=atol * scale)
    except AssertionError as error:
        close = np.isclose(got, want, rtol=rtol, atol=atol * scale)
        difference = np.where(close, 0, np.abs(got - want))
        worst = difference.reshape(chosen.count, -1).max(axis=1)
        at = int(np.argmax(worst))
        failed = int(np.sum(~close.reshape(chosen.count, -1).all(axis=1)))
        measured = (
            f"{name} differs most at shift {chosen.shift((at,))} by "
            f"{worst[at]:.4g} (largest output {scale:.4g}; allowed rtol={rtol:.2g}, "
            f"atol={atol:.2g} of the largest); {failed} of {chosen.count} shifts differ"
        )
        if np.all(difference <= unclear * (np.abs(want) + scale)):
            raise AssertionError(
                f"not shown to be translation {what}: {measured}. Rounding errors in this program "
                f"may reach {unclear:.2g} of an output: compute in float32, or ask for "
                "method='proof'"
            ) from error
        raise AssertionError(f"not translation {what}: {measured}") from error


def _prove(fun, x, axes, kind, strides, shifts):
    # The analysis is loaded only where a proof is asked for.
    from jaxinv.certificate import certify

    certificate = certify(fun, x, axes=axes)
    sizes = certificate.sizes
    asked = (strides,) if shifts is None else _shifts(sizes, shifts, strides).listed or ()
    holds = _stays_along if kind == "invariant" else _moves_along
    for output in certificate.outputs:
        for axis, stride in enumerate(strides):
            # On the torus a shift by the size of an axis moves nothing.
            steps = {shift[axis] % sizes[axis] for shift in asked} - {0}
            period = output.period[axis]
            if any(t % period for t in steps) or (steps and not holds(output, axes, axis, stride)):
                meant = f"multiples of {tuple(strides)}" if shifts is None else f"shifts {asked}"
                name = f"output {output.path}".rstrip()
                raise AssertionError(
                    f"{name} not proved translation {kind} for {meant}\n{certificate}"
                )


def _stays_along(output, axes, axis, stride):
    return output.per_axis[axis].kind == "invariant"


def _moves_along(output, axes, axis, stride):
    """Whether a certified output is its own roll along the same axis, by shift / stride."""
    state, dim = output.per_axis[axis], check_axes(axes, len(output.shape), "an output")[axis]
    moving = [factor for row in output.layout for factor in row if factor[1] == axis]
    # One factor moves, and it is the outermost of its dimension: else blocks of it would roll.
    rolls = len(moving) == 1 and output.layout[dim][:1] == (moving[0],) and state.whole
    if state.kind != "equivariant" or not rolls or state.moves is None:
        return False
    return state.moves * stride == state.period
