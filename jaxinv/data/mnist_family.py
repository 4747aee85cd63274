"""Preparing MNIST, Fashion-MNIST, KMNIST and EMNIST for TFDS without TensorFlow.

TFDS's own builders of this family extract, read and encode through TensorFlow. Here the builder's
two generator methods are replaced by ones that download through TFDS, read the idx files with NumPy
and hand over PNG bytes, which TFDS stores as they are. The result is what TensorFlow writes, bit
for bit.
"""

import gzip
import hashlib
import io
import itertools
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FAMILY = ("mnist", "fashion_mnist", "kmnist", "emnist")

# `cache.content_hash` (first 16 digits) of builds with TensorFlow: of a whole split, and of its
# first `START` images.
START = 256
KNOWN_CONTENT = {
    ("mnist", "3.0.1", "train"): ("fdc72cc6d8a11395", "e95b25221a353a71"),
    ("mnist", "3.0.1", "test"): ("f2e8d390ea1efcaf", "8ffd61d7401f44b3"),
    ("fashion_mnist", "3.0.1", "train"): ("531fd2330e8a09f2", "cd4bf9f8af9c53da"),
    ("fashion_mnist", "3.0.1", "test"): ("96bef2a8d3202a78", "41ae94081a738a0d"),
}

_PARTS = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_FILES = tuple(itertools.chain(*_PARTS.values()))


def replace_generators(builder: Any, manual_dir: Path | None) -> None:
    """Makes `builder.download_and_prepare` of this family work without TensorFlow, in place.

    Args:
      builder: the TFDS builder of a data set of `FAMILY`.
      manual_dir: a folder with the original files by their original names, instead of a download.
        Their SHA-256 must be those TFDS registers for this data set, so that MNIST's files are
        not stored as Fashion-MNIST, which has files of the same names.
    """

    def split_generators(self: Any, dl_manager: Any) -> dict[str, Iterator]:
        sources = _from_folder(self, manual_dir) if manual_dir else _downloaded(self, dl_manager)
        return {
            split: self._generate_examples(*(sources[name] for name in names))
            for split, names in _PARTS.items()
        }

    def generate_examples(self: Any, images: bytes, labels: bytes) -> Iterator[tuple[int, dict]]:
        from PIL import Image

        for index, (image, label) in enumerate(zip(idx(images), idx(labels), strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, format="PNG")
            yield index, {"image": png.getvalue(), "label": int(label)}

    builder._split_generators = types.MethodType(split_generators, builder)
    builder._generate_examples = types.MethodType(generate_examples, builder)


def idx(packed: bytes) -> np.ndarray:
    """Reads an array of uint8 from a gzipped idx file.

    Raises:
      ValueError: not an idx file of unsigned bytes.

    Example:
      >>> idx(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7])))
      array([5, 7], dtype=uint8)
    """
    raw = gzip.decompress(packed)
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError("not an idx file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _from_folder(builder: Any, folder: Path) -> dict[str, bytes]:
    if builder.name == "emnist":
        return _members(builder, (folder / "gzip.zip").read_bytes())
    registered = {Path(url).name: info.checksum for url, info in builder.url_infos.items()}
    sources = {}
    for name in _FILES:
        path = folder / name
        if not path.is_file():
            raise ValueError(f"manual_dir {folder} has no {name}")
        sources[name] = path.read_bytes()
        if hashlib.sha256(sources[name]).hexdigest() != registered[name]:
            raise ValueError(f"{path} is not the file TFDS registers for {builder.name!r}")
    return sources


def _downloaded(builder: Any, dl_manager: Any) -> dict[str, bytes]:
    if builder.name == "emnist":
        return _members(builder, Path(dl_manager.download(builder.URL)).read_bytes())
    paths = dl_manager.download({name: builder.URL + name for name in _FILES})
    return {name: Path(path).read_bytes() for name, path in paths.items()}


def _members(builder: Any, archive: bytes) -> dict[str, bytes]:
    """EMNIST's files of one configuration, under the names of MNIST's."""
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        return {
            name: zipped.read(
                f"gzip/emnist-{builder.builder_config.name}-{name.replace('t10k', 'test')}"
            )
            for name in _FILES
        }
