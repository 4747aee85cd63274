"""Ctrl-C at a moment when the state is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stop:
    """Whether the run was asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """The first SIGINT or SIGTERM within the block only asks to stop; a second SIGINT stops.

    A `KeyboardInterrupt` between a step, which gives up the buffers of the old state, and the
    assignment of the new one would leave neither to save. Signals reach the main thread only;
    elsewhere nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {}

    def ask(number: int, frame: object) -> None:
        stop.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
