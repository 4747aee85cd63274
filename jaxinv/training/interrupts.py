"""Ctrl-C at a moment when the state is whole."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from jaxinv.command_line import handling_stop_signals

ASKED = b"\nstopping after this step; Ctrl-C again ends at once.\n"


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first stop signal within the block only sets `stop`; a SIGINT after it stops.

    A `KeyboardInterrupt` between a step, which gives up the buffers of the old state, and the
    assignment of the new one would leave neither to save. In another thread than the main one,
    which signals do not reach, another thread has to set `stop`.
    """

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(OSError):
            os.write(2, ASKED)

    with handling_stop_signals(ask):
        yield
