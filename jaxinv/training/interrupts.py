"""Ctrl-C at a moment when the state is whole."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from jaxinv.command_line import STOP_SIGNALS

ASKED = b"\nstopping after this step; Ctrl-C again ends at once.\n"


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first of `STOP_SIGNALS` within the block only sets `stop`; a SIGINT after it stops.

    A `KeyboardInterrupt` between a step, which gives up the buffers of the old state, and the
    assignment of the new one would leave neither to save. Signals reach the main thread only;
    elsewhere another thread has to set it. What ignores a signal goes on ignoring it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(OSError):
            os.write(2, ASKED)

    try:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
