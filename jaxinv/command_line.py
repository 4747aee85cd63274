"""What the programs share: options from a dataclass, errors as one line, and how they end."""

import contextlib
import io
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax

T = TypeVar("T")

# How a program ends, by the convention of shells: on Ctrl-C, and when nobody reads its output.
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + getattr(signal, "SIGPIPE", 13)

# What asks a program to end: Ctrl-C, a scheduler, a terminal that was closed (not on Windows).
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# Errors that the user can do something about; others are bugs, and show where they are.
REPORTED = (ValueError, OSError, FloatingPointError, MemoryError, jax.errors.JaxRuntimeError)


def read_options(kind: type[T], argv: Sequence[str], **options: Any) -> T:
    """A dataclass from the command line, by tyro.

    Args:
      kind: the dataclass.
      argv: the command line without the program's name.
      **options: as `tyro.cli` takes them, such as `default` and `description`.

    Raises:
      ValueError: what tyro says of a wrong option, in one line.
      SystemExit: after --help.

    Example:
      >>> import dataclasses
      >>> @dataclasses.dataclass
      ... class Options:
      ...     seed: int = 0
      >>> read_options(Options, ["--sed", "3"])
      Traceback (most recent call last):
      ValueError: Unrecognized options: --sed, 3 ...
    """
    import tyro  # where options are read by other means, it need not be installed

    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if equals and name.startswith("--") and not value:
            raise ValueError(f"{name} is empty, as of a variable that is not set")
        if not word:
            empty = f"the word behind {argv[place - 1]}" if place else "the first word"
            raise ValueError(f"{empty} is empty, as of a variable that is not set")
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
        text = line.strip("│╭╮╰╯|+ ")
        if text.strip("─-"):
            words.append(text)
        elif words:
            break
    # Options within options are a field of the dataclass, whose name no user knows.
    said = re.sub(r"^Error parsing \w+: ", "", " ".join(words))
    return f"{said} (see --help)"


def printable(text: object) -> str:
    r"""One line of text, its control characters shown and not obeyed by terminals, pages, files.

    Example:
      >>> print(printable("red \x1b[31m\n"))
      red \x1b[31m\n
    """
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in str(text)
    )


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut if it is long, or the name of its kind."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:200].rpartition(' ')[0] or line[:200]} ..."


def some_of(names: Sequence[str]) -> str:
    """The first three of some names, and how many more there are.

    Example:
      >>> some_of(["fc.bias", "fc.weight"]), some_of(list("abcde"))
      ('fc.bias, fc.weight', 'a, b, c and 2 more')
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def in_one_line(error: BaseException) -> str:
    """What an error says, in one line, or the name of its kind.

    Of an error that quotes a traceback, as JAX does for functions called from compiled programs, it
    is the error at the traceback's end.

    Example:
      >>> in_one_line(ValueError("first\\n second")), in_one_line(MemoryError())
      ('first second', 'MemoryError')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.endswith("Traceback (most recent call last):") for line in lines):
        return lines[-1]
    # What follows the first line of the runtime's errors are tables of buffers.
    said = lines[:1] if isinstance(error, jax.errors.JaxRuntimeError) else lines
    return " ".join(" ".join(said).split()) or type(error).__name__


@contextlib.contextmanager
def handling_stop_signals(
    handler: Callable[[int, Any], Any], *, but: tuple[int, ...] = ()
) -> Iterator[None]:
    """Calls `handler` for the `STOP_SIGNALS` that arrive within the block, in the main thread.

    Those in `but` are left alone, and so are those that are ignored already, as under nohup or in
    a program that a shell started with `&`.
    """
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in set(STOP_SIGNALS) - set(but):
                if signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _stop_signals(name: str) -> Iterator[None]:
    """SIGTERM and SIGHUP do once what Ctrl-C does; Ctrl-C after any of them ends at once.

    A thread reads the signals' numbers: Python calls handlers between two lines of the main
    thread, and that may be inside a compilation or wait for another thread for minutes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = threading.Event()

    def interrupt(number: int, frame: object) -> None:
        if not asked.is_set():
            asked.set()
            raise KeyboardInterrupt("terminated")

    def watch() -> None:
        stopping = False
        while numbers := os.read(reading, 64):
            for number in numbers:
                if stopping and number == signal.SIGINT:
                    os.write(2, f"\n{name}: ended at once; finished files are whole\n".encode())
                    os._exit(INTERRUPTED)
                stopping = stopping or number in STOP_SIGNALS

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with handling_stop_signals(interrupt, but=(signal.SIGINT,)):
            wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(wakeup)
    finally:
        os.close(writing)
        watcher.join()
        os.close(reading)


def _shown_in_any_locale() -> None:
    """What the terminal's encoding lacks is printed as an escape instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nobody_reads() -> int:
    """Lets the interpreter end quietly after a pipe was closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if poll.poll(0):
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return PIPE_CLOSED


def run(program: Callable[[], None], *, name: str) -> int:
    """Runs a program's body: errors that the user can do something about become one line.

    Args:
      program: the body.
      name: the program's name, for the message.

    Returns:
      The exit status: 0, 1 after an error, 130 after Ctrl-C, SIGTERM or SIGHUP, 141 if what reads
      its output has ended, such as `head`.
    """
    _shown_in_any_locale()
    try:
        with _stop_signals(name):
            status = _ended(program, name)
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _nobody_reads()


def _ended(program: Callable[[], None], name: str) -> int:
    try:
        program()
    except KeyboardInterrupt as stop:
        print(f"{name}: {str(stop) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except SystemExit as end:
        # --help, which may be piped to `head`.
        sys.stdout.flush()
        raise end
    except REPORTED as error:
        print(f"{name}: error: {printable(in_one_line(error))}", file=sys.stderr)
        return 1
    return 0
