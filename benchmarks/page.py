"""docs/benchmarks.md, from the figures beside it."""

from pathlib import Path
from typing import Any

from benchmarks import accelerator_page, limit_page, scaling_page, shift_by_shift_page
from benchmarks.formats import markdown, read, write
from benchmarks.tables import each_parameter, tables

Run = dict[str, Any]

DOCS = Path(__file__).resolve().parent.parent / "docs"
COMMAND = "python -m benchmarks.orbit"
INTRODUCTION = f"""\
# Every translation: what it costs

*This page is written by `{COMMAND} --write-docs`; its figures are those in `benchmarks.json`
beside it.*

Each network is evaluated at every circular shift of its input, unless its row says otherwise, in
one process, with the same random weights: by `jaxinv.orbit`, which computes each distinct
activation once, and by evaluating the network at each shift.
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
  about ten times as fast; the pass is the network as XLA compiles it. Hence *in passes* may be
  less than *work*. Brute force computes depthwise convolutions, and those whose kernel is larger
  than the map, as `orbit` does: MobileNetV2 at 64 pixels takes a seventh of what XLA makes of it.
  The aims are older than that.
* *brute force* is `orbit(..., share=False)` at its best chunk: the library's choice (auto), 1, 4,
  16 and 49 shifts together. A chunk that takes more than 1.5 times the best one's time at first is
  not tried again.
* For the gradient, *one pass* is that of the mean loss at one shift, and brute force a loop in
  Python over its jitted gradient; `share=False` is a `lax.map` over shifts.
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


def page(
    runs: dict[str, Run],
    accelerators: dict[str, Run],
    scaling: Run | None = None,
    shift_by_shift: Run | None = None,
) -> str:
    """docs/benchmarks.md: every run that is kept, then how it was measured.

    Args:
      runs: those of `benchmarks.orbit`, by device and precision.
      accelerators: those of `benchmarks.accelerator`, by device.
      scaling: that of `benchmarks.scaling`, if there is one.
      shift_by_shift: that of `benchmarks.shift_by_shift`, if there is one.
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
        text += each_parameter(run)
    if shift_by_shift:
        text += shift_by_shift_page.section(shift_by_shift)
    if scaling:
        text += scaling_page.section(scaling)
    text += accelerator_page.section(accelerators)
    timed = {key: list(run["rows"].values()) for key, run in runs.items()}
    timed |= {key: accelerator_page.timed(found) for key, found in accelerators.items()}
    text += limit_page.section(timed)
    return "\n".join([*text, METHOD])


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


def add_accelerator(folder: Path, found: Run) -> None:
    """Puts what `benchmarks.accelerator` found on a device in the place of what was there of it."""
    path = folder / "accelerator.json"
    write(path, read(path) | {found["machine"]["device"]: found})
    write_page(folder)


def write_page(folder: Path) -> None:
    """Writes benchmarks.md from the JSON files beside it."""
    names = ("benchmarks.json", "accelerator.json", "scaling.json", "shift_by_shift.json")
    (folder / "benchmarks.md").write_text(page(*(read(folder / name) for name in names)))
