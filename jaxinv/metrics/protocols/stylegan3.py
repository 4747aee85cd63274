"""StyleGAN3's EQ-T and EQ-T_frac: equivariance to translation as a signal-to-noise ratio.

Karras et al., "Alias-free generative adversarial networks" (2021).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxinv.arguments import as_inexact, check_key, is_known, number_or_nan, per_axis, whole_number
from jaxinv.magnitudes import magnitude
from jaxinv.metrics.protocols.pairs import Sample, SampleMean, mean_of_samples
from jaxinv.shift_options import check_axes
from jaxinv.shifts import subpixel_translate, translate
from jaxinv.symmetry.processor_convolution import quick_in_loops

Operator = Literal["fourier", "lanczos"]

# The largest shift as a share of the image, as published.
LARGEST = 0.125


def decibels(squared_error: Float[Array, "..."], *, peak: float = 2.0) -> Float[Array, "..."]:
    r"""Peak signal-to-noise ratio.

    .. math::

      10 \log_{10} (I_{\max}^2 / \mathrm{MSE})

    Args:
      squared_error: mean squared error.
      peak: the signal's range; 2 for images between -1 and 1, as published; may be traced.

    Returns:
      Decibels; infinite without error, NaN where it is not finite.

    Raises:
      ValueError: if the peak is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> print(decibels(jnp.array(0.04)))
      20.0

    Reference:
      Karras et al. (2021), equation 3, https://arxiv.org/abs/2106.12423.
    """
    if is_known(peak) and not number_or_nan(peak) > 0:
        raise ValueError(f"peak is {peak!r}; allowed are positive numbers")
    error = as_inexact(squared_error, "squared_error")
    level = 20 * jnp.log10(peak) - 10 * jnp.log10(error)
    return jnp.where(jnp.isfinite(error), level, jnp.nan)


def lanczos_translate(
    x: Num[Array, "..."],
    shift: Sequence[float] | Array,
    *,
    axes: Sequence[int] = (1, 2),
    a: int = 3,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""StyleGAN3's operator T for real shifts: a windowed sinc, zeros outside, and a mask.

    .. math::

      y[i] = \sum_{j = 1 - a}^{a} w_j \, x[i - \lfloor t \rfloor - j], \qquad
      w_j \propto \mathrm{sinc}(j - f) \, \mathrm{sinc}((j - f) / a), \quad
      f = t - \lfloor t \rfloor

    Args:
      x: images.
      shift: `t` in pixels, one per axis; may be traced.
      axes: the spatial dimensions.
      a: half the number of taps; 3 as published.

    Returns:
      The moved images, and ones where every tap lay inside the image, zeros elsewhere.

    Raises:
      ValueError: if an axis is out of range or the shift has the wrong length.

    Example:
      >>> import jax.numpy as jnp
      >>> moved, mask = lanczos_translate(jnp.arange(8.0), (1.0,), axes=(0,))
      >>> print(moved.round().astype(int), mask.astype(int))
      [0 0 1 2 3 4 5 6] [0 0 0 0 1 1 1 0]

    Reference:
      Karras et al. (2021), appendix E.2, https://arxiv.org/abs/2106.12423;
      `apply_fractional_translation` of
      https://github.com/NVlabs/stylegan3.
    """
    x = jnp.asarray(x)
    dims = check_axes(axes, x.ndim, "images")
    steps = jnp.asarray(shift, float)
    if steps.shape != (len(dims),):
        raise ValueError(f"shift has shape {steps.shape}; it needs one number per axis {dims}")
    mask = jnp.ones_like(x, dtype=jnp.promote_types(x.dtype, jnp.float32))
    moved = x.astype(mask.dtype)
    a = whole_number(a, "a")
    taps = np.arange(1 - a, a + 1)
    for dim, step in zip(dims, steps, strict=True):
        whole = jnp.floor(step).astype(jnp.int32)
        weights = jnp.sinc(taps - (step - whole)) * jnp.sinc((taps - (step - whole)) / a)
        weights = weights / jnp.sum(weights)
        places = jnp.arange(x.shape[dim])
        # y[i] reads i - whole - a up to i - whole + a - 1: all must lie inside.
        inside = (places >= whole + a) & (places < x.shape[dim] + whole - (a - 1))
        shape = [-1 if d == dim else 1 for d in range(x.ndim)]
        moved = sum(
            weight * translate(moved, whole + int(tap), axes=(dim,), mode="constant")
            for weight, tap in zip(weights, taps, strict=True)
        )
        mask = mask * inside.reshape(shape)
    return moved, mask


