"""Flatten + Dense at every shift: a correlation on the torus, by a small Fourier transform.

At shift `t = r + d * q` a dense layer reads `sum_j base[r][o + j - k * q] * weight[j]`. For all `q`
that is a circular cross-correlation, and in Fourier space one small matrix product a frequency.
The torus is small where dense layers stand (7 x 7, say), so the transforms are matrix products
too. Positions and frequencies come first in memory, real and imaginary parts are arrays of their
own: so nothing is moved between the products.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.relayout import Context, periodic_slice
from jaxinv.symmetry.values import Value, Window

_EXACT = lax.Precision.HIGHEST
# Up to this many positions the axes are transformed together, by one large matrix: more operations
# than one axis after the other, but none of them waits for memory.
TOGETHER = 256
# Up to this many positions the products of a transform outnumber those of the sum itself.
DIRECT = 4


def correlate(ctx: Context, equation: Equation, values, bases, labels, out, windows):
    """The product of a moving base and a constant at every shift of the correlated axes.

    Args:
      ctx: the context.
      equation: the `dot_general`.
      values: its two operands.
      bases: their bases.
      labels: one label for each dimension of each base; the cosets' are the axes' numbers.
      out: the labels of the result.
      windows: for each correlated axis, which operand moves, the label, and the window.

    Returns:
      The result's base, with every shift along the correlated axes as a coset.
    """
    axes = sorted(windows)
    # The operand that moves, as (*places, cosets, rest), and the constant, as (*taps, rest).
    side = windows[axes[0]][0]
    places = [windows[axis][1] for axis in axes]
    dtype = equation.out_avals[0].dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    moving, moving_rest = _places_first(bases[side].astype(wide), labels[side], places)
    kernel, still_rest = _places_first(bases[1 - side].astype(wide), labels[1 - side], places)
    sizes = moving.shape[: len(axes)]
    seen = [windows[axis][2] for axis in axes]

    def product(a, a_labels, b, b_labels, out_labels):
        operands = [*_without_ones(a, a_labels), *_without_ones(b, b_labels)]
        present = {*operands[1], *operands[3]}
        result = jnp.einsum(
            *operands,
            [label for label in out_labels if label in present],
            precision=equation.params["precision"],
            preferred_element_type=wide,
        )
        return jnp.expand_dims(result, [i for i, n in enumerate(out_labels) if n not in present])

    as_seen = (product, (moving, moving_rest), (kernel, still_rest), out, seen)
    if math.prod(sizes) <= DIRECT:
        result = _directly(*as_seen)
    elif ctx.transposable:
        result = _one_by_one(*as_seen)
    else:
        # A spectrum holds all of the torus, so a window that shows little of it loses digits.
        read = [_places_read(ctx, values[side], w, m) for w, m in zip(seen, sizes, strict=True)]
        summed = [i for i, label in enumerate(moving_rest, len(axes)) if label not in out]
        still = kernel
        for place, (window, m) in enumerate(zip(seen, sizes, strict=True)):
            still = _on_torus(still, place, window, m)
        on_torus = (product, (moving, moving_rest), (still, still_rest), out, sizes)
        result = lax.cond(
            _for_all(_every_window_counts(lax.stop_gradient(moving), summed, seen, read)),
            lambda: _by_frequency(*on_torus),
            lambda: _one_by_one(*as_seen),
        )
    return _by_shift(ctx, values[side], result, axes, windows).astype(dtype)


# The part of the norm of its torus that a window has to hold where a Fourier transform is used.
_SMALLEST_PART = 2**-6


@jax.custom_batching.custom_vmap
def _for_all(condition):
    """The condition; under `jax.vmap` whether it holds for all, so that one branch is computed."""
    return condition


@_for_all.def_vmap
def _(axis_size, in_batched, condition):
    return jnp.all(condition), False


def _places_read(ctx: Context, value: Value, window: Window, m: int) -> np.ndarray:
    """For each place `u` on a torus, whether some shift reads the window that stands there."""
    shifts = ctx.torus.shifts[window.axis]
    every = np.arange(ctx.torus.lengths[window.axis]) if shifts is None else np.asarray(shifts)
    read = np.zeros(m, bool)
    read[int(window.rate) * (every // value.period[window.axis]) % m] = True
    return read


def _every_window_counts(moving, summed: Sequence[int], seen: Sequence[Window], read):
    """Whether a Fourier transform is accurate for each window of a base, not for most.

    Its rounding errors are relative to the norm over the torus, of which a window shows a part.
    What is infinite, or much larger, elsewhere must not come into a shift that does not read it.
    """
    scale = jnp.max(jnp.abs(moving))
    squares = jnp.square(moving / jnp.where(scale == 0, 1, scale))
    squares = jnp.sum(squares, axis=summed, keepdims=True)
    shown, wanted = squares, np.ones((), bool)
    for axis, (window, places) in enumerate(zip(seen, read, strict=True)):
        m = moving.shape[axis]
        # From place u = 0 backwards: the window stands at offset - u.
        padded = periodic_slice(shown, axis, window.offset - m + 1, m - 1 + window.size)
        # The sum over padded[s : s + size] is sums[s + size] - sums[s], for s = m - 1 - u.
        sums = jnp.cumsum(jnp.insert(padded, 0, 0, axis=axis), axis=axis)
        starts = lax.slice_in_dim(sums, 0, m, axis=axis)
        shown = lax.rev(
            lax.slice_in_dim(sums, window.size, window.size + m, axis=axis) - starts, [axis]
        )
        wanted = wanted & places.reshape([-1 if i == axis else 1 for i in range(moving.ndim)])
    part = jnp.sum(squares, axis=range(len(seen)), keepdims=True) * _SMALLEST_PART**2
    return jnp.all((shown >= part) | ~wanted)


def _one_by_one(product: Callable, moving, kernel, out: Sequence[int], seen: Sequence[Window]):
    """The product at one place after the other: no position that a window does not show is read."""
    n = len(seen)
    fresh = 1 + max(*moving[1], *kernel[1], *out)
    at = [fresh + i for i in range(n)]
    sizes, extended = moving[0].shape[:n], moving[0]
    for axis, (window, m) in enumerate(zip(seen, sizes, strict=True)):
        extended = periodic_slice(extended, axis, window.offset, m + window.size - 1)
    shape = (*(window.size for window in seen), *extended.shape[n:])

    def at_place(place):
        # The window at place u starts at offset - u, and position 0 of `extended` is offset.
        starts = [-u % m for u, m in zip(place, sizes, strict=True)]
        starts += [np.int32(0)] * (extended.ndim - n)
        shown = lax.dynamic_slice(extended, starts, shape)
        return product(shown, [*at, *moving[1]], kernel[0], [*at, *kernel[1]], out)

    result = lax.map(at_place, tuple(np.indices(sizes).reshape(n, -1).astype(np.int32)))
    # (places, ...) -> (*places along each axis, ...)
    return jnp.reshape(result, (*sizes, *result.shape[1:]))


def _directly(product: Callable, moving, kernel, out: Sequence[int], seen: Sequence[Window]):
    """The sum over positions for each place `u`: `sum_i moving[o + i - u] kernel[i]`."""
    n = len(seen)
    fresh = 1 + max(*moving[1], *kernel[1], *out)
    at, where = [fresh + i for i in range(n)], [fresh + n + i for i in range(n)]
    sizes, shown = moving[0].shape[:n], moving[0]
    for i, (window, m) in enumerate(zip(seen, sizes, strict=True)):
        # Of each pair (u, i) the position; what a window does not show is not read.
        places = (window.offset + np.arange(window.size) - np.arange(m)[:, None]) % m
        shown = jnp.take(shown, places, axis=2 * i, mode="clip")
    paired = [label for pair in zip(where, at, strict=True) for label in pair]
    return product(shown, [*paired, *moving[1]], kernel[0], [*at, *kernel[1]], [*where, *out])


def _by_frequency(product: Callable, moving, still, out: Sequence[int], sizes: tuple[int, ...]):
    """The same by the convolution theorem: `conj(B) K`, of the spectra of `moving` and `still`."""
    groups = (math.prod(sizes),) if math.prod(sizes) <= TOGETHER else sizes
    factors = (sizes,) if len(groups) == 1 else tuple((m,) for m in sizes)
    fresh = 1 + max(*moving[1], *still[1], *out)
    bins = [fresh + i for i in range(len(groups))]
    b_real, b_imag = _spectrum(_grouped(moving[0], len(sizes), groups), factors)
    k_real, k_imag = _spectrum(_grouped(still[0], len(sizes), groups), factors)

    def times(a, b):
        return product(a, [*bins, *moving[1]], b, [*bins, *still[1]], [*bins, *out])

    # (b_real - i b_imag) (k_real + i k_imag)
    real = times(b_real, k_real) + times(b_imag, k_imag)
    imag = times(b_real, k_imag) - times(b_imag, k_real)
    return _grouped(_signal(real, imag, factors), len(groups), sizes)


def _places_first(array, row: Sequence[int], places: Sequence[int]):
    """The array with the correlated dimensions in front, and the labels of the others."""
    order = [row.index(label) for label in places]
    rest = [i for i in range(len(row)) if i not in order]
    return jnp.transpose(array, [*order, *rest]), [row[i] for i in rest]


def _grouped(array, n: int, sizes: Sequence[int]):
    """The first `n` dimensions in other sizes."""
    return jnp.reshape(array, (*sizes, *array.shape[n:]))


def _without_ones(array, row):
    gone = [i for i in range(len(row)) if array.shape[i] == 1]
    return lax.squeeze(array, gone), [label for i, label in enumerate(row) if i not in gone]


def _on_torus(kernel, place: int, window: Window, m: int):
    """The constant laid on the torus where the window starts; what overlaps adds up."""
    size = kernel.shape[place]
    rounds = -(-size // m)
    widths = [(0, 0, 0)] * kernel.ndim
    widths[place] = (0, rounds * m - size, 0)
    kernel = lax.pad(kernel, jnp.zeros((), kernel.dtype), widths)
    if rounds > 1:
        # (..., rounds * m, ...) -> (..., rounds, m, ...), summed over the rounds.
        shape = (*kernel.shape[:place], rounds, m, *kernel.shape[place + 1 :])
        kernel = jnp.sum(jnp.reshape(kernel, shape), axis=place)
    # Tap i goes to offset + i.
    return periodic_slice(kernel, place, -window.offset, m)


def _waves(sizes: tuple[int, ...], half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, (frequencies, positions), over all positions of a torus.

    `half` leaves out the frequencies of the last axis that real signals make no use of.
    """
    counts = (*sizes[:-1], sizes[-1] // 2 + 1 if half else sizes[-1])
    turns = np.zeros((math.prod(counts), math.prod(sizes)))
    for m, u, x in zip(sizes, np.indices(counts), np.indices(sizes), strict=True):
        # Whole turns are left out: the angle of a small number is exact to rounding.
        turns += np.outer(u, x) % m / m
    return np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)


