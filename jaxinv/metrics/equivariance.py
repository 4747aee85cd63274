"""How far a feature map is from moving with its input, and an output from staying put."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact, per_axis
from jaxinv.magnitudes import magnitude, norm, quotient
from jaxinv.metrics.numbers import as_index, index_of, two_alike
from jaxinv.shifts import subpixel_translate, translate


def relative_error(
    actual: Num[Array, "*batch"], expected: Num[Array, "*batch"]
) -> Float[Array, ""]:
    r"""The distance of two arrays in units of the second.

    .. math::

      \lVert a - b \rVert_2 / \lVert b \rVert_2

    Args:
      actual: `a`.
      expected: `b`, the same shape.

    Returns:
      A number from 0; the distance itself where `b` is zero, NaN where a number is not finite.

    Raises:
      ValueError: if the shapes differ, the arrays are empty or hold no numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(relative_error(jnp.array([3.0, 5.0]), jnp.array([3.0, 4.0])))
      0.2

    Reference:
      Lenc and Vedaldi, "Understanding image representations by measuring their equivariance and
      equivalence" (2015), https://arxiv.org/abs/1411.5908.
    """
    a, b = two_alike(actual, expected, "arrays")
    return quotient(norm(a - b), norm(b))


def equivariance_error(
    fun: Callable,
    x: Num[Array, "..."],
    shift: Sequence[float] | Array,
    *,
    axes: Sequence[int] = (1, 2),
    stride: int | Sequence[int] = 1,
    method: str = "integer",
) -> Float[Array, ""]:
    r"""Relative distance between shifting before and after a function.

    .. math::

      \frac{\lVert f(T_t x) - T_{t / s} f(x) \rVert_2}{\lVert f(x) \rVert_2}

    on the torus. Zero for an equivariant function, and about :math:`\sqrt 2` for one whose output
    has nothing to do with the shift.

    Args:
      fun: maps an array with the dimensions `axes` to another.
      x: its input.
      shift: `t` in pixels of the input; whole multiples of the stride for `method="integer"`,
        any numbers (also traced) for the others.
      axes: the spatial dimensions of input and output.
      stride: `s`, the ratio of input to output positions.
      method: `"integer"`, `"fourier"` or `"linear"`: how shifts are interpolated.

    Returns:
      The relative error; NaN where an output is not finite.

    Raises:
      ValueError: if a stride is below 1, a shift is no multiple of it with `method="integer"`, or
        the method is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(6.0)
      >>> print(equivariance_error(jnp.square, x, (2,), axes=(0,)))
      0.0
      >>> print(equivariance_error(jnp.cumsum, x, (1,), axes=(0,)).round(2))
      0.78

    Reference:
      Lenc and Vedaldi, "Understanding image representations by measuring their equivariance and
      equivalence" (2015), https://arxiv.org/abs/1411.5908.
    """
    axes = tuple(axes)
    strides = per_axis(stride, len(axes), "stride", least=1)
    if method == "integer":
        steps = per_axis(shift, len(axes), "shift")
        if any(t % s for t, s in zip(steps, strides, strict=True)):
            raise ValueError(f"shift {steps} is no multiple of the stride {strides}")
        scaled: Any = [t // s for t, s in zip(steps, strides, strict=True)]
    else:
        scaled = [shift[i] / s for i, s in enumerate(strides)]
    moved = _moved(x, shift, axes, method)
    return relative_error(fun(moved), _moved(fun(x), scaled, axes, method))


def invariance_error(
    fun: Callable,
    x: Num[Array, "..."],
    shift: Sequence[float] | Array,
    *,
    axes: Sequence[int] = (1, 2),
    method: str = "integer",
) -> Float[Array, ""]:
    r"""Relative distance between a function's outputs with and without a shift of its input.

    .. math::

      \frac{\lVert f(T_t x) - f(x) \rVert_2}{\lVert f(x) \rVert_2}

    on the torus. `invariance_error_map` gives it for every shift of an orbit.

    Args:
      fun: maps an array with the dimensions `axes` to another of any shape.
      x: its input.
      shift: `t` in pixels; whole for `method="integer"`, any numbers (also traced) for the others.
      axes: the spatial dimensions of the input.
      method: `"integer"`, `"fourier"` or `"linear"`: how shifts are interpolated.

    Returns:
      The relative error; NaN where an output is not finite.

    Raises:
      ValueError: if the shift is not whole with `method="integer"`, or the method is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([3.0, 4.0, 3.0])
      >>> print(f"{invariance_error(lambda x: x[:2], x, (-1,), axes=(0,)):.3f}")
      0.283

    Reference:
      Goodfellow et al., "Measuring invariances in deep networks" (2009),
      https://papers.nips.cc/paper/2009/hash/428fca9bc1921c25c5121f9da7815cde-Abstract.html.
    """
    return relative_error(fun(_moved(x, shift, tuple(axes), method)), fun(x))


def _moved(x: Any, shift: Any, axes: tuple[int, ...], method: Any) -> Any:
    if method == "integer":
        return translate(x, per_axis(shift, len(axes), "shift"), axes=axes)
    if method not in ("fourier", "linear"):
        raise ValueError(f"method is {method!r}; allowed are 'integer', 'fourier', 'linear'")
    return subpixel_translate(x, shift, axes=axes, method=method)


def invariance_error_map(
    outputs: Num[Array, "*shifts n features"], *, origin: Sequence[int] | None = None
) -> Float[Array, "*shifts"]:
    r"""The `invariance_error` at each shift of an orbit.

    .. math::

      \frac{\lVert f(T_t x) - f(x) \rVert_2}{\lVert f(x) \rVert_2}

    over all images and features together.

    Args:
      outputs: an orbit's outputs.
      origin: index of the zero shift in the leading axes; None means the first of each.

    Returns:
      One relative error per shift; 0 at the origin, NaN where an output is not finite.

    Raises:
      ValueError: if the origin does not index the leading axes, or there are no numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(invariance_error_map(jnp.array([[[3.0, 4.0]], [[3.0, 3.0]]])))
      [0.  0.2]

    Reference:
      Goodfellow et al., "Measuring invariances in deep networks" (2009),
      https://papers.nips.cc/paper/2009/hash/428fca9bc1921c25c5121f9da7815cde-Abstract.html.
    """
    outputs = as_inexact(outputs, "outputs")
    origin = (0,) * (outputs.ndim - 2) if origin is None else as_index(origin)
    if not 0 < len(origin) <= outputs.ndim - 1:
        raise ValueError(
            f"origin {origin} must index the axes of shifts of outputs {outputs.shape}"
        )
    if outputs.size == 0:
        raise ValueError(f"outputs have shape {outputs.shape}; there is nothing to compare")
    shifts = outputs.shape[: len(origin)]
    base = outputs[index_of(origin, shifts)]
    distance = norm(outputs - base, axis=range(len(origin), outputs.ndim))
    return quotient(distance, norm(base))


def cosine_invariance(
    before: Num[Array, "n *features"], after: Num[Array, "n *features"]
) -> Float[Array, " n"]:
    r"""Cosine of the angle between the activations of an image and of its shifted copy.

    .. math::

      \frac{\langle f(x_n), f(T_t x_n) \rangle}{\lVert f(x_n) \rVert \lVert f(T_t x_n) \rVert}

    Args:
      before: activations of the images.
      after: activations of the shifted images; the same shape.

    Returns:
      One number between -1 and 1 per image; 1 where both are zero, 0 where one is, NaN where an
      activation is not finite.

    Raises:
      ValueError: if the shapes differ, the arrays are empty or hold no numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(cosine_invariance(jnp.array([[1.0, 0.0]]), jnp.array([[3.0, 4.0]])))
      [0.6]

    Reference:
      Biscione and Bowers, "Convolutional neural networks are not invariant to translation, but
      they can learn to be" (2021), https://arxiv.org/abs/2110.05861.
    """
    before, after = two_alike(before, after, "activations")
    if before.ndim == 0:
        raise ValueError("activations are single numbers; allowed is shape (n, *features)")
    a, b = (v.reshape(v.shape[0], -1) for v in (before, after))
    if jnp.iscomplexobj(a) or jnp.iscomplexobj(b):
        raise ValueError(
            f"activations have dtypes {a.dtype} and {b.dtype}; allowed are real numbers"
        )
    a, b = (v / magnitude(v, (-1,)) for v in (a, b))
    aa, bb, ab = (jnp.sum(product, axis=-1) for product in (a * a, b * b, a * b))
    lengths = [jnp.sqrt(jnp.where(squares == 0, 1, squares)) for squares in (aa, bb)]
    cosines = jnp.clip(ab / lengths[0] / lengths[1], -1, 1)
    finite = jnp.isfinite(aa) & jnp.isfinite(bb)
    return jnp.where(finite, jnp.where((aa == 0) & (bb == 0), 1, cosines), jnp.nan)
