"""The figures as tables: in the terminal while they come in, and as docs/benchmarks.md."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import scaling_page
from benchmarks.cases import AIMS

if TYPE_CHECKING:
    from rich.table import Table

Run = dict[str, Any]
Row = dict[str, Any]

DOCS = Path(__file__).resolve().parent.parent / "docs"
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
    "of the bound",
    "difference",
    "compile",
)
LOOPS = ("jitted loop", "PyTorch loop", "PyTorch batched")
INTRODUCTION = f"""\
# Every translation: what it costs

*This page is written by `{COMMAND} --write-docs`; its figures are those in `benchmarks.json`
beside it.*

Each network is evaluated at every circular shift of its input, unless its row says otherwise, in
one process, with the same random weights: by `jaxinv.orbit`, which computes each distinct
activation once, and by evaluating the network at each shift.
"""
NO_ACCELERATOR = """\
No GPU or TPU was at hand so far: tolerances at TF32 and bfloat16, chunks, memory and speed there
are reasoned, not measured.
"""
ACCELERATOR_METHOD = """\
### To measure on a GPU or TPU

```bash
python -m pip install 'jax[cuda12]' flax optax chex jaxtyping numpy scipy psutil   # or 'jax[tpu]'
python -m benchmarks.accelerator --dry-run      # a minute on a processor: does everything run?
python -m benchmarks.accelerator --minutes 8    # stops by itself before that; repeat it to go on
python -m benchmarks.accelerator --page         # writes accelerator.json and this section
```

Python 3.11 or newer and nothing else is needed, no network and no data; run it from the root of the
repository. With PyTorch for CUDA in the same environment its columns are filled, too.

* The most valuable rows come first: exactness in each precision, ResNet-50 at 224 pixels, CIFAR's
  ResNet-18, zero padding beside PyTorch, the rows of the tables above, the gradient, memory,
  chunks, training. Figures are in `runs/accelerator/accelerator.json` (`--out`) after each row.
* The same command goes on where it stopped, also after the machine was lost: rows that are done
  stay; rows that failed, hung, or found no time left are tried again. `--only 'memory-*' 'chunk-*'`
  measures some rows. Another machine or other versions need another `--out`.
* A row that fails or hangs costs no other: each, or each group of quick ones, has a process of its
  own, which also makes its peak memory its own.
* *Exactness*: every layer's output at a few shifts, by brute force, is held against what the
  certificate claims of it, and the orbit of the network against brute force; *tolerance* is what
  `jaxinv.tolerance` promises, relative to the output's scale. "EXCEEDED" means that it has to be
  mended, here or there.
* TF32 is JAX's default for float32 on NVIDIA GPUs, and set for PyTorch, too; float32 is
  `jax_default_matmul_precision="highest"`; in bfloat16 weights and images are in that type, and
  PyTorch runs in it as well as by autocast. PyTorch's best of 16, 49 and 196 shifts a call counts,
  channels last.
* *planned* is the memory of arguments, results and temporary values as XLA planned it, *peak* what
  the device counted, and *predicted* `jaxinv.orbit_cost(...).peak_bytes`.

"""
METHOD = """\
## How it is measured

* The computations take turns (A B C A B C ...), so that a load on the machine meets all of them.
  Times are medians over the rounds, ratios the medians of what two of them took in the same round.
  Quick ones are repeated within their turn until a second has passed; rows on a CPU come
  from turns of 0.2 seconds, except ResNet-20 at 64 pixels, whose time varied by half in them.
* *one pass* is the compiled network on the batch; *all shared* is `jaxinv.orbit`, *in passes* its
  time in such passes, and *work* what `jaxinv.orbit_cost` counts, in the operations of one pass:
  each distinct activation computed once, which is the limit of the method. Weights are
  arguments of the compiled function, not constants in it.
* On a processor `orbit` computes shared convolutions of many channels as matrix products, which
  XLA runs about twice as fast as its convolutions, and depthwise ones as sums over their taps,
  about ten times as fast; the pass and brute force are the network as XLA compiles it. Hence
  *in passes* may be less than *work*.
* *brute force* is `orbit(..., share=False)` at its best chunk: the library's choice (auto), 1, 4,
  16 and 49 shifts together. A chunk that takes more than 1.5 times the best one's time at first is
  not tried again.
* For the gradient, *one pass* is that of the mean loss at one shift, and brute force a loop in
  Python over its jitted gradient; `share=False`, a `lax.map` over shifts, is far slower on a CPU.
* *jitted loop* is a loop in Python over a jitted function of (weights, images, shift). The PyTorch
  columns are the same network with the weights copied, eager, in inference mode, one shift or 4,
  16 or 49 shifts a call, with channels first or last in memory, whichever is quicker.
* Where a number of timed shifts is given, brute force and the loops ran a random sample of that
  many shifts, and their times are extrapolated to all. `orbit` always computes all of them.
