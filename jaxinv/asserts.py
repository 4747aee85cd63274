"""Assertions in chex's manner: a function moves with its input, or stays put."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped

from jaxinv.orbit.every_shift import every_shift
from jaxinv.orbit.shift_set import ShiftSet, shift_set
from jaxinv.shifts import check_axes, per_axis, translate
from jaxinv.tolerances import tolerance

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
      rtol: relative tolerance; None takes `jaxinv.tolerances.tolerance` of the output's dtype.
      atol: absolute tolerance in units of the largest output; None as for rtol.
      method: `"measure"` evaluates the shifts; `"proof"` asks `jaxinv.certify` instead and
        needs only the shapes of `x`; `"both"` does both.

    Raises:
      AssertionError: if a shift differs; it names the worst shift and the size of the difference.
        Or if the proof fails; it names the breaking line.
      ValueError: if `fun` is not callable, axes, strides or shifts do not fit, or an output does
        not have `1 / stride` of the input's positions.

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
    sizes = _check(fun, x, axes, rtol, atol, method)
    strides = per_axis(stride, len(sizes), "stride")
    if min(strides) < 1:
        raise ValueError(f"stride is {stride}; allowed are whole numbers from 1")
    outputs = jax.eval_shape(fun, x)
    for leaf in jax.tree.leaves(outputs):
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
        base = fun(x)
        moved = jax.vmap(lambda t: translate(base, t, axes=axes))(after)
        _compare(fun, x, axes, chosen, moved, base, rtol, atol, "equivariant")


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
      shifts: the shifts to measure, multiples of the stride. None means all of them where they
        are at most `MOST_SHIFTS`, else a fixed sample of that many with the one-stride shifts.
      rtol: relative tolerance; None takes `jaxinv.tolerances.tolerance` of the output's dtype.
      atol: absolute tolerance in units of the largest output; None as for rtol.
      method: `"measure"` evaluates the shifts; `"proof"` asks `jaxinv.certify` instead and
        needs only the shapes of `x`; `"both"` does both.

    Raises:
      AssertionError: if a shift differs; it names the worst shift and the size of the difference.
        Or if the proof fails; it names the breaking line.
      ValueError: if `fun` is not callable, or axes, strides or shifts do not fit.

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
    sizes = _check(fun, x, axes, rtol, atol, method)
    strides = per_axis(stride, len(sizes), "stride")
    if min(strides) < 1:
        raise ValueError(f"stride is {stride}; allowed are whole numbers from 1")
    if method != "measure":
        _prove(fun, x, axes, "invariant", strides, shifts)
    if method != "proof":
        chosen = _shifts(sizes, shifts, strides)
        base = fun(x)
        same = jax.tree.map(lambda y: jnp.broadcast_to(y, (chosen.count, *jnp.shape(y))), base)
        _compare(fun, x, axes, chosen, same, base, rtol, atol, "invariant")


def _check(fun, x, axes, rtol, atol, method):
    if not callable(fun):
        raise ValueError(f"fun is a {type(fun).__name__}, which cannot be called; give a function")
    if method not in ("measure", "proof", "both"):
        raise ValueError(f"method is {method!r}; allowed are 'measure', 'proof', 'both'")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not value >= 0:
            raise ValueError(f"{name} is {value}; allowed are numbers from 0")
    leaves = jax.tree.leaves(x)
    if not leaves:
        raise ValueError("x holds no arrays")
    shapes = [getattr(leaf, "shape", ()) for leaf in leaves]
    sizes = {tuple(s[d] for d in check_axes(axes, len(s), "x")) for s in shapes}
    if len(sizes) > 1:
        raise ValueError(f"the arrays of x differ in size along axes {tuple(axes)}: {sizes}")
    return sizes.pop()


def _shifts(sizes: Sequence[int], shifts: Any, strides: Sequence[int]) -> ShiftSet:
    if shifts is not None:
        chosen = shift_set(sizes, shifts=shifts)
        for t in chosen.listed or ():
            if any(step % s for step, s in zip(t, strides, strict=True)):
                raise ValueError(f"shift {t} is no multiple of the stride {tuple(strides)}")
        return chosen
    counts = [size // s for size, s in zip(sizes, strides, strict=True)]
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


def _compare(fun, x, axes, chosen, expected, base, rtol, atol, what):
    at_shifts = every_shift(fun, axes=axes, shifts=chosen.listed)(x)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(base)]
    for path, got, want in zip(
        paths, jax.tree.leaves(at_shifts), jax.tree.leaves(expected), strict=True
    ):
        default = tolerance(want.dtype)
        tolerances = (
            default[0] if rtol is None else rtol,
            default[1] if atol is None else atol,
        )
        _compare_leaf(f"output{path}", np.asarray(got), np.asarray(want), chosen, tolerances, what)


def _compare_leaf(name, got, want, chosen, tolerances, what):
    if not np.issubdtype(want.dtype, np.complexfloating):
        got, want = (v.astype(np.float64) for v in (got, want))
    scale = np.abs(want[np.isfinite(want)]).max(initial=0)
    rtol, atol = tolerances
    try:
        chex.assert_trees_all_close(got, want, rtol=rtol, atol=atol * scale)
    except AssertionError as error:
        close = np.isclose(got, want, rtol=rtol, atol=atol * scale, equal_nan=True)
        with np.errstate(invalid="ignore"):
            difference = np.where(close, 0, np.abs(got - want))
        # A NaN against a number differs more than any number does.
        difference = np.where(np.isnan(difference), np.inf, difference)
        worst = difference.reshape(chosen.count, -1).max(axis=1)
        at = int(np.argmax(worst))
        failed = int(np.sum(~close.reshape(chosen.count, -1).all(axis=1)))
        raise AssertionError(
            f"not translation {what}: {name} differs most at shift {chosen.shift((at,))} by "
            f"{worst[at]:.4g} (largest output {scale:.4g}; allowed rtol={rtol:.2g}, "
            f"atol={atol:.2g} of the largest); {failed} of {chosen.count} shifts differ"
        ) from error


def _prove(fun, x, axes, kind, strides, shifts):
    # The analysis is loaded only where a proof is asked for.
    from jaxinv.symmetry import certify

    certificate = certify(fun, x, axes=axes)
    asked = (strides,) if shifts is None else tuple(map(tuple, shifts))
    for output in certificate.outputs:
        proved = all(
            t % d == 0 for shift in asked for t, d in zip(shift, output.period, strict=True)
        )
        if kind == "invariant":
            proved = proved and output.kind == "invariant"
        else:
            proved = proved and _moves_with(output, axes, strides)
        if not proved:
            meant = f"multiples of {tuple(strides)}" if shifts is None else f"shifts {asked}"
            name = f"output {output.path}".rstrip()
            raise AssertionError(f"{name} not proved translation {kind} for {meant}\n{certificate}")


def _moves_with(output, axes, strides):
    """Whether a certified output is its own roll, by shift / stride along the same axes."""
    if output.kind != "equivariant":
        return False
    dims = check_axes(axes, len(output.shape), "an output")
    for a, (dim, stride) in enumerate(zip(dims, strides, strict=True)):
        moving = [factor for row in output.layout for factor in row if factor[1] == a]
        # One factor moves, and it is the outermost of its dimension: else blocks of it would roll.
        rolls = len(moving) == 1 and output.layout[dim][0][1] == a and output.whole[a]
        if not rolls or output.moves[a] * stride != output.period[a]:
            return False
    return True
