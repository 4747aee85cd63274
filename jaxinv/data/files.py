"""Data sets in files of one's own: folders of pictures, and .npz archives."""

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from jaxtyping import Int, UInt8

from jaxinv.command_line import first_line

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# How the arrays of a split are called: by MedMNIST, and by Keras.
NAMES = (("{}_images", "{}_labels"), ("x_{}", "y_{}"))
# Pictures decoded at the same time, and ahead of the one that is wanted.
_THREADS, _AHEAD = 8, 64


def split_called(name: str, splits: Sequence[str]) -> str:
    """The split that `"test"` means: with no such split, the only one besides `"train"`.

    Example:
      >>> split_called("test", ["train", "validation"])
      'validation'
    """
    others = [split for split in splits if split != "train"]
    return others[0] if name == "test" and len(others) == 1 else name


@dataclasses.dataclass(frozen=True)
class Stored:
    """A split in files.

    Attributes:
      name: of the split.
      size: the number of images.
      num_classes: of the whole data set.
      splits: the names of all splits.
      digest: names its content, by the sizes and times of its files.
      read: the images and labels of some rows, one after the other.
    """

    name: str
    size: int
    num_classes: int
    splits: tuple[str, ...]
    digest: str
    read: Callable[[range], tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]]


def is_path(name: str) -> bool:
    """Whether a data set's name is that of a folder or file, not one of TFDS.

    Example:
      >>> is_path("mnist"), is_path("emnist/balanced"), is_path("./mine"), is_path("mine.npz")
      (False, False, True, True)
    """
    return name.endswith(".npz") or name.startswith((".", "/", "~"))


def stored(name: str, split: str) -> Stored:
    """A split of a data set that is a folder or an .npz archive.

    A folder holds `split/class/picture`; classes are numbered in the order of their names. An
    archive holds the arrays `train_images` and `train_labels`, or `x_train` and `y_train`, and
    others in the same way: uint8 (n, H, W) or (n, H, W, C), and whole numbers.

    Raises:
      ValueError: there is no such file, folder or split, or it is not as described.
    """
    path = Path(name).expanduser()
    if not path.exists():
        raise ValueError(f"data set {name} does not exist; allowed are folders and .npz files")
    if path.is_dir():
        return _folder(path, split)
    if path.suffix != ".npz":
        raise ValueError(f"data set {name} is a file; allowed are folders and .npz files")
    return _archive(path, split)


