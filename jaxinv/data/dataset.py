"""A split of a data set held in memory, its scale, and the canvas it is shown on."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import psutil
from jaxtyping import Array, Float, Int, Num, UInt8

from jaxinv.arguments import number_or_nan, per_axis
from jaxinv.data.source import (
    Arrays,
    ChannelStatistics,
    Groups,
    Labels,
    Scale,
    Source,
    marked_void,
    statistics_of,
)
from jaxinv.lazy import WhenAsked


@dataclasses.dataclass(frozen=True)
class Dataset(Source):
    """One split of an image-classification data set, in memory.

    Attributes:
      images: (N, H, W, C), uint8.
      labels: (N,), int32, in `range(num_classes)`; or label maps (N, H, W), a class for each pixel,
        -1 where one has none.
      name: the name it was loaded by.
      split: the split it was loaded as, slice included.
      num_classes: number of classes.
      mean: per channel, on the scale 0..1; see `channel_statistics`. That of the training split,
        whichever split this is; it may be given as a function, called when it is first read.
      std: standard deviation per channel, in the same form.
      left_out: files that cannot be read and are not among the images, each with the reason.
      class_names: of the classes in their order; () where they are not known.

    Reference: the names and splits of https://www.tensorflow.org/datasets/catalog.
    """

    images: UInt8[np.ndarray, "n h w c"]
    labels: Labels
    name: str
    split: str
    num_classes: int
    mean: tuple[float, ...] = cast(Any, WhenAsked())
    std: tuple[float, ...] = cast(Any, WhenAsked())
    left_out: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        images: UInt8[np.ndarray, "n h w *c"],
        labels: Labels,
        *,
        name: str = "arrays",
        split: str = "train",
        num_classes: int | None = None,
        void: int | None = None,
    ) -> "Dataset":
        """Arrays of one's own as a data set; a memory-mapped array is not read.

        Args:
          images: (N, H, W, C) or (N, H, W), uint8.
          labels: (N,), whole numbers from 0; or label maps (N, H, W).
          name: of the data set.
          split: of the data set.
          num_classes: by default as many as there are labels up to the largest.
          void: the number that marks positions without a class in label maps, such as 255.

        Raises:
          ValueError: they are not as described.

        Example:
          >>> Dataset.of(np.zeros((3, 8, 8), np.uint8), np.array([0, 2, 1])).num_classes
          3
        """
        images, labels = (np.asanyarray(array) for array in (images, labels))
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
            raise ValueError(
                f"images are {images.dtype} of shape {images.shape}; allowed is uint8 (n, H, W, C) "
                "or (n, H, W)"
            )
        shapes = (images.shape[:1], images.shape[:3])
        if labels.shape not in shapes or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"labels are {labels.dtype} of shape {labels.shape}; allowed are whole numbers "
                f"({len(images)},), one for each image, or {images.shape[:3]}, one for each pixel"
            )
        if void is not None and labels.ndim == 1:
            raise ValueError(f"void is {void}; it is for label maps, a class for each pixel")
        marked, classes = marked_void(labels, void, classes=num_classes)
        images = images if images.ndim == 4 else images[..., None]

        @functools.cache
        def scale() -> Scale:
            return statistics_of(made)

        lazy: Any = (lambda: scale()[0], lambda: scale()[1])
        made = cls(images, marked, name, split, classes, *lazy)
        return made

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(H, W, C)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def label_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """() where an image has one class, (H, W) where each pixel has one."""
        return self.labels.shape[1:]

    def read(self, rows: Sequence[int]) -> Arrays:
        """Some images and their labels; consecutive ones are not copied."""
        chosen: Any = np.asarray(rows, int)
        if isinstance(rows, range) and rows.step == 1:
            chosen = slice(rows.start, rows.stop)
        return self.images[chosen], self.labels[chosen]

    def batches(self, groups: Groups) -> Iterator[Arrays]:
        """Groups of rows, one after the other."""
        return (self.read(rows) for rows in groups)

    def part(self, rows: range) -> "Dataset":
        """Some of the images, one after the other."""
        return self._held(self.images[rows.start : rows.stop], self.labels[rows.start : rows.stop])

    def map(self, fun: Callable[[np.ndarray], np.ndarray]) -> "Dataset":
        """The images as a function of (n, H, W, C) makes them."""
        return self._held(fun(self.images), self.labels)

    def labelled(self, labels: Int[np.ndarray, " n"]) -> "Dataset":
        """The images with other classes, one for each, counted from 0."""
        made = self._held(self.images, labels.astype(np.int32))
        return dataclasses.replace(made, num_classes=1 + int(labels.max()))

    def load(self) -> "Dataset":
        """This data set, which is in memory."""
        return self


def normalise(
    images: Num[np.ndarray | Array, "*n h w c"], *, mean: Sequence[float], std: Sequence[float]
) -> Float[np.ndarray | Array, "*n h w c"]:
    """Puts uint8 images on the scale a network is trained on: `(images / 255 - mean) / std`.

    Works on NumPy and on JAX arrays, inside `jit` as well.

    Args:
      images: (..., H, W, C), uint8 (or floats on the same scale, 0 to 255).
      mean: one number per channel, on the scale 0..1; `Dataset.mean`.
      std: one number per channel, on the scale 0..1; `Dataset.std`.

    Returns:
      float32, the shape of `images`.

    Raises:
      ValueError: `mean` or `std` do not have one finite number per channel, or `std` has a zero.

    Example:
      >>> import numpy as np
      >>> normalise(np.full((1, 2, 2, 1), 255, np.uint8), mean=(0.5,), std=(0.25,)).ravel()
      array([2., 2., 2., 2.], dtype=float32)
    """
    if np.iscomplexobj(images):
        raise ValueError(f"images have dtype {images.dtype}; allowed are real numbers")
    check_scale(mean, std, channels=images.shape[-1])
    scale = 1 / (255 * np.asarray(std, np.float32))
    offset = np.asarray(mean, np.float32) / np.asarray(std, np.float32)
    return images.astype(np.float32) * scale - offset


def check_scale(mean: Sequence[float], std: Sequence[float], *, channels: int) -> None:
    """Refuses a scale that `normalise` cannot put images on.

    Raises:
      ValueError: not one finite number per channel each, or a deviation that is not positive.
    """
    given = [len(row) if np.ndim(row) == 1 else repr(row) for row in (mean, std)]
    if given != [channels, channels]:
        raise ValueError(
            f"mean and std need one number for each of the {channels} channels, "
            f"got {given[0]} and {given[1]}"
        )
    numbers = np.array(list(map(number_or_nan, (*mean, *std))), np.float32)
    smallest = numbers[channels:].min()
    # In float32 its inverse has to be a number as well.
    if not (np.isfinite(numbers).all() and smallest > np.finfo(np.float32).tiny):
        raise ValueError(f"mean {mean} and std {std} must be finite, and std positive")


def channel_statistics(
    images: UInt8[np.ndarray, "n h w c"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, on the scale 0..1, for `normalise`.

    Where the background is black (the median pixel of the outermost rows and columns is 0, as for
    handwritten digits) the mean is 0 and the deviation is taken about 0. Black then stays 0, so
    zero padding and a shift that fills with zeros continue the background instead of drawing an
    edge, and an experiment on translation sees the shift alone. The deviation is at least 1/255.

    Example:
      >>> import numpy as np
      >>> channel_statistics(np.array([[[[0], [0]], [[0], [255]]]], np.uint8))
      ((0.0,), (0.5,))
    """
    found = ChannelStatistics(images.shape[-1])
    found.add(images)
    return found.scale()