def _apply(matrix: np.ndarray, array, dim: int):
    """The matrix along a dimension, which becomes the first."""
    dims = (((1,), (dim,)), ((), ()))
    return lax.dot_general(jnp.asarray(matrix, array.dtype), array, dims, precision=_EXACT)


def _spectrum(array, factors: Sequence[tuple[int, ...]]):
    """Real and imaginary part over frequencies, from real values over positions.

    Args:
      array: one leading dimension for each factor.
      factors: the axes that each of these dimensions is made of.
    """
    last = len(factors) - 1
    cos, sin = _waves(factors[-1], half=True)
    real, imag = _apply(cos, array, last), _apply(-sin, array, last)
    for sizes in reversed(factors[:-1]):
        cos, sin = _waves(sizes, half=False)
        # (cos - i sin) (real + i imag)
        real, imag = (
            _apply(cos, real, last) + _apply(sin, imag, last),
            _apply(cos, imag, last) - _apply(sin, real, last),
        )
    return real, imag


def _signal(real, imag, factors: Sequence[tuple[int, ...]]):
    """Real values over positions, from their spectrum."""
    last = len(factors) - 1
    for i, sizes in enumerate(factors[:-1]):
        cos, sin = (wave.T / math.prod(sizes) for wave in _waves(sizes, half=False))
        # (cos + i sin) (real + i imag)
        real, imag = (
            _apply(cos, real, i) - _apply(sin, imag, i),
            _apply(cos, imag, i) + _apply(sin, real, i),
        )
    sizes = factors[-1]
    cos, sin = (wave.T / math.prod(sizes) for wave in _waves(sizes, half=True))
    # What the half spectrum leaves out is conjugate to what it holds, which counts twice: all but
    # the frequencies 0 and m / 2 of the last axis, of which nothing is left out.
    bins = np.arange(cos.shape[1]) % (sizes[-1] // 2 + 1)
    weight = np.where(2 * bins % sizes[-1] == 0, 1.0, 2.0)
    signal = _apply(weight * cos, real, last) - _apply(weight * sin, imag, last)
    # Each axis went to the front.
    return jnp.transpose(signal, [*range(last, -1, -1), *range(last + 1, signal.ndim)])


def _by_shift(ctx: Context, moving, result, axes, windows):
    """From (places on the torus, cosets, ...) to one coset for each shift along each axis."""
    n = len(axes)
    order: list[int] = []
    for axis in range(moving.n_axes):
        order += [axes.index(axis), n + axis] if axis in axes else [n + axis]
    result = jnp.transpose(result, [*order, *range(len(order), result.ndim)])
    for axis in axes:
        d, length = moving.period[axis], ctx.torus.lengths[axis]
        window = windows[axis][2]
        # Dimension `axis` is now the place u = rate * q, `axis + 1` the coset r; t = r + d * q.
        if window.rate < 0:
            # Place -u comes to stand at u.
            m = result.shape[axis]
            result = periodic_slice(lax.rev(result, [axis]), axis, m - 1, m)
        result = lax.slice_in_dim(result, 0, None, int(window.pace), axis=axis)
        # (..., q, r, ...) -> (..., t, ...): if all cosets are stored, t = r + d * q is the place.
        cosets = len(ctx.torus.residues(axis, d))
        lead, rest = result.shape[:axis], result.shape[axis + 2 :]
        result = jnp.broadcast_to(result, (*lead, length // d, cosets, *rest))
        result = jnp.reshape(result, (*lead, length // d * cosets, *rest))
        shifts = ctx.torus.shifts[axis]
        if shifts is not None:
            index = {r: k for k, r in enumerate(ctx.torus.residues(axis, d))}
            wanted = np.array([t // d * cosets + index[t % d] for t in sorted(shifts)])
            result = jnp.take(result, wanted, axis=axis, mode="clip")
    return result
