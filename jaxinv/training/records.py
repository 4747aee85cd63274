"""What a run tells while it goes: metrics.jsonl, loggers, and the progress bar."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from jaxinv.files import write_whole
from jaxinv.hosts import agreement as hosts
from jaxinv.progress import Console, progress_bar
from jaxinv.training.loggers import Logger
from jaxinv.training.workdir import METRICS_FILE

Record = dict[str, Any]


def read_records(workdir: Path) -> list[Record]:
    """The epochs recorded in a workdir; a line cut off by a crash is left out."""
    path = workdir / METRICS_FILE
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    records = []
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records


class Recorder:
    """Appends each epoch's figures to metrics.jsonl, and tells them to loggers."""

    def __init__(self, workdir: Path | None, *, step: int, loggers: Sequence[Logger] = ()):
        """Drops what was recorded after `step`, the step that a resumed run starts from."""
        self._path = workdir / METRICS_FILE if workdir and hosts.first() else None
        self._loggers = loggers
        self.records: list[Record] = []
        if workdir is not None:
            before = read_records(workdir) if hosts.first() else []
            self.records = hosts.from_first([r for r in before if r["step"] <= step])
        if self._path is not None:
            self._write_all(self._path)

    def _write_all(self, path: Path) -> None:
        text = "".join(json.dumps(record) + "\n" for record in self.records)
        write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))

    def add(self, record: Record) -> None:
        """Records an epoch; numbers, or one number a seed. It replaces one of the same step."""
        again = bool(self.records) and self.records[-1]["step"] == record["step"]
        self.records = [*self.records[: -1 if again else None], record]
        if self._path is not None and again:
            self._write_all(self._path)
        elif self._path is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        figures = {}
        for name, value in record.items():
            values = value if isinstance(value, list) else [value]
            for index, number in enumerate(values):
                figures[f"{name}/{index}" if len(values) > 1 else name] = number
        for logger in self._loggers:
            logger.log(record["step"], figures)

    def close(self) -> None:
        """Closes the loggers."""
        for logger in self._loggers:
            logger.close()


class Display:
    """A progress bar on a terminal, one line per epoch elsewhere, or nothing."""

    def __init__(self, show: bool | Progress, *, total: int, title: str):
        self._title = title
        self._lines = show is True and not sys.stderr.isatty()
        self._own = progress_bar() if show is True and not self._lines else None
        self._progress = show if isinstance(show, Progress) else self._own
        self._task: TaskID | None = None
        if self._progress is not None:
            self._task = self._progress.add_task(title, total=total, note="")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Shows the bar while the block runs; another's bar loses the line that was added."""
        try:
            with self._own or contextlib.nullcontext():
                yield
        finally:
            if self._progress is not None and self._task is not None:
                self._progress.remove_task(self._task)

    def update(self, step: int, note: str) -> None:
        """Moves the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step, note=note)

    def epoch(self, record: Record, epochs: int) -> None:
        """Says how an epoch ended."""
        if self._lines:
            shown = {k: v for k, v in record.items() if k not in ("epoch", "step", "seconds")}
            figures = ", ".join(f"{k} {brief(v)}" for k, v in shown.items())
            Console(stderr=True).print(
                f"{self._title}: epoch {record['epoch']}/{epochs}, {figures}, "
                f"{record['seconds']:.1f} s",
                highlight=False,
                soft_wrap=True,
            )


def brief(value: Any) -> str:
    """Four digits of a number, or of each seed's.

    Example:
      >>> brief([0.91237, 0.5])
      '0.9124 0.5'
    """
    values = value if isinstance(value, list) else [value]
    return " ".join(f"{number:.4g}" for number in values)


class Every:
    """True at most once in a number of seconds."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether this time has passed since it was last due."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
