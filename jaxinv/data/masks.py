"""Folders of pictures with a map each: `images/` beside `masks/` of classes, or `targets/`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from jaxinv.command_line import first_line
from jaxinv.data.files import Stored, digest_of, split_of
from jaxinv.data.folders import folder, pictures_among
from jaxinv.data.source import Arrays, Streamed, marked_void, size_in_words

IMAGES, MASKS, TARGETS = "images", "masks", "targets"
# What most benchmarks mark positions without a class with.
USUAL_VOID = 255


def has_masks(path: Path) -> bool:
    """Whether a folder, or one of its splits, holds pictures and label maps."""
    return bool(_splits(path, MASKS))


def has_targets(path: Path) -> bool:
    """Whether a folder, or one of its splits, holds pictures and what they should become."""
    return bool(_splits(path, TARGETS))


def folder_of_targets(path: Path, split: str) -> Stored:
    """A split of a folder of `split/images/picture` and `split/targets/picture`, or of one split.

    Picture and target have one name, but for the ending. Targets have one size, whose values are
    from 0 to 1, and are read in place of labels.

    Raises:
      ValueError: there is no such split, or it is not as described.
    """
    splits, split = _split_of(path, split, TARGETS)
    pairs = _pairs(splits[split], TARGETS)
    pictures, targets = (folder(splits[split] / part, "train").source for part in (IMAGES, TARGETS))
    if len(targets) != len(pictures):
        raise ValueError(
            f"{splits[split]} holds {len(pictures)} pictures and {len(targets)} targets; allowed "
            "is one target for each picture"
        )
    numbered = enumerate(pictures_among((splits[split] / TARGETS).iterdir()))
    places = {file: number for number, file in numbered}

    def read(rows: Sequence[int]) -> Arrays:
        asked = targets.read([places[pairs[row][1]] for row in rows])[0]
        return pictures.read(rows)[0], asked.astype(np.float32) / 255

    source = Streamed(
        read,
        range(len(pairs)),
        pictures.image_shape,
        0,
        name=str(path),
        split=split,
        label_shape=targets.image_shape,
    )
    return Stored(source, tuple(splits), digest_of([file for pair in pairs for file in pair]))


def folder_of_masks(path: Path, split: str, *, void: int | None = None) -> Stored:
    """A split of a folder of `split/images/picture` and `split/masks/picture`, or of one split.

    Picture and label map have one name, but for the ending, and one size. A map is a picture in
    grey or with a palette, whose numbers are the classes, from 0.

    Args:
      path: the folder.
      split: the split.
      void: the number that marks pixels without a class.

    Raises:
      ValueError: there is no such split, or it is not as described.
    """
    if void is not None and not 0 <= void <= 255:
        raise ValueError(f"void is {void}; allowed are 0 to 255, the numbers of a label map")
    splits, split = _split_of(path, split, MASKS)
    pairs = _pairs(splits[split], MASKS)
    pictures = folder(splits[split] / IMAGES, "train").source
    shape = pictures.image_shape

    def read(rows: Sequence[int]) -> Arrays:
        chosen = [pairs[row] for row in rows]
        labels = np.empty((len(rows), *shape[:2]), np.int32)
        for label, (picture, mask) in zip(labels, chosen, strict=True):
            values = _mask(mask, void)
            if values.shape != shape[:2]:
                raise ValueError(
                    f"{mask} has {values.shape[0]}x{values.shape[1]} pixels and {picture} "
                    f"{size_in_words(shape)}; allowed are masks of the size of their pictures"
                )
            try:
                label[...], _ = marked_void(values, void, classes=classes)
            except ValueError as error:
                raise ValueError(f"{mask}: {error}") from error
        return pictures.read(rows)[0], labels

    # As many classes as are trained on: a split need not show all of them.
    listed = pairs if "train" not in splits else _pairs(splits["train"], MASKS)
    classes = 0
    for _, mask in listed:
        values = _mask(mask, void)
        classes = max(classes, 1 + int(values.max(initial=-1, where=values != void)))
    if not classes:
        raise ValueError(f"all pixels of {path} are {void}, which is void; needed are classes")
    source = Streamed(
        read,
        range(len(pairs)),
        shape,
        classes,
        name=str(path),
        split=split,
        label_shape=shape[:2],
    )
    return Stored(source, tuple(splits), digest_of([file for pair in pairs for file in pair]))


def _split_of(path: Path, split: str, beside: str) -> tuple[dict[str, Path], str]:
    """All splits of a folder, and the name of the one that is asked for."""
    splits = _splits(path, beside)
    return splits, split_of(path, split, splits, nothing="no folders")


def _splits(path: Path, beside: str) -> dict[str, Path]:
    def is_split(folder: Path) -> bool:
        return all((folder / part).is_dir() for part in (IMAGES, beside))

    if is_split(path):
        return {"train": path}
    return {p.name: p for p in sorted(path.iterdir()) if p.is_dir() and is_split(p)}


def _pairs(split: Path, beside: str) -> list[tuple[Path, Path]]:
    """The pictures of a split, each with its label map or target."""
    masks = {mask.stem: mask for mask in pictures_among((split / beside).iterdir())}
    pictures = pictures_among((split / IMAGES).iterdir())
    if not pictures:
        raise ValueError(f"{split / IMAGES} holds no pictures")
    for picture in pictures:
        if picture.stem not in masks:
            what = "label map" if beside == MASKS else "target"
            raise ValueError(f"{picture} has no {what} {split / beside / picture.stem}.png")
    return [(picture, masks[picture.stem]) for picture in pictures]


def _mask(path: Path, void: int | None) -> Int[np.ndarray, "h w"]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            kind, values = picture.mode, np.asarray(picture).astype(np.int32)
    except Exception as error:  # each format has errors of its own
        raise ValueError(f"{path} cannot be read as a label map: {first_line(error)}") from error
    if kind not in ("1", "L", "P"):
        raise ValueError(
            f"{path} is a picture of kind {kind}; allowed are label maps in grey or with a "
            "palette, whose numbers are the classes"
        )
    if void is None and (values == USUAL_VOID).any():
        raise ValueError(
            f"{path} holds {USUAL_VOID}; allowed are classes 0 to {USUAL_VOID - 1}, or the option "
            f"void {USUAL_VOID} if that marks pixels without a class"
        )
    return values
