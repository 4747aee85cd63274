"""Ideal low-pass filtering on the circle, written as convolution with a kernel of a whole period.

With P positions the filter keeps the frequencies `|k| <= K`; its kernel is Dirichlet's,
`(1 / P) sum_k cos(2 pi k n / P)`. Signals of the kept band are trigonometric polynomials: their
samples determine the continuous signal, so that shifts by *fractions* of a position are defined and
commute with what follows. The Nyquist frequency is never kept, since its shift by a fraction is not
determined by the samples. Convolution and not `jnp.fft`: `jaxinv.certify` can prove the one and not
the other.
"""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxinv.arguments import check_callable
from jaxinv.layers.convolution import dimension_numbers
from jaxinv.layers.padding import pad, window_padding
from jaxinv.layers.spatial import per_axis, spatial_rank, summed_in_float32


def dirichlet(positions: Float[np.ndarray, "..."], period: int, band: int) -> np.ndarray:
    """The ideal low-pass kernel at any real position: `sum_{|k| <= band} cos(2 pi k t / P) / P`.

    Args:
      positions: where to evaluate it, in samples.
      period: samples in a period, `P`.
      band: the highest frequency kept, in cycles a period.

    Reference:
      Oppenheim and Schafer, "Discrete-time signal processing" (2010), section 8.6
    """
    waves = 2 * np.pi * np.arange(1, band + 1) * np.asarray(positions)[..., None] / period
    return (1 + 2 * np.cos(waves).sum(-1)) / period


def band_below(size: int, stride: int = 1) -> int:
    """The highest frequency, in cycles a period, below Nyquist's for `size / stride` samples.

    Example:
      >>> band_below(32, 2), band_below(5)
      (7, 2)
    """
    return math.ceil(size / (2 * stride)) - 1


def _circular_filter(x, kernels, axis, stride=1):
    """Convolves `(b, *spatial, i)` along one axis with `kernels[n, i, o]`, `n` over one period."""
    rank, period = x.ndim - 2, kernels.shape[0]
    before, _ = window_padding(period, period)
    # lax correlates: tap t reads position i + t - before, that is lag before - t.
    taps = kernels[(before - np.arange(period)) % period].astype(x.dtype)
    shape = [1] * rank
    shape[axis - 1] = period
    widths, strides = [(0, 0)] * rank, [1] * rank
    widths[axis - 1] = window_padding(period, period, stride=stride, padding="CIRCULAR")
    strides[axis - 1] = stride
    return lax.conv_general_dilated(
        pad(x, widths, padding="CIRCULAR"),
        taps.reshape(*shape, *taps.shape[1:]),
        strides,
        "VALID",
        dimension_numbers=dimension_numbers(rank),
    )


def _channels_to_batch(x):
    """`(n, *spatial, c)` to `(n * c, *spatial, 1)`: one filter serves all channels."""
    return jnp.moveaxis(x, -1, 1).reshape(-1, *x.shape[1:-1], 1)


def _batch_to_channels(x, channels):
    return jnp.moveaxis(x.reshape(-1, channels, *x.shape[1:-1]), 1, -1)


@summed_in_float32
def ideal_lowpass(
    x: Float[Array, "n *s c"], stride: int | Sequence[int] = 2, *, subsample: bool = False
) -> Float[Array, "n *t c"]:
    """Removes all frequencies from the Nyquist frequency of the thinned grid upwards.

    `Y[k] = X[k]` for `|k| < P / (2 stride)`, zero otherwise, along each spatial axis. On the full
    grid it commutes with every circular shift, whole or fractional. With `subsample`, whole
    shifts by multiples of the stride move the output by whole positions, and all others move it
    by fractions: `translate(y, t / stride)` with Fourier interpolation, exactly, if the stride
    divides the size.

    Args:
      x: signal `(n, *spatial, c)`, taken as periodic.
      stride: the thinning that the band is meant for, for all axes or one each.
      subsample: keeps every stride-th position of the result.

    Returns:
      `(n, *spatial, c)`, or `(n, *ceil(spatial / stride), c)` if subsampled; of the same type,
      float32 for whole numbers; summed in float32 at least.

    Raises:
      ValueError: if the stride is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, -1.0, 1.0, -1.0, 3.0, 1.0, 3.0, 1.0]).reshape(1, 8, 1)
      >>> float(jnp.abs(jnp.mean(ideal_lowpass(x)) - 1.0)) < 1e-6  # the mean is kept
      True

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets: fractional shift invariance via
      polynomial activations" (2023), https://arxiv.org/abs/2303.08085
    """
    steps = per_axis(stride, spatial_rank(x), "stride")
    bands = [band_below(size, step) for size, step in zip(x.shape[1:-1], steps, strict=True)]
    return _limit_bands(x, bands, steps if subsample else [1] * len(steps))


def _limit_bands(x, bands, steps):
    """Keeps frequencies up to one band an axis, then every step-th position."""
    y = _channels_to_batch(x)
    for axis, (band, step) in enumerate(zip(bands, steps, strict=True), start=1):
        period = x.shape[axis]
        kernel = dirichlet(np.arange(period), period, band)
        y = _circular_filter(y, kernel[:, None, None], axis, step)
    return _batch_to_channels(y, x.shape[-1])


