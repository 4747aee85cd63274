"""A source of images: read by their numbers, in any order, and no more than are asked for."""

import abc
import contextlib
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import psutil
from jaxtyping import Float, Int, Shaped, UInt8

from jaxinv.arguments import check_classes

if TYPE_CHECKING:
    from jaxinv.data.dataset import Dataset

# The class of each image, or label maps; or real-valued targets.
Labels: TypeAlias = Int[np.ndarray, "n *positions"] | Float[np.ndarray, "n h2 w2 c2"]
Arrays: TypeAlias = tuple[UInt8[np.ndarray, "n h w c"], Labels]
Groups: TypeAlias = Sequence[Sequence[int]] | Int[np.ndarray, "groups rows"]
Scale: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]

# What the label maps of a source hold where a position has no class.
VOID = -1
# What a split may take to be held in memory, where nothing else is said.
MEMORY = "2GiB"
# What is read ahead of the batch that is wanted: at most so many batches, two at least.
_AHEAD, _AHEAD_BYTES = 64, 2**27
_THREADS = 8
# Images read at a time where all are wanted.
_AT_ONCE = 64


class Source(abc.ABC):
    """Images of one size with a class each, in memory or not.

    `Dataset` holds them in memory and `Streamed` reads them as they are needed. One's own source
    has the attributes, `__len__` and `read`.

    Attributes:
      name: of the data set.
      split: of the data set.
      num_classes: number of classes; 0 where the images have none.
      image_shape: (H, W, C).
      label_shape: () where an image has one class, (H, W) where each pixel has one, (h, w, c) where
        labels are targets.
      mean: of the training images by channel, on the scale 0..1; see `jaxinv.data.normalise`.
      std: their standard deviation, in the same form.
      left_out: files that cannot be read and are not among the images, each with the reason.
      class_names: of the classes in their order; () where they are not known.

    Reference: the interface of https://google-grain.readthedocs.io, a length and random access.

    Example:
      >>> class Greys(Source):
      ...     name, split, num_classes, image_shape = "greys", "train", 2, (1, 1, 1)
      ...     mean, std = (0.5,), (0.3,)
      ...     def __len__(self):
      ...         return 256
      ...     def read(self, rows):
      ...         rows = np.asarray(rows)
      ...         return rows.astype(np.uint8).reshape(-1, 1, 1, 1), (rows // 128).astype(np.int32)
      >>> [labels.tolist() for _, labels in Greys().batches([[0, 200], [150, 100]])]
      [[0, 1], [1, 0]]
    """

    name: str
    split: str
    num_classes: int
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_shape: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @abc.abstractmethod
    def __len__(self) -> int:
        """The number of images."""

    @abc.abstractmethod
    def read(self, rows: Sequence[int]) -> Arrays:
        """Some images (n, H, W, C), uint8, and their labels (n,), int32, in the order asked for.

        Where each pixel has a class, labels are (n, H, W), -1 where one has none. Images without
        classes can have targets instead: real-valued maps (n, h, w, c), float32.

        Several threads may call it at once.
        """

    @property
    def nbytes(self) -> int:
        """Bytes that all images take in memory."""
        return len(self) * math.prod(self.image_shape)

    def batches(self, groups: Groups) -> Iterator[Arrays]:
        """Groups of rows, one after the other, each read ahead of its turn by several threads."""
        return self._streamed().batches(groups)

    def part(self, rows: range) -> "Source":
        """Some of the images, one after the other."""
        return dataclasses.replace(self._streamed(), rows=rows)

    def map(self, fun: Callable[[np.ndarray], np.ndarray]) -> "Source":
        """The images as a function of (n, H, W, C) makes them."""
        return self._streamed().map(fun)

    def labelled(self, labels: Int[np.ndarray, " n"]) -> "Source":
        """The images with other classes, one for each, counted from 0."""

        def read(rows: Sequence[int]) -> Arrays:
            return self.read(rows)[0], labels[np.asarray(rows, int)].astype(np.int32)

        classes = 1 + int(labels.max())
        return dataclasses.replace(self._streamed(), read_rows=read, num_classes=classes)

    def load(self) -> "Dataset":
        """All images, in memory.

        Raises:
          ValueError: there is no room for them, or they cannot be read.
        """
        return self._streamed().load()

    def _held(self, images: np.ndarray, labels: np.ndarray) -> "Dataset":
        """These images and labels, with what else is known of the source."""
        from jaxinv.data.dataset import Dataset

        # The scale may cost a pass over the training images: it is not asked for here.
        others: Any = {"mean": lambda: self.mean, "std": lambda: self.std}
        others |= {"left_out": self.left_out, "class_names": self.class_names}
        return Dataset(images, labels, self.name, self.split, self.num_classes, **others)

    def _streamed(self) -> "Streamed":
        """The same, with nothing of what a subclass does beside `read`."""
        return Streamed(
            self.read,
            range(len(self)),
            self.image_shape,
            self.num_classes,
            name=self.name,
            split=self.split,
            label_shape=self.label_shape,
            scale=lambda: (self.mean, self.std),
            left_out=self.left_out,
            class_names=self.class_names,
        )


