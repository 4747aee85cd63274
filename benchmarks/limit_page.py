"""The section of docs/benchmarks.md on how far each row is from the limit of the method."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.formats import markdown, plain
from benchmarks.tables import labels

Row = dict[str, Any]

INTRODUCTION = """\
Sharing can do no better than compute each distinct activation once, as fast as a forward pass
computes. *Distinct work* is what that takes for all shifts, as `jaxinv.orbit_cost` counts it; the
speeds are the operations counted over the time measured, of sharing and of one pass, and *of a
pass* is the first over the second. It is below 100% where pieces are small, gathered, or read in
chunks, and above where `orbit` computes convolutions in a way that XLA runs faster, or where one
pass is too little to keep the device busy.

Where zeros are padded, a map of n positions along an axis, b of which have met the padding, has
`min(n, 1 + b)` distinct copies along it. So all circular shifts can take at most
`(n / min(n, 1 + b))^2` times less than brute force. *Bound of borders* is that for all
convolutions of the network together, each by its operations, and *reached* the measured ratio to
brute force as a share of it. It may pass 100% as the speeds do.
"""
HEADING = (
    "network",
    "input",
    "one pass",
    "distinct work",
    "one pass, a second",
    "shared, a second",
    "of a pass",
    "bound of borders",
    "reached",
)

# As their abstracts have it.
PUBLISHED = (
    (
        "[Giusti et al. (2013)](https://arxiv.org/abs/1302.1700)",
        "“orders of magnitude”",
        "patch by patch",
        "scanning images with max-pooling networks",
    ),
    (
        "[Masci et al. (2013)](https://arxiv.org/abs/1302.1690)",
        "1,500",
        "patch by patch",
        "training max-pooling networks to segment images",
    ),
    (
        "[Li, Zhao and Wang (2014)](https://arxiv.org/abs/1412.4526)",
        "over 1,500",
        "patch by patch",
        "forward and backward passes of pixelwise classification, on a GPU",
    ),
    (
        "[Tschopp (2015)](https://arxiv.org/abs/1509.03371)",
        "54",
        "a sliding window",
        "pixelwise classification by the SK network, on an AMD GPU",
    ),
    (
        "[Zlateski, Lee and Seung (2016)](https://arxiv.org/abs/1606.05688), ZNNi",
        "10 or more",
        "other public implementations of sliding windows",
        "inference on volumes, on a CPU and a GPU together",
    ),
)
DIFFERENCES = """\
What differs:

* There a window slides over a larger image: what enters at a shift is the rest of the image, and
  nothing is padded within the window. That is `mode="crop"` here. Circular shifts of one image and
  networks that pad inside are what the rows above have.
* There the network is rewritten for the purpose (max pools in fragments, sparse kernels); here any
  function that JAX traces is, and what cannot be shared runs at each shift.
* There each patch by itself is the measure; here it is compiled passes on the same device, at the
  quickest of several chunks.
"""


def section(timed: Mapping[str, Sequence[Row]]) -> list[str]:
    """The lines of the section; none if operations were counted in no row.

    Args:
      timed: by device the rows of networks at every shift, as `benchmarks.measure` makes them.
    """
    counted = {
        device: [cells(row) for row in rows if "forward_flops" in row["figures"]]
        for device, rows in timed.items()
    }
    if not any(counted.values()):
        return []
    text = ["## How far from the limit", "", INTRODUCTION]
    for device, body in counted.items():
        if body:
            text += markdown(device, HEADING, body)
    ours = [_largest(device, timed[device]) for device, body in counted.items() if body]
    heading = ("source", "times as fast", "than", "on")
    speedups = [*PUBLISHED, *itertools.chain(*ours)]
    text += markdown("Published speed-ups, and the largest above", heading, speedups)
    return [*text, DIFFERENCES]


def _largest(device: str, rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The forward row with the largest ratio to brute force, in the columns of what is published.

    Brute force of a gradient is a loop, and says more of the host than of sharing on a GPU.
    """
    forward = sorted(
        (row for row in rows if row["kind"] == "forward"), key=lambda row: row["figures"]["ratio"]
    )
    return [
        (device, plain(row["figures"]["ratio"]), "every shift by itself", ", ".join(labels(row)))
        for row in forward[-1:]
    ]


def cells(row: Row) -> tuple[str, ...]:
    """One row of the table, of a network at every shift."""
    figures, times = row["figures"], row["times"]
    once = figures["forward_flops"]
    shared = once * figures["work_in_passes"]
    speed = once / times["forward pass"]["median"]
    shared_speed = shared / times["shared"]["median"]
    bound = figures.get("border_bound")
    return (
        *labels(row),
        operations(once),
        operations(shared),
        operations(speed),
        operations(shared_speed),
        f"{shared_speed / speed:.0%}",
        plain(bound) if bound else "",
        f"{figures['ratio'] / bound:.0%}" if bound else "",
    )


def operations(count: float) -> str:
    """A number of floating-point operations with three digits.

    >>> operations(3.64e9), operations(9.8e13), operations(2e6)
    ('3.64 GFLOP', '98 TFLOP', '2 MFLOP')
    """
    for unit, name in ((1e12, "TFLOP"), (1e9, "GFLOP")):
        if count >= unit:
            return f"{plain(count / unit)} {name}"
    return f"{plain(count / 1e6)} MFLOP"
