"""How programs end: errors of one line, what signals do, pipes that close, any locale."""

import contextlib
import io
import os
import signal
import sys
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from jaxinv import commands
from jaxinv.command_line import INTERRUPTED, PIPE_CLOSED, in_one_line, run
from jaxinv.evaluation.results import Results
from jaxinv.progress import progress_bar
from jaxinv.report import cli
from jaxinv.report.terminal import console_for, show
from jaxinv.training.records import Display


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_program_as_ctrl_c_does(capsys, number):
    before = signal.getsignal(number)
    assert run(lambda: os.kill(os.getpid(), number), name="evaluate.py") == INTERRUPTED
    assert capsys.readouterr().err == "evaluate.py: terminated\n"
    assert signal.getsignal(number) == before


def test_a_signal_that_comes_again_does_not_disturb_the_partial_report():
    done = []

    def body():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        done.append("report")

    assert run(body, name="evaluate.py") == 0
    assert done == ["report"]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_a_signal_ends_at_once_with_a_word(monkeypatch, capfd, first):
    ends = []
    monkeypatch.setattr(os, "_exit", ends.append)

    def body():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), first)
        assert not ends
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        for _ in range(500):
            if ends:
                break
            time.sleep(0.01)

    run(body, name="evaluate.py")
    assert ends == [INTERRUPTED]
    assert capfd.readouterr().err == "\nevaluate.py: ended at once; finished files are whole\n"


def test_what_ignores_a_signal_goes_on_ignoring_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(lambda: os.kill(os.getpid(), signal.SIGHUP), name="evaluate.py") == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_program_in_another_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    found = []
    body = lambda: found.append(signal.getsignal(signal.SIGTERM))  # noqa: E731
    thread = threading.Thread(target=run, args=(body,), kwargs={"name": "evaluate.py"})
    thread.start()
    thread.join()
    assert found == [before]


def test_errors_are_one_line_and_their_control_characters_are_shown(capsys):
    def wrong():
        raise ValueError("first\n  second \x1b[31m")

    assert run(wrong, name="train.py") == 1
    assert capsys.readouterr().err == "train.py: error: first second \\x1b[31m\n"


def test_errors_of_the_runtime_are_one_line():
    def failing(x):
        raise OverflowError("too much of it")

    # Traced first: what a compiled program raises arrives as an error of JAX.
    fun = jax.jit(lambda x: jax.pure_callback(failing, x, x))
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        fun(jnp.ones(2)).block_until_ready()
    assert in_one_line(caught.value) == "OverflowError: too much of it"
    assert in_one_line(jax.errors.JaxRuntimeError("no memory\n a table")) == "no memory"


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0, name="train.py")


RESULTS = Results(headline="Nothing – was “measured” – 字.", networks=())


@pytest.mark.parametrize("body", ["print", "tables", "help"])
def test_a_pipe_that_closes_ends_a_program_quietly(monkeypatch, capfd, body):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        bodies = {
            "print": lambda: print("line\n" * 5),
            "tables": lambda: show(RESULTS, console_for()),
            "help": lambda: cli.parse(["--help"]),
        }
        assert run(bodies[body], name="evaluate.py") == PIPE_CLOSED
        print("the interpreter's last lines go nowhere")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("words", ["--help", "--version", "--completion bash"])
def test_a_pipe_that_closes_ends_the_command_quietly(monkeypatch, capfd, words):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert commands.main(words.split()) == PIPE_CLOSED
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("body", ["print", "console", "bar", "training", "error", "interrupt"])
def test_a_closed_standard_error_ends_a_program_quietly(monkeypatch, capfd, body):
    """As in `evaluate.py 2>&1 | head -1`."""

    def wrong():
        raise ValueError("of which nobody hears")

    def interrupted():
        raise KeyboardInterrupt

    def bar():
        progress_bar().console.print("line")

    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        bodies = {
            "print": lambda: print("line", file=sys.stderr),
            "console": lambda: console_for(sys.stderr).print("line"),
            "bar": bar,
            "training": lambda: Display(True, total=1, title="run").epoch(
                {"epoch": 1, "seconds": 0.0}, 1
            ),
            "error": wrong,
            "interrupt": interrupted,
        }
        assert run(bodies[body], name="evaluate.py") == PIPE_CLOSED
        print("the interpreter's last lines go nowhere", file=sys.stderr)
    print("standard output is still read")
    assert capfd.readouterr().out == "standard output is still read\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_show_what_their_encoding_has(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert run(lambda: show(RESULTS, console_for()), name="evaluate.py") == 0
    assert b"Nothing \\u2013 was \\u201cmeasured" in written.getvalue()
    with pytest.raises(SystemExit):
        run(lambda: cli.parse(["--help"]), name="evaluate.py")
    sys.stdout.flush()
    assert b"--max-shift" in written.getvalue()
    monkeypatch.undo()