def _folder(path: Path, split: str) -> Stored:
    splits = tuple(p.name for p in _folders(path))
    split = split_called(split, splits)
    if split not in splits:
        raise _no_split(path, split, splits)
    # Numbered alike in all splits: by the classes that are trained on.
    listed = path / ("train" if "train" in splits else split)
    classes = {p.name: number for number, p in enumerate(_folders(listed))}
    found: list[tuple[Path, int]] = []
    for folder in _folders(path / split):
        if folder.name not in classes:
            raise ValueError(f"{folder} is a class that {listed} has not")
        pictures = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
        found += [(picture, classes[folder.name]) for picture in pictures]
    if not found:
        raise ValueError(
            f"{path / split} holds no pictures in folders of classes; allowed are files "
            f"split/class/picture that end in {', '.join(PICTURES)}"
        )

    def read(rows: range) -> tuple[np.ndarray, np.ndarray]:
        chosen = found[rows.start : rows.stop]
        labels = np.array([label for _, label in chosen], np.int32)
        return _decoded([picture for picture, _ in chosen]), labels

    return Stored(split, len(found), len(classes), splits, _digest([p for p, _ in found]), read)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _decoded(pictures: Sequence[Path]) -> UInt8[np.ndarray, "n h w c"]:
    """Pictures of one size as an array, decoded by several threads in the order given."""
    import grain  # half a second, not paid for 'digits'

    rows = grain.MapDataset.source(pictures).map(_picture)
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    images = np.empty((0, 0, 0, 0), np.uint8)
    for number, image in enumerate(rows.to_iter_dataset(options)):
        if isinstance(image, str):
            raise ValueError(image)
        if not number:
            _check_room(len(pictures), image)
            images = np.empty((len(pictures), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise ValueError(
                f"{pictures[number]} has {_size(image)} and {pictures[0]} {_size(images[0])}; "
                "allowed are pictures of one size and kind"
            )
        images[number] = image
    return images


def _picture(path: Path) -> UInt8[np.ndarray, "h w c"] | str:
    """A picture, grey or in three colours; in words what is wrong with it."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            grey = picture.mode in ("1", "L")
            array = np.asarray(picture.convert("L" if grey else "RGB"))
    except Exception as error:  # each format has errors of its own
        return f"{path} cannot be read as a picture: {first_line(error)}"
    return array[..., None] if grey else array


def _check_room(count: int, image: np.ndarray) -> None:
    need, room = count * image.size, psutil.virtual_memory().available
    if need > room:
        raise ValueError(
            f"{count:,} pictures of {_size(image)} take {need / 2**30:,.1f} GiB, and "
            f"{room / 2**30:.1f} GiB are free; take fewer, as in split='train[:1000]'"
        )


def _size(image: np.ndarray) -> str:
    height, width, channels = image.shape
    return f"{height}x{width} pixels, {channels} channel{'' if channels == 1 else 's'}"


def _archive(path: Path, split: str) -> Stored:
    with _opened(path) as archive:
        pairs = {name: (images, labels) for name, images, labels in _pairs(archive.files)}
        split = split_called(split, tuple(pairs))
        if split not in pairs:
            raise _no_split(path, split, tuple(pairs))
        classes = [_labels(path, names[1], archive) for names in pairs.values()]
        size = len(_labels(path, pairs[split][1], archive))

    def read(rows: range) -> tuple[np.ndarray, np.ndarray]:
        with _opened(path) as archive:
            images = _array(path, pairs[split][0], archive)
            labels = _labels(path, pairs[split][1], archive)
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
            raise ValueError(
                f"{pairs[split][0]} in {path} is {images.dtype} of shape {images.shape} for "
                f"{len(labels)} labels; allowed is uint8 (n, H, W) or (n, H, W, C), a label each"
            )
        images = images if images.ndim == 4 else images[..., None]
        return images[rows.start : rows.stop], labels[rows.start : rows.stop]

    num_classes = 1 + max(int(labels.max(initial=0)) for labels in classes)
    return Stored(split, size, num_classes, tuple(pairs), _digest([path]), read)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
        except Exception as error:  # what is no archive fails in many ways
            raise ValueError(f"data set {path} cannot be read: {first_line(error)}") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError(f"data set {path} holds one array; allowed are archives of several")
        with archive:
            yield archive


def _array(path: Path, name: str, archive: Any) -> np.ndarray:
    try:
        return archive[name]
    except Exception as error:  # damaged, or of objects
        raise ValueError(f"{name} in {path} cannot be read: {first_line(error)}") from error


def _pairs(arrays: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The splits of an archive, and the names of their arrays."""
    for images, labels in NAMES:
        pattern = re.compile(images.format("(.+)"))
        for name in arrays:
            if (found := pattern.fullmatch(name)) and labels.format(found[1]) in arrays:
                yield found[1], name, labels.format(found[1])


def _labels(path: Path, name: str, archive: Any) -> Int[np.ndarray, " n"]:
    labels = _array(path, name, archive)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} in {path} is {labels.dtype} of shape {labels.shape}; allowed are whole "
            "numbers (n,)"
        )
    return labels.astype(np.int32)


# Splits that an error names.
_SHOWN = 8


def _no_split(path: Path, split: str, splits: Sequence[str]) -> ValueError:
    what = ", ".join([*splits[:_SHOWN], *["..."] * (len(splits) > _SHOWN)])
    if path.suffix == ".npz":
        what = what or "no arrays such as train_images and train_labels, or x_train and y_train"
    return ValueError(f"data set {path} has no split {split!r}; it has {what or 'no folders'}")


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
