"""Data sets in `.npz` archives: read row after row from the file, in any order from a copy."""

import contextlib
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxinv.command_line import first_line
from jaxinv.data.files import Stored, digest_of, split_of
from jaxinv.data.source import Arrays, Streamed
from jaxinv.files import array_header, opened_arrays, write_whole

# How the arrays of a split are called: by MedMNIST, and by Keras.
NAMES = (("{}_images", "{}_labels"), ("x_{}", "y_{}"))


def archive(path: Path, split: str, *, kept: Path) -> Stored:
    """A split of an .npz archive.

    It holds the arrays `train_images` and `train_labels`, or `x_train` and `y_train`, and others in
    the same way: uint8 (n, H, W) or (n, H, W, C), and whole numbers.

    Args:
      path: of the archive.
      split: the split.
      kept: where images are unpacked to, once, if they are read in any order.

    Raises:
      ValueError: there is no such split, or it is not as described.
    """
    with _opened(path) as opened:
        pairs = {name: (images, labels) for name, images, labels in _pairs(opened.files)}
        nothing = "no arrays such as train_images and train_labels, or x_train and y_train"
        split = split_of(path, split, pairs, nothing=nothing)
        every = {name: _labels(path, names[1], opened) for name, names in pairs.items()}
        name, labels = pairs[split][0], every[split]
        shape, dtype = _header(path, name, opened)
    if dtype != np.uint8 or len(shape) not in (3, 4) or shape[0] != len(labels):
        raise ValueError(
            f"{name} in {path} is {dtype} of shape {shape} for {len(labels)} labels; allowed is "
            "uint8 (n, H, W) or (n, H, W, C), a label each"
        )
    height, width, channels = (*shape[1:], 1)[:3]
    digest = digest_of([path])
    copy = kept / f"files-{digest}-{name}.npy"

    def in_any_order(rows: Sequence[int]) -> Arrays:
        if not copy.exists():
            _unpack(path, name, copy)
        images = np.load(copy, mmap_mode="r")[list(rows)]
        return np.asarray(images).reshape(len(rows), height, width, channels), labels[list(rows)]

    def consecutive(rows: range) -> Arrays:
        images = _rows(path, name, rows).reshape(len(rows), height, width, channels)
        return images, labels[rows.start : rows.stop]

    source = Streamed(
        in_any_order,
        range(len(labels)),
        (height, width, channels),
        1 + max(int(labels.max(initial=0)) for labels in every.values()),
        name=str(path),
        split=split,
        at_once=consecutive,
    )
    return Stored(source, tuple(pairs), digest)


def _header(path: Path, name: str, opened: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array, which is not read."""
    with contextlib.suppress(Exception), opened.zip.open(f"{name}.npy") as stream:
        if (header := array_header(stream)) and not header.dtype.hasobject:
            return header.shape, header.dtype
    array = _array(path, name, opened)  # says what is wrong
    return array.shape, array.dtype


def _rows(path: Path, name: str, rows: range) -> np.ndarray:
    """Consecutive rows of an array of bytes; those after them are not read."""
    with _opened(path) as opened:
        try:
            with opened.zip.open(f"{name}.npy") as stream:
                header = array_header(stream)
                if header is None or header.fortran_order or rows == range(header.shape[0]):
                    return opened[name][rows.start : rows.stop]
                size = int(np.prod(header.shape[1:]))
                stream.seek(size * rows.start, 1)
                read = np.frombuffer(stream.read(size * len(rows)), np.uint8)
                return read.reshape(len(rows), *header.shape[1:])
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"{name} in {path} cannot be read: {first_line(error)}") from error


def _unpack(path: Path, name: str, copy: Path) -> None:
    """Copies an array out of an archive, a little at a time."""
    copy.parent.mkdir(parents=True, exist_ok=True)

    def write(to: Path) -> None:
        with (
            zipfile.ZipFile(path) as opened,
            opened.open(f"{name}.npy") as stream,
            to.open("wb") as file,
        ):
            shutil.copyfileobj(stream, file, 2**20)

    write_whole(copy, write)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("rb") as stream:
        try:
            archive = opened_arrays(stream)
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
    held = labels.astype(np.int32)
    if (other := held != labels).any():
        raise ValueError(
            f"{name} in {path} holds {labels[other][0]}; allowed are classes from 0 to "
            f"{np.iinfo(np.int32).max}"
        )
    return held
