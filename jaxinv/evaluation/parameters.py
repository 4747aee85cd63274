"""Trees of parameters from files and folders of any origin: read as NumPy, up to a limit."""

import math
import re
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxinv.command_line import first_line
from jaxinv.data.log_level import quiet
from jaxinv.files import array_header, read_arrays

# Gigabytes (10^9 bytes) that parameters may take unless more is allowed.
LIMIT = 8.0


def read_parameters(path: Path, *, limit: float = LIMIT) -> Any:
    """Reads a tree of parameters: .npz, .safetensors, .msgpack (Flax) or an orbax folder.

    Names in .npz and .safetensors become a tree at "/" (`params/Conv_0/kernel`); names with dots
    stay as they are. Of orbax a checkpoint's folder is read, whatever devices wrote it, or that of
    a CheckpointManager (its newest step) or of one of its steps.

    Args:
      path: the file or folder.
      limit: gigabytes that the arrays may take in memory.

    Returns:
      The tree, its leaves NumPy arrays.

    Raises:
      ValueError: if it is missing, damaged, of an unknown kind, larger than the limit, or holds
        NaN.
    """
    readers = {".npz": _npz, ".safetensors": _safetensors, ".msgpack": _msgpack}
    if not path.exists():
        raise ValueError(f"params {path} does not exist")
    if path.is_dir():
        reader = _orbax
    elif not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device may have no end
        raise ValueError(f"params {path} is neither a file nor a folder")
    elif path.suffix in readers:
        reader = readers[path.suffix]
    else:
        raise ValueError(
            f"params {path} is of an unknown kind; allowed are {', '.join(readers)} and folders "
            "that orbax wrote"
        )
    try:
        tree = reader(path, limit)
    except _RefusedError as error:
        raise ValueError(f"params {path} {error}") from error
    except ImportError as error:
        raise ValueError(f"reading {path} needs {error.name}: pip install {error.name}") from error
    except Exception as error:  # each format's library has errors of its own for a damaged file
        raise ValueError(f"params {path} cannot be read: {first_line(error)}") from error
    check_not_nan(tree, what=f"params {path}")
    return tree


def check_not_nan(tree: Any, *, what: str) -> None:
    """Raises if a number of a tree of arrays is NaN; says where, and how many are.

    Example:
      >>> check_not_nan({"bias": np.array([0.0, np.nan])}, what="the network")
      Traceback (most recent call last):
      ValueError: the network: bias holds NaN, 1 of its 2 numbers
    """
    for where, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jax.dtypes.issubdtype(getattr(leaf, "dtype", type(leaf)), np.inexact):
            wrong = int(np.isnan(np.asarray(leaf)).sum())
            if wrong:
                name = jax.tree_util.keystr(where, simple=True, separator="/")
                raise ValueError(
                    f"{what}: {name} holds NaN, {wrong:,} of its {np.size(leaf):,} numbers"
                )


class _RefusedError(Exception):
    """What is wrong with a file, in words that follow its name."""


def _check_size(size: float, limit: float) -> None:
    if size > limit * 1e9:
        raise _RefusedError(
            f"takes {size / 1e9:.3g} GB in memory; params_limit is {limit:g}, a larger one "
            "allows it"
        )


def _npz(path: Path, limit: float) -> Any:
    with zipfile.ZipFile(path) as archive:
        _check_size(sum(map(_bytes_of(archive), archive.infolist())), limit)
    return _tree(read_arrays(path))


def _bytes_of(archive: zipfile.ZipFile) -> Callable[[zipfile.ZipInfo], int]:
    """The bytes of an array in an archive: by its own header, for which memory is taken."""

    def size(member: zipfile.ZipInfo) -> int:
        with archive.open(member) as stream:
            header = array_header(stream)
        if header is None:
            return member.file_size
        return max(member.file_size, math.prod(header.shape) * header.dtype.itemsize)

    return size


def _safetensors(path: Path, limit: float) -> Any:
    _check_size(path.stat().st_size, limit)
    return _tree(read_arrays(path))


def _msgpack(path: Path, limit: float) -> Any:
    from flax import serialization

    _check_size(path.stat().st_size, limit)
    return serialization.msgpack_restore(path.read_bytes())


def _orbax(path: Path, limit: float) -> Any:
    import orbax.checkpoint as ocp

    folder = _checkpoint_in(path.resolve())
    with quiet(), ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(folder).item_metadata.tree
        _check_size(sum(map(_stored_bytes, jax.tree.leaves(tree))), limit)
        # As NumPy: the devices that wrote it need not be here.
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return reader.restore(folder, restore_args=as_numpy)


def _stored_bytes(leaf: Any) -> int:
    shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
    return 0 if shape is None or dtype is None else math.prod(shape) * np.dtype(dtype).itemsize


def _checkpoint_in(folder: Path) -> Path:
    """The checkpoint's own folder: this one, a step's only one, or that of the newest step."""
    if _is_checkpoint(folder):
        return folder
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [path for path in inside if _is_checkpoint(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise _RefusedError(f"holds {len(found)} checkpoints, {names}; name one of them")
    if found:
        return found[0]
    # Unfinished steps have a longer name.
    steps = {int(m[1]): p for p in inside if (m := re.fullmatch(r"(?:\w*?_)?(\d+)", p.name))}
    if not steps:
        raise _RefusedError("is not a folder that orbax wrote")
    return _checkpoint_in(steps[max(steps)])


def _is_checkpoint(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("_METADATA", "manifest.ocdbt", "checkpoint"))


def _tree(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, leaf = name.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
            if not isinstance(node, dict):
                raise _RefusedError(f"has {name} and an array that is named like its folder")
        if leaf in node:
            raise _RefusedError(f"has {name} twice, as an array and as a folder")
        node[leaf] = value
    return tree