def split_slice(split: str) -> tuple[str, str | None, str | None]:
    """Takes `"train[:10%]"` apart into `("train", None, "10%")`.

    Raises:
      ValueError: `split` is not a name with an optional slice of counts or percents.
    """
    match = re.fullmatch(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?", str(split))
    if match is None:
        raise ValueError(
            f"split {split!r} is not a name such as 'train' with an optional slice such as "
            "'train[:5000]' or 'train[90%:]'"
        )
    name, start, stop = match.groups()
    for text in (start, stop):
        if text is not None and text.endswith("%") and abs(int(text[:-1])) > 100:
            raise ValueError(f"split {split!r} has {text}; allowed are percents up to 100")
    return name, start, stop


def slice_bounds(start: str | None, stop: str | None, *, size: int) -> slice:
    """The slice that `start:stop`, counts or percents of `size`, selects.

    Example:
      >>> slice_bounds("90%", None, size=50)
      slice(45, 50, None)
    """

    def position(text: str | None, default: int) -> int:
        if text is None:
            return default
        at = round(size * int(text[:-1]) / 100) if text.endswith("%") else int(text)
        return min(max(at + size if at < 0 else at, 0), size)

    return slice(position(start, 0), position(stop, size))


def place_on_canvas(
    images: UInt8[np.ndarray, "n h w c"], size: int
) -> UInt8[np.ndarray, "n s s c"]:
    """Centres images on a black `size` x `size` canvas (an odd row or column goes to the end).

    Raises:
      ValueError: the images are larger than the canvas, or the canvases than the memory.

    Example:
      >>> import numpy as np
      >>> place_on_canvas(np.ones((1, 1, 1, 1), np.uint8), 2)[0, :, :, 0]
      array([[1, 0],
             [0, 0]], dtype=uint8)
    """
    (size,) = per_axis(size, 1, "canvas")
    height, width = images.shape[1:3]
    if max(height, width) > size:
        raise ValueError(f"images of {height}x{width} do not fit on a canvas of {size}x{size}")
    need, room = len(images) * size * size * images.shape[3], psutil.virtual_memory().available
    if need > room:
        raise ValueError(
            f"{len(images):,} images on a canvas of {size}x{size} take {need / 2**30:,.1f} GiB, "
            f"and {room / 2**30:.1f} GiB are free"
        )
    margins = [((size - n) // 2, size - n - (size - n) // 2) for n in (height, width)]
    return np.pad(images, ((0, 0), *margins, (0, 0)))
