"""Command lines that a program refuses: each in one clear line, exit status 1, nothing written.

The rows are in the modules of `tests/wrong_commands`, one for each program:

* `main`: the program, from the words of a command line to its exit status, and its `NAME`;
* `prepare(folder)`: makes the files that the rows name, once;
* `ROWS`: the command line, in which `{here}` is that folder, and words that the line has to hold.
  The same words for two rows are fine, an empty string is not.
"""

import importlib
import pkgutil
import shlex
import sys

import pytest

from tests import wrong_commands

PROGRAMS = [
    importlib.import_module(f"tests.wrong_commands.{found.name}")
    for found in pkgutil.iter_modules(wrong_commands.__path__)
]
CASES = [
    pytest.param(program, *row, id=f"{program.NAME} {row[0] or 'without arguments'}")
    for program in PROGRAMS
    for row in program.ROWS
]
# One line on a wide terminal; beyond that nobody reads it.
LONGEST = 400


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of each program with its files."""
    made = {}
    for program in PROGRAMS:
        made[program.NAME] = tmp_path_factory.mktemp(program.NAME.replace(".", "_"))
        program.prepare(made[program.NAME])
    return made


def files(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize(("program", "line", "words"), CASES)
def test_a_wrong_command_is_refused_in_one_line(program, line, words, folders, capfd, monkeypatch):
    here = folders[program.NAME]
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = files(here)
    status = program.main([word.replace("{here}", str(here)) for word in shlex.split(line)])
    said = capfd.readouterr()
    assert (status, said.out) == (1, "")
    assert words
    assert words in said.err
    assert said.err.startswith(f"{program.NAME}: error: ")
    assert said.err.count("\n") == 1
    assert "parsing config" not in said.err
    assert len(said.err) <= LONGEST + len(str(here))
    assert files(here) == before


def test_there_are_programs_and_no_row_comes_twice():
    assert {program.NAME for program in PROGRAMS} >= {"evaluate.py"}
    for program in PROGRAMS:
        assert len(program.ROWS) == len({line for line, _ in program.ROWS})
