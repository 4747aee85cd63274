"""scikit-learn's handwritten digits, enlarged on a canvas that leaves room to move."""

import functools

import numpy as np
from jaxtyping import Int, UInt8

# The copy in scikit-learn keeps the order of collection, writer after writer. The last images are
# the test split, so that few writers are in both.
TEST_SIZE = 500
ENLARGED = 16
CANVAS = 32
SPLITS = ("train", "test")


def read_digits(split: str) -> tuple[UInt8[np.ndarray, "n 32 32 1"], Int[np.ndarray, " n"]]:
    """Reads real 8x8 digits, enlarged to 16x16 in the middle of 32x32: 8 pixels free on each side.

    Enlarged bicubically by Pillow from the 17 grey levels of the original. 1,297 images to train
    on ("train") and 500 to test on ("test"). The arrays are kept for the next call and cannot be
    written to.

    Raises:
      ValueError: another split.

    Reference:
      E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998,
      https://doi.org/10.24432/C50P49.
    """
    if split not in SPLITS:
        raise ValueError(f"data set 'digits' has no split {split!r}; it has {', '.join(SPLITS)}")
    images, labels = _enlarged()
    part = slice(-TEST_SIZE) if split == "train" else slice(-TEST_SIZE, None)
    return images[part], labels[part]


def small_digits(split: str) -> tuple[UInt8[np.ndarray, "n 8 8"], Int[np.ndarray, " n"]]:
    """The digits of a split in their own 8x8 pixels."""
    small, labels = _collected()
    part = slice(-TEST_SIZE) if split == "train" else slice(-TEST_SIZE, None)
    return small[part], labels[part]


@functools.cache
def _collected() -> tuple[UInt8[np.ndarray, "n 8 8"], Int[np.ndarray, " n"]]:
    from sklearn import datasets  # only those who ask for digits wait for it

    bunch = datasets.load_digits()
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int32)


@functools.cache
def _enlarged() -> tuple[UInt8[np.ndarray, "n 32 32 1"], Int[np.ndarray, " n"]]:
    from PIL import Image  # only those who ask for digits wait for it

    small, labels = _collected()
    margin = (CANVAS - ENLARGED) // 2
    images = np.zeros((len(small), CANVAS, CANVAS, 1), np.uint8)
    for canvas, digit in zip(images, small, strict=True):
        large = Image.fromarray(digit).resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)
        canvas[margin:-margin, margin:-margin, 0] = np.asarray(large)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels
