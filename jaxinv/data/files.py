"""Data sets in files of one's own, what folders and archives have in common."""

import dataclasses
import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from jaxinv.data.source import Streamed

# Splits that an error names.
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Stored:
    """A split in files.

    Attributes:
      source: reads its images.
      splits: the names of all splits.
      digest: names its content, by the sizes and times of its files.
    """

    source: Streamed
    splits: tuple[str, ...]
    digest: str


def is_path(name: str) -> bool:
    """Whether a data set's name is that of a folder or file, not one of TFDS.

    Example:
      >>> is_path("mnist"), is_path("emnist/balanced"), is_path("./mine"), is_path("mine.npz")
      (False, False, True, True)
    """
    return name.endswith(".npz") or name.startswith((".", "/", "~"))


def from_anywhere(name: str) -> str:
    """A data set's name, a path as it is seen from any current folder.

    Example:
      >>> from_anywhere("mnist"), from_anywhere("/data/mine.npz")
      ('mnist', '/data/mine.npz')
    """
    return os.path.abspath(os.path.expanduser(name)) if is_path(name) else name


def split_called(name: str, splits: Collection[str]) -> str:
    """The split that `"test"` means: with no such split, the only one besides `"train"`.

    Example:
      >>> split_called("test", ["train", "validation"])
      'validation'
    """
    others = [split for split in splits if split != "train"]
    return others[0] if name == "test" and len(others) == 1 else name


def split_of(path: Path, name: str, splits: Collection[str], *, nothing: str) -> str:
    """The split of a data set that a name means, see `split_called`.

    Raises:
      ValueError: if it is not there; it names those that are, or `nothing`.
    """
    split = split_called(name, splits)
    if split not in splits:
        what = ", ".join([*list(splits)[:_SHOWN], *["..."] * (len(splits) > _SHOWN)])
        raise ValueError(f"data set {path} has no split {split!r}; it has {what or nothing}")
    return split


def digest_of(files: Sequence[Path]) -> str:
    """Names the content of files by their places, sizes and times."""
    digest = hashlib.sha256()
    for file in files:
        state = file.stat() if file.exists() else file.lstat()  # a link to nothing
        digest.update(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
