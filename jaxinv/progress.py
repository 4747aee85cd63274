"""What programs print while they work: a bar with the time left on a terminal, lines elsewhere."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator

import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jaxinv.command_line import printable


class Console(rich.console.Console):
    """A console that leaves a closed pipe to `jaxinv.command_line.run`; rich's ends the program."""

    def on_broken_pipe(self) -> None:
        """Passes on the error that is being handled."""
        raise


def progress_bar() -> Progress:
    """The bar of a program, on standard error; entering it shows it. Its tasks have a `note`."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


@contextlib.contextmanager
def counting(
    progress: Progress | None, what: str, total: int, *, unit: str = "images"
) -> Iterator[Callable[[int], None]]:
    """A line of a bar that counts images, or other things; yields what is told how many are done.

    Example:
      >>> with counting(None, "nothing", 3) as advance:
      ...     advance(3)
    """
    if progress is None:
        yield lambda count: None
        return
    task = progress.add_task(printable(what), total=total, note=unit)
    try:
        yield functools.partial(progress.advance, task)
    finally:
        progress.remove_task(task)


def say(progress: Progress | None, text: str) -> None:
    """A line that stays, above the bar or in a log; none without a bar."""
    if progress is not None:
        progress.console.print(printable(text))
