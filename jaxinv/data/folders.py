"""Data sets in folders of pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxinv.data.files import Stored, digest_of, split_of
from jaxinv.data.pictures import as_array, decoded, shape_of
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
    split = split_of(path, split, splits, nothing="no folders")
    # Numbered alike in all splits: by the classes that are trained on.
    listed = splits.get(_ONLY, splits[split])
    classes = {p.name: number for number, p in enumerate(subfolders(listed))}
    found: list[tuple[Path, int]] = []
    for folder in subfolders(splits[split]):
        if folder.name not in classes:
            raise ValueError(f"{folder} is a class that {listed} has not")
        found += [(picture, classes[folder.name]) for picture in pictures_among(folder.rglob("*"))]
    if not classes:
        found = [(picture, -1) for picture in pictures_among(splits[split].iterdir())]
    if not found:
        raise ValueError(
            f"{splits[split]} holds no pictures in folders of classes; allowed are files "
            f"split/class/picture that end in {', '.join(PICTURES)}"
        )
    pictures = [picture for picture, _ in found]
    labels = np.array([label for _, label in found], np.int32)
    first = pictures[0], shape_of(pictures[0])

    def read(rows: Sequence[int]) -> Arrays:
        return _decoded([pictures[row] for row in rows], first), labels[list(rows)]

    source = Streamed(read, range(len(found)), first[1], len(classes), name=str(path), split=split)
    return Stored(source, tuple(splits), digest_of(pictures))


def _splits(path: Path) -> dict[str, Path]:
    folders = subfolders(path)
    if any(map(subfolders, folders)):
        return {folder.name: folder for folder in folders}
    return {_ONLY: path} if folders or pictures_among(path.iterdir()) else {}


def pictures_among(paths: Iterable[Path]) -> list[Path]:
    """The files that are pictures by their endings, in order."""
    return sorted(path for path in paths if path.suffix.lower() in PICTURES)


def subfolders(path: Path) -> list[Path]:
    """The folders in a folder, in order, without hidden ones."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _decoded(pictures: Sequence[Path], like: tuple[Path, tuple]) -> UInt8[np.ndarray, "n h w c"]:
    """Pictures as an array, of the size and kind of the first one."""
    first, shape = like
    images = np.empty((len(pictures), *shape), np.uint8)
    for number, path in enumerate(pictures):
        image = as_array(decoded(path))
        if image.shape != shape:
            raise ValueError(
                f"{path} has {size_in_words(image.shape)} and {first} {size_in_words(shape)}; "
                "allowed are pictures of one size and kind"
            )
        images[number] = image
    return images
