"""The section of docs/benchmarks.md on how cost grows, and what that comes to on paper."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Per image: ResNet-50 with circular padding at all 50,176 circular shifts of 224 pixels, and one
# forward pass of many together, as docs/accelerator.json has them for an H200 in TF32.
SHARED_SECONDS, PASS_SECONDS = 12.7e-3, 4.56 / 50_176
# A forward pass of ResNet-50 at 224 pixels; a TPU v5e's peak in bfloat16, and the share of it that
# convolutions reach in practice, by experience.
OPERATIONS, V5E, SHARE = 8.2e9, 197e12, 0.3
IMAGES, SHIFTS = 50_000, 289

INTRODUCTION = """\
A small network (two strided convolutions with circular padding, a dense head) on generated images
of 64x64: 1,000 images, 81 shifts, 10 classes, one device and one process where nothing else is
said. Seconds are those of the whole command, start and compilation included: first on the clock,
then of the processor, which other programs change less and slopes are of. Memory is the peak of
each process. Repeat it with `python -m benchmarks.scaling --write-docs`.
"""


def section(found: dict[str, Any]) -> list[str]:
    """The lines of the section.

    >>> row = {"seconds": 1.0, "processor": 1.0, "mebibytes": [1.0], "load": 0.5}
    >>> rows = {f"images {n}": {**row, "images": n} for n in (1000, 2000)}
    >>> lines = section({"machine": {"device": "", "jax": ""}, "rows": rows})
    >>> [line for line in lines if "slope" in line]
    ['| slope | 0 s and 0 MiB for 1,000 images more |']
    """
    machine, rows = found["machine"], found["rows"]
    load = max((row["load"] or 0 for row in rows.values()), default=0)
    lines = ["## How cost grows", "", f"{machine['device']}, jax {machine['jax']}.", ""]
    lines += [INTRODUCTION]
    if load > 3:
        lines += [
            f"Other programs ran meanwhile (load average up to {load:.0f}): times are rough.",
            "",
        ]
    for name in dict.fromkeys(key.split()[0] for key in rows):
        these = [row for key, row in rows.items() if key.split()[0] == name]
        these.sort(key=lambda row: row[name])
        lines += [f"| {name} | |", "|---:|---|"]
        for row in these:
            peaks = " and ".join(f"{value:,.0f}" for value in row["mebibytes"])
            times = f"{row['seconds']:,.1f} s, {row['processor']:,.1f} s"
            lines.append(f"| {row[name]:,} | {times}, {peaks} MiB |")
        if name in PER and len(these) > 1:
            lines.append(f"| slope | {_slope(name, these)} |")
        lines.append("")
    return [*lines, *_on_paper(), ""]


# What a slope is said of.
PER = {"images": (1000, "images"), "shifts": (100, "shifts"), "classes": (100, "classes")}


def _slope(name: str, rows: Sequence[dict[str, Any]]) -> str:
    amounts = np.array([row[name] for row in rows], float)
    unit, what = PER[name]
    seconds = unit * np.polyfit(amounts, [row["processor"] for row in rows], 1)[0]
    memory = unit * np.polyfit(amounts, [max(row["mebibytes"]) for row in rows], 1)[0]
    return f"{_plain(seconds)} s and {_plain(memory)} MiB for {unit:,} {what} more"


def _plain(value: float) -> str:
    return "0" if abs(value) < 5e-3 else f"{value:.2g}"


def _on_paper() -> list[str]:
    shared, brute = IMAGES * SHARED_SECONDS, IMAGES * SHIFTS * PASS_SECONDS
    tpu = IMAGES * SHIFTS * OPERATIONS / (16 * V5E * SHARE)
    kept, outputs = IMAGES * SHIFTS * 10 / 1e6, IMAGES * 1000 * 4 / 1e6
    return f"""\
### On paper: ImageNet's {IMAGES:,} validation images at {SHIFTS} shifts, ResNet-50

Not measured. Shards of images need nothing of one another, so n devices take an n-th of the time;
a few minutes to start and compile, and the report, come on top.

| | one device | all |
|---|---:|---:|
| circular padding, shifts shared, 8 H100 | {shared / 60:.0f} min | {shared / 8:.0f} s |
| shift by shift (any padding), 8 H100 | {brute / 60:.0f} min | {brute / 8:.0f} s |
| shift by shift, a pod of 16 v5e | {16 * tpu / 60:.0f} min | {tpu:.0f} s |

An H100 is taken to be as fast as the H200 below: {1e3 * SHARED_SECONDS:.1f} ms an image for all
50,176 circular shifts, which is more than the {SHIFTS} need, and {1e3 * PASS_SECONDS:.3f} ms a
pass. A v5e is taken to reach {SHARE:.0%} of its {V5E / 1e12:.0f} TFLOP/s in bfloat16, at
{OPERATIONS / 1e9:.1f} GFLOP a pass. Reading takes half a minute: two cores decode 1,700 pictures a
second (docs/scale.md). Shards hold {kept:.0f} MB, and {outputs:.0f} MB of outputs.
""".splitlines()
