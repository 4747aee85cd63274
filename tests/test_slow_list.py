"""What tests/slow.txt lists is there."""

from pathlib import Path

LIST = Path(__file__).parent / "slow.txt"


def test_each_slow_test_is_there(request, collected):
    files = {name.split("::")[0] for name in collected}
    if any("::" in argument for argument in request.config.args):
        files = set()  # a few tests were asked for by name
    listed = LIST.read_text().splitlines()
    gone = [name for name in listed if name.split("::")[0] in files and name not in collected]
    assert not gone, "tests/slow.txt names tests that are not there:\n" + "\n".join(gone)


def test_each_file_with_slow_tests_is_there():
    files = {name.split("::")[0] for name in LIST.read_text().splitlines()}
    assert [file for file in sorted(files) if not (LIST.parent.parent / file).exists()] == []


def test_the_list_is_in_order():
    names = LIST.read_text().splitlines()
    assert names == sorted(set(names))
