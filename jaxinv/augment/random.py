"""Batches of images, each distorted at random by itself.

All take the key first and float images (N, H, W, C) whose background is 0, return the same shape,
and may be jitted, vmapped and sharded along N: image n's distortion depends on the key, on n and on
N alone, not on the devices.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxinv import shifts
from jaxinv.augment.fields import affine_field, elastic_field, warp

Images = Float[Array, "n h w c"]


def _each(key: PRNGKeyArray, images: Images, distort: Callable[[PRNGKeyArray, Array], Array]):
    return jax.vmap(distort)(jax.random.split(key, len(images)), images)


def _size(image: Array) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def translate(
    key: PRNGKeyArray,
    images: Images,
    *,
    max_shift: int | None = 4,
    mode: shifts.Mode = "constant",
    subpixel: bool = False,
) -> Images:
    """Move each image by its own shift, drawn uniformly.

    Args:
      key: random key.
      images: (N, H, W, C).
      max_shift: from the integers -max_shift..max_shift along each axis; None: every circular
        shift, which needs mode "wrap".
      mode: fill at the border, as in `jaxinv.translate`.
      subpixel: draw real numbers from [-max_shift, max_shift] and interpolate bilinearly; the
        border is then filled with zeros.

    Returns:
      (N, H, W, C).

    Raises:
      ValueError: `max_shift` is negative, or None with a mode other than "wrap"; `subpixel` with a
        mode other than "constant".

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> dot = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4].set(1.0)
      >>> moved = translate(jax.random.key(0), dot, max_shift=4)
      >>> print(moved.sum(), bool((moved == dot).all()))
      1.0 False

    References:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """
    if max_shift is None and mode != "wrap":
        raise ValueError(f"max_shift None, every circular shift, needs mode 'wrap', not {mode!r}.")
    if max_shift is not None and max_shift < 0:
        raise ValueError(f"max_shift is {max_shift}; it must not be negative.")
    if subpixel and (mode != "constant" or max_shift is None):
        raise ValueError("subpixel shifts need a max_shift and fill with zeros, mode 'constant'.")
    size = images.shape[1:3]

    def move(key: PRNGKeyArray, image: Array) -> Array:
        if subpixel and max_shift is not None:
            shift = jax.random.uniform(key, (2,), minval=-max_shift, maxval=max_shift)
            return warp(image, jnp.broadcast_to(-shift[:, None, None], (2, *size)))
        low, high = (0, jnp.array(size)) if max_shift is None else (-max_shift, max_shift + 1)
        shift = jax.random.randint(key, (2,), low, high)
        return shifts.translate(image, shift, axes=(0, 1), mode=mode)

    return _each(key, images, move)


def affine(
    key: PRNGKeyArray,
    images: Images,
    *,
    rotation: float = 15.0,
    scaling: float = 0.15,
    shear: float = 0.15,
    max_shift: float = 0.0,
) -> Images:
    r"""Rotate, scale, shear and shift each image about its centre, bilinearly.

    Positions (row, column) are read through A = R(angle) · [[1, 0], [shear, 1]] · diag(1/row
    scale, 1/column scale), all drawn uniformly; the shear slants the vertical, as handwriting does.

    Args:
      key: random key.
      images: (N, H, W, C).
      rotation: degrees, up to which either way.
      scaling: each axis becomes larger by a factor from [1 - scaling, 1 + scaling].
      shear: pixels per pixel, up to which either way.
      max_shift: pixels, up to which either way, real.

    Returns:
      (N, H, W, C), zero where the image was left.

    Raises:
      ValueError: `scaling` is not in [0, 1).

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.ones((2, 8, 8, 1))
      >>> affine(jax.random.key(0), images).shape
      (2, 8, 8, 1)
      >>> bool((affine(jax.random.key(0), images, rotation=0, scaling=0, shear=0) == images).all())
      True

    References:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """
    if not 0 <= scaling < 1:
        raise ValueError(f"scaling is {scaling}; it must be in [0, 1).")

    def distort(key: PRNGKeyArray, image: Array) -> Array:
        drawn = jax.random.uniform(key, (6,), minval=-1.0, maxval=1.0)
        angle = jnp.deg2rad(rotation) * drawn[0]
        turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
        slant = jnp.array([[1.0, 0.0], [shear * drawn[1], 1.0]])
        matrix = turn @ slant / (1 + scaling * drawn[2:4])
        return warp(image, affine_field(_size(image), matrix, max_shift * drawn[4:]))

    return _each(key, images, distort)


def elastic(
    key: PRNGKeyArray, images: Images, *, alpha: float = 34.0, sigma: float = 4.0
) -> Images:
    """Distort each image by its own elastic field, bilinearly.

    See `elastic_field` for what `alpha` and `sigma` mean exactly.

    Args:
      key: random key.
      images: (N, H, W, C).
      alpha: intensity; alpha/29 pixels is the root mean square displacement along each axis.
      sigma: smoothing of the field, in pixels.

    Returns:
      (N, H, W, C).

    Raises:
      ValueError: `sigma` is not positive or `alpha` is negative.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> elastic(jax.random.key(0), jnp.ones((2, 29, 29, 1))).shape
      (2, 29, 29, 1)

    References:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """

    def distort(key: PRNGKeyArray, image: Array) -> Array:
        return warp(image, elastic_field(key, _size(image), alpha=alpha, sigma=sigma))

    return _each(key, images, distort)


def crop(
    key: PRNGKeyArray, images: Images, *, padding: int = 4, mode: shifts.Mode = "constant"
) -> Images:
    """Pad each image and cut a window of its old size at random: the usual CIFAR augmentation.

    The same as `translate` by up to `padding` pixels, under the name it goes by there.

    Args:
      key: random key.
      images: (N, H, W, C).
      padding: pixels added on each side.
      mode: what they hold, as in `jaxinv.translate`.

    Returns:
      (N, H, W, C).

    Raises:
      ValueError: `padding` is negative or the mode is unknown.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> crop(jax.random.key(0), jnp.ones((2, 8, 8, 3)), padding=2).shape
      (2, 8, 8, 3)

    References:
      He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    if padding < 0:
        raise ValueError(f"padding is {padding}; it must not be negative.")
    return translate(key, images, max_shift=padding, mode=mode)


