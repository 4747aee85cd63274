"""What the programs share: options from a dataclass, and errors as one line."""

import contextlib
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import tyro

T = TypeVar("T")

# How a program ends on Ctrl-C, by the convention of shells.
INTERRUPTED = 128 + signal.SIGINT


def read_options(kind: type[T], argv: Sequence[str], **options: Any) -> T:
    """A dataclass from the command line, by tyro.

    Args:
      kind: the dataclass.
      argv: the command line without the program's name.
      **options: as `tyro.cli` takes them, such as `default` and `description`.

    Returns:
      The dataclass.

    Raises:
      ValueError: what tyro says of a wrong option, in one line.
      SystemExit: after --help.

    Examples:
      >>> import dataclasses
      >>> @dataclasses.dataclass
      ... class Options:
      ...     seed: int = 0
      >>> read_options(Options, ["--seed", "3"])
      Options(seed=3)
      >>> read_options(Options, ["--sed", "3"])
      Traceback (most recent call last):
      ValueError: Unrecognized options: --sed, 3 ...
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=list(argv), **options)
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(_one_line(said.getvalue())) from None


def _one_line(boxed: str) -> str:
    """The text between a box's title and its first rule; what follows points to --help."""
    words: list[str] = []
    for line in boxed.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ ")
        if text.strip("─-"):
            words.append(text)
        elif words:
            break
    return f"{' '.join(words)} (see --help)"


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, with which schedulers announce the end, does what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt("terminated.")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(program: Callable[[], None], *, name: str) -> int:
    """Run a program's body: errors that the user can do something about become one line.

    Args:
      program: the body.
      name: the program's name, for the message.

    Returns:
      The exit status: 0, 1 after an error, 130 after Ctrl-C or SIGTERM.

    Examples:
      >>> def body():
      ...     raise KeyboardInterrupt
      >>> run(body, name="train.py")
      130
    """
    try:
        with _terminated_as_interrupted():
            program()
    except KeyboardInterrupt as stop:
        print(f"{name}: {stop or 'interrupted.'}", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0