* *difference* is the largest difference between `orbit` and brute force at all timed shifts,
  relative to the largest magnitude of the output; for a gradient, of all parameters' gradients.
  A gradient jumps where a unit of a ReLU is at zero. In float32 rounding puts a few of the hundreds
  of thousands of units on one side or the other, which shows in parameters of small gradients:
  so, below the tables, the difference relative to each parameter's own, and the aim in float64,
  on 4 images, which is held against each parameter's own.
* *of the bound* is the ratio, as a share of what it would be if every operation took the same
  time: the number of shifts divided by *work*.
* *compile* is tracing and compilation of the shared orbit, with how many times as long it takes as
  that of one pass.
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


def mebibytes(value: int | None) -> str:
    """Memory.

    >>> mebibytes(3 * 2**30), mebibytes(1000), mebibytes(None)
    ('3,072 MiB', '<1 MiB', 'not reported')
    """
    if value is None:
        return "not reported"
    return f"{value / 2**20:,.0f} MiB" if value >= 2**20 else "<1 MiB"


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


def markdown(title: str, heading: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table on the page."""
    lines = [f"### {title}", "", f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    return [*lines, *(f"| {' | '.join(line)} |" for line in body), ""]


def page(
    runs: dict[str, Run], accelerators: dict[str, Run], scaling: dict[str, Any] | None = None
) -> str:
    """docs/benchmarks.md: every run that is kept, then how it was measured.

    Args:
      runs: those of `benchmarks.orbit`, by device and precision.
      accelerators: those of `benchmarks.accelerator`, by device.
      scaling: that of `benchmarks.scaling`, if there is one.
    """
    text = [INTRODUCTION]
    for run in runs.values():
        machine = run["machine"]
        text += [f"## {machine['device']}, {run['dtype']}", ""]
        text += [
            f"jax {machine['jax']}, {_pytorch(run)}, Python {machine['python']}; "
            f"{_rounds(run)} rounds. Repeat it with `{run['command']}`.{_load(run)}",
            "",
        ]
        for table in tables(run):
            text += markdown(*table)
        text += _each_parameter(run)
    if scaling:
        text += scaling_page.section(scaling)
    text += ["## GPU and TPU", ""]
    for found in accelerators.values():
        text += accelerator_tables(found)
    if not accelerators:
        text += [NO_ACCELERATOR]
    return "\n".join([*text, ACCELERATOR_METHOD, METHOD])


def _pytorch(run: Run) -> str:
    """The versions of PyTorch that rows were measured with."""
    notes = {row.get("pytorch", "") for row in run["rows"].values()}
    return ", ".join(sorted(n for n in notes if n.startswith("torch"))) or run["pytorch"]


def _rounds(run: Run) -> str:
    """Of the rows, which may have been measured one by one."""
    counts = {len(row["times"]["shared"]["seconds"]) for row in run["rows"].values()}
    return " to ".join(str(n) for n in sorted({min(counts), max(counts)}))


def _load(run: Run) -> str:
    """Whether the machine was shared: the measurements alone keep its two cores busy."""
    loads = [row["load"] for row in run["rows"].values() if row.get("load")]
    if not loads or max(loads) < _BUSY:
        return ""
    return (
        f" Other programs ran meanwhile (load average {min(loads):.0f} to {max(loads):.0f}), which "
        "slows what reads and writes most."
    )


# Load average of a machine that others use as well.
_BUSY = 4


def accelerator_tables(found: Run) -> list[str]:
    """What `benchmarks.accelerator` found, as lines of the page; the terminal shows the same."""
    about = found["machine"] or {"device": "no row was measured"}
    versions = (f"{name} {value}" for name, value in about.items() if name != "device")
    text = [f"**{about['device']}**; {', '.join(versions)}", ""]
    done = {name: row for name, row in found["rows"].items() if row["status"] == "done"}
    timed = {name: row["case"] for name, row in done.items() if "case" in row}
    for title in dict.fromkeys(row["table"] for row in done.values()):
        lines = [line for r in done.values() if r["table"] == title for line in r.get("lines", ())]
        if lines:
            heading = list(dict.fromkeys(name for line in lines for name in line))
            body = [[cell(name, line.get(name, "")) for name in heading] for line in lines]
            text += markdown(title, heading, body)
        else:
            for table in tables({"rows": timed}):
                text += markdown(*table)
            text += _each_parameter({"rows": timed})
    missing = [(n, r["status"], r["why"]) for n, r in found["rows"].items() if "why" in r]
    if missing:
        body = [[name, status, cell("", why)] for name, status, why in missing]
        text += markdown("Not measured", ("row", "status", "why"), body)
    return text


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


def add_accelerator(folder: Path, found: Run) -> None:
    """Puts what `benchmarks.accelerator` found on a device in the place of what was there of it."""
    path = folder / "accelerator.json"
    write(path, _read(path) | {found["machine"]["device"]: found})
    write_page(folder)


def write_page(folder: Path) -> None:
    """Writes benchmarks.md from the JSON files beside it."""
    names = ("benchmarks.json", "accelerator.json", "scaling.json")
    (folder / "benchmarks.md").write_text(page(*(_read(folder / name) for name in names)))


def _read(path: Path) -> dict[str, Run]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _each_parameter(run: Run) -> list[str]:
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
