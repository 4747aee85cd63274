"""The code of docs/tiling.md prints what the page shows."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tiling.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class AtAnyLine(doctest.OutputChecker):
    """Where the U-Net's layers stand in its file is not what the page is about."""

    def check_output(self, want, got, flags):
        want, got = (re.sub(r"unet\.py:\d+", "unet.py", text) for text in (want, got))
        return super().check_output(want, got, flags)


def test_the_page():
    text = PAGE.read_text()
    test = doctest.DocTestParser().get_doctest(text, {}, "tiling.md", str(PAGE), 0)
    runner = doctest.DocTestRunner(AtAnyLine(), optionflags=FLAGS)
    assert runner.run(test).failed == 0
    table = text.split("print(tiling)")[1].split("```")[0]
    assert max(map(len, table.splitlines())) <= 100
