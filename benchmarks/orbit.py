"""Every translation, shared and by brute force, side by side.

`python -m benchmarks.orbit` times all networks on the device that JAX finds, prints tables and
writes a JSON file; with `--write-docs` it writes docs/benchmarks.json and docs/benchmarks.md too,
beside the runs on other devices and in other dtypes that are there. Both are written after each
network, so that with `--resume` the same command goes on where it was stopped.
"""

import dataclasses
import fnmatch
import gc
import json
import sys
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from benchmarks import formats, machine, page, tables
from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.measure import Settings, measure
from jaxinv.command_line import read_options, run


@dataclasses.dataclass(frozen=True)
class Options:
    """Time every translation of an input, shared and by brute force."""

    only: tuple[str, ...] = ()
    """Names of networks, or patterns such as 'resnet18-*'; all if not given."""
    quick: bool = False
    """One round and few shifts, without the inputs of 224 pixels: does everything run?"""
    dtype: str = "float32"
    """float32, tf32 (on NVIDIA GPUs), bfloat16, float64; default: float32 as devices do it."""
    rounds: int = 5
    """How often each computation is timed."""
    torch: bool = True
    """Time PyTorch as well, if it is installed."""
    resume: bool = False
    """Keep the figures that are in the output already, of this machine with these versions."""
    output: Path = Path("runs/benchmarks/orbit.json")
    """Where the figures go."""
    write_docs: bool = False
    """Write docs/benchmarks.json and docs/benchmarks.md."""
    docs: Path = page.DOCS
    """The folder of these two."""


def chosen_cases(options: Options) -> list[Case]:
    """The cases that fit the options and the device.

    Raises:
      ValueError: if a name fits none.
    """
    here = [c for c in CASES if c.device == "cpu" or jax.default_backend() == "gpu"]
    for pattern in options.only:
        if not fnmatch.filter([c.name for c in here], pattern):
            known = ", ".join(c.name for c in here)
            raise ValueError(f"--only {pattern} is no network; allowed are {known}")
    if options.only:
        return [c for c in here if any(fnmatch.fnmatch(c.name, p) for p in options.only)]
    return [c for c in here if not (options.quick and max(c.sizes) == 224)]


def settings_of(options: Options, dtype: str) -> Settings:
    """How thoroughly to measure."""
    torch = options.torch and machine.has_torch()
    if options.quick:
        return Settings(
            dtype=dtype,
            rounds=1,
            at_least=0.0,
            chunks=(None, 4),
            torch_chunks=(4,),
            sample=16,
            torch=torch,
            quick=True,
        )
    if options.rounds < 1:
        raise ValueError(f"--rounds is {options.rounds}; allowed are whole numbers from 1")
    # A GPU is filled by more shifts at once than a processor.
    more = (196, 784) if jax.default_backend() == "gpu" else ()
    usual = Settings()
    return dataclasses.replace(
        usual,
        dtype=dtype,
        rounds=options.rounds,
        chunks=(*usual.chunks, *more),
        torch_chunks=(*usual.torch_chunks, *more),
        torch=torch,
    )


def main(options: Options, console: Console) -> dict[str, Any]:
    """Time all cases, write the figures after each, and print them at the end."""
    if options.quick and options.write_docs:
        raise ValueError("--quick measures too little for --write-docs; leave one of them out")
    dtype = machine.use(options.dtype)
    settings = settings_of(options, dtype)
    cases = chosen_cases(options)
    found: dict[str, Any] = {
        "machine": machine.describe(),
        "dtype": options.dtype,
        "command": command(options),
        "settings": dataclasses.asdict(settings),
        "pytorch": "PyTorch not measured",
    }
    key = f"{found['machine']['device']}, {options.dtype}"
    found["rows"] = _rows_of(options.output, key, found["machine"]) if options.resume else {}
    cases = [case for case in cases if case.name not in found["rows"]]
    for number, case in enumerate(cases, start=1):
        console.print(f"{number}/{len(cases)} {case.name}", highlight=False)
        row = measure(case, settings)
        found["rows"][case.name] = row | {"load": machine.load()}
        if settings.torch and row.get("pytorch"):
            found["pytorch"] = row["pytorch"]
        formats.write(options.output, {key: found})
        if options.write_docs:
            write_docs(options.docs, key, found)
        jax.clear_caches()
        gc.collect()
    for table in tables.rich_tables(found):
        console.print(table)
        console.print()
    console.print(f"{key}; figures in {options.output}", highlight=False)
    return found


def _rows_of(path: Path, key: str, machine_of_run: dict[str, str]) -> dict[str, Any]:
    """The rows of an earlier run on the same machine."""
    runs = json.loads(path.read_text()) if path.is_file() else {}
    run = runs.get(key)
    return run["rows"] if run is not None and run["machine"] == machine_of_run else {}


def command(options: Options) -> str:
    """The command that measures this again."""
    words = [page.COMMAND]
    if options.dtype != "float32":
        words += ["--dtype", options.dtype]
    if options.rounds != Options.rounds:
        words += ["--rounds", str(options.rounds)]
    return " ".join([*words, "--write-docs"])


def write_docs(folder: Path, key: str, found: dict[str, Any]) -> None:
    """Puts a run beside those that are there; of the same machine, new rows replace old ones."""
    path = folder / "benchmarks.json"
    runs = json.loads(path.read_text()) if path.is_file() else {}
    before = runs.get(key, {"rows": {}, "machine": found["machine"]})
    if before["machine"] == found["machine"]:
        rows = before["rows"] | found["rows"]
        order = [case.name for case in CASES]
        found = {**found, "rows": dict(sorted(rows.items(), key=lambda r: order.index(r[0])))}
    runs[key] = found
    formats.write(path, runs)
    page.write_page(folder)


def program() -> None:
    """Reads the command line and runs it."""
    # A log has no width of its own; the tables need this much.
    width = None if sys.stdout.isatty() else 160
    main(read_options(Options, sys.argv[1:], description=__doc__), Console(width=width))


if __name__ == "__main__":
    sys.exit(run(program, name="benchmarks/orbit.py"))
