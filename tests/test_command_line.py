"""How programs end: errors of one line, and what signals do."""

import os
import signal
import threading

from jaxinv.command_line import INTERRUPTED, run


def test_sigterm_ends_a_program_as_ctrl_c_does(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert run(lambda: os.kill(os.getpid(), signal.SIGTERM), name="evaluate.py") == INTERRUPTED
    assert capsys.readouterr().err == "evaluate.py: terminated.\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_program_in_another_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    found = []
    body = lambda: found.append(signal.getsignal(signal.SIGTERM))  # noqa: E731
    thread = threading.Thread(target=run, args=(body,), kwargs={"name": "evaluate.py"})
    thread.start()
    thread.join()
    assert found == [before]


def test_errors_are_one_line(capsys):
    def wrong():
        raise ValueError("first\n  second")

    assert run(wrong, name="train.py") == 1
    assert capsys.readouterr().err == "train.py: error: first second\n"
