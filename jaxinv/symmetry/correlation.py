"""Flatten + Dense at every shift: a correlation on the torus, by a small Fourier transform.

At shift `t = r + d * q` a dense layer reads `sum_j base[r][o + j - k * q] * weight[j]`. For all `q`
that is a circular cross-correlation, and in Fourier space one small matrix product a frequency.
The torus is small where dense layers stand (7 x 7, say), so the transforms are matrix products
too: real pairs, the last axis with half its frequencies.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinv.symmetry.moves import Context, periodic_slice
from jaxinv.symmetry.program import Equation
from jaxinv.symmetry.values import Window

_EXACT = lax.Precision.HIGHEST


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
    side = windows[axes[0]][0]
    moving, still = bases[side], bases[1 - side]
    moving_labels, still_labels = list(labels[side]), list(labels[1 - side])
    dtype = equation.out_avals[0].dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    sizes = [moving.shape[moving_labels.index(windows[axis][1])] for axis in axes]
    for axis, m in zip(axes, sizes, strict=True):
        _, label, window = windows[axis]
        still = _on_torus(still, still_labels.index(label), window, m)
    fresh = max([*labels[0], *labels[1]]) + 1
    pair_in, pair_out = fresh, fresh + 1
    spectrum = _spectrum(moving.astype(wide), moving_labels, axes, windows)
    weights = _spectrum(still.astype(wide), still_labels, axes, windows)
    # conj(B) K = (Br Kr + Bi Ki) + i (Br Ki - Bi Kr), as one real product over (Br, Bi).
    real, imaginary = weights[..., 0], weights[..., 1]
    blocks = jnp.stack(
        [jnp.stack([real, imaginary], -1), jnp.stack([imaginary, -real], -1)], axis=-2
    )
    frequency_labels = [windows[axis][1] for axis in axes]
    product_out = [*out, *frequency_labels, pair_out]
    operands = [
        _without_ones(spectrum, [*moving_labels, pair_in]),
        _without_ones(blocks, [*still_labels, pair_in, pair_out]),
    ]
    present = {label for _, row in operands for label in row}
    kept = [label for label in product_out if label in present]
    product = jnp.einsum(
        *operands[0],
        *operands[1],
        kept,
        precision=equation.params["precision"],
        preferred_element_type=wide,
    )
    product = jnp.expand_dims(
        product, [i for i, label in enumerate(product_out) if label not in present]
    )
    result = _inverse(product, len(axes), sizes)
    return _by_shift(ctx, values[side], result, axes, windows, len(out)).astype(dtype)


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
        shape = (*kernel.shape[:place], rounds, m, *kernel.shape[place + 1 :])
        kernel = jnp.sum(jnp.reshape(kernel, shape), axis=place)
    return periodic_slice(kernel, place, -window.offset, m)


def _spectrum(array, row, axes, windows: Mapping):
    """Frequencies in place of positions, and a last dimension for real and imaginary part."""
    row = list(row)
    last = True
    for axis in reversed(axes):
        place = row.index(windows[axis][1])
        m = array.shape[place]
        matrix = _half_matrix(m, array.dtype) if last else _full_matrix(m, array.dtype)
        if last:
            array = jnp.tensordot(array, matrix, axes=([place], [0]), precision=_EXACT)
            array = jnp.moveaxis(array, -2, place)
        else:
            array = jnp.tensordot(
                array, matrix, axes=([place, array.ndim - 1], [0, 1]), precision=_EXACT
            )
            array = jnp.moveaxis(array, -2, place)
        last = False
    return array


def _angles(m: int, frequencies: int) -> np.ndarray:
    return 2 * np.pi * (np.outer(np.arange(m), np.arange(frequencies)) % m) / m


def _half_matrix(m: int, dtype):
    """Position to (frequency, part) for real signals: frequencies 0 .. m // 2."""
    angle = _angles(m, m // 2 + 1)
    return jnp.asarray(np.stack([np.cos(angle), -np.sin(angle)], axis=-1), dtype)


def _full_matrix(m: int, dtype):
    """(Position, part) to (frequency, part) for complex signals."""
    angle = _angles(m, m)
    c, s = np.cos(angle), np.sin(angle)
    return jnp.asarray(np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], axis=1), dtype)


def _inverse(product, n: int, sizes):
    """The last `n` dimensions and the parts from frequencies back to (real) positions."""
    place = product.ndim - 1 - n
    for i, m in enumerate(sizes):
        at = place + i
        if i < n - 1:
            angle = _angles(m, m).T
            c, s = np.cos(angle) / m, np.sin(angle) / m
            matrix = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], axis=1)
            product = jnp.tensordot(
                product,
                jnp.asarray(matrix, product.dtype),
                axes=([at, product.ndim - 1], [0, 1]),
                precision=_EXACT,
            )
            product = jnp.moveaxis(product, -2, at)
        else:
            half = m // 2 + 1
            angle = _angles(m, half).T
            weight = np.full((half, 1), 2.0)
            weight[0] = 1.0
            if m % 2 == 0:
                weight[-1] = 1.0
            matrix = np.stack([weight * np.cos(angle), -weight * np.sin(angle)], axis=1) / m
            product = jnp.tensordot(
                product,
                jnp.asarray(matrix, product.dtype),
                axes=([at, product.ndim - 1], [0, 1]),
                precision=_EXACT,
            )
    return product


def _by_shift(ctx: Context, moving, result, axes, windows, rank: int):
    """From (coset, ..., place on the torus) to one coset for each shift along each axis."""
    for axis in axes:
        d, length = moving.period[axis], ctx.torus.lengths[axis]
        window = windows[axis][2]
        result = jnp.moveaxis(result, rank, axis)
        # Dimension `axis` is now the place u = rate * q, `axis + 1` the coset r; t = r + d * q.
        if window.rate < 0:
            m = result.shape[axis]
            result = periodic_slice(lax.rev(result, [axis]), axis, m - 1, m)
        result = lax.slice_in_dim(result, 0, None, int(window.pace), axis=axis)
        cosets = len(ctx.torus.residues(axis, d))
        lead, rest = result.shape[:axis], result.shape[axis + 2 :]
        result = jnp.broadcast_to(result, (*lead, length // d, cosets, *rest))
        result = jnp.reshape(result, (*lead, length // d * cosets, *rest))
        shifts = ctx.torus.shifts[axis]
        if shifts is not None:
            index = {r: k for k, r in enumerate(ctx.torus.residues(axis, d))}
            wanted = np.array([t // d * cosets + index[t % d] for t in sorted(shifts)])
            result = jnp.take(result, wanted, axis=axis)
    return result
