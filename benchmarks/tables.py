"""The rows of `benchmarks.measure` as tables: for the terminal, and for docs/benchmarks.md."""

import math
from typing import TYPE_CHECKING, Any

from benchmarks.case import AIMS
from benchmarks.formats import mebibytes, plain, seconds

if TYPE_CHECKING:
    from rich.table import Table

Run = dict[str, Any]
Row = dict[str, Any]

COLUMNS = (
    "network",
    "input",
    "shifts",
    "one pass",
    "all shared",
    "in passes",
    "work",
    "brute force",
    "ratio",
    "of the bound",
    "difference",
    "compile",
)
LOOPS = ("jitted loop", "PyTorch loop", "PyTorch batched")


def labels(row: Row) -> tuple[str, str]:
    """The network in words and the shape of its input."""
    return row["title"], "x".join(map(str, row["shape"]))


def cells(row: Row) -> tuple[str, ...]:
    """One row of the main table."""
    figures, times = row["figures"], row["times"]
    single = times["single-shift gradient" if row["kind"] == "gradient" else "forward pass"]
    brute = times[row["best"]["brute force"]]
    partly = brute["shifts_timed"] < row["shifts"]
    return (
        *labels(row),
        f"{row['shifts']:,}" + (f" ({brute['shifts_timed']} timed)" if partly else ""),
        seconds(single["median"]),
        seconds(times["shared"]["median"]),
        plain(figures["gradients"] if row["kind"] == "gradient" else figures["passes"]),
        plain(figures["work_in_passes"]) if "work_in_passes" in figures else "",
        f"{seconds(brute['median'])} ({brute['setting']})",
        plain(figures["ratio"]),
        f"{figures['share_of_bound']:.0%}" if "share_of_bound" in figures else "",
        _difference(figures),
        _compile(figures),
    )


def _compile(figures: dict[str, float]) -> str:
    """How long it takes, and how many times as long as for one pass."""
    found = seconds(figures["compile_seconds"])
    times = figures.get("compile_in_passes")
    return f"{found} ({plain(times)}x)" if times else found


def _difference(figures: dict[str, float]) -> str:
    """How far two ways differ, and whether that is more than `jaxinv.tolerance` promises."""
    found = f"{figures['difference']:.0e}"
    promised = figures.get("tolerance", math.inf)
    # Not >: a NaN exceeds every promise.
    return found if figures["difference"] <= promised else f"{found}, EXCEEDS {promised:.0e}"


def loop_cells(row: Row) -> tuple[str, ...]:
    """One row of the table of loops: time, setting, and how much longer than shared."""
    texts = []
    for group in LOOPS:
        name = row["best"].get(group)
        if name is None:
            texts.append("")
            continue
        found = row["times"][name]
        setting = f" ({found['setting']})" if found["setting"] else ""
        texts.append(f"{seconds(found['median'])}{setting}, {plain(row['speedups'][group])}x")
    return (*labels(row), *texts)


def memory_cells(row: Row) -> tuple[str, ...]:
    """Memory of the shared orbit, and chunks."""
    planned, peak = (row["memory"][name] for name in ("program_bytes", "peak_bytes"))
    return (
        *labels(row),
        mebibytes(planned),
        mebibytes(peak),
        f"{row['chunks']['shared'] or 'all at once'}",
        f"{row['chunks'].get('brute force') or ''}",
    )


def aim_cells(row: Row) -> list[tuple[str, ...]]:
    """What the row has to reach, what it reached, and whether that is enough."""
    return [
        (
            *labels(row),
            AIMS[aim["figure"]].format(f"{aim['aim']:g}"),
            f"{aim['measured']:.2g}" if aim["measured"] < 1 else plain(aim["measured"]),
            "reached" if aim["reached"] else "missed",
        )
        for aim in row["aims"]
    ]


def tables(run: Run) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Title, heading and rows of each table of a run that has any."""
    rows = list(run["rows"].values())
    looped = [row for row in rows if any(group in row["best"] for group in LOOPS)]
    counted = [row for row in rows if "memory" in row]
    found = [
        ("Shared and brute force", COLUMNS, [cells(row) for row in rows]),
        (
            "Loops over shifts: time for all shifts, and how many times that of sharing",
            ("network", "input", "JAX, jitted", "PyTorch loop", "PyTorch batched"),
            [loop_cells(row) for row in looped],
        ),
        (
            "Memory, and shifts evaluated together by the library's choice",
            ("network", "input", "planned by XLA", "peak", "shared", "brute force"),
            [memory_cells(row) for row in counted],
        ),
        (
            "Aims",
            ("network", "input", "aim", "measured", "verdict"),
            [c for row in rows for c in aim_cells(row)],
        ),
    ]
    return [table for table in found if table[2]]


def rich_tables(run: Run) -> list["Table"]:
    """The same for the terminal."""
    from rich.table import Table

    made = []
    for title, heading, body in tables(run):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for number, name in enumerate(heading):
            table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
        for line in body:
            table.add_row(*line)
        made.append(table)
    return made


def each_parameter(run: Run) -> list[str]:
    """What to know of gradients besides the table."""
    return [
        line
        for row in run["rows"].values()
        if "difference_float64" in row["figures"]
        for line in (
            f"{row['title']}: relative to each parameter's own largest gradient the difference is "
            f"at most {row['figures']['difference_of_each']:.1e}, and "
            f"{row['figures']['difference_float64']:.1e} in float64.",
            "",
        )
    ]
