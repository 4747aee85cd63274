"""A cache on disk of splits as uint8 arrays, so that records are decoded once."""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxinv.files import read_arrays, write_arrays

Arrays = dict[str, np.ndarray]


def default_cache_dir() -> Path:
    """`$JAXINV_CACHE`, else `$XDG_CACHE_HOME/jaxinv`, else `~/.cache/jaxinv`."""
    if chosen := os.environ.get("JAXINV_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxinv"


def content_hash(arrays: Arrays) -> str:
    """SHA-256 (hexadecimal) of each image's bytes followed by its label as one byte, in order.

    Example:
      >>> import numpy as np
      >>> arrays = dict(images=np.zeros((1, 2, 2, 1), np.uint8), labels=np.zeros(1, np.int32))
      >>> content_hash(arrays)[:16]
      '8855508aade16ec5'
    """
    images = arrays["images"].reshape(len(arrays["labels"]), -1)
    labels = arrays["labels"].astype(np.uint8)[:, None]
    return hashlib.sha256(np.concatenate([images, labels], axis=1).tobytes()).hexdigest()


def cached(path: Path, read: Callable[[], Arrays]) -> Arrays:
    """The arrays that `read()` returns, from the `.npz` file `path` where they were stored before.

    The file is written whole or not at all; a damaged one is read anew from the source. A folder
    that cannot be written costs a warning, not the data.
    """
    with contextlib.suppress(Exception):  # whatever is wrong with the file, its source is there
        return read_arrays(path)
    arrays = read()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, arrays)
    except OSError as error:
        warnings.warn(
            f"the data set is not cached, {path.parent} cannot be written: {error}", stacklevel=2
        )
    return arrays
