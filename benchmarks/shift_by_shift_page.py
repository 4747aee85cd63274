"""The section of docs/benchmarks.md on every shift by itself beside the forward pass alone."""

from typing import Any

from benchmarks.formats import markdown, plain, seconds
from benchmarks.tables import labels

INTRODUCTION = """\
Where nothing is shared, a user compares `orbit(..., share=False)` with the compiled network alone.
Both evaluate as many images: the network at the batch, and the orbit at the chunk, that is
quickest, of 1, 4, 16 and 48 shifts at once (the orbit also at its own choice, auto). Times are of
one shift, on the clock. *Throughput* is that of the orbit over that of the network; *by processor
time* it is that of the two that take least of the processor, which other programs change less.
*PyTorch* is the time of its quickest batch over the orbit's, where it was measured. The orbit can
be quicker than the network: on a processor it computes depthwise convolutions, and those whose
kernel is larger than the map, in another way than XLA, which needs up to a hundred times as long
for them. Repeat it with `python -m benchmarks.shift_by_shift --write-docs`.
"""
HEADING = (
    "network",
    "input",
    "network alone",
    "orbit, share=False",
    "throughput",
    "by processor time",
    "PyTorch",
)


def section(found: dict[str, Any]) -> list[str]:
    """The lines of the section."""
    rows = list(found["rows"].values())
    text = ["## Every shift by itself", "", f"{found['machine']['device']}, float32.", ""]
    load = max((row["load"] or 0 for row in rows), default=0)
    text += [INTRODUCTION]
    if load > 3:
        text += [f"Other programs ran meanwhile (load average up to {load:.0f}).", ""]
    return [*text, *markdown("Throughput", HEADING, [cells(row) for row in rows])]


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table."""
    alone, brute = (row["times"][row["best"][name]] for name in ("forward pass", "brute force"))
    return (
        *labels(row),
        *(f"{seconds(t['median'] / row['shifts'])} ({t['setting']})" for t in (alone, brute)),
        plain(row["ratio"]),
        plain(row["processor_ratio"]),
        plain(row["torch_ratio"]) if "torch_ratio" in row else "",
    )
