"""Results as tables that fit a terminal."""

import sys
from typing import TextIO

from rich.table import Table
from rich.text import Text

from jaxinv.command_line import printable
from jaxinv.evaluation.results import Estimate, Results
from jaxinv.progress import Console
from jaxinv.report.tables import Cell, Sheet, sheets
from jaxinv.report.words import setting

WIDTH = 100
# The layer tables of more networks than this are left to the page and the CSV files.
LAYERED = 2
VERDICTS = {"true": "bold green", "false": "bold red", "partly": "bold yellow"}


def console_for(stream: TextIO | None = None) -> Console:
    """A console as wide as the terminal, or of 100 columns where there is none."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else WIDTH
    # Names are shown as they are: nothing in brackets or between colons means anything.
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def show(results: Results, console: Console) -> None:
    """Prints the question and the verdict, then every table.

    Example:
      >>> show(Results(headline="Nothing was measured.", networks=()), console_for())
      Nothing was measured.
    """
    if results.question:
        console.print(printable(results.question), style="dim")
    console.print(Text(printable(results.headline), style="bold"))
    if not results.complete:
        console.print("partial: the evaluation was interrupted", style="bold yellow")
    if setting(results):
        console.print(printable(setting(results)), style="dim")
    crowded = len(results.networks) > LAYERED
    for sheet in sheets(results):
        if crowded and sheet.name.startswith("layers-"):
            continue
        console.print()
        console.print(Text(printable(sheet.title), style="bold"))
        console.print(table_of(sheet))


def table_of(sheet: Sheet) -> Table:
    """A sheet as a table of rich; below each share is its 95% interval.

    Example:
      >>> from jaxinv.report.tables import Column
      >>> sheet = Sheet("a", "title", (Column("x", "text"), Column("y")), (("one", 2),))
      >>> console_for().print(table_of(sheet))
      x    y
      one  2
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, column in enumerate(sheet.columns):
        wraps = column.kind == "text"
        longest = max(len(str(row[number] or "")) for row in sheet.rows)
        table.add_column(
            printable(column.name),
            justify="left" if wraps else "right",
            no_wrap=not wraps,
            # The first column, of names, keeps its width, so that only sentences are folded.
            min_width=min(longest, 22) if number == 0 else None,
        )
    for row in sheet.rows:
        table.add_row(*map(_shown, row))
    return table


def _shown(cell: Cell) -> Text:
    if cell is None:
        return Text("")
    if not isinstance(cell, Estimate):
        return Text(printable(cell), style=VERDICTS.get(str(cell), ""))
    text = Text(cell.number)
    wide = cell.low is not None and cell.high is not None and cell.high - cell.low >= 0.02
    if interval := cell.interval(digits=0 if wide else 1):
        text.append(f"\n{interval.replace('–', '-')}", style="dim")
    return text
