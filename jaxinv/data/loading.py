"""`load`: a data set's split by name."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from jaxinv.data import cache, files, tfds_reader
from jaxinv.data.dataset import (
    Dataset,
    channel_statistics,
    place_on_canvas,
    slice_bounds,
    split_slice,
)
from jaxinv.data.digits import read_digits


def load(
    name: str = "digits",
    *,
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
    canvas: int | None = None,
) -> Dataset:
    """Loads one split of an image-classification data set into memory.

    `"digits"`, real handwritten digits that come with scikit-learn, 16x16 in the middle of 32x32,
    is always there. A folder `name/split/class/picture`, or an .npz file with `train_images` and
    `train_labels` (or `x_train` and `y_train`) and the like, is read by its path, such as
    `"./pictures"`. Any other name is one of TensorFlow Datasets, read without TensorFlow from a
    prepared copy and kept as arrays in `cache_dir`. A data set that is not prepared is prepared
    where that is possible: the MNIST family (mnist, fashion_mnist, kmnist, emnist/...) needs a
    network or `manual_dir`, others TensorFlow as well (the extra `tfds-build`).

    Args:
      name: `"digits"`, a path or a name of https://www.tensorflow.org/datasets/catalog.
      split: a split with an optional slice, `"test"`, `"train[:5000]"`, `"train[90%:]"`; `"test"`
        means the one split besides `"train"` where that has another name.
      data_dir: folder of prepared TFDS data sets; TFDS's own default if None.
      cache_dir: folder of the cache; by default `$JAXINV_CACHE`, else `~/.cache/jaxinv`.
      manual_dir: folder with the original files of a data set of the MNIST family, used instead
        of downloading them.
      canvas: centre the images on a black square of this side, in pixels (Simard's networks take
        MNIST's 28x28 on 29).

    Returns:
      A `Dataset`. No more is read than the images asked for; its `mean` and `std`, those of the
      whole training split, are found when they are asked for, and kept in `cache_dir` as well.

    Raises:
      ValueError: unknown name or split; not prepared and not to be prepared here; damaged; not
        images of one size with a class label each; images larger than `canvas`; an empty slice.

    Example:
      >>> digits = load(split="test")
      >>> digits.images.shape, digits.images.dtype, digits.num_classes
      ((500, 32, 32, 1), dtype('uint8'), 10)
      >>> load(split="train[:10]").labels
      array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], dtype=int32)
    """
    base, start, stop = split_slice(split)
    folder = cache.default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    mean: Any
    std: Any
    if name == "digits":
        images, labels = read_digits(base)
        chosen = slice_bounds(start, stop, size=len(labels))
        images, labels = images[chosen], labels[chosen]
        num_classes = 10
        mean, std = channel_statistics(read_digits("train")[0])
    elif files.is_path(name):
        if data_dir is not None or manual_dir is not None:
            raise ValueError("data_dir and manual_dir mean nothing for a folder or an .npz file")
        stored = files.stored(name, base)
        split = stored.name + split.removeprefix(base)
        chosen = slice_bounds(start, stop, size=stored.size)
        images, labels = stored.read(range(chosen.start, chosen.stop))
        num_classes = stored.num_classes
        scale = functools.cache(lambda: _scale_of_files(name, stored, folder))
        mean, std = (lambda: scale()[0]), (lambda: scale()[1])
    else:
        builder = tfds_reader.prepared_builder(
            name,
            data_dir=None if data_dir is None else Path(data_dir).expanduser(),
            manual_dir=None if manual_dir is None else Path(manual_dir).expanduser(),
        )
        real = files.split_called(base, list(builder.info.splits))
        base, split = real, real + split.removeprefix(base)
        chosen = slice_bounds(start, stop, size=tfds_reader.split_size(builder, base))
        images, labels = _read(builder, base, chosen, folder)
        num_classes = builder.info.features["label"].num_classes
        scaled = "train" if "train" in builder.info.splits else base
        scale = functools.cache(lambda: _scale(builder, scaled, folder))
        mean, std = (lambda: scale()[0]), (lambda: scale()[1])
    if not len(labels):
        raise ValueError(f"split {split!r} of data set {name!r} is empty")
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"data set {name!r} has labels from {labels.min()} to {labels.max()}; with "
            f"{num_classes} classes they must be in 0 to {num_classes - 1}"
        )
    if canvas is not None:
        images = place_on_canvas(images, canvas)
    return Dataset(images, labels, name, split, num_classes, mean, std)


def _read(
    builder: Any, split: str, chosen: slice, folder: Path
) -> tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
    """Images and labels of a part of a split, from the whole one where that is cached."""
    rows = range(chosen.start, chosen.stop)
    if not rows:
        return np.empty((0, 1, 1, 1), np.uint8), np.empty(0, np.int32)
    whole = folder / tfds_reader.cache_name(builder, split)
    if whole.exists() or len(rows) == tfds_reader.split_size(builder, split):
        arrays = cache.cached(whole, lambda: tfds_reader.read_split(builder, split))
        return arrays["images"][chosen], arrays["labels"][chosen]
    name = tfds_reader.cache_name(builder, f"{split}-{rows.start}-{rows.stop}")
    arrays = cache.cached(folder / name, lambda: tfds_reader.read_split(builder, split, rows))
    return arrays["images"], arrays["labels"]


def _scale_of_files(name: str, stored: files.Stored, folder: Path) -> list[tuple[float, ...]]:
    """Mean and deviation of the channels of the training split, or of the only one there is."""
    whole = files.stored(name, "train") if "train" in stored.splits else stored

    def read() -> cache.Arrays:
        images, _ = whole.read(range(whole.size))
        return {"scale": np.array(channel_statistics(images))}

    arrays = cache.cached(folder / f"files-{whole.digest}-scale.npz", read)
    return [tuple(row) for row in arrays["scale"].tolist()]


def _scale(builder: Any, split: str, folder: Path) -> list[tuple[float, ...]]:
    """Mean and deviation of the channels of a whole split."""
    size = tfds_reader.split_size(builder, split)
    if not size:
        raise ValueError(f"split {split!r} of data set {builder.name!r} is empty")

    def read() -> cache.Arrays:
        images, _ = _read(builder, split, slice(0, size), folder)
        return {"scale": np.array(channel_statistics(images))}

    arrays = cache.cached(folder / tfds_reader.cache_name(builder, f"{split}-scale"), read)
    return [tuple(row) for row in arrays["scale"].tolist()]
