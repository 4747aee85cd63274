"""The code on docs/method.md runs, and prints what the page shows."""

import contextlib
import io
import pathlib
import re

from jaxinv.symmetry.registry import REGISTERED

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "method.md"


def test_code_prints_what_the_page_shows():
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    kinds = [kind for kind, _ in blocks]
    assert kinds[:4] == ["python", "text"] * 2
    scope: dict = {}
    before = dict(REGISTERED)
    try:
        for (_, code), (_, expected) in zip(blocks[0:4:2], blocks[1:4:2], strict=True):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(PAGE), "exec"), scope)
            assert printed.getvalue() == expected
    finally:
        REGISTERED.clear()
        REGISTERED.update(before)