@summed_in_float32
def lowpass_for_product(x: Float[Array, "n *s c"], stride: int) -> Float[Array, "n *s c"]:
    """Removes the frequencies whose product with a full band folds below a thinned grid's Nyquist.

    `Y[k] = X[k]` for `|k| < (1 - 1 / stride) P / 2`. The product of `y` with any signal of the grid
    has no frequency above `P - P / (2 stride)`, so what folds lands at or beyond the Nyquist
    frequency of every stride-th position, where `ideal_lowpass` takes it away.

    Args:
      x: signal `(n, *spatial, c)`, taken as periodic.
      stride: the thinning that follows, at least 2.

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085,
      for a stride of 4: a cutoff of 0.75.
    """
    bands = [math.ceil(size * (stride - 1) / (2 * stride)) - 1 for size in x.shape[1:-1]]
    return _limit_bands(x, [max(band, 0) for band in bands], [1] * len(bands))


def _split(y, axis, stride):
    """Fourier interpolation to a grid `stride` times finer: `(b, *s, 1)` to `(b, *s, stride)`.

    Entry r is the signal at positions `i + r / stride`, at the old grid's size: the polyphase
    components of the finer grid.
    """
    period = y.shape[axis]
    lags = np.arange(period)[:, None] + np.arange(stride) / stride
    kernels = dirichlet(lags, period, band_below(period))
    return _circular_filter(y, kernels[:, None, :], axis)


def _join(y, axis, stride):
    """Low-pass filters a finer grid, held as components, and keeps the old grid's positions."""
    period = y.shape[axis]
    lags = np.arange(period)[:, None] - np.arange(stride) / stride
    kernels = dirichlet(lags, period, band_below(period)) / stride
    return _circular_filter(y, kernels[:, :, None], axis)


@summed_in_float32
def ideal_upsample(
    x: Float[Array, "n *s c"], stride: int | Sequence[int] = 2
) -> Float[Array, "n *t c"]:
    """Fourier interpolation of a periodic signal to a grid `stride` times finer.

    `y[stride * i + r] = x(i + r / stride)`, where `x(t)` is the trigonometric polynomial through
    the samples (without their Nyquist frequency, if the size is even). It commutes with whole and
    fractional shifts: a shift of `x` by `t` moves `y` by `stride * t`.

    Args:
      x: signal `(n, *spatial, c)`, taken as periodic.
      stride: factor, for all axes or one each.

    Returns:
      `(n, *(spatial * stride), c)`.

    Raises:
      ValueError: if the stride is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> ideal_upsample(jnp.ones((1, 4, 1)), 2).shape
      (1, 8, 1)

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085
    """
    rank, channels = spatial_rank(x), x.shape[-1]
    y = _channels_to_batch(x)
    for axis, step in enumerate(per_axis(stride, rank, "stride"), start=1):
        y = jnp.moveaxis(_split(y, axis, step), -1, axis + 1)
        y = y.reshape(*y.shape[:axis], y.shape[axis] * step, *y.shape[axis + 2 :], 1)
    return _batch_to_channels(y, channels)


@summed_in_float32
def filtered_nonlinearity(
    x: Float[Array, "n *s c"], function: Callable[[Array], Array], *, factor: int = 2
) -> Float[Array, "n *s c"]:
    """Applies a pointwise function on a finer grid, then low-pass filters back to the old one.

    `y = D(L(function(U(x))))` with Fourier interpolation U, ideal low-pass L and subsampling D,
    each by `factor`. A polynomial of degree d widens the band d times, so with
    `factor >= (d + 1) / 2` nothing folds back into the kept band and `y` commutes with *fractional*
    shifts exactly; for other functions the error falls with the factor. The finer grid is held as
    its polyphase components, so no value is ever off the old grid's lattice and the whole
    commutes with every whole shift.

    Args:
      x: signal `(n, *spatial, c)`, taken as periodic.
      function: a pointwise function of arrays `(m, *spatial, c)`.
      factor: how many times finer, along each axis.

    Returns:
      `(n, *spatial, c)` without its Nyquist frequency.

    Raises:
      ValueError: if the factor is below 1 or `function` is no function.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.cos(2 * jnp.pi * jnp.arange(8) / 8).reshape(1, 8, 1)
      >>> y = filtered_nonlinearity(x, jnp.square)  # cos^2 = 1/2 + cos(2 .) / 2
      >>> bool(jnp.allclose(y, x * x, atol=1e-6))
      True

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085;
      Karras et al., "Alias-free generative adversarial networks" (2021),
      https://arxiv.org/abs/2106.12423
    """
    check_callable(function)
    rank, (n, *spatial, c) = spatial_rank(x), x.shape
    (factor,) = per_axis(factor, 1, "factor")
    y = _channels_to_batch(x)
    for axis in range(1, rank + 1):
        y = jnp.moveaxis(_split(y, axis, factor), -1, 1).reshape(-1, *spatial, 1)
    # (n, c, components, *spatial) to (n * components, *spatial, c) for the function and back.
    y = jnp.moveaxis(y.reshape(n, c, -1, *spatial), 1, -1)
    components = y.shape[1]
    y = function(y.reshape(-1, *spatial, c)).reshape(n, components, *spatial, c)
    y = jnp.moveaxis(y, -1, 1).reshape(-1, *spatial, 1)
    for axis in range(rank, 0, -1):
        y = jnp.moveaxis(y.reshape(-1, factor, *spatial), 1, -1)
        y = _join(y, axis, factor)
    return _batch_to_channels(y, c)
