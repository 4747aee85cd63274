"""Which tiles of a run are finished: a file beside what they are written to."""

import contextlib
import fcntl
import functools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import jax

from jaxinv.arguments import split_arguments
from jaxinv.digest import content_digest, program_digest
from jaxinv.tiling.call import Call, dtype_in_jax
from jaxinv.tiling.plan import Tiles

_NO_JOURNAL = "{} is no journal of tiles; give another file"


class Outputs(Protocol):
    """What tiles are written to."""

    def checksum(self, part: Sequence[int]) -> int:
        """That of what stands there where a tile is written."""

    def flush(self) -> None:
        """Brings what was written to where it lasts."""


class Journal:
    """The finished tiles of a run, each with the checksum of what was written."""

    def __init__(self, file: IO[str], checksums: dict[tuple[int, ...], int]):
        self._file = file
        self._checksums = checksums

    def has(self, part: Sequence[int], outputs: Outputs) -> bool:
        """Whether a tile is finished, and what was written then still stands there."""
        found = self._checksums.get(tuple(part))
        return found is not None and found == outputs.checksum(part)

    def add(self, part: Sequence[int], outputs: Outputs) -> None:
        """Notes that a tile is finished; when this returns, both last."""
        outputs.flush()
        self._file.write(f"{json.dumps([list(part), outputs.checksum(part)])}\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def opened(path: Path, run: dict[str, Any]) -> Iterator[Journal]:
    """The journal of a run: that of an earlier, interrupted one, or a new one.

    Args:
      path: its file.
      run: all that decides what the tiles are, as JSON holds it.

    Raises:
      ValueError: if it is in use, no journal, or that of another run.
    """
    with open(path, "a+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"the journal {path} is in use by another run") from None
        file.seek(0)
        text, head = file.read(), json.dumps(run)
        lines, end = _whole_lines(text)
        if not lines and not head.startswith(text):
            raise ValueError(_NO_JOURNAL.format(path))
        if lines:
            _require_same(path, _read(path, lines[0]), run)
        file.truncate(end)
        if not lines:
            file.write(f"{head}\n")
        rows = [_read(path, line) for line in lines[1:]]
        yield Journal(file, {tuple(part): checksum for part, checksum in rows})


def tile_of(path: Path) -> tuple[int, ...] | None:
    """The tile of the run of a journal; None where there is none yet."""
    with contextlib.suppress(FileNotFoundError):
        lines, _ = _whole_lines(path.read_text("utf-8", errors="replace"))
        if lines:
            run = _read(path, lines[0])
            return tuple(run["tile"]) if isinstance(run, dict) and "tile" in run else None
    return None


def _whole_lines(text: str) -> tuple[list[str], int]:
    """The lines that were written to their end, and where they end in bytes."""
    whole = text[: text.rfind("\n") + 1]
    return whole.splitlines(), len(whole.encode())


def _read(path: Path, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise ValueError(_NO_JOURNAL.format(path)) from None


def _require_same(path: Path, before: Any, run: dict[str, Any]) -> None:
    if not isinstance(before, dict) or before.keys() != run.keys():
        raise ValueError(_NO_JOURNAL.format(path))
    # As JSON holds it: tuples are lists.
    now = json.loads(json.dumps(run))
    for what, value in now.items():
        if before[what] != value:
            apart = f", {before[what]} and not {value}"
            if what == "function":  # or something else that its digest names
                apart = ", another version of JAX or jaxinv, or another kind of device"
            raise ValueError(
                f"{path} is the journal of a run with another {what}{apart}; delete it to start "
                "anew, or give another file"
            )


def run_of(call: Call, tiles: Tiles, args: tuple) -> dict[str, Any]:
    """All that decides what the tiles of a call are, but for the image, as JSON holds it.

    Args:
      call: the call.
      tiles: its tiles.
      args: its positional arguments with shapes in place of what is cut.

    Raises:
      ValueError: if the function calls something whose content cannot be seen.
    """
    leaves, static = split_arguments(args, call.kwargs)
    program = program_digest(functools.partial(static.call, call.fun), leaves)
    if program is None:
        raise ValueError(
            "resume needs a function whose content can be seen: one without calls back into Python"
        )
    weights = [leaf for leaf in leaves if not isinstance(leaf, jax.ShapeDtypeStruct)]
    return {
        "image": [f"{dtype_in_jax(leaf.dtype)}{list(leaf.shape)}" for leaf in call.leaves],
        "axes": [list(dims) for dims in call.dims],
        "tile": list(tiles.tile),
        "halo": [list(ends) for ends in tiles.halo],
        "function": content_digest(program, *weights),
    }
