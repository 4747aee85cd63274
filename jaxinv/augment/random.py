"""Batches of images, each distorted at random by itself.

All take the key first and images (N, H, W, C) with background 0, return the same shape, and may
be jitted, vmapped and sharded along N: image n's distortion depends on the key, on n and on N
alone, not on the devices. What interpolates takes whole numbers as float.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num, PRNGKeyArray

from jaxinv import shifts
from jaxinv.arguments import check_callable, check_key, real_number, real_per_axis
from jaxinv.augment.fields import affine_field, check_elastic, elastic_field, warp
from jaxinv.shift_options import Mode, check_max_shift

Images = Num[Array, "n h w c"]

# One more is the end of the whole numbers that are drawn from, in 32 bits.
_FARTHEST = 2**31 - 2


def _each(key: PRNGKeyArray, images: Images, distort: Callable[[PRNGKeyArray, Array], Array]):
    check_key(key)
    return jax.vmap(distort)(jax.random.split(key, len(images)), images)


def _batch(images: Images, axes: Sequence[int] = (1, 2)) -> Array:
    """The images, if their shape says that they are a batch with these spatial axes."""
    shape = np.shape(images)
    rank = len(shape) - 2
    if tuple(axes) != tuple(range(1, rank + 1)):
        wanted = {1: "(n, w, c)", 2: "(n, h, w, c)", 3: "(n, d, h, w, c)"}.get(len(tuple(axes)))
        raise ValueError(f"images have shape {shape}; with axes {tuple(axes)} allowed is {wanted}")
    return jnp.asarray(images)


def _size(image: Array) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def translate(
    key: PRNGKeyArray,
    images: Images,
    *,
    max_shift: float | Sequence[float] | None = 4,
    mode: Mode = "constant",
    subpixel: bool = False,
    axes: Sequence[int] = (1, 2),
) -> Images:
    """Moves each image by its own shift, drawn uniformly.

    Args:
      key: random key.
      images: (N, H, W, C); with other `axes` signals (N, W, C) or volumes (N, D, H, W, C).
      max_shift: from the integers -max_shift..max_shift, one number for all axes or one each: (0,
        3) moves along the second alone; None: every circular shift, which needs mode "wrap".
      mode: fill at the border, as in `jaxinv.translate`.
      subpixel: draw real numbers from [-max_shift, max_shift] and interpolate bilinearly; the
        border is then filled with zeros. For images only.
      axes: all axes between the first and the last.

    Returns:
      The same shape.

    Raises:
      ValueError: the shape is not that of a batch; `max_shift` is negative, a fraction without
        `subpixel`, larger than the image with mode "constant", or None with a mode other than
        "wrap"; `subpixel` with a mode other than "constant".

    Example:
      >>> import jax, jax.numpy as jnp
      >>> dot = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4].set(1.0)
      >>> moved = translate(jax.random.key(0), dot, max_shift=4)
      >>> print(moved.sum(), bool((moved == dot).all()))
      1.0 False

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """
    images = _batch(images, axes)
    return _translate(key, images, max_shift, mode=mode, subpixel=subpixel, name="max_shift")


def _translate(key, images, max_shift, *, mode, name, subpixel=False):
    size = images.shape[1:-1]
    reach = check_max_shift(max_shift, len(size), mode=mode, subpixel=subpixel, name=name)
    if subpixel and len(size) != 2:
        raise ValueError(f"subpixel shifts are for images; these have {len(size)} spatial axes")
    low, high = (0, np.array(size)) if reach is None else (-np.array(reach), np.array(reach))
    if max(high) > _FARTHEST:
        raise ValueError(f"{name} is {max_shift}; allowed are numbers up to {_FARTHEST}")
    if mode == "constant" and np.any(high > np.array(size)):
        raise ValueError(
            f"{name} is {max_shift}, beyond images of {size}; allowed are numbers up to their sizes"
        )

    def move(key: PRNGKeyArray, image: Array) -> Array:
        if subpixel:
            shift = jax.random.uniform(key, (2,), minval=low, maxval=high)
            return warp(image, jnp.broadcast_to(-shift[:, None, None], (2, *size)))
        shift = jax.random.randint(key, (len(size),), low, high + (reach is not None))
        return shifts.translate(image, shift, axes=range(len(size)), mode=mode)

    return _each(key, images, move)


def affine(
    key: PRNGKeyArray,
    images: Images,
    *,
    rotation: float = 15.0,
    scaling: float = 0.15,
    shear: float = 0.15,
    max_shift: float | Sequence[float] = 0.0,
) -> Images:
    r"""Rotates, scales, shears and shifts each image about its centre, bilinearly.

    Positions (row, column) are read through A = R(angle) · [[1, 0], [shear, 1]] · diag(1/row
    scale, 1/column scale), all drawn uniformly; the shear slants the vertical, as handwriting does.

    Args:
      key: random key.
      images: (N, H, W, C).
      rotation: largest angle in degrees, either way.
      scaling: each axis becomes larger by a factor from [1 - scaling, 1 + scaling].
      shear: largest shear in pixels per pixel, either way.
      max_shift: largest shift in pixels, either way, real; one for both axes or one each.

    Returns:
      (N, H, W, C), zero where the image was left.

    Raises:
      ValueError: the shape is not (N, H, W, C), `scaling` is not in [0, 1), or another number is
        not finite.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.ones((2, 8, 8, 1))
      >>> affine(jax.random.key(0), images).shape
      (2, 8, 8, 1)
      >>> bool((affine(jax.random.key(0), images, rotation=0, scaling=0, shear=0) == images).all())
      True

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """
    images = _batch(images)
    rotation, shear = real_number(rotation, "rotation"), real_number(shear, "shear")
    scaling = real_number(scaling, "scaling")
    reach = jnp.array(real_per_axis(max_shift, 2, "max_shift"))
    if not 0 <= scaling < 1:
        raise ValueError(f"scaling is {scaling}; it must be in [0, 1)")

    def distort(key: PRNGKeyArray, image: Array) -> Array:
        drawn = jax.random.uniform(key, (6,), minval=-1.0, maxval=1.0)
        angle = jnp.deg2rad(rotation) * drawn[0]
        turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
        slant = jnp.array([[1.0, 0.0], [shear * drawn[1], 1.0]])
        matrix = turn @ slant / (1 + scaling * drawn[2:4])
        return warp(image, affine_field(_size(image), matrix, reach * drawn[4:]))

    return _each(key, images, distort)


def elastic(
    key: PRNGKeyArray, images: Images, *, alpha: float = 34.0, sigma: float = 4.0
) -> Images:
    """Distorts each image by its own elastic field, bilinearly.

    See `elastic_field` for what `alpha` and `sigma` mean exactly.

    Args:
      key: random key.
      images: (N, H, W, C).
      alpha: intensity; alpha/29 pixels is the root mean square displacement along each axis.
      sigma: smoothing of the field, in pixels.

    Returns:
      (N, H, W, C).

    Raises:
      ValueError: the shape is not (N, H, W, C), or as `elastic_field`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> elastic(jax.random.key(0), jnp.ones((2, 29, 29, 1))).shape
      (2, 29, 29, 1)

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801.
    """
    images = _batch(images)
    check_elastic(alpha=alpha, sigma=sigma)

    def distort(key: PRNGKeyArray, image: Array) -> Array:
        return warp(image, elastic_field(key, _size(image), alpha=alpha, sigma=sigma))

    return _each(key, images, distort)


def crop(
    key: PRNGKeyArray,
    images: Images,
    *,
    padding: int | Sequence[int] = 4,
    mode: Mode = "constant",
    axes: Sequence[int] = (1, 2),
) -> Images:
    """Pads each image and cuts a window of its old size at random: the usual CIFAR augmentation.

    The same as `translate` by up to `padding` pixels, under the name it goes by there.

    Args:
      key: random key.
      images: (N, H, W, C), or as `axes` say.
      padding: pixels added on each side, one number for all axes or one each.
      mode: what they hold, as in `jaxinv.translate`.
      axes: as in `translate`.

    Returns:
      The same shape.

    Raises:
      ValueError: the shape is not that of a batch, `padding` is negative or a fraction, or the mode
        is unknown.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> crop(jax.random.key(0), jnp.ones((2, 8, 8, 3)), padding=2).shape
      (2, 8, 8, 3)

    Reference:
      He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    images = _batch(images, axes)
    if padding is None:
        raise ValueError("padding is None; allowed are a whole number or one per axis")
    return _translate(key, images, padding, mode=mode, name="padding")


