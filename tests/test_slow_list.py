"""What tests/slow.txt lists is there."""

import subprocess
import sys
from pathlib import Path

import pytest

LIST = Path(__file__).parent / "slow.txt"


@pytest.mark.slow
def test_each_slow_test_is_there():
    command = ["--collect-only", "-q", "-n", "0", "-m", "slow"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command],
        cwd=LIST.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    there = set(done.stdout.splitlines())
    gone = [name for name in LIST.read_text().splitlines() if name not in there]
    assert not gone, "tests/slow.txt names tests that are not there:\n" + "\n".join(gone)


def test_the_list_is_in_order():
    names = LIST.read_text().splitlines()
    assert names == sorted(set(names))
