"""Files that are whole or not there, and folders that one process at a time writes to."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

import numpy as np

LOCK_FILE = ".lock"


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file so that it is there whole or not at all, after a crash as well.

    Args:
      path: of the file.
      write: writes the file to the path it is given, beside `path` and of the same suffix.

    Raises:
      OSError: it cannot be written; the error names `path`.
    """
    partial = path.with_name(f".{os.getpid()}-{threading.get_ident()}.{path.name}")
    try:
        write(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> None:
    """Writes arrays to an .npz file, whole or not at all."""
    save = np.savez_compressed if compressed else np.savez
    write_whole(path, lambda at: save(at, allow_pickle=False, **arrays))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz or a .safetensors file, by their names.

    Raises:
      Exception: whatever the file's reader raises for a damaged file.
    """
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file  # optional: only this kind of file needs it

        return load_file(path)
    with path.open("rb") as stream, opened_arrays(stream) as file:
        return {name: file[name] for name in file.files}


def opened_arrays(stream: IO[bytes]) -> Any:
    """The reader of an .npz file; of an .npy file its array.

    Raises:
      Exception: whatever NumPy raises for a damaged file.
      ValueError: it is neither, for which NumPy proposes to run code in it.
    """
    kind = stream.read(6)
    stream.seek(0)
    if not kind.startswith((b"PK", b"\x93NUMPY")):
        raise ValueError("it is no .npz file")
    return np.load(stream, allow_pickle=False)


class ArrayHeader(NamedTuple):
    """What an .npy file says of its array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype


def array_header(stream: IO[bytes]) -> ArrayHeader | None:
    """The header of an .npy file, whose array follows in the stream; None of a later format."""
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    return ArrayHeader(*read[version](stream)) if version in read else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a folder from being written to by two processes, or two threads, at once.

    A file in the folder, which has to exist, is locked. The lock belongs to an open file and ends
    with its process, however that ends: no lock is left behind.

    Raises:
      ValueError: another holds the lock; says who.
      OSError: the file of the lock cannot be written.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> with locked(folder), locked(folder):
      ...     pass
      Traceback (most recent call last):
      ValueError: ... is in use by process ... since ...
    """
    path = folder / LOCK_FILE
    with _opened_and_locked(path) as file:
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        json.dump({"process": os.getpid(), "host": socket.gethostname(), "since": since}, file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _opened_and_locked(path: Path) -> TextIO:
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115, closed by the caller
        try:
            _lock(file, fcntl.LOCK_EX)
            # The last holder may have deleted the file after it was opened here.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


def refuse_if_locked(folder: Path) -> None:
    """Raises ValueError if another keeps a folder `locked`, and says who; changes nothing."""
    with contextlib.suppress(FileNotFoundError), open(folder / LOCK_FILE, encoding="utf-8") as file:
        _lock(file, fcntl.LOCK_SH)


def _lock(file: TextIO, kind: int) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = "another process"  # which has the lock and has not written yet
        with contextlib.suppress(ValueError, KeyError, TypeError):
            file.seek(0)
            holder = "process {process} on {host} since {since}".format(**json.load(file))
        raise ValueError(f"{Path(file.name).parent} is in use by {holder}") from None
