"""`load` and `open`: a data set's split by name, in memory or read as it is needed."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.data import cache, files, tfds_reader
from jaxinv.data.archives import archive
from jaxinv.data.dataset import (
    Dataset,
    channel_statistics,
    place_on_canvas,
    slice_bounds,
    split_slice,
)
from jaxinv.data.digits import read_digits
from jaxinv.data.folders import folder
from jaxinv.data.masks import folder_of_masks, folder_of_targets, has_masks, has_targets
from jaxinv.data.pictures import Framing, Interpolation, Sides
from jaxinv.data.scenes import CLASSES, NAME, read_scenes
from jaxinv.data.source import MEMORY, Arrays, Scale, Source, Streamed, parse_bytes, statistics_of

# Data sets that come with scikit-learn: what reads a split, and the number of classes.
ALWAYS_THERE: dict[str, tuple[Callable, int]] = {
    "digits": (read_digits, 10),
    NAME: (read_scenes, CLASSES),
}


def load(
    name: str = "digits",
    *,
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
    canvas: int | None = None,
    void: int | None = None,
) -> Dataset:
    """Loads one split of an image-classification data set into memory.

    `"digits"`, real handwritten digits that come with scikit-learn, 16x16 in the middle of 32x32,
    is always there, and so is `"digits_scenes"`, canvases of several of them with a class for each
    pixel (see `digits_scenes`). A folder or an .npz file is read by its path, such as
    `"./pictures"`. A folder holds `split/class/picture`, or is one split, `"train"`: of
    `class/picture`, or of pictures alone, which then have the label -1; or `split/images/picture`
    and `split/masks/picture`, label maps whose numbers are the classes of pixels, or
    `split/targets/picture`, values from 0 to 1 that a network should give. A file holds
    `train_images` and `train_labels` (or `x_train` and `y_train`) and the like. Any other name is
    one of TensorFlow Datasets, read without TensorFlow from a prepared copy and kept as arrays in
    `cache_dir`. A data set that is not prepared is prepared where that is possible: the MNIST
    family (mnist, fashion_mnist, kmnist, emnist/...) needs a network or `manual_dir`, others
    TensorFlow as well (the extra `tfds-build`).

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
      void: the number that marks pixels without a class in the label maps of a folder, such as
        255; their label is -1.

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
    places = {"data_dir": data_dir, "cache_dir": cache_dir, "manual_dir": manual_dir}
    loaded = _found(name, split, memory=math.inf, void=void, **places).load()
    return loaded if canvas is None else on_canvas(loaded, canvas)  # type: ignore[return-value]


def open(
    name: str = "digits",
    *,
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
    canvas: int | None = None,
    size: Sides | None = None,
    crop: Sides | None = None,
    margin: int = 0,
    interpolation: Interpolation = "bilinear",
    memory: str | int = MEMORY,
    void: int | None = None,
) -> Source:
    """Opens one split of an image-classification data set, whatever its size.

    Args:
      name: as for `load`, and so are the others.
      split: a split with an optional slice.
      data_dir: folder of prepared TFDS data sets.
      cache_dir: folder of the cache.
      manual_dir: folder with the original files of a data set of the MNIST family.
      canvas: centre the images on a black square of this side.
      size: resize the images, as for `read_photograph`; None does not.
      crop: side of the window that is cut out of the middle, or its height and width.
      margin: pixels around that window that are kept too.
      interpolation: how they are resized, as for `read_photograph`.
      memory: what the images may take to be held in memory, such as `"500MB"` or `"2GiB"`.
      void: the number that marks pixels without a class in the label maps of a folder.

    Returns:
      A `Dataset` if the images fit, else a `Streamed` of which nothing was read.

    Raises:
      ValueError: as `load`; and what is wrong with images that are streamed, when they are read.

    Example:
      >>> digits = open(split="test[:3]")
      >>> images, labels = digits.read([2, 0])
      >>> len(digits), images.shape, labels.dtype
      (3, (2, 32, 32, 1), dtype('int32'))
    """
    places = {"data_dir": data_dir, "cache_dir": cache_dir, "manual_dir": manual_dir}
    room = parse_bytes(memory)
    found = _found(name, split, memory=room, void=void, **places)
    if canvas is not None:
        found = on_canvas(found, canvas)
    framing = Framing(size=size, crop=crop, margin=margin, interpolation=interpolation)
    if framing.size is not None or framing.crop is not None:
        if found.label_shape:
            raise ValueError(f"size and crop mean nothing for {name}, where each pixel has a class")
        found = found.map(framing.on_arrays)
    return found.load() if found.nbytes <= room else found


def on_canvas(source: Source, size: int) -> Source:
    """The images of a source, each in the middle of a black square.

    Raises:
      ValueError: each pixel has a class, or the images are larger than the square.
    """
    if source.label_shape:
        raise ValueError(f"canvas means nothing for {source.name}, where each pixel has a class")
    return source.map(functools.partial(place_on_canvas, size=size))


