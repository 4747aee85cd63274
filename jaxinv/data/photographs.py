"""Photographs of any size in files, as a network trained on ImageNet sees them."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8

from jaxinv.command_line import some_of
from jaxinv.data import cache
from jaxinv.data.dataset import slice_bounds, split_slice
from jaxinv.data.files import digest_of
from jaxinv.data.folders import PICTURES, pictures_among, subfolders
from jaxinv.data.pictures import Framing, Interpolation, Sides, as_array, decoded
from jaxinv.data.source import MEMORY, Arrays, Source, Streamed, parse_bytes

if TYPE_CHECKING:
    from rich.progress import Progress

# The one split of a folder.
ALL = "all"
_THREADS = 8


def read_photograph(
    path: str | os.PathLike,
    *,
    size: Sides | None = 256,
    crop: Sides | None = 224,
    margin: int = 0,
    interpolation: Interpolation = "bilinear",
    grey: bool = False,
) -> UInt8[np.ndarray, "h w c"]:
    """Reads a photograph and shows of it what torchvision's evaluation shows: the middle.

    It is turned upright as EXIF says, resized (antialiased) and cropped.

    Args:
      path: a file of JPEG, PNG, WebP or whatever else Pillow reads, with 8 bits a channel.
      size: length of the shorter side after resizing, or height and width; None does not resize.
      crop: side of the window in the middle, or its height and width; None takes all. Where the
        photograph is smaller there is black.
      margin: pixels of the photograph around the window that are kept too.
      interpolation: how it is resized, as the network's weights were trained: `"bilinear"` or
        `"bicubic"`.
      grey: one channel instead of three.

    Returns:
      The window with its margin, uint8.

    Raises:
      ValueError: it cannot be read, an option is not allowed, or the photograph ends within the
        margin.

    Reference: `Resize` and `CenterCrop` of https://docs.pytorch.org/vision.

    Example:
      >>> import tempfile, pathlib
      >>> from PIL import Image
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "grey.png"
      >>> Image.new("L", (400, 300), 7).save(path)
      >>> read_photograph(path).shape, read_photograph(path, margin=8).shape
      ((224, 224, 3), (240, 240, 3))
    """
    framing = Framing(size=size, crop=crop, margin=margin, interpolation=interpolation)
    picture = decoded(path, grey=grey)
    try:
        return as_array(framing.applied(picture))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def photographs(
    path: str | os.PathLike,
    *,
    split: str = ALL,
    size: Sides | None = 256,
    crop: Sides | None = 224,
    margin: int = 0,
    interpolation: Interpolation = "bilinear",
    grey: bool = False,
    classes: str | os.PathLike | Sequence[str] | None = None,
    strict: bool = False,
    memory: str | int = MEMORY,
    cache_dir: str | os.PathLike | None = None,
    progress: "Progress | None" = None,
) -> Source:
    """Opens a folder of photographs of any size: a folder for each class, or without classes.

    Each photograph is decoded once beforehand. One that cannot be is left out and named; which
    those are is kept in `cache_dir` until the files change.

    Args:
      path: holds `class/photograph`, as torchvision's `ImageFolder` has it, or photographs alone,
        which then have no classes and the label -1.
      split: `"all"`, or a slice of it such as `"all[:100]"`.
      size: as for `read_photograph`, and so are crop, margin and grey. Without crop the photographs
        must have one size.
      crop: side of the window in the middle.
      margin: pixels around the window that are kept too, which shifts with `mode="crop"` read.
      interpolation: as for `read_photograph`.
      grey: one channel instead of three.
      classes: names of the network's classes in the order of its outputs, or a file with one in
        each line; a folder is called like the line, or like its first word. By default the
        folders in the order of their names.
      strict: refuse photographs that cannot be read, and classes without photographs.
      memory: what the images may take to be held in memory.
      cache_dir: folder of the cache; by default `$JAXINV_CACHE`, else `~/.cache/jaxinv`.
      progress: a bar to add to, which also tells what is left out.

    Returns:
      A `Dataset` if the images fit, else a `Streamed`; `left_out` names the files that are not in
      it and says why, and `class_names` holds the names of the classes.

    Raises:
      ValueError: there are no photographs, a class is unknown, they differ in size, or they end
        within the margin; with `strict` whatever would be left out.

    Reference: https://docs.pytorch.org/vision/main/generated/torchvision.datasets.ImageFolder.html;
      torchvision does not turn photographs upright.

    Example:
      >>> import tempfile, pathlib
      >>> from PIL import Image
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> for number, kind in enumerate(["cat", "dog"]):
      ...     (folder / kind).mkdir()
      ...     Image.new("RGB", (400, 300 + number)).save(folder / kind / "one.jpg")
      >>> found = photographs(folder, size=64, crop=56, cache_dir=folder / "cache")
      >>> len(found), found.image_shape, found.num_classes, found.left_out
      (2, (56, 56, 3), 2, ())
    """
    from jaxinv.progress import say  # which other data do not need

    folder = Path(path).expanduser()
    framing = Framing(size=size, crop=crop, margin=margin, interpolation=interpolation)
    listed = _listed(folder, None if classes is None else _names(classes))
    if listed.empty:
        words = _counted(len(listed.empty), "class"), some_of(listed.empty)
        told = f"{folder} has {words[0]} without photographs: {words[1]}"
        if strict:
            raise ValueError(told)
        say(progress, told)
    base, start, stop = split_slice(split)
    if base != ALL:
        raise ValueError(
            f"split is {split!r}; allowed are {ALL!r} and slices such as '{ALL}[:100]'"
        )
    chosen = slice_bounds(start, stop, size=len(listed.files))
    files, labels = listed.files[chosen], listed.labels[chosen]
    if not files:
        raise ValueError(f"split {split!r} of {folder} is empty")
    kept = cache.default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    sizes, reasons = _looked_at(files, kept, progress)
    names = [str(file.relative_to(folder)) for file in files]
    left_out = tuple(f"{n}: {why}" for n, why in zip(names, reasons, strict=True) if why)
    if left_out:
        told = f"{len(left_out):,} of {_counted(len(files), 'photograph')} cannot be read"
        if strict or len(left_out) == len(files):
            raise ValueError(f"{told} in {folder}: {some_of(left_out)}")
        say(progress, f"{told} and are left out: {some_of(left_out)}")
    good = [row for row, why in enumerate(reasons) if not why]
    shape = _common_shape([files[row] for row in good], sizes[good], framing)

    def read(rows: Sequence[int]) -> Arrays:
        images = np.empty((len(rows), *shape, 1 if grey else 3), np.uint8)
        for place, row in zip(images, rows, strict=True):
            place[...] = read_photograph(
                files[good[row]],
                size=size,
                crop=crop,
                margin=margin,
                interpolation=interpolation,
                grey=grey,
            )
        return images, labels[[good[row] for row in rows]]

    found = Streamed(
        read,
        range(len(good)),
        (*shape, 1 if grey else 3),
        len(listed.class_names),
        name=str(path),
        split=split,
        left_out=left_out,
        class_names=listed.class_names,
    )
    return found.load() if found.nbytes <= parse_bytes(memory) else found


@dataclasses.dataclass(frozen=True)
class _Listed:
    """The photographs of a folder, the classes, and the folders that hold none."""

    files: list[Path]
    labels: Int[np.ndarray, " n"]
    class_names: tuple[str, ...]
    empty: list[str]


def _listed(folder: Path, names: Sequence[str] | None) -> _Listed:
    """The photographs of a folder in the order of torchvision's `ImageFolder`."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; photographs are read from one")
    inner = subfolders(folder)
    if not inner and names is not None:
        raise ValueError(f"{folder} has no folders of classes, for which classes are given")
    numbers = _numbers(inner, names)
    by_class = {f.name: _in_order(f.rglob("*")) for f in inner} or {"": _in_order(folder.iterdir())}
    files = [file for found in by_class.values() for file in found]
    if not files:
        raise ValueError(
            f"{folder} holds no photographs; allowed are files that end in {', '.join(PICTURES)}, "
            "in folders of classes or without folders"
        )
    labels = [numbers.get(name, -1) for name, found in by_class.items() for _ in found]
    return _Listed(
        files,
        np.array(labels, np.int32),
        _shown([folder.name for folder in inner], names),
        [name for name, found in by_class.items() if not found],
    )


