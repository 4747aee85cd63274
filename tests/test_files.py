"""Files written whole, and the lock of a folder."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from jaxinv.files import LOCK_FILE, locked, refuse_if_locked, write_whole


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_whole(path, lambda at: at.write_text("old"))

    def fail(at):
        at.write_text("half")
        raise UnicodeError("cut off")

    with pytest.raises(UnicodeError):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_path(tmp_path):
    path = tmp_path / "file.txt"

    def fail(at):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*file\.txt'"):
        write_whole(path, fail)


def test_one_holder_at_a_time_in_a_process_as_well(tmp_path):
    refused = []

    def other():
        try:
            with locked(tmp_path):
                pass
        except ValueError as error:
            refused.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"is in use by process {os.getpid()} on " in refused[0]
    other()
    assert len(refused) == 1


def test_looking_at_a_lock_takes_and_changes_nothing(tmp_path):
    refuse_if_locked(tmp_path)
    assert not list(tmp_path.iterdir())
    said = f"is in use by process {os.getpid()} on "
    with locked(tmp_path), pytest.raises(ValueError, match=said):
        refuse_if_locked(tmp_path)
    refuse_if_locked(tmp_path)
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


HOLD = """
import pathlib, sys, time
from jaxinv.files import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_leaves_no_lock(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    said = f"is in use by process {holder.pid} on .* since 20"
    with pytest.raises(ValueError, match=said), locked(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (tmp_path / LOCK_FILE).exists()
    refuse_if_locked(tmp_path)
    with locked(tmp_path):
        pass


def test_many_threads_never_hold_a_lock_together(tmp_path):
    """The file is deleted by each holder while others open it."""
    holding, most, taken = [], [], []

    def take():
        for _ in range(200):
            try:
                with locked(tmp_path):
                    holding.append(1)
                    most.append(len(holding))
                    holding.pop()
                    taken.append(1)
            except ValueError:
                continue

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert taken
