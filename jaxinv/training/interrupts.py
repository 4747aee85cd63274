"""Ctrl-C at a moment when the state is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM within the block only sets `stop`; a second SIGINT stops.

    A `KeyboardInterrupt` between a step, which gives up the buffers of the old state, and the
    assignment of the new one would leave neither to save. Signals reach the main thread only;
    elsewhere another thread has to set it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