def _shown(folders: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, without the first words if the folders are called by these."""
    if names is None:
        return tuple(folders)
    if set(folders) <= set(names):
        return tuple(names)
    return tuple(name.partition(" ")[2].strip() or name for name in names)


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(pictures_among(paths), key=lambda path: (str(path.parent), path.name))


def _numbers(folders: Sequence[Path], names: Sequence[str] | None) -> Mapping[str, int]:
    """The number of each class that has a folder."""
    if names is None:
        return {folder.name: number for number, folder in enumerate(folders)}
    words = [name.split()[0] for name in names]
    alone = collections.Counter(words)
    numbers = {word: number for number, word in enumerate(words) if alone[word] == 1}
    numbers |= {name: number for number, name in enumerate(names)}
    if unknown := [folder.name for folder in folders if folder.name not in numbers]:
        raise ValueError(f"classes do not name {some_of(unknown)}, which are folders")
    return numbers


def _names(classes: str | os.PathLike | Sequence[str]) -> list[str]:
    """The names of classes, from a file or as given."""
    if isinstance(classes, str | os.PathLike):
        try:
            lines = Path(classes).expanduser().read_text(encoding="utf-8").rstrip().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"classes {classes} cannot be read: {error}") from error
    else:
        lines = list(classes)
    names = [line.strip() for line in lines]
    if not all(names):
        raise ValueError(f"line {1 + names.index('')} of classes is empty; each line names a class")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"classes name {twice} twice")
    return names


def _looked_at(
    files: Sequence[Path], kept: Path, progress: "Progress | None"
) -> tuple[Int[np.ndarray, "n 2"], list[str]]:
    """Height and width of each photograph, and why it cannot be read; "" where it can."""
    import PIL

    from jaxinv.progress import counting

    def look(file: Path) -> tuple[int, int, str]:
        try:
            picture = decoded(file)
            return picture.height, picture.width, ""
        except ValueError as error:
            return 0, 0, str(error).removeprefix(f"{file} ")

    def read() -> cache.Arrays:
        found = []
        with (
            counting(progress, "looking at photographs", len(files)) as advance,
            ThreadPoolExecutor(_THREADS) as threads,
        ):
            for one in threads.map(look, files):
                found.append(one)
                advance(1)
        heights, widths, reasons = zip(*found, strict=True)
        return {"sizes": np.array([heights, widths], np.int32).T, "reasons": np.array(reasons)}

    # Another release may read other files.
    name = f"photographs-{digest_of(files)}-pillow-{PIL.__version__}.npz"
    arrays = cache.cached(kept / name, read)
    return arrays["sizes"], arrays["reasons"].tolist()


def _common_shape(
    files: Sequence[Path], sizes: Int[np.ndarray, "n 2"], framing: Framing
) -> tuple[int, int]:
    """Height and width of what is seen of each photograph.

    Raises:
      ValueError: they differ, or one ends within the margin.
    """
    pairs = sizes.tolist()
    shapes = [framing.shape(*pair) for pair in pairs]
    if other := next((row for row, shape in enumerate(shapes) if shape != shapes[0]), 0):
        (first, second) = (f"{files[row]} {'x'.join(map(str, shapes[row]))}" for row in (0, other))
        raise ValueError(
            f"the photographs differ in size ({first}, {second}); give the size of a crop"
        )
    reaches = [framing.reach(*pair) for pair in pairs]
    if framing.margin > max(0, least := min(reaches)):
        raise ValueError(
            f"shifts of {framing.margin} pixels read beyond {files[reaches.index(least)]}, which "
            f"has {max(0, least)} pixels around the crop; allowed are numbers up to that"
        )
    return shapes[0]


def _counted(count: int, what: str) -> str:
    many = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count:,} {what if count == 1 else many}"
