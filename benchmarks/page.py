"""The figures as tables: in the terminal while they come in, and as docs/benchmarks.md."""

from typing import Any

from rich.table import Table

from benchmarks.cases import AIMS

Run = dict[str, Any]
Row = dict[str, Any]

COMMAND = "python -m benchmarks.orbit"
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
    "difference",
    "compile",
)
LOOPS = ("jitted loop", "PyTorch loop", "PyTorch batched")
INTRODUCTION = f"""\
# Every translation: what it costs

*This page is written by `{COMMAND} --write-docs`; its figures are those in `benchmarks.json`
beside it.*

Each network is evaluated at every circular shift of its input, in one process, with the same
random weights: by `jaxinv.orbit`, which computes each distinct activation once, and by evaluating
the network at each shift.
"""
METHOD = """\
## How it is measured

* The computations take turns (A B C A B C ...), so that a load on the machine meets all of them.
  Times are medians over the rounds, ratios the medians of what two of them took in the same round.
  Quick ones are repeated within their turn until a second has passed; of the rows on a CPU those
  but ResNet-20 at 64 pixels stand for turns of 0.2 seconds, in which its time scattered by half.
* *one pass* is the compiled network on the batch; *all shared* is `jaxinv.orbit`, *in passes* its
  time in such passes, and *work* what `jaxinv.orbit_cost` counts, in the operations of one pass:
  each distinct activation computed once, which is the limit of the method. Weights are
  arguments of the compiled function, not constants in it.
* On a processor `orbit` computes shared convolutions of many channels as matrix products, which
  XLA runs about twice as fast as its convolutions; the pass and brute force are the network as XLA
  compiles it. Hence *in passes* may be less than *work*.
* *brute force* is `orbit(..., share=False)` at its best chunk: the library's choice (auto), 1, 4,
  16 and 49 shifts together. A chunk that takes more than 1.5 times the best one's time at first is
  not tried again.
* For the gradient, *one pass* is that of the mean loss at one shift, and brute force a loop in
  Python over its jitted gradient; `lax.map` over shifts is far slower on a CPU.
* *jitted loop* is a loop in Python over a jitted function of (weights, images, shift). The PyTorch
  columns are the same network with the weights copied, eager, in inference mode, one shift or 4,
  16 or 49 shifts a call, with channels first or last in memory, whichever is quicker.
* Where a number of timed shifts is given, brute force and the loops ran a random sample of that
  many shifts, and their times are extrapolated to all. `orbit` always computes all of them.
* *difference* is the largest difference between `orbit` and brute force at all timed shifts,
  relative to the largest magnitude of the output; for a gradient, of all parameters' gradients.
  A gradient jumps where a unit of a ReLU is at zero. In float32 rounding puts a few of the hundreds
  of thousands of units on one side or the other, which shows in parameters of small gradients:
  hence, below the tables, the difference relative to each parameter's own, and the aim in float64,
  on 4 images, which is held against each parameter's own.
* *compile* is tracing and compilation of the shared orbit.
"""


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
        f"{figures['difference']:.0e}",
        seconds(figures["compile_seconds"]),
    )


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
    looped = [row for row in rows if row["kind"] == "forward"]
    found = [
        ("Shared and brute force", COLUMNS, [cells(row) for row in rows]),
        (
            "Loops over shifts: time for all shifts, and how many times that of sharing",
            ("network", "input", "JAX, jitted", "PyTorch loop", "PyTorch batched"),
            [loop_cells(row) for row in looped],
        ),
        (
            "Aims",
            ("network", "input", "aim", "measured", "verdict"),
            [c for row in rows for c in aim_cells(row)],
        ),
    ]
    return [table for table in found if table[2]]


def rich_tables(run: Run) -> list[Table]:
    """The same for the terminal."""
    made = []
    for title, heading, body in tables(run):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for number, name in enumerate(heading):
            table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
        for line in body:
            table.add_row(*line)
        made.append(table)
    return made


def page(runs: dict[str, Run]) -> str:
    """docs/benchmarks.md: every run that is kept, then how it was measured."""
    text = [INTRODUCTION]
    for run in runs.values():
        machine = run["machine"]
        text += [f"## {machine['device']}, {run['dtype']}", ""]
        text += [
            f"jax {machine['jax']}, {run['pytorch']}, Python {machine['python']}; "
            f"{run['settings']['rounds']} rounds. Repeat it with `{run['command']}`.",
            "",
        ]
        for title, heading, body in tables(run):
            text += [f"### {title}", "", f"| {' | '.join(heading)} |"]
            text += ["|---" * len(heading) + "|"]
            text += [*(f"| {' | '.join(line)} |" for line in body), ""]
        for row in run["rows"].values():
            if row["kind"] == "gradient":
                text += [_each_parameter(row), ""]
    return "\n".join([*text, METHOD])


def _each_parameter(row: Row) -> str:
    figures = row["figures"]
    return (
        f"{row['title']}: relative to each parameter's own largest gradient the difference is at "
        f"most {figures['difference_of_each']:.1e}, and {figures['difference_float64']:.1e} in "
        "float64."
    )
