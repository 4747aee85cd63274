"""What is different where each pixel has a class: labels that move along, and scores of maps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from jaxinv.data.source import VOID
from jaxinv.metrics.maps.labels import overlaps
from jaxinv.training.config import TrainConfig

# Distortions that move pixels to pixels, so that classes need no interpolation.
OF_WHOLE_PIXELS = ("translate", "crop", "flip")

Distortion = Callable[[PRNGKeyArray, Array], Array]


def check_augment(config: TrainConfig) -> None:
    """Refuses what cannot be done to label maps.

    Raises:
      ValueError: a distortion that interpolates, or a loss over translations.
    """
    names = [] if config.augment == "none" else config.augment.split("+")
    if config.subpixel or set(names) - set(OF_WHOLE_PIXELS):
        raise ValueError(
            f"augment is {config.augment}{' with subpixel' * config.subpixel}, and each pixel of "
            f"{config.dataset} has a class; allowed are {', '.join(OF_WHOLE_PIXELS)}, by "
            "whole pixels"
        )


def distorted(
    distort: Distortion,
    key: PRNGKeyArray,
    images: Float[Array, "n h w c"],
    labels: Int[Array, "..."],
) -> tuple[Array, Array]:
    """Images and, where they are maps, their labels under the same distortion.

    Zeros that enter an image have no class.

    Args:
      distort: of a key and images.
      key: random key.
      images: the images.
      labels: a class for each image (n,), which stays, or label maps (n, h, w).
    """
    if labels.ndim == 1:
        return distort(key, images), labels
    # Moved as numbers by which 0 is void: that is what enters with zeros.
    moved = (labels - VOID)[..., None].astype(images.dtype)
    both = distort(key, jnp.concatenate([images, moved], -1))
    return both[..., :-1], jnp.round(both[..., -1]).astype(labels.dtype) + VOID


def per_image(values: Shaped[Array, "n ..."]) -> Float[Array, " n"]:
    """The mean over positions, if there are any."""
    return values.reshape(len(values), -1).mean(-1)


def counted(labels: Int[Array, "n ..."]) -> Float[Array, " n"]:
    """How much of each image counts: the share of positions with a class, or 1."""
    return per_image(labels != VOID) if labels.ndim > 1 else jnp.ones(len(labels))


def overlap_sums(
    predictions: Int[Array, "n ..."], labels: Int[Array, "n ..."], there: Array, *, classes: int
) -> list[Int[Array, " classes"]]:
    """Positions by class for `mean_iou`, of the images that are there; nothing for single classes.

    Args:
      predictions: a class for each image or position.
      labels: the true ones.
      there: which images count.
      classes: their number.
    """
    if labels.ndim == 1:
        return []
    there = there[:, None, None] & (labels != VOID)
    both, either = overlaps(predictions, labels, classes=classes, keep=1, counted=there)
    return [jnp.sum(counts, axis=0) for counts in (both, either)]


def mean_iou(
    both: Int[np.ndarray, "*seeds classes"], either: Int[np.ndarray, "*seeds classes"]
) -> Float[np.ndarray, "*seeds"]:
    """Mean over classes of intersection over union; classes that are nowhere do not count.

    Example:
      >>> float(mean_iou(np.array([3, 0, 1]), np.array([4, 0, 4])))
      0.5
    """
    shares = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    return np.nanmean(shares, axis=-1)


def check_outputs(logits: jax.Array, shape: tuple[int, ...], *, maps: bool, network: str) -> None:
    """Refuses a network whose outputs are not what the labels are.

    Args:
      logits: for one image.
      shape: of the image.
      maps: whether each pixel has a class.
      network: its name.

    Raises:
      ValueError: if it is refused.
    """
    needed = (1, *shape[:-1]) if maps else (1,)
    if logits.shape[:-1] == needed:
        return
    what = (
        "pixel, (1, H, W, classes) with the sizes of the image" if maps else "image, (1, classes)"
    )
    raise ValueError(
        f"{network} turns an image into shape {logits.shape}; training needs one vector of logits "
        f"for each {what}"
    )
