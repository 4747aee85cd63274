"""Figures in words, tables in Markdown, and files of figures."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def seconds(value: float | None) -> str:
    """A time with three digits.

    >>> seconds(0.01234), seconds(5.678), seconds(1234.5)
    ('12.3 ms', '5.68 s', '1,234 s')
    """
    if value is None:
        return ""
    if value < 1:
        return f"{1e3 * value:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"


def plain(value: float) -> str:
    """A ratio with three digits.

    >>> plain(17.64), plain(4567.8), plain(2)
    ('17.6', '4,568', '2')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def mebibytes(value: int | None) -> str:
    """Memory.

    >>> mebibytes(3 * 2**30), mebibytes(1000), mebibytes(None)
    ('3,072 MiB', '<1 MiB', 'not reported')
    """
    if value is None:
        return "not reported"
    return f"{value / 2**20:,.0f} MiB" if value >= 2**20 else "<1 MiB"


def markdown(title: str, heading: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table on the page."""
    lines = [f"### {title}", "", f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    return [*lines, *(f"| {' | '.join(line)} |" for line in body), ""]


def cell(name: str, value: Any) -> str:
    """A figure of a line in the words of its table, by the name of its column.

    >>> cell("difference", 0.00012), cell("seconds", 0.5), cell("peak bytes", 2**21)
    ('1.2e-04', '500 ms', '2 MiB')
    """
    if isinstance(value, str):
        return value.replace("|", "/")
    if name.endswith("bytes"):
        return mebibytes(value)
    if "seconds" in name:
        return seconds(value)
    if "difference" in name or name == "tolerance":
        return f"{value:.1e}"
    return f"{value:,}" if isinstance(value, int) else plain(value)


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(beside, path)


def read(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if there is none."""
    return json.loads(path.read_text()) if path.is_file() else {}
