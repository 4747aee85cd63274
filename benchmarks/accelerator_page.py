"""The section of docs/benchmarks.md on accelerators."""

from typing import Any

from benchmarks.formats import cell, markdown
from benchmarks.tables import each_parameter, tables

Run = dict[str, Any]
Row = dict[str, Any]

NONE = """\
No GPU or TPU was at hand so far: tolerances at TF32 and bfloat16, chunks, memory and speed there
are reasoned, not measured.
"""
METHOD = """\
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
  chunks, every shift by itself, tiles, training. Figures are in
  `runs/accelerator/accelerator.json` (`--out`) after each row.
* The same command goes on where it stopped, also after the machine was lost: rows that are done
  stay; rows that failed, hung, or found no time left are tried again. `--only 'memory-*' 'chunk-*'`
  measures some rows. Another machine or other versions need another `--out`; rows of one machine
  may come from different days, and commits of this package.
* A row that fails or hangs costs no other: each, or each group of quick ones, has a process of its
  own, which also makes its peak memory its own.
* *Exactness*: every layer's output at a few shifts, by brute force, is held against what the
  certificate claims of it, and the orbit of the network against brute force. `jaxinv.tolerance`
  allows an entry *tolerance* times the output's scale, and as much again times its own size, so
  that the difference of a large entry may exceed *tolerance*; *of what is allowed* is the largest
  share of that, in newer rows. "EXCEEDED" means that it has to be mended, here or there.
* TF32 is JAX's default for float32 on NVIDIA GPUs, and set for PyTorch, too; float32 is
  `jax_default_matmul_precision="highest"`; in bfloat16 weights and images are in that type, and
  PyTorch runs in it as well as by autocast. PyTorch's best of 16, 49 and 196 shifts a call counts,
  channels last.
* *By itself*: `orbit(..., share=False)` at its best chunk beside the compiled network on a batch of
  shifted images at its best size, and PyTorch's. *Tiles*: a U-Net on a large image, whole and by
  `jaxinv.tiled`.
* *planned* is the memory of arguments, results and temporary values as XLA planned it, *peak* what
  the device counted where running took more than compiling did, and *predicted*
  `jaxinv.orbit_cost(...).peak_bytes`. XLA tries out convolutions while it compiles, so the rows of
  *Peak memory* find their program in JAX's compilation cache, where a process before them left it.

"""


def section(accelerators: dict[str, Run]) -> list[str]:
    """The lines of the section, from what was found by device."""
    text = ["## GPU and TPU", ""]
    for found in accelerators.values():
        text += accelerator_tables(found)
    if not accelerators:
        text += [NONE]
    return [*text, METHOD]


def timed(found: Run) -> list[Row]:
    """The rows of a run that are networks at every shift, as `benchmarks.measure` makes them."""
    rows = found["rows"].values()
    return [row["case"] for row in rows if row["status"] == "done" and "case" in row]


def accelerator_tables(found: Run) -> list[str]:
    """What `benchmarks.accelerator` found, as lines of the page; the terminal shows the same."""
    about = found["machine"] or {"device": "no row was measured"}
    versions = (f"{name} {value}" for name, value in about.items() if name != "device")
    text = [f"**{about['device']}**; {', '.join(versions)}", ""]
    done = {name: row for name, row in found["rows"].items() if row["status"] == "done"}
    for title in dict.fromkeys(row["table"] for row in done.values()):
        lines = [line for r in done.values() if r["table"] == title for line in r.get("lines", ())]
        if lines:
            heading = list(dict.fromkeys(name for line in lines for name in line))
            body = [[cell(name, line.get(name, "")) for name in heading] for line in lines]
            text += markdown(title, heading, body)
        else:
            rows = {"rows": dict(enumerate(timed(found)))}
            for table in tables(rows):
                text += markdown(*table)
            text += each_parameter(rows)
    missing: dict[tuple[str, str], list[str]] = {}
    for name, row in found["rows"].items():
        if "why" in row:
            missing.setdefault((row["status"], cell("", row["why"])), []).append(name)
    if missing:
        body = [[", ".join(names), *reason] for reason, names in missing.items()]
        text += markdown("Not measured", ("rows", "status", "why"), body)
    return text
