"""Data sets in folders of pictures."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxinv.command_line import first_line
from jaxinv.data.files import Stored, digest_of, no_split, split_called
from jaxinv.data.source import Arrays, Streamed, size_in_words

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# The one split of a folder that has none.
_ONLY = "train"


def folder(path: Path, split: str) -> Stored:
    """A split of a folder.

    It holds `split/class/picture`; classes are numbered in the order of their names. One that holds
    `class/picture`, or pictures alone, which then have no classes, is one split, `"train"`.

    Raises:
      ValueError: there is no such split, or it is not as described.
    """
    splits = _splits(path)
    split = split_called(split, tuple(splits))
    if split not in splits:
        raise no_split(path, split, tuple(splits), nothing="no folders")
    # Numbered alike in all splits: by the classes that are trained on.
    listed = splits.get(_ONLY, splits[split])
    classes = {p.name: number for number, p in enumerate(_folders(listed))}
    found: list[tuple[Path, int]] = []
    for folder in _folders(splits[split]):
        if folder.name not in classes:
            raise ValueError(f"{folder} is a class that {listed} has not")
        found += [(picture, classes[folder.name]) for picture in _pictures(folder.rglob("*"))]
    if not classes:
        found = [(picture, -1) for picture in _pictures(splits[split].iterdir())]
    if not found:
        raise ValueError(
            f"{splits[split]} holds no pictures in folders of classes; allowed are files "
            f"split/class/picture that end in {', '.join(PICTURES)}"
        )
    pictures = [picture for picture, _ in found]
    labels = np.array([label for _, label in found], np.int32)
    first = pictures[0], _shape_of(pictures[0])

    def read(rows: Sequence[int]) -> Arrays:
        return _decoded([pictures[row] for row in rows], first), labels[list(rows)]

    source = Streamed(read, range(len(found)), first[1], len(classes), name=str(path), split=split)
    return Stored(source, tuple(splits), digest_of(pictures))


def _splits(path: Path) -> dict[str, Path]:
    folders = _folders(path)
    if any(map(_folders, folders)):
        return {folder.name: folder for folder in folders}
    return {_ONLY: path} if folders or _pictures(path.iterdir()) else {}


def _pictures(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in PICTURES)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _decoded(pictures: Sequence[Path], like: tuple[Path, tuple]) -> UInt8[np.ndarray, "n h w c"]:
    """Pictures as an array, of the size and kind of the first one."""
    first, shape = like
    images = np.empty((len(pictures), *shape), np.uint8)
    for number, path in enumerate(pictures):
        image = _picture(path)
        if image.shape != shape:
            raise ValueError(
                f"{path} has {size_in_words(image.shape)} and {first} {size_in_words(shape)}; "
                "allowed are pictures of one size and kind"
            )
        images[number] = image
    return images


def _picture(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """A picture, grey or in three colours."""
    with _opened_picture(path) as picture:
        grey = _is_grey(picture)
        array = np.asarray(picture.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array


def _shape_of(path: Path) -> tuple[int, int, int]:
    """The shape of the array of a picture, which is not decoded."""
    with _opened_picture(path) as picture:
        return picture.height, picture.width, 1 if _is_grey(picture) else 3


def _is_grey(picture: Any) -> bool:
    return picture.mode in ("1", "L")


@contextlib.contextmanager
def _opened_picture(path: Path) -> Iterator[Any]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            yield picture
    except Exception as error:  # each format has errors of its own
        raise ValueError(f"{path} cannot be read as a picture: {first_line(error)}") from error
