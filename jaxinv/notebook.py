"""What results look like in a notebook: one table, in light and in dark."""

import functools
import itertools
from collections.abc import Collection, Sequence


def html_table(
    title: str,
    rows: Sequence[Sequence[object]],
    *,
    head: Sequence[str] = (),
    numbers: Collection[int] = (),
    marks: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """A table as HTML, every value escaped.

    Args:
      title: a line above it.
      rows: its cells.
      head: names of the columns.
      numbers: the columns of numbers, which stand at the right.
      marks: of the first rows; those with "ends" or "thins" are coloured.
      notes: lines below it.

    Example:
      >>> "<td>1 &lt; 2</td>" in html_table("facts", [["one", "1 < 2"]])
      True
    """
    return _template().render(
        title=title,
        head=head,
        rows=list(itertools.zip_longest(marks, rows, fillvalue="")),
        numbers=numbers,
        notes=notes,
    )


@functools.cache
def _template():
    import jinja2  # print needs no page

    loader = jinja2.PackageLoader("jaxinv", "")
    return jinja2.Environment(loader=loader, autoescape=True).get_template("notebook.html.jinja")