def eq_t(
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    largest: float = LARGEST,
    stride: int = 1,
    peak: float = 2.0,
    axes: Sequence[int] = (1, 2),
    sample: Sample | None = None,
) -> Float[Array, ""]:
    r"""EQ-T of a function of images: over all whole-pixel shifts, or over random ones as published.

    .. math::

      10 \log_{10} \frac{I_{\max}^2}{\mathbb{E}_t \, \mathrm{mean}_V
      \left( f(T_t x) - T_{t / s} f(x) \right)^2}

    over the pixels V of the output that the shifted reference still shows. The published metric
    moves a generator's input coordinates; for a function of images the input moves on the torus.
    The shifts have the published distribution: uniform within `largest` of the image, rounded, so
    that the outermost whole shift is drawn less often; one for the whole batch.

    Args:
      fun: maps images to images of `1 / stride` of their size.
      images: the images.
      largest: largest shift as a share of the image; 1/8 as published.
      stride: `s`; shifts are rounded to its multiples.
      peak: the output's range; 2 for values between -1 and 1.
      axes: the spatial dimensions.
      sample: draw shifts instead of taking all.

    Returns:
      Decibels; infinite for an exactly equivariant function.

    Raises:
      ValueError: if an axis is out of range, or sizes, stride and output do not fit, or no shift
        within `largest` rounds to another multiple of the stride than 0.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.ones((1, 8, 8, 1)).at[0, 0, 0, 0].set(-1.0)
      >>> print(eq_t(jnp.square, images))
      inf
      >>> print(eq_t(jnp.square, images, sample=Sample(jax.random.key(0), draws=4)))
      inf

    Reference:
      Karras et al. (2021), section 2.3 and
      appendix E.1, https://arxiv.org/abs/2106.12423; `compute_equivariance_metrics` of
      https://github.com/NVlabs/stylegan3.
    """
    sizes = _sizes(images, axes, stride, largest)
    if sample is None:
        rows, weights = zip(*(_rounded(largest * size, stride) for size in sizes), strict=True)
        shifts: Any = np.stack(np.meshgrid(*rows, indexing="ij"), -1).reshape(-1, len(sizes))
        chance = np.prod(np.meshgrid(*weights, indexing="ij"), axis=0).reshape(-1)
    else:
        drawn = _drawn(sample, largest, sizes)
        shifts = stride * jnp.round(drawn / stride).astype(jnp.int32)
        chance = np.ones(len(drawn))
    base, unit = _output(fun, images, stride, axes)
    if 2 * largest * max(sizes) <= stride:
        raise ValueError(
            f"largest is {largest}: no shift of images of {sizes} rounds to a multiple of the "
            f"stride {stride} but 0; allowed are numbers above {stride / 2 / max(sizes):.3g}"
        )

    def error(shift):
        moved = fun(translate(images, shift, axes=axes))
        expected = translate(base, shift // stride, axes=axes, mode="constant")
        mask = translate(jnp.ones(base.shape), shift // stride, axes=axes, mode="constant")
        return _squared_error(moved, expected, mask, unit)

    errors, counts = jax.lax.map(quick_in_loops(error), jnp.asarray(shifts))
    level = decibels(jnp.sum(chance * errors) / jnp.sum(chance * counts), peak=peak)
    return level - 20 * jnp.log10(unit)


def eq_t_frac(
    fun: Callable,
    images: Num[Array, "n h w c"],
    *,
    sample: Sample,
    largest: float = LARGEST,
    stride: int = 1,
    peak: float = 2.0,
    operator: Operator = "fourier",
    axes: Sequence[int] = (1, 2),
) -> tuple[Float[Array, ""], SampleMean]:
    r"""StyleGAN3's EQ-T_frac: random real-valued shifts, each for the whole batch.

    .. math::

      10 \log_{10} \frac{I_{\max}^2}{\mathbb{E}_t \, \mathrm{mean}_V
      \left( f(T_t x) - T_{t / s} f(x) \right)^2}, \quad t \sim U[-\ell P, \ell P]^d

    The input is moved by the ideal shift of the torus. The output is moved by the same
    (`"fourier"`, all pixels count) or as published (`"lanczos"`, pixels near what comes in from
    outside are masked).

    Args:
      fun: maps images to images of `1 / stride` of their size.
      images: the images.
      sample: the key, and how many shifts are drawn; 64 is usual.
      largest: `l`, largest shift as a share of the image; 1/8 as published.
      stride: `s`, the ratio of input to output positions.
      peak: the output's range.
      operator: how the output is moved.
      axes: the spatial dimensions.

    Returns:
      Decibels, and the mean squared error behind them with its standard error.

    Raises:
      ValueError: if an axis is out of range, sizes do not fit, or the operator is unknown.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> wave = jnp.cos(jnp.arange(8) * jnp.pi / 4).reshape(1, 8, 1, 1) * jnp.ones((1, 8, 8, 1))
      >>> level, _ = eq_t_frac(lambda x: 0.5 * x, wave, sample=Sample(jax.random.key(0), 4))
      >>> bool(level > 100)  # a linear filter of a band-limited image: rounding only
      True

    Reference:
      Karras et al. (2021), appendix E.2, https://arxiv.org/abs/2106.12423.
    """
    if operator not in ("fourier", "lanczos"):
        raise ValueError(f"operator is {operator!r}; allowed are 'fourier', 'lanczos'")
    sizes = _sizes(images, axes, stride, largest)
    base, unit = _output(fun, images, stride, axes)

    def move(output, shift):
        if operator == "lanczos":
            return lanczos_translate(output, shift, axes=axes)
        return subpixel_translate(output, shift, axes=axes), jnp.ones(output.shape)

    def error(shift):
        moved = fun(subpixel_translate(images, shift, axes=axes))
        expected, mask = move(base, shift / stride)
        return _squared_error(moved, expected, mask, unit)

    errors, counts = jax.lax.map(quick_in_loops(error), _drawn(sample, largest, sizes))
    level = decibels(jnp.sum(errors) / jnp.sum(counts), peak=peak) - 20 * jnp.log10(unit)
    return level, mean_of_samples(errors / jnp.mean(counts) * unit * unit)


def _squared_error(moved, expected, mask, unit):
    """Sum of squares over the pixels that count, in squares of a unit, and their number."""
    return jnp.sum(mask * jnp.abs((as_inexact(moved) - expected) / unit) ** 2), jnp.sum(mask)


def _drawn(sample, largest, sizes):
    most = largest * jnp.array(sizes, float)
    shape = (whole_number(sample.draws, "draws"), len(sizes))
    check_key(sample.key)
    return jax.random.uniform(sample.key, shape, minval=-most, maxval=most)


def _output(fun, images, stride, axes):
    """The unshifted output, and a unit for its size."""
    base = as_inexact(fun(images), "the output")
    if jnp.size(images) == 0:
        raise ValueError(f"there are no images in an array of shape {jnp.shape(images)}")
    for dim in check_axes(axes, jnp.ndim(images), "images"):
        if base.ndim != jnp.ndim(images) or base.shape[dim] * stride != jnp.shape(images)[dim]:
            raise ValueError(
                f"the output has shape {base.shape}; for stride {stride} and images of shape "
                f"{jnp.shape(images)} it must be an image of 1 / stride the size"
            )
    return base, magnitude(base, range(base.ndim)).reshape(())


def _sizes(images, axes, stride, largest):
    dims = check_axes(axes, jnp.ndim(images), "images")
    (stride,) = per_axis(stride, 1, "stride")
    if stride < 1 or not 0 < number_or_nan(largest) < 1:
        raise ValueError(f"stride {stride} must be at least 1, largest {largest} within 0 and 1")
    return [jnp.shape(images)[d] for d in dims]


def _rounded(most, stride):
    """Multiples of the stride that a uniform number within `most` rounds to, and how often."""
    last = int(np.ceil(most / stride - 0.5))
    steps = np.arange(-last, last + 1)
    ends = np.clip(np.stack([steps - 0.5, steps + 0.5]) * stride, -most, most)
    return steps * stride, (ends[1] - ends[0]) / (2 * most)
