"""Translating arrays: by whole pixels, by fractions of one, and as windows of a larger image."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Num, PyTree, Shaped

from jaxinv.arguments import per_axis
from jaxinv.shift_options import Mode, check_axes, check_fill, whole_axes


def centred_shift(shift: Any, size: Any) -> Any:
    """The same circular shift, the shortest way round: from `-size / 2` to below `size / 2`.

    Example:
      >>> centred_shift(np.arange(4), 4)
      array([ 0,  1, -2, -1])
    """
    return (shift + size // 2) % size - size // 2


def translate(
    x: PyTree[Shaped[Array, "..."]],
    shift: Sequence[int] | Array | int,
    *,
    axes: Sequence[int] = (1, 2),
    mode: Mode = "wrap",
) -> PyTree[Shaped[Array, "..."]]:
    r"""Moves the content of each array by whole pixels: positive is down and right.

    .. math::

      y[i] = x[i - t]

    Positions that no pixel moves to are filled as `numpy.pad` would fill them.

    Args:
      x: an array, or a pytree of arrays, of any dtype; each has the dimensions `axes`.
      shift: `t`, in pixels, one whole number per axis. It may be traced: one compiled program
        serves all shifts. A single number will do for a single axis.
      axes: the spatial dimensions of each array.
      mode: `"wrap"` moves on the torus, as `jnp.roll`; `"constant"` fills with zeros, `"edge"`
        with the nearest pixel, `"reflect"` with the mirror image about the border pixel (and
        mirrors again where a shift exceeds the image).

    Returns:
      The same pytree with the same shapes and dtypes.

    Raises:
      ValueError: if an axis is out of range or named twice, the shift has the wrong length or is
        not a whole number, or the mode is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1, 2, 3, 4])
      >>> print(translate(x, (1,), axes=(0,)))
      [4 1 2 3]
      >>> print(translate(x, (1,), axes=(0,), mode="constant"))
      [0 1 2 3]
      >>> print(translate(x, (-2,), axes=(0,), mode="reflect"))
      [3 4 3 2]

    Reference:
      Cohen and Welling, "Group equivariant convolutional networks" (2016), section 4,
      https://arxiv.org/abs/1602.07576: the action of a translation on a feature map.
    """
    check_fill(mode)
    steps = _split_shift(shift, len(whole_axes(axes)), whole=True)

    def move(leaf):
        leaf = jnp.asarray(leaf)
        for axis, step in zip(check_axes(axes, leaf.ndim), steps, strict=True):
            leaf = _move_axis(leaf, step, axis, mode)
        return leaf

    return jax.tree.map(move, x)


def crop_translate(
    x: PyTree[Shaped[Array, "..."]],
    shift: Sequence[int] | Array | int,
    *,
    size: Sequence[int] | int,
    axes: Sequence[int] = (1, 2),
) -> PyTree[Shaped[Array, "..."]]:
    r"""Cuts a window out of a larger image so that its content moves by `shift`.

    .. math::

      y[i] = x[\lfloor (P - n) / 2 \rfloor - t + i], \quad 0 \le i < n

    for an image of `P` positions and a window of `n` along an axis. The zero shift is the centred
    window. New content comes in from the larger image: no border is invented.

    Args:
      x: the larger image, or a pytree of them; any dtype.
      shift: `t`, in pixels, one whole number per axis; may be traced. A traced shift that leaves
        the image stops at its border, as `lax.dynamic_slice` does.
      size: `n`, one number for all axes or one per axis.
      axes: the spatial dimensions of each array.

    Returns:
      The windows: the same pytree with `size` positions along `axes`.

    Raises:
      ValueError: if a window does not fit the image, or a known shift takes it outside; and as
        `translate` for axes and shifts.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(10)
      >>> print(crop_translate(x, (0,), size=4, axes=(0,)))
      [3 4 5 6]
      >>> print(crop_translate(x, (1,), size=4, axes=(0,)))
      [2 3 4 5]

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019), section 4,
      https://arxiv.org/abs/1904.11486: shifted crops of one image.
    """
    axes = whole_axes(axes)
    steps = _split_shift(shift, len(axes), whole=True)
    sizes = per_axis(size, len(axes), "size")

    def cut(leaf):
        leaf = jnp.asarray(leaf)
        starts = [jnp.zeros((), jnp.int32)] * leaf.ndim
        window = list(leaf.shape)
        for axis, step, n in zip(check_axes(axes, leaf.ndim), steps, sizes, strict=True):
            length = leaf.shape[axis]
            if not 1 <= n <= length:
                raise ValueError(
                    f"a window of {n} does not fit axis {axis} with {length} positions; "
                    f"allowed are 1 to {length}"
                )
            high = (length - n) // 2
            low = high - (length - n)
            if isinstance(step, int) and not low <= step <= high:
                raise ValueError(
                    f"shift {step} moves the window of {n} outside axis {axis} with {length} "
                    f"positions; allowed are {low} to {high}"
                )
            starts[axis] = jnp.asarray(high - jnp.clip(step, low, high), jnp.int32)
            window[axis] = n
        return lax.dynamic_slice(leaf, starts, window)

    return jax.tree.map(cut, x)


def subpixel_translate(
    x: PyTree[Num[Array, "..."]],
    shift: Sequence[float] | Array | float,
    *,
    axes: Sequence[int] = (1, 2),
    method: Literal["fourier", "linear"] = "fourier",
) -> PyTree[Num[Array, "..."]]:
    r"""Moves the content of each array on the torus by any real number of pixels.

    `method="fourier"` is the ideal (band-limited) interpolation. With `k` the signed frequency
    of a bin, `-P/2 < k < P/2`,

    .. math::

      y = \mathcal{F}^{-1}\left[ e^{-2 \pi i k t / P} \, (\mathcal{F} x)_k \right]

    An even number of positions has one more bin, the Nyquist frequency `k = P/2`, whose two signs
    cannot be told apart. It gets the mean of both phases, `cos(pi t)`, which keeps real arrays
    real and is the shift of the sampled cosine. Whole-pixel shifts are exact up to rounding, and
    shifts compose, `translate(translate(x, s), t) = translate(x, s + t)`, for every `x` without
    energy in that bin (always, for odd sizes).

    `method="linear"` weighs the two nearest pixels, `(1 - f) x[i - n] + f x[i - n - 1]` with
    `t = n + f` and `0 <= f < 1`: local and never overshooting, but it blurs at fractional shifts.

    Args:
      x: an array, or a pytree of arrays, real or complex; whole numbers are taken as float.
      shift: `t`, in pixels, one number per axis; may be traced and differentiated.
      axes: the spatial dimensions of each array.
      method: `"fourier"` or `"linear"`.

    Returns:
      The same pytree with the same shapes; floating point, real where `x` is.

    Raises:
      ValueError: if the method is unknown; and as `translate` for axes and the shift's length.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([0.0, 4.0, 0.0, 0.0])
      >>> print(subpixel_translate(x, (0.25,), axes=(0,), method="linear"))
      [0. 3. 1. 0.]

    Reference:
      Karras et al., "Alias-free generative adversarial networks" (2021), appendix E.2,
      https://arxiv.org/abs/2106.12423: real-valued translations for the metric EQ-T_frac.
      Michaeli et al., "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085.
    """
    if method not in ("fourier", "linear"):
        raise ValueError(f"method is {method!r}; allowed are 'fourier', 'linear'")
    steps = _split_shift(shift, len(whole_axes(axes)), whole=False)
    move_axis = _fourier_axis if method == "fourier" else _linear_axis

    def move(leaf):
        leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            leaf = leaf.astype(float)
        checked = check_axes(axes, leaf.ndim)
        if leaf.size == 0:  # there is no spectrum of nothing
            return leaf
        for axis, step in zip(checked, steps, strict=True):
            leaf = move_axis(leaf, within_a_turn(step, max(leaf.shape[axis], 1)), axis)
        return leaf

    return jax.tree.map(move, x)


def _split_shift(shift, count, whole):
    """One scalar per axis: Python numbers where the shift is known, traced scalars elsewhere."""
    if isinstance(shift, Sequence):
        entries = list(shift)
    elif np.ndim(shift) == 0:
        entries = [shift]
    else:
        known = shift if isinstance(shift, jax.core.Tracer) else np.asarray(shift)
        entries = [known[i] for i in range(known.shape[0])]
    if len(entries) != count:
        raise ValueError(
            f"shift has {len(entries)} entries for {count} axes; it needs one per axis"
        )
    return [_scalar(entry, whole) for entry in entries]


def _scalar(entry, whole):
    # NumPy has no type for an int of more than 64 bits.
    dtype = int if type(entry) is int else getattr(entry, "dtype", None) or np.asarray(entry).dtype
    if np.ndim(entry) != 0:
        raise ValueError(f"a shift's entries must be numbers; one has shape {np.shape(entry)}")
    if whole and not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(
            f"shift has dtype {dtype}; allowed are whole numbers (subpixel_translate takes others)"
        )
    if not jnp.issubdtype(dtype, jnp.integer) and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"shift has dtype {dtype}; allowed are real numbers")
    if isinstance(entry, jax.core.Tracer):
        if jnp.issubdtype(dtype, jnp.integer):
            return _wide_index(entry)
        return entry.astype(jnp.promote_types(dtype, jnp.float32))  # half has no 257
    known = int(entry) if jnp.issubdtype(dtype, jnp.integer) else float(entry)
    if isinstance(known, float) and not math.isfinite(known):
        raise ValueError(f"shift is {known}; allowed are finite numbers")
    return known


def _wide_index(step):
    """A traced whole number in a signed type that holds every position of an array."""
    wide = step.dtype.itemsize > 4 or step.dtype == jnp.uint32
    return step.astype(jax.dtypes.canonicalize_dtype(jnp.int64 if wide else jnp.int32))


def within_a_turn(step, length):
    """The same step on a torus, no longer than it: far from 0 floats are coarse."""
    if isinstance(step, jax.core.Tracer):
        return jnp.fmod(step, length)
    return step if abs(step) < length else step % length


def _move_axis(x, step, axis, mode):
    length = x.shape[axis]
    # A reflected signal has period 2 (P - 1); its second half runs backwards.
    period = max(length if mode == "wrap" else 2 * (length - 1), 1)
    if mode in ("wrap", "reflect"):
        step = within_a_turn(step, period)
    elif isinstance(step, int):
        step = min(max(step, -length), length)
    else:
        step = jnp.clip(step, -length, length)
    if mode == "wrap":
        return jnp.roll(x, step, axis)
    source = jnp.arange(length) - step
    if mode == "reflect":
        source = jnp.mod(source, period)
        source = jnp.minimum(source, period - source)
    nearest = jnp.clip(source, 0, max(length - 1, 0))
    moved = jnp.take(x, nearest, axis=axis, mode="clip")
    if mode != "constant":
        return moved
    inside = (source == nearest).reshape([-1 if d == axis else 1 for d in range(x.ndim)])
    return jnp.where(inside, moved, jnp.zeros((), x.dtype))


def _fourier_axis(x, step, axis):
    length = x.shape[axis]
    # The transform is at least float32: half precision has none.
    wide = jnp.promote_types(x.dtype, jnp.float32)
    real = not jnp.issubdtype(wide, jnp.complexfloating)
    angles = jnp.zeros((), wide).real.dtype
    shape = [-1 if d == axis else 1 for d in range(x.ndim)]
    bins = np.arange(length // 2 + 1) if real else np.fft.fftfreq(length, 1 / length)
    # Whole steps by a roll: the angles of many turns would be coarse.
    whole, step = _whole_and_rest(step, angles, 0.5)
    x = jnp.roll(x, whole, axis)
    phase = jnp.exp(-2j * math.pi / max(length, 1) * jnp.asarray(bins, angles) * step)
    if length % 2 == 0:
        phase = phase.at[length // 2].set(jnp.cos(math.pi * step))
    phase = phase.reshape(shape)
    if real:
        spectrum = jnp.fft.rfft(x.astype(wide), axis=axis)
        return jnp.fft.irfft(spectrum * phase, n=length, axis=axis).astype(x.dtype)
    return jnp.fft.ifft(jnp.fft.fft(x.astype(wide), axis=axis) * phase, axis=axis).astype(x.dtype)


def _linear_axis(x, step, axis):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    below, fraction = _whole_and_rest(step, wide.real.dtype, 0)
    near = jnp.roll(wide, below, axis)
    return ((1 - fraction) * near + fraction * jnp.roll(near, 1, axis)).astype(x.dtype)


def _whole_and_rest(step, dtype, from_below):
    """A step as whole pixels, and what they lack to it, up to `from_below` of which is negative."""
    if not isinstance(step, jax.core.Tracer):
        whole = math.floor(step + from_below)
        return whole, jnp.asarray(step - whole, dtype)
    whole = jnp.floor(step + from_below)
    return whole.astype(jnp.int32), step.astype(dtype) - whole.astype(dtype)