def flip(key: PRNGKeyArray, images: Images, *, probability: float = 0.5) -> Images:
    """Mirror each image left to right with some probability.

    Args:
      key: random key.
      images: (N, H, W, C).
      probability: of mirroring an image.

    Returns:
      (N, H, W, C).

    Raises:
      ValueError: `probability` is not in [0, 1].

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.arange(3.0).reshape(1, 1, 3, 1)
      >>> print(flip(jax.random.key(0), image, probability=1.0).ravel())
      [2. 1. 0.]

    References:
      He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is {probability}; it must be in [0, 1].")

    def mirror(key: PRNGKeyArray, image: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key, probability), image[:, ::-1], image)

    return _each(key, images, mirror)


def compose(*distortions: Callable[[PRNGKeyArray, Images], Images]) -> Callable:
    """One distortion after the other, each on a key of its own.

    Args:
      *distortions: functions of a key and images, such as `functools.partial(elastic, alpha=20)`.

    Returns:
      A function of a key and images.

    Examples:
      >>> import functools, jax, jax.numpy as jnp
      >>> both = compose(elastic, functools.partial(translate, max_shift=2))
      >>> both(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
      (2, 8, 8, 1)

    References:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801, combines them so.
    """

    def composed(key: PRNGKeyArray, images: Images) -> Images:
        for index, distort in enumerate(distortions):
            images = distort(jax.random.fold_in(key, index), images)
        return images

    return composed
