"""Pieces of the HTML page: tables, pictures that follow the page's colours, escaped text."""

import collections
import html
import io
import itertools
import re

import matplotlib
from matplotlib.figure import Figure

from jaxinv.command_line import printable
from jaxinv.evaluation.results import Estimate, figure
from jaxinv.report.plots import INK, MUTED, SERIES, STYLE, save
from jaxinv.report.tables import Cell, Sheet

VERDICTS = ("true", "false", "partly")
# Longer row headings may wrap.
LONG = 30


def text(value: object) -> str:
    """Text that HTML shows as it is, its lines kept and other control characters spelt out.

    Example:
      >>> text("a < b")
      'a &lt; b'
    """
    return html.escape("\n".join(map(printable, str(value).split("\n"))))


def table(sheet: Sheet) -> str:
    """A sheet as an HTML table; its first column heads the rows.

    Args:
      sheet: the table's content.

    Returns:
      The markup.

    Example:
      >>> sheet = Sheet("a", "title", ("x", "y"), (("one", 2),), frozenset({0}))
      >>> 'scope="row">one</th>' in table(sheet)
      True
    """
    sentences = any(number > 0 for number in sheet.prose if number < len(sheet.columns))
    heads = "".join(
        f'<th scope="col"{_kind(sheet, number)}>{text(name)}</th>'
        for number, name in enumerate(sheet.columns)
    )
    rows = []
    for row in sheet.rows:
        kind = ' class="long"' if len(str(row[0])) > LONG else ""
        cells = [f'<th scope="row"{kind}>{_cell(row[0])}</th>']
        for number, cell in enumerate(row[1:], 1):
            plain = number in sheet.prose or sheet.columns[number] == "verdict"
            label = "" if plain else f' data-label="{text(sheet.columns[number])}"'
            cells.append(f"<td{_kind(sheet, number)}{label}>{_cell(cell)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    kind = ' class="sentences"' if sentences else ""
    body = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return scrolled(f"<table{kind}>{body}</table>", label=sheet.title)


def scrolled(content: str, *, label: str) -> str:
    """Content that scrolls sideways in its own box, by keyboard too, never the page.

    Example:
      >>> scrolled("<pre>x</pre>", label="program")
      '<div class="scroll" role="region" tabindex="0" aria-label="program"><pre>x</pre></div>'
    """
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(label)}">{content}</div>'
    )


def picture(drawn: Figure, *, alternative: str, caption: str = "", wide: bool = False) -> str:
    """A drawing as inline SVG in the page's colours, light or dark, with a text alternative.

    Args:
      drawn: the figure.
      alternative: what it shows, for readers who do not see it.
      caption: a line below it.
      wide: keep it legible on a phone by letting it scroll.

    Returns:
      The markup.

    Example:
      >>> 'role="img"' in picture(Figure(figsize=(1, 1)), alternative="an empty square")
      True
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        save(drawn, buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = _follow_the_page(svg)
    width = drawn.get_figwidth() * 96
    attributes = f'role="img" aria-label="{text(alternative)}" style="--natural:{width:.0f}px"'
    svg = re.sub(r'\s(width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace("<svg ", f"<svg {attributes} ", 1)
    if wide:
        svg = scrolled(svg, label=alternative)
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}>{svg}{below}</figure>"


def with_own_names(body: str) -> str:
    """Ids of each drawing of a page apart from those of the others, and from one another.

    matplotlib names a marker by its content, so it defines an equal one twice under one name.

    Args:
      body: the page's content.

    Returns:
      It, with the drawings' ids numbered in their order.

    Example:
      >>> with_own_names('<svg id="a"></svg><svg id="a"><use href="#a"/></svg>')
      '<svg id="g0-a"></svg><svg id="g1-a"><use href="#g1-a"/></svg>'
    """
    numbers = itertools.count()

    def own(drawing: re.Match[str]) -> str:
        prefix = f"g{next(numbers)}-"
        seen: collections.Counter[str] = collections.Counter()

        def numbered(match: re.Match[str]) -> str:
            name = match[1]
            seen[name] += 1
            again = "" if seen[name] == 1 else f"-again{seen[name]}"
            return f'id="{prefix}{name}{again}"'

        svg = re.sub(r'\bid="([^"]*)"', numbered, drawing[0])
        svg = re.sub(r'(href=")#', rf"\1#{prefix}", svg)
        return re.sub(r"url\(#", f"url(#{prefix}", svg)

    return re.sub(r"<svg\b.*?</svg>", own, body, flags=re.DOTALL)


def _follow_the_page(svg: str) -> str:
    for number, colour in enumerate(SERIES):
        svg = svg.replace(colour, f"var(--s{number})")
    return svg.replace(INK, "var(--ink)").replace(MUTED, "var(--muted)")


def _kind(sheet: Sheet, number: int) -> str:
    if number == 0:
        return ""
    if number in sheet.prose:
        return ' class="prose"'
    return "" if sheet.columns[number] == "verdict" else ' class="n"'


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, Estimate):
        shown = text(cell)
        return f'<span class="{shown}">{shown}</span>' if cell in VERDICTS else shown
    if cell.unit != "share":
        return text(figure(cell.value) + ("" if cell.unit == "relative" else f" {cell.unit}"))
    shown = f"{100 * cell.value:.1f}%"
    if cell.low is None or cell.high is None:
        return shown
    ends = f"{100 * cell.low:.1f}–{100 * cell.high:.1f}"
    return f'{shown}<span class="interval">{ends}</span>'
