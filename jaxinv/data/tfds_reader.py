"""Reading, and where possible preparing, a data set of TensorFlow Datasets without TensorFlow."""

import contextlib
import functools
import hashlib
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.command_line import first_line
from jaxinv.data import cache, mnist_family, reachability
from jaxinv.data.log_level import quiet

# Records are decoded in batches, which is three times faster than one by one.
_BATCH = 256


def prepared_builder(name: str, *, data_dir: Path | None, manual_dir: Path | None) -> Any:
    """The TFDS builder of a data set on disk, which is prepared first where it is not yet.

    Args:
      name: as TFDS spells it, `"mnist"`, `"emnist/balanced"`, `"cifar10"`, ...
      data_dir: the folder of prepared data sets; TFDS's default (`~/tensorflow_datasets`) if None.
      manual_dir: the original files of a data set of the MNIST family, instead of a download.

    Raises:
      ValueError: unknown name; not prepared and not to be prepared here, with the reason.
    """
    import tensorflow_datasets as tfds  # half a second, not paid for 'digits'

    tfds.disable_progress_bar()
    where = {} if data_dir is None else {"data_dir": data_dir}
    if data_dir is not None and not data_dir.is_dir() and manual_dir is None:
        raise ValueError(f"data_dir {data_dir} is not a folder")
    said = io.StringIO()
    # Of libraries that are not installed TFDS prints a box beside raising an error.
    with quiet(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            # Which format is on disk is read from there; what is not there yet must be written as
            # array_record, the one format that is read without TensorFlow.
            builder = tfds.builder(name, **where)
            if builder.is_prepared():
                return builder
            builder = tfds.builder(name, **where, file_format="array_record")
        except Exception as error:  # a wrong name or version, or damaged files: any kind of error
            first = re.sub(r'^Failed to construct dataset .*?\}": ', "", first_line(error))
            not_found = isinstance(error, tfds.core.DatasetNotFoundError)
            if not_found or first.startswith("Parsing builder name"):
                raise ValueError(
                    f"unknown data set {name!r}; allowed are 'digits', the names of "
                    "https://www.tensorflow.org/datasets/catalog, such as 'mnist', "
                    "'fashion_mnist', 'cifar10', and paths of folders and .npz files, such as "
                    "'./pictures'"
                ) from None
            folder = "TFDS's own folder" if data_dir is None else data_dir
            raise ValueError(f"data set {name!r} in {folder} cannot be opened: {first}") from None
    # TFDS says on standard output that it downloads, where a program's results go.
    with quiet(), contextlib.redirect_stdout(sys.stderr):
        _prepare(builder, tfds, manual_dir)
    return builder


def _prepare(builder: Any, tfds: Any, manual_dir: Path | None) -> None:
    missing = f"data set {builder.name!r} is not prepared under {builder.data_path}"
    ways = (
        "give --data-dir, a folder where TFDS has prepared it, "
        "or use 'digits', which needs neither a network nor preparing"
    )
    family = builder.name in mnist_family.FAMILY
    if not family and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            f"{missing}, and preparing it needs TensorFlow once "
            f"(pip install 'jaxinv[tfds-build]') and a network; {ways}"
        )
    if manual_dir is None:
        urls = list(builder.url_infos or ())
        if urls and not reachability.reachable(urls[0]):
            raise ValueError(f"{missing}, and {urls[0]} does not answer; {ways}")
    elif not manual_dir.is_dir():
        raise ValueError(f"manual_dir {manual_dir} is not a folder")
    if family:
        mnist_family.replace_generators(builder, manual_dir)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    except ValueError:
        raise
    except Exception as error:  # a download can fail in many ways, and all mean the same here
        raise ValueError(
            f"{missing}, and preparing it failed: {first_line(error)}; {ways}"
        ) from error


def read_split(builder: Any, split: str, rows: Sequence[int] | None = None) -> cache.Arrays:
    """Decodes a split: images (N, H, W, C) uint8 and labels (N,) int32.

    Args:
      builder: of a prepared data set.
      split: its name.
      rows: those to read; all by default.

    Raises:
      ValueError: not an image-classification data set with images of one size, no such split,
        stored in a format that needs TensorFlow, damaged, or not the content known under this name.
    """
    size = split_size(builder, split)
    source = _records(builder, split)
    whole = rows is None or rows == range(size)
    arrays = _decode(builder, source, range(size) if rows is None else rows)
    _check_content(builder, split, arrays if whole else None, source)
    return arrays


