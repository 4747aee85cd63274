"""Every shift by itself, `orbit(..., share=False)`, beside the compiled forward pass alone.

`python -m benchmarks.shift_by_shift` times zero-padded networks on a processor and prints a table;
with `--write-docs` it writes docs/shift_by_shift.json and the section of docs/benchmarks.md. It
goes on where it was stopped: rows that are in the output are not measured again.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from benchmarks import formats, machine, page, shift_by_shift_page
from benchmarks.case import Case
from benchmarks.cases import named
from benchmarks.compiled import compiled
from benchmarks.measure import Settings, brute_force
from benchmarks.timing import Contender, best, interleave, ratio
from jaxinv.command_line import read_options, run

Row = dict[str, Any]


def _padded(name: str, title: str, model: str) -> Case:
    return Case(name, title, model, {"padding": "SAME"}, (1, 64, 64, 3), 1000, sample=48)


CASES = (
    dataclasses.replace(named("resnet20-zeros-32"), sample=64),
    dataclasses.replace(named("lenet-zeros-dense"), sample=192),
    dataclasses.replace(named("vgg11-zeros-64"), sample=192),
    _padded("resnet18-zeros-64", "ResNet-18 zero-padded", "resnet18"),
    _padded("mobilenet-zeros-64", "MobileNetV2 zero-padded", "mobilenet_v2"),
)
WIDTHS = (1, 4, 16, 48)


@dataclasses.dataclass(frozen=True)
class Options:
    """Time every shift by itself beside the forward pass alone."""

    only: tuple[str, ...] = ()
    """Names of networks; all if not given."""
    rounds: int = 5
    """How often each computation is timed."""
    torch: bool = True
    """Time PyTorch's batches as well, if it is installed."""
    output: Path = Path("runs/benchmarks/shift_by_shift.json")
    """Where the figures go."""
    write_docs: bool = False
    """Write docs/shift_by_shift.json and docs/benchmarks.md."""
    docs: Path = page.DOCS
    """The folder of these two."""


def measure(
    case: Case, *, rounds: int, torch: bool, widths: Sequence[int] = WIDTHS, at_least: float = 0.2
) -> Row:
    """The forward pass on 1 to 48 shifts' images at once, and as many shifts without sharing.

    Args:
      case: the network, and how many shifts are timed.
      rounds: times that each is measured.
      torch: whether PyTorch's batches are timed too.
      widths: of batches, in shifts, and chunks.
      at_least: seconds of one measurement.
    """
    apply, variables, x = case.build("float32")
    shifts = case.timed_shifts(case.sample)
    widths = [width for width in widths if len(shifts) % width == 0]
    contenders = [_passes(apply, variables, x, width, len(shifts)) for width in widths]
    for chunk in (None, *widths):
        contenders.append(brute_force(case, apply, variables, x, chunk, shifts, True)[1])
        contenders[-1].scale = 1.0
    if torch:
        from benchmarks.pytorch import torch_contenders

        settings = Settings(torch_chunks=tuple(w for w in widths if w > 1), loops=False)
        try:
            added, _ = torch_contenders(case, variables, x, shifts, settings)
        except ValueError:  # there is no twin of it
            added = []
        for contender in added:
            contender.scale = len(shifts) / contender.shifts
        contenders += added
    interleave(contenders, rounds=rounds, at_least=at_least)
    passes, brute = _best(contenders, of="seconds")
    row: Row = {
        "title": case.title,
        "shape": list(case.shape),
        "shifts": len(shifts),
        "times": {c.name: c.to_dict() | {"processor": c.processor} for c in contenders},
        "best": {"forward pass": passes.name, "brute force": brute.name},
        "ratio": ratio(passes, brute),
        "processor_ratio": ratio(*_best(contenders, of="processor"), of="processor"),
    }
    batched = best(contenders, "PyTorch batched")
    if batched is not None:
        row["best"]["PyTorch batched"] = batched.name
        row["torch_ratio"] = ratio(batched, brute)
    return row


def _best(
    contenders: Sequence[Contender], *, of: Literal["seconds", "processor"]
) -> tuple[Contender, Contender]:
    """The quickest batch of the network alone, and the quickest chunk of the orbit."""
    passes, brute = (best(contenders, g, of=of) for g in ("forward pass", "brute force"))
    assert passes is not None
    assert brute is not None
    return passes, brute


def _passes(apply: Callable, variables: Any, x: jax.Array, width: int, count: int) -> Contender:
    """The compiled network on the images of so many shifts at once, for all shifts."""
    several = jnp.concatenate([x] * width)
    program = compiled(apply, variables, several)
    calls = range(count // width)
    return Contender(
        f"forward pass, {width}",
        lambda: [program(variables, several) for _ in calls],
        group="forward pass",
        setting=str(width),
        shifts=count,
    )


def main(options: Options) -> dict[str, Any]:
    """Time the cases, and write the figures after each."""
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    if not chosen:
        known = ", ".join(case.name for case in CASES)
        raise ValueError(f"--only {' '.join(options.only)}; allowed are {known}")
    about = machine.describe()
    found = formats.read(options.output)
    if found.get("machine") != about:
        found = {"machine": about, "rows": {}}
    torch = options.torch and machine.has_torch()
    for case in chosen:
        if case.name not in found["rows"]:
            row = measure(case, rounds=options.rounds, torch=torch)
            found["rows"][case.name] = row | {"load": machine.load()}
            formats.write(options.output, found)
    print("\n".join(shift_by_shift_page.section(found)))
    if options.write_docs:
        formats.write(options.docs / "shift_by_shift.json", found)
        page.write_page(options.docs)
    return found


def program() -> None:
    """Reads the command line and runs it."""
    main(read_options(Options, sys.argv[1:], description=__doc__))


if __name__ == "__main__":
    sys.exit(run(program, name="benchmarks/shift_by_shift.py"))
