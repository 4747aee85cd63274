"""A folder that all processes of a run see, in which they leave files for one another.

For what takes each process its own time: collectives of the runtime give up after a while.
"""

import dataclasses
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxinv.command_line import printable
from jaxinv.files import write_whole
from jaxinv.hosts.agreement import from_first, gather, several
from jaxinv.hosts.runtime_log import PRESENT

FOLDER = ".hosts"
# Seconds between two looks, and until what another process wrote is seen through a file server.
_LOOK, _SEEN = 0.2, 15.0


@dataclasses.dataclass(frozen=True)
class Meeting:
    """A folder, and a word that stands in front of the files of this run alone."""

    folder: Path
    run: str
    counter: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def path(self, what: str, index: int) -> Path:
        """The file in which a process says something."""
        return self.folder / f"{self.run}-{what}-{index}"

    def say(self, what: str, text: str = "") -> None:
        """Leaves a text of this process."""
        path = self.path(what, jax.process_index())
        write_whole(path, lambda at: at.write_text(text, encoding="utf-8"))

    def wait_for(
        self, paths: dict[int, Path], *, seconds: float = float("inf"), failed_too: bool = False
    ) -> list[int]:
        """Waits until there are files of other processes.

        Args:
          paths: the files by process.
          seconds: how long.
          failed_too: wait for processes that failed as well.

        Returns:
          The processes whose files did not come in time.

        Raises:
          ValueError: one of these processes failed, unless they are waited for too.
        """
        until = time.monotonic() + seconds
        while True:
            # A listing, because file servers remember for a while that a file was not there.
            there = set(os.listdir(self.folder)) if self.folder.is_dir() else set()
            missing = [index for index, path in paths.items() if path.name not in there]
            for index in () if failed_too else missing:
                if (failed := self.path("failed", index)).name in there:
                    said = printable(failed.read_text(encoding="utf-8", errors="replace"))
                    raise ValueError(f"process {index} of the run failed: {said}")
            if not missing or time.monotonic() > until:
                return missing
            time.sleep(_LOOK)


_meetings: dict[Path, Meeting] = {}


def meetings() -> list[Meeting]:
    """Those of this run."""
    return list(_meetings.values())


def meeting_in(folder: Path) -> Meeting:
    """The meeting of the processes of this run in a folder, which all of them see.

    Raises:
      ValueError: in all processes, if some do not see it.
    """
    place = (folder / FOLDER).absolute()
    if place not in _meetings:
        if several() and jax.process_index() == 0:
            _clear(place)  # before the others learn the name of the run
        meeting = Meeting(place, from_first(os.urandom(8).hex()))
        _check_shared(meeting, folder)
        _meetings[place] = meeting
    return _meetings[place]


def _check_shared(meeting: Meeting, folder: Path) -> None:
    if not several():
        return
    meeting.folder.mkdir(parents=True, exist_ok=True)
    meeting.say("here")
    gather("")
    everyone = {index: meeting.path("here", index) for index in range(jax.process_count())}
    unseen = [set(map(int, text.split())) for text in gather(_unseen(meeting, everyone))]
    for index, missing in enumerate(unseen):
        if missing:
            raise ValueError(
                f"{folder} is not one folder for all: process {index} does not see what process "
                f"{min(missing)} wrote there; needed is a folder that all processes share"
            )


def _clear(folder: Path) -> None:
    """Deletes what runs left that were lost."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.name.startswith(PRESENT):
            path.unlink(missing_ok=True)


def _unseen(meeting: Meeting, everyone: dict[int, Path]) -> str:
    return " ".join(map(str, meeting.wait_for(everyone, seconds=_SEEN)))
