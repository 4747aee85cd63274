"""Canvases of several real digits, with a label map each: data for networks with map outputs."""

import functools

import jax
import numpy as np
from jaxtyping import Int, PRNGKeyArray, UInt8

from jaxinv.arguments import check_key, whole_number
from jaxinv.data.dataset import Dataset, channel_statistics
from jaxinv.data.digits import SPLITS, small_digits

NAME = "digits_scenes"
# Background, and the ten digits.
CLASSES = 11
COUNTS = {"train": 4000, "test": 500}
SIZE, DIGITS = 24, 9
# A pixel belongs to a digit from this level on, of 255: under it is what scanning left at edges.
INK = 64
# So often a place that overlaps others is drawn anew before a digit is left out.
ATTEMPTS = 20


def digits_scenes(
    key: PRNGKeyArray,
    *,
    split: str = "train",
    count: int | None = None,
    size: int = SIZE,
    digits: int = DIGITS,
) -> Dataset:
    """Scenes of real handwritten digits on black, and the digit that each pixel belongs to.

    Digits of 8x8 pixels, as scikit-learn has them, lie at random places and do not overlap. A
    pixel's class is 0 for the background, and 1 + d for a digit d.

    Args:
      key: of digits and places.
      split: `"train"` or `"test"`, whose scenes share no digit.
      count: number of scenes; None for 4,000 to train on and 500 to test on.
      size: side of the canvas in pixels, at least 8.
      digits: the most digits in a scene, which has half as many at least, or fewer where there is
        no room.

    Returns:
      Images (count, size, size, 1), uint8, with label maps (count, size, size), int32.

    Raises:
      ValueError: another split, or a number is out of range.

    Example:
      >>> scenes = digits_scenes(jax.random.key(0), split="test", count=3)
      >>> scenes.images.shape, scenes.labels.shape, scenes.num_classes
      ((3, 24, 24, 1), (3, 24, 24), 11)

    Reference:
      E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998,
      https://doi.org/10.24432/C50P49.
    """
    check_key(key)
    if split not in SPLITS:
        raise ValueError(f"data set {NAME!r} has no split {split!r}; it has {', '.join(SPLITS)}")
    for name, value, least in (("size", size, 8), ("digits", digits, 1)):
        whole_number(value, name, least=least)
    number = COUNTS[split] if count is None else whole_number(count, "count")
    small, classes = small_digits(split)
    seeds = np.asarray(jax.random.key_data(key)).ravel().tolist()
    rng = np.random.default_rng([*seeds, SPLITS.index(split)])
    images = np.zeros((number, size, size, 1), np.uint8)
    labels = np.zeros((number, size, size), np.int32)
    side = small.shape[1]
    for image, label in zip(images, labels, strict=True):
        taken = np.zeros((size, size), bool)
        for _ in range(rng.integers(max(1, digits // 2), digits + 1)):
            chosen = rng.integers(len(small))
            for down, right in rng.integers(size - side + 1, size=(ATTEMPTS, 2)):
                place = slice(down, down + side), slice(right, right + side)
                if not taken[place].any():
                    taken[place] = True
                    image[*place, 0] = small[chosen]
                    label[place] = np.where(small[chosen] >= INK, 1 + classes[chosen], 0)
                    break
    return Dataset(images, labels, NAME, split, CLASSES, *channel_statistics(images))


@functools.cache
def read_scenes(split: str) -> tuple[UInt8[np.ndarray, "n h w 1"], Int[np.ndarray, "n h w"]]:
    """The scenes of the data set `"digits_scenes"`: always the same.

    Raises:
      ValueError: another split.
    """
    made = digits_scenes(jax.random.key(0), split=split)
    made.images.flags.writeable = made.labels.flags.writeable = False
    return made.images, made.labels