def _found(
    name: str,
    split: str,
    *,
    memory: float,
    data_dir: str | os.PathLike | None,
    cache_dir: str | os.PathLike | None,
    manual_dir: str | os.PathLike | None,
    void: int | None,
) -> Source:
    """A split of which no image was read, unless it is always in memory."""
    base, start, stop = split_slice(split)
    kept = cache.default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    whole: Any
    if void is not None and not files.is_path(name):
        raise _no_void(name)
    if name in ALWAYS_THERE:
        read, classes = ALWAYS_THERE[name]
        images, labels = read(base)
        scale = channel_statistics(read("train")[0])
        whole = Dataset(images, labels, name, base, classes, *scale)
    elif files.is_path(name):
        if data_dir is not None or manual_dir is not None:
            raise ValueError("data_dir and manual_dir mean nothing for a folder or an .npz file")
        whole = _of_files(name, base, memory=memory, kept=kept, void=void)
    else:
        builder = tfds_reader.prepared_builder(
            name,
            data_dir=None if data_dir is None else Path(data_dir).expanduser(),
            manual_dir=None if manual_dir is None else Path(manual_dir).expanduser(),
        )
        whole = _of_tfds(name, builder, base, memory=memory, kept=kept)
    chosen = slice_bounds(start, stop, size=len(whole))
    split = whole.split + split.removeprefix(base)
    part = dataclasses.replace(whole.part(range(chosen.start, chosen.stop)), split=split)
    if not len(part):
        raise ValueError(f"split {split!r} of data set {name!r} is empty")
    return part


def _of_files(name: str, split: str, *, memory: float, kept: Path, void: int | None) -> Streamed:
    stored = _stored(name, split, kept, void)

    def scale() -> Scale:
        whole = _stored(name, "train", kept, void) if "train" in stored.splits else stored
        return _kept_scale(whole.source, kept / f"files-{whole.digest}-scale.npz", memory)

    return dataclasses.replace(stored.source, name=name, scale=scale)


def _stored(name: str, split: str, kept: Path, void: int | None) -> files.Stored:
    path = Path(name).expanduser()
    if not path.exists():
        raise ValueError(f"data set {name} does not exist; allowed are folders and .npz files")
    if path.is_dir():
        if has_masks(path):
            return folder_of_masks(path, split, void=void)
        if has_targets(path) and void is None:
            return folder_of_targets(path, split)
        if void is None:
            return folder(path, split)
    if void is not None:
        raise _no_void(name)
    if path.suffix != ".npz":
        raise ValueError(f"data set {name} is a file; allowed are folders and .npz files")
    return archive(path, split, kept=kept)


def _no_void(name: str) -> ValueError:
    return ValueError(
        f"void means nothing for {name}; it is for folders of images and masks, a class for each "
        "pixel"
    )


def _of_tfds(name: str, builder: Any, split: str, *, memory: float, kept: Path) -> Streamed:
    splits = list(builder.info.splits)
    split = files.split_called(split, splits)
    size, decode = tfds_reader.split_size(builder, split), tfds_reader.split_reader(builder, split)

    def read(rows: Sequence[int]) -> Arrays:
        arrays = decode(rows)
        return arrays["images"], arrays["labels"]

    def scale() -> Scale:
        trained = "train" if "train" in splits else split
        whole = _of_tfds(name, builder, trained, memory=memory, kept=kept)
        path = kept / tfds_reader.cache_name(builder, f"{trained}-scale")
        return _kept_scale(whole, path, memory)

    return Streamed(
        read,
        range(size),
        builder.info.features["image"].shape,
        builder.info.features["label"].num_classes,
        name=name,
        split=split,
        scale=scale,
        at_once=functools.partial(_at_once, builder, split, kept),
    )


def _at_once(builder: Any, split: str, kept: Path, rows: range) -> Arrays:
    """Images and labels of a part of a split, from the whole one where that is cached."""
    whole = kept / tfds_reader.cache_name(builder, split)
    if whole.exists() or len(rows) == tfds_reader.split_size(builder, split):
        arrays = cache.cached(whole, lambda: tfds_reader.read_split(builder, split))
        chosen = slice(rows.start, rows.stop)
        return arrays["images"][chosen], arrays["labels"][chosen]
    name = tfds_reader.cache_name(builder, f"{split}-{rows.start}-{rows.stop}")
    arrays = cache.cached(kept / name, lambda: tfds_reader.read_split(builder, split, rows))
    return arrays["images"], arrays["labels"]


def _kept_scale(whole: Source, path: Path, memory: float) -> Scale:
    """Mean and deviation of the channels of a whole split, found once and kept in a file."""
    if not len(whole):
        raise ValueError(f"split {whole.split!r} of data set {whole.name!r} is empty")

    def read() -> cache.Arrays:
        held = whole.load() if whole.nbytes <= memory else whole
        return {"scale": np.array(statistics_of(held))}

    mean, std = cache.cached(path, read)["scale"].tolist()
    return tuple(mean), tuple(std)
