"""Displacement fields of one image, and the image read through one."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, PRNGKeyArray, Real

from jaxinv.arguments import as_inexact, check_key, per_axis, real_number

# Of the image: a Gaussian so wide moves all pixels alike.
_SIGMAS = 10


def warp(
    image: Real[Array, "h w c"], field: Float[Array, "2 h w"], *, order: int = 1
) -> Float[Array, "h w c"]:
    r"""Reads an image at displaced positions; zero (black) beyond its border.

    .. math:: y[i, j] = x[i + u_0[i, j],\; j + u_1[i, j]]

    Args:
      image: (H, W, C), real; whole numbers are taken as float.
      field: displacement in pixels, rows first: (2, H, W).
      order: 0 nearest pixel, 1 bilinear.

    Returns:
      (H, W, C).

    Raises:
      ValueError: `image` is not (H, W, C) or complex, `field` is not (2, H, W), or `order` is not
        0 or 1.

    Example:
      >>> import jax.numpy as jnp
      >>> image = jnp.array([[1.0, 2.0, 4.0]])[..., None]
      >>> print(warp(image, jnp.full((2, 1, 3), jnp.array([[[0.0]], [[0.5]]])))[0, :, 0])
      [1.5 3.  2. ]

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """
    if np.ndim(image) != 3:
        raise ValueError(f"image has shape {np.shape(image)}; allowed is (h, w, c)")
    image = as_inexact(image, "image")
    if jnp.iscomplexobj(image):
        raise ValueError(f"image has dtype {image.dtype}; allowed are real numbers")
    height, width, channels = image.shape
    if field.shape != (2, height, width):
        raise ValueError(
            f"the field of a {height}x{width} image has shape (2, {height}, {width}), "
            f"not {field.shape}"
        )
    if order not in (0, 1):
        raise ValueError(f"order is {order}; allowed are 0 (nearest pixel) and 1 (bilinear)")
    at = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")) + field
    channel = [map_coordinates(image[..., c], list(at), order=order) for c in range(channels)]
    return jnp.stack(channel, axis=-1)


def elastic_field(
    key: PRNGKeyArray, shape: tuple[int, int], *, alpha: float = 34.0, sigma: float = 4.0
) -> Float[Array, "2 h w"]:
    r"""Simard's elastic displacement field, in pixels.

    Each component is white noise smoothed by a Gaussian of standard deviation `sigma`, and scaled
    to a fixed size:

    .. math::

       u = \frac{\alpha}{29} \frac{v}{\mathrm{rms}(v)}, \qquad v = G_\sigma * n, \qquad
       \mathrm{rms}(v)^2 = \frac{1}{HW} \sum_{ij} v_{ij}^2

    The paper scales the smoothed field "to a norm of 1" and multiplies it by `alpha`. Taken as the
    Euclidean norm over its 29x29 pixels that is a root mean square displacement of `alpha / 29`
    pixels along each axis, 1.17 for alpha = 34, which is what this function gives at any size of
    image. Copies differ here. A Gaussian of unit sum without normalisation (the usual
    `gaussian_filter(uniform(-1, 1)) * alpha`, dm-pix too) has a root mean square of
    `alpha / (2 sigma sqrt(3 pi))`, 1.38 pixels at sigma 4, but 0.69 at sigma 8 with the same
    alpha; with noise from [0, 1] the picture moves as a whole; and with alpha 34 taken for a field
    whose *largest* value is 1, or noise normalised before the smoothing, it is many times more or
    less.

    The noise extends 3 sigma beyond the image, so that the field is as strong at the border as
    within. It is normal where the paper's is uniform on [-1, 1]; smoothed over many pixels and
    scaled, the two are the same.

    Args:
      key: random key.
      shape: (H, W) of the image.
      alpha: intensity on the scale of the paper.
      sigma: smoothing in pixels. Small: each pixel for itself; large: all the same way.

    Returns:
      (2, H, W), rows first.

    Raises:
      ValueError: `sigma` is not positive, `alpha` is negative, one is not finite, or `sigma` is
        more than 10 times the image.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> field = elastic_field(jax.random.key(0), (29, 29))
      >>> print(jnp.sqrt(jnp.square(field).mean((1, 2))).round(2))
      [1.17 1.17]

    Reference:
      Simard, Steinkraus and Platt 2003, Best practices for convolutional neural networks applied
      to visual document analysis, https://doi.org/10.1109/ICDAR.2003.1227801, section 2.
    """
    check_key(key)
    check_elastic(alpha=alpha, sigma=sigma)
    sizes = per_axis(shape, 2, "shape")
    widest = _SIGMAS * max(sizes)
    if min(sizes) < 1 or sigma > widest:
        raise ValueError(
            f"shape is {sizes} and sigma {sigma}; allowed are sizes from 1 and a sigma up to "
            f"{widest} pixels, beyond which all move alike"
        )
    rows, columns = (_smooth_modes(size, sigma) for size in sizes)
    noise = _normal(key, (2, rows.shape[1], columns.shape[1]))
    smooth = jnp.einsum("ih,chw,jw->cij", rows, noise, columns, optimize="optimal")
    rms = jnp.sqrt(jnp.square(smooth).mean((1, 2), keepdims=True))
    return smooth * (alpha / 29) / rms


def check_elastic(*, alpha: float, sigma: float) -> None:
    """Raises ValueError unless `sigma` is positive, `alpha` not negative, and both are finite."""
    alpha, sigma = real_number(alpha, "alpha"), real_number(sigma, "sigma")
    if sigma <= 0 or alpha < 0:
        raise ValueError(f"sigma must be positive and alpha not negative, got {sigma} and {alpha}")


def _normal(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """Normal random numbers by Box and Muller (1958), https://doi.org/10.1214/aoms/1177706645.

    `jax.random.normal` inverts the error function, which on a processor takes three times as long
    as a logarithm and a turn; drawing the noise was the dearest part of a distortion.
    """
    count = math.prod(shape)
    drawn = jax.random.uniform(key, (2, -(-count // 2)))
    radius, angle = jnp.sqrt(-2 * jnp.log1p(-drawn[0])), 2 * np.pi * drawn[1]
    both = jnp.concatenate([radius * jnp.cos(angle), radius * jnp.sin(angle)])
    return both[:count].reshape(shape)


def _smooth_modes(size: int, sigma: float) -> Float[np.ndarray, "size modes"]:
    """A matrix whose product with white noise is smoothed white noise on a line of `size` pixels.

    Smoothing noise on the line and 3 sigma beyond it is a matrix G with more columns than rows. Its
    left singular vectors times its singular values give noise of the same covariance G G^T from
    `size` numbers, or from fewer: modes below a thousandth of the strongest are left out, 11 of 29
    remain at sigma 4. That saves most random numbers.
    """
    reach = math.ceil(3 * sigma)
    offset = np.arange(size + 2 * reach) - np.arange(size)[:, None] - reach
    # Beyond 40 sigma the weight is 0 in any precision; the square of more could overflow.
    weight = np.exp(-0.5 * np.minimum(abs(offset) / max(sigma, 1e-3), 40) ** 2)
    weight *= abs(offset) <= reach
    vectors, strength, _ = np.linalg.svd(weight / weight.sum(1, keepdims=True), full_matrices=False)
    kept = strength > 1e-3 * strength[0]
    return (vectors[:, kept] * strength[kept]).astype(np.float32)


def affine_field(
    shape: tuple[int, int], matrix: Float[Array, "2 2"], offset: Float[Array, " 2"]
) -> Float[Array, "2 h w"]:
    r"""The displacement field of an affine map about the centre of the image.

    .. math:: u(p) = (A - I)(p - c) + b, \qquad c = ((H - 1)/2, (W - 1)/2)

    Args:
      shape: (H, W) of the image.
      matrix: A, which maps each output position (row, column) to the one that is read.
      offset: b, in pixels.

    Returns:
      (2, H, W), rows first.

    Raises:
      ValueError: a shape is another.

    Example:
      >>> import jax.numpy as jnp
      >>> flip = jnp.array([[1.0, 0.0], [0.0, -1.0]])  # left to right
      >>> print(affine_field((1, 3), flip, jnp.zeros(2))[1])
      [[ 2.  0. -2.]]

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801, section 2.
    """
    sizes = per_axis(shape, 2, "shape")
    if min(sizes) < 1:
        raise ValueError(f"shape is {sizes}; allowed are sizes from 1")
    if np.shape(matrix) != (2, 2) or np.size(offset) != 2:
        raise ValueError(
            f"matrix has shape {np.shape(matrix)} and offset {np.shape(offset)}; "
            "allowed are (2, 2) and (2,)"
        )
    centre = (np.array(sizes) - 1) / 2
    rows, columns = (jnp.arange(n) - c for n, c in zip(sizes, centre, strict=True))
    position = jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"))
    moved = jnp.einsum("ab,bij->aij", matrix - jnp.eye(2), position)
    return moved + jnp.reshape(offset, (2, 1, 1))
