"""What a run does to its workdir, seen change by change through Python's audit events."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watched: list[tuple[str, Callable[[str, Path], None]]] = []
_installed: list[Callable] = []


def _audit(event: str, args: tuple) -> None:
    if not _watched:
        return
    change, path = _change(event, args)
    for folder, notice in _watched:
        if path.startswith(folder):
            notice(change, Path(path))


def _change(event: str, args: tuple) -> tuple[str, str]:
    """What an event is about to change, and how; an empty path if nothing."""
    if event == "open":
        path, mode, flags = args
        if isinstance(path, int) or not (set(mode or "") & set("wax+") or (flags or 0) & WRITING):
            return "", ""
        return "append" if "a" in (mode or "") else "write", os.fsdecode(path)
    if event == "os.rename":
        return "rename", os.fsdecode(args[1])
    if event in ("os.mkdir", "os.remove", "os.rmdir"):
        path, fd = os.fsdecode(args[0]), args[-1]
        folder = "" if fd == -1 else os.readlink(f"/proc/self/fd/{fd}")
        return event.removeprefix("os."), os.path.join(folder, path)
    return "", ""


class watched:
    """Within the block, `notice(change, path)` is called before each change under a folder.

    Changes are write (from the start), append, rename (to the path), mkdir, remove and rmdir.
    """

    def __init__(self, folder: Path, notice: Callable[[str, Path], None]):
        self._entry = (str(folder), notice)

    def __enter__(self) -> None:
        if _audit not in _installed:  # a hook cannot be taken away again
            sys.addaudithook(_audit)
            _installed.append(_audit)
        _watched.append(self._entry)

    def __exit__(self, *_: object) -> None:
        _watched.remove(self._entry)


class Moments:
    """Copies of a folder as a kill would leave it: before each change, and amid each write."""

    def __init__(self, folder: Path, copies: Path):
        self.found: list[Path] = []
        self.what: list[str] = []
        self._folder, self._copies = folder, copies
        self._written: tuple[Path, int] | None = None

    def __call__(self, change: str, path: Path) -> None:
        self._copy(f"before {change} {path.relative_to(self._folder.parent)}")
        if self._written is not None:
            file, before = self._written
            after = file.stat().st_size if file.is_file() else 0
            if after > before + 1:
                copy = self._copy(f"amid the write of {file.name}")
                torn = copy / file.relative_to(self._folder)
                if torn.is_file():  # another thread may have renamed it meanwhile
                    os.truncate(torn, (before + after) // 2)
        self._written = None
        if change in ("write", "append"):
            appended_to = change == "append" and path.is_file()
            self._written = path, path.stat().st_size if appended_to else 0

    def _copy(self, what: str) -> Path:
        copy = self._copies / f"{len(self.found)}"
        if self._folder.exists():
            for _ in range(20):  # tensorstore's own threads may be writing meanwhile
                shutil.rmtree(copy, ignore_errors=True)
                try:
                    shutil.copytree(self._folder, copy)
                    break
                except OSError:
                    continue
            else:
                raise AssertionError(f"{self._folder} is never still")
        self.found.append(copy)
        self.what.append(what)
        return copy