def split_reader(builder: Any, split: str) -> Callable[[Sequence[int]], cache.Arrays]:
    """A function of rows that decodes them; its first call checks what `read_split` checks."""

    @functools.cache
    def opened() -> Any:
        source = _records(builder, split)
        _check_content(builder, split, None, source)
        return source

    return lambda rows: _decode(builder, opened(), rows)


def _records(builder: Any, split: str) -> Any:
    with quiet():
        try:
            source = builder.as_data_source(split=split)
            _check_counts(builder.info.splits[split])
        except NotImplementedError:
            raise ValueError(
                f"data set {builder.name!r} under {builder.data_path} is not stored as "
                "array_record, the format that is read without TensorFlow; prepare it with "
                "file_format='array_record'"
            ) from None
        except Exception as error:  # whatever is wrong with the files of others
            raise _damaged(builder, error) from error
    return source


def _check_content(builder: Any, split: str, whole: cache.Arrays | None, source: Any) -> None:
    """Compares a split that is known, or its start where the whole is not there, to its hash."""
    known = mnist_family.KNOWN_CONTENT.get((builder.name, str(builder.version), split))
    if known is None:
        return
    start = _decode(builder, source, range(mnist_family.START)) if whole is None else whole
    if cache.content_hash(start)[:16] != known[1 if whole is None else 0]:
        raise ValueError(
            f"what lies under {builder.data_path} is not {builder.name!r}: its content differs "
            "from the published files (TFDS writes MNIST under the name of Fashion-MNIST when "
            "both are extracted in one folder); delete that folder and prepare it again"
        )


def split_size(builder: Any, split: str) -> int:
    """The number of images of a split.

    Raises:
      ValueError: not an image-classification data set with images of one size, or no such split.
    """
    features = builder.info.features
    try:
        image, _ = features["image"], features["label"].num_classes
        one_each = len(image.shape) == 3 and features["label"].shape == ()
    except (KeyError, TypeError, AttributeError):
        one_each = False
    if not one_each:
        raise ValueError(f"data set {builder.name!r} is not one of images with a class label each")
    if None in image.shape:
        raise ValueError(f"data set {builder.name!r} has images of differing sizes")
    if image.np_dtype != np.uint8:
        raise ValueError(
            f"data set {builder.name!r} has images of {np.dtype(image.np_dtype)}; allowed is uint8"
        )
    if split not in builder.info.splits:
        raise ValueError(
            f"data set {builder.name!r} has no split {split!r}; "
            f"it has {', '.join(builder.info.splits) or 'none'}"
        )
    return builder.info.splits[split].num_examples


def _check_counts(split: Any) -> None:
    """Compares what the description says of a split's files with what they hold."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    for path, declared in zip(split.filepaths, split.shard_lengths, strict=True):
        held = len(ArrayRecordDataSource(str(path)))
        if held != declared:
            raise ValueError(f"{path.name} holds {held} records and is said to hold {declared}")


def _decode(builder: Any, source: Any, rows: Sequence[int]) -> cache.Arrays:
    shape, count = builder.info.features["image"].shape, len(rows)
    images, labels = np.empty((0, *shape), np.uint8), np.empty(count, np.int32)
    try:
        for at in range(0, count, _BATCH):
            with quiet():
                batch = source.__getitems__(list(rows[at : at + _BATCH]))
            here = slice(at, at + len(batch))
            if others := {record["image"].shape for record in batch} - {tuple(shape)}:
                raise ValueError(f"an image has shape {others.pop()} and is said to have {shape}")
            if not at:  # what is said of the images is so: room for all of them
                images = np.empty((count, *shape), np.uint8)
            images[here] = [record["image"] for record in batch]
            labels[here] = [record["label"] for record in batch]
    except MemoryError:
        raise
    except Exception as error:  # what reads records and pictures has errors of its own
        raise _damaged(builder, error) from error
    return {"images": images, "labels": labels}


def _damaged(builder: Any, error: Exception) -> ValueError:
    return ValueError(
        f"data set {builder.name!r} under {builder.data_path} is damaged: {first_line(error)}; "
        "delete that folder and prepare it again"
    )


def cache_name(builder: Any, split: str) -> str:
    """A file name for a split, or for what is made of it, with a digest of what is prepared."""
    digest = hashlib.sha256(str(Path(builder.data_path).resolve()).encode())
    for file in sorted(Path(builder.data_path).iterdir()):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return f"{builder.info.full_name.replace('/', '-')}-{split}-{digest.hexdigest()[:16]}.npz"