def flip(key: PRNGKeyArray, images: Images, *, probability: float = 0.5) -> Images:
    """Mirrors each image left to right with some probability.

    Args:
      key: random key.
      images: (N, H, W, C).
      probability: of mirroring an image.

    Returns:
      (N, H, W, C).

    Raises:
      ValueError: the shape is not (N, H, W, C) or `probability` is not in [0, 1].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.arange(3.0).reshape(1, 1, 3, 1)
      >>> print(flip(jax.random.key(0), image, probability=1.0).ravel())
      [2. 1. 0.]

    Reference:
      He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    images = _batch(images)
    chance = real_number(probability, "probability")
    if not 0 <= chance <= 1:
        raise ValueError(f"probability is {probability}; it must be in [0, 1]")

    def mirror(key: PRNGKeyArray, image: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key, chance), image[:, ::-1], image)

    return _each(key, images, mirror)


def compose(*distortions: Callable[[PRNGKeyArray, Images], Images]) -> Callable:
    """One distortion after the other, each on a key of its own.

    Args:
      *distortions: functions of a key and images, such as `functools.partial(elastic, alpha=20)`.

    Returns:
      A function of a key and images.

    Raises:
      ValueError: one of them is no function.

    Example:
      >>> import functools, jax, jax.numpy as jnp
      >>> both = compose(elastic, functools.partial(translate, max_shift=2))
      >>> both(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
      (2, 8, 8, 1)

    Reference:
      Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801, combines them so.
    """
    for distort in distortions:
        check_callable(distort)

    def composed(key: PRNGKeyArray, images: Images) -> Images:
        check_key(key)
        for index, distort in enumerate(distortions):
            images = distort(jax.random.fold_in(key, index), images)
        return images

    return composed