@dataclasses.dataclass(frozen=True)
class Streamed(Source):
    """Images that are read when they are needed.

    Attributes:
      read_rows: images (n, H, W, C), uint8, and labels (n,), int32, of some rows; several threads
        may call it at once.
      rows: those that belong to the source.
      image_shape: (H, W, C).
      num_classes: number of classes; 0 where the images have none, and their labels are -1.
      name: of the data set.
      split: of the data set.
      label_shape: (H, W) where labels are maps.
      scale: finds `mean` and `std` when they are asked for; by default those of this source.
      at_once: images and labels of consecutive rows, where there is a faster way to read many.
      change: applied to the images that were read.
      left_out: files that cannot be read and are not among the images, each with the reason.
      class_names: of the classes in their order; () where they are not known.

    Reference: https://google-grain.readthedocs.io, by which `batches` reads ahead.
    """

    read_rows: Callable[[Sequence[int]], Arrays]
    rows: range
    image_shape: tuple[int, int, int]
    num_classes: int
    name: str = "source"
    split: str = "train"
    label_shape: tuple[int, ...] = ()
    scale: Callable[[], Scale] | None = None
    at_once: Callable[[range], Arrays] | None = None
    change: Callable[[np.ndarray], np.ndarray] | None = None
    left_out: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def _scale(self) -> Scale:
        return statistics_of(self) if self.scale is None else self.scale()

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """Of the training images by channel, on the scale 0..1."""
        return self._scale[0]

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """Standard deviation of the training images by channel, on the scale 0..1."""
        return self._scale[1]

    def read(self, rows: Sequence[int]) -> Arrays:
        """Some images and their labels, in the order asked for."""
        return self._checked(len(rows), *self.read_rows([self.rows[row] for row in rows]))

    def batches(self, groups: Groups) -> Iterator[Arrays]:
        """Groups of rows, one after the other, each read ahead of its turn by several threads."""
        import grain  # half a second, not paid for what is in memory

        if not len(groups):
            return
        one = max(1, len(groups[0]) * math.prod(self.image_shape))
        ahead = min(max(2, _AHEAD_BYTES // one), _AHEAD, len(groups))
        options = grain.ReadOptions(num_threads=min(ahead, _THREADS), prefetch_buffer_size=ahead)
        ordered = grain.MapDataset.source(groups).map(self.read).to_iter_dataset(options)
        with contextlib.closing(iter(ordered)) as reader:
            yield from reader

    def part(self, rows: range) -> "Streamed":
        """Some of the images, one after the other."""
        return dataclasses.replace(
            self, rows=self.rows[rows.start : rows.stop], scale=lambda: self._scale
        )

    def map(self, fun: Callable[[np.ndarray], np.ndarray]) -> "Streamed":
        """The images as a function of (n, H, W, C) makes them."""
        before = self.change
        shape = fun(np.zeros((1, *self.image_shape), np.uint8)).shape[1:]
        change = fun if before is None else lambda images: fun(before(images))
        return dataclasses.replace(
            self, image_shape=shape, change=change, scale=lambda: self._scale
        )

    def load(self) -> "Dataset":
        """All images, in memory."""
        if self.at_once is not None:
            images, labels = self._checked(len(self), *self.at_once(self.rows))
        else:
            check_room(len(self), self.image_shape)
            images = np.empty((len(self), *self.image_shape), np.uint8)
            dtype = np.float32 if len(self.label_shape) == 3 else np.int32
            labels = np.empty((len(self), *self.label_shape), dtype)
            groups = groups_of(self, _AT_ONCE)
            for group, batch in zip(groups, self.batches(groups), strict=True):
                images[group.start : group.stop], labels[group.start : group.stop] = batch
        return self._held(images, labels)

    def _checked(self, count: int, images: np.ndarray, labels: np.ndarray) -> Arrays:
        """What was read, changed, if it is what the source says."""
        images = images if self.change is None else self.change(images)
        shape, labels_shape = (count, *self.image_shape), (count, *self.label_shape)
        if images.dtype != np.uint8 or images.shape != shape or labels.shape != labels_shape:
            raise ValueError(
                f"data set {self.name!r} gives images, {images.dtype} of shape {images.shape}, and "
                f"labels of shape {labels.shape}; needed are uint8 {shape} and {labels_shape}"
            )
        least = VOID if self.label_shape else 0
        if (
            len(labels)
            and self.num_classes
            and not least <= labels.min() <= labels.max() < self.num_classes
        ):
            raise ValueError(
                f"data set {self.name!r} has labels from {labels.min()} to {labels.max()}; with "
                f"{self.num_classes} classes they must be in 0 to {self.num_classes - 1}"
            )
        return images, labels


def groups_of(source: Source, size: int) -> list[range]:
    """The numbers of all images, so many at a time; the last group may be shorter."""
    count = len(source)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def check_room(count: int, shape: tuple[int, int, int]) -> None:
    """Raises ValueError unless the memory has room for images of a shape."""
    need, room = count * math.prod(shape), psutil.virtual_memory().available
    if need > room:
        raise ValueError(
            f"{count:,} pictures of {size_in_words(shape)} take {need / 2**30:,.1f} GiB, and "
            f"{room / 2**30:.1f} GiB are free; take fewer, as in split='train[:1000]'"
        )


def size_in_words(shape: Sequence[int]) -> str:
    """The shape of an image.

    Example:
      >>> size_in_words((4, 6, 3))
      '4x6 pixels, 3 channels'
    """
    height, width, channels = shape
    return f"{height}x{width} pixels, {channels} channel{'' if channels == 1 else 's'}"


def marked_void(
    labels: Shaped[np.ndarray, "*n"], void: int | None, *, classes: int | None = None
) -> tuple[Int[np.ndarray, "*n"], int]:
    """Labels as a source holds them, void ones as -1; and the number of classes.

    Args:
      labels: whole numbers.
      void: the one that stands for no class; None: each position has one.
      classes: their number; None: as many as there are labels up to the largest.

    Raises:
      ValueError: a label is neither a class nor void, or all are void.

    Example:
      >>> marked_void(np.array([[0, 2, 255]]), 255)
      (array([[ 0,  2, -1]], dtype=int32), 3)
    """
    counted = labels if void is None else labels[labels != void]
    check_classes(counted, classes, void=void)
    if classes is None:
        if not counted.size:
            raise ValueError(f"all labels are {void}, which is void; needed is a class somewhere")
        classes = 1 + int(counted.max())
    marked = labels.astype(np.int32)
    return (marked if void is None else np.where(labels == void, VOID, marked)), classes


class ChannelStatistics:
    """Counts of pixels, from which mean and deviation follow in whatever parts images come."""

    def __init__(self, channels: int):
        self._histograms = np.zeros((channels, 256), np.int64)
        self._border, self._black = 0, 0

    def add(self, images: UInt8[np.ndarray, "n h w c"]) -> None:
        """Counts more images."""
        for histogram, channel in zip(self._histograms, np.moveaxis(images, -1, 0), strict=True):
            histogram += np.bincount(channel.ravel(), minlength=256)
        edges = images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]
        self._border += sum(edge.size for edge in edges)
        self._black += sum(edge.size - int(np.count_nonzero(edge)) for edge in edges)

    def scale(self) -> Scale:
        """Mean and standard deviation of each channel, see `channel_statistics`."""
        levels, count = np.arange(256), self._histograms[0].sum()
        mean, square = self._histograms @ levels / count, self._histograms @ levels**2 / count
        if self._black > self._border // 2:  # the median is black
            mean = np.zeros_like(mean)
        std = np.maximum(np.sqrt(square - mean**2), 1.0)
        return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def statistics_of(source: Source) -> Scale:
    """Mean and standard deviation of the channels of a source, read batch by batch."""
    found = ChannelStatistics(source.image_shape[-1])
    for images, _ in source.batches(groups_of(source, _AT_ONCE)):
        found.add(images)
    return found.scale()


_UNITS = {
    f"{prefix}{i}B": (1024 if i else 1000) ** power
    for power, prefix in enumerate(("", "k", "M", "G", "T"))
    for i in ("", "i")
}


def parse_bytes(size: str | int) -> int:
    """A number of bytes, given as one or in words.

    Raises:
      ValueError: it is neither.

    Example:
      >>> parse_bytes("2GiB"), parse_bytes("1.5 MB"), parse_bytes(7)
      (2147483648, 1500000, 7)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(size).strip())
    units = {name.lower(): factor for name, factor in _UNITS.items()}
    unit = units.get((found[2] or "B").lower()) if found else None
    if found is None or unit is None:
        raise ValueError(f"memory is {size!r}; allowed are numbers of bytes such as 500MB and 2GiB")
    return int(float(found[1]) * unit)
