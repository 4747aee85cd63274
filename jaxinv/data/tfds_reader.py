"""Reading, and where possible preparing, a data set of TensorFlow Datasets without TensorFlow."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.data import cache, mnist_family, network
from jaxinv.data.quiet import quiet

# Records are decoded in batches, which is three times faster than one by one.
_BATCH = 256


def prepared_builder(name: str, *, data_dir: Path | None, manual_dir: Path | None) -> Any:
    """The TFDS builder of a data set that is prepared on disk, after preparing it if need be.

    Args:
      name: as TFDS spells it, `"mnist"`, `"emnist/balanced"`, `"cifar10"`, ...
      data_dir: where prepared data sets lie; TFDS's default (`~/tensorflow_datasets`) if None.
      manual_dir: the original files of a data set of the MNIST family, instead of a download.

    Raises:
      ValueError: unknown name; not prepared and not to be prepared here, with the reason.
    """
    import tensorflow_datasets as tfds  # half a second, not paid for 'digits'

    tfds.disable_progress_bar()
    where = {} if data_dir is None else {"data_dir": data_dir}
    if data_dir is not None and not data_dir.is_dir() and manual_dir is None:
        raise ValueError(f"data_dir {data_dir} is not a folder.")
    with quiet():
        try:
            # Which format is on disk is read from there; what is not there yet must be written as
            # array_record, the one format that is read without TensorFlow.
            builder = tfds.builder(name, **where)
            if builder.is_prepared():
                return builder
            builder = tfds.builder(name, **where, file_format="array_record")
        except tfds.core.DatasetNotFoundError:
            raise ValueError(
                f"unknown data set {name!r}; allowed are 'digits' and the names of "
                "https://www.tensorflow.org/datasets/catalog, such as 'mnist', 'fashion_mnist', "
                "'cifar10'."
            ) from None
        except (AssertionError, ImportError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise ValueError(f"data set {name!r} cannot be opened: {first}") from None
        _prepare(builder, tfds, manual_dir)
    return builder


def _prepare(builder: Any, tfds: Any, manual_dir: Path | None) -> None:
    missing = f"data set {builder.name!r} is not prepared under {builder.data_path}"
    ways = (
        "give --data-dir, a folder where TFDS has prepared it, "
        "or use 'digits', which needs neither a network nor preparing."
    )
    family = builder.name in mnist_family.FAMILY
    if not family and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            f"{missing}, and preparing it needs TensorFlow once "
            f"(pip install 'jaxinv[tfds-build]') and a network; {ways}"
        )
    if manual_dir is None:
        urls = list(builder.url_infos or ())
        if urls and not network.reachable(urls[0]):
            raise ValueError(f"{missing}, and {urls[0]} does not answer; {ways}")
    elif not manual_dir.is_dir():
        raise ValueError(f"manual_dir {manual_dir} is not a folder.")
    if family:
        mnist_family.replace_generators(builder, manual_dir)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    except ValueError:
        raise
    except Exception as error:  # a download can fail in many ways, and all mean the same here
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{missing}, and preparing it failed: {first}; {ways}") from error


def split_called(name: str, builder: Any) -> str:
    """The split that `"test"` stands for: with no such split, the only one besides `"train"`."""
    others = [split for split in builder.info.splits if split != "train"]
    return others[0] if name == "test" and len(others) == 1 else name


def read_split(builder: Any, split: str) -> cache.Arrays:
    """Decode a whole split: images (N, H, W, C) uint8 and labels (N,) int32.

    Raises:
      ValueError: not an image-classification data set with images of one size, no such split,
        stored in a format that needs TensorFlow, or not the content known under this name.
    """
    features = builder.info.features
    try:
        shape, _ = features["image"].shape, features["label"].num_classes
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"data set {builder.name!r} is not one of images with a class label each."
        ) from None
    if None in shape:
        raise ValueError(f"data set {builder.name!r} has images of differing sizes.")
    if split not in builder.info.splits:
        raise ValueError(
            f"data set {builder.name!r} has no split {split!r}; "
            f"it has {', '.join(builder.info.splits)}."
        )
    size = builder.info.splits[split].num_examples
    images, labels = np.empty((size, *shape), np.uint8), np.empty(size, np.int32)
    with quiet():
        try:
            source = builder.as_data_source(split=split)
        except NotImplementedError:
            raise ValueError(
                f"data set {builder.name!r} under {builder.data_path} is not stored as "
                "array_record, the format that is read without TensorFlow; prepare it with "
                "file_format='array_record'."
            ) from None
        for start in range(0, size, _BATCH):
            rows = range(start, min(start + _BATCH, size))
            for row, record in zip(rows, source.__getitems__(list(rows)), strict=True):
                images[row], labels[row] = record["image"], record["label"]
    arrays = {"images": images, "labels": labels}
    known = mnist_family.KNOWN_CONTENT.get((builder.name, str(builder.version), split))
    if known and cache.content_hash(arrays)[:16] != known:
        raise ValueError(
            f"what lies under {builder.data_path} is not {builder.name!r}: its content differs "
            "from the published files (TFDS writes MNIST under the name of Fashion-MNIST when both "
            "are extracted in one folder); delete that folder and prepare it again."
        )
    return arrays


def cache_name(builder: Any, split: str) -> str:
    """A file name for one prepared split: by name, and by a digest of what is prepared there."""
    digest = hashlib.sha256(str(Path(builder.data_path).resolve()).encode())
    for file in sorted(Path(builder.data_path).iterdir()):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return f"{builder.info.full_name.replace('/', '-')}-{split}-{digest.hexdigest()[:16]}.npz"
