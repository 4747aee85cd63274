"""The code of docs/maps.md prints what the page shows."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "maps.md"


def test_the_page():
    test = doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, "maps.md", str(PAGE), 0)
    assert doctest.DocTestRunner().run(test).failed == 0
