"""This package on a GPU or TPU: exactness, speed, memory, chunks and training.

`python -m benchmarks.accelerator` measures the rows of `benchmarks.rows`, the most valuable first,
stops by itself before `--minutes` are over, and prints tables. Figures are on disk after each row.
The same command goes on where it stopped, after an interruption too: rows that are done stay, those
that failed or found no time left are tried again. `--page` puts the figures into the documentation.

It needs jax, flax, optax, chex, jaxtyping, numpy, scipy and psutil; PyTorch is compared if it is
there. Each row, or group of quick ones, runs in a process of its own: its peak memory is its own,
and a crash or a hang costs that row alone.
"""

import argparse
import contextlib
import dataclasses
import faulthandler
import fnmatch
import gc
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import accelerator_page, formats, machine, page
from benchmarks.conditions import Conditions
from benchmarks.rows import ROWS, Row
from jaxinv.command_line import run

ROOT = Path(__file__).resolve().parent.parent
# Of the minutes, seconds that are left for writing and printing.
RESERVE = 5.0
# A row may take so many times its estimate, or this many seconds, before it is given up as hung.
PATIENCE, LEAST_PATIENCE = 4.0, 90.0
Found = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Options:
    """What is asked for, and until when."""

    out: Path
    names: tuple[str, ...]
    dry_run: bool
    deadline: float  # of time.monotonic()

    @property
    def path(self) -> Path:
        """The JSON file."""
        return self.out / ("dry-run.json" if self.dry_run else "accelerator.json")

    @property
    def rows(self) -> list[Row]:
        """The rows asked for, in order."""
        return [row for row in ROWS if row.name in self.names]

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


def measure_here(options: Options, *, guarded: bool) -> Found:
    """Measures in this process what the file does not hold yet.

    Args:
      options: what to measure.
      guarded: whether another process watches this one. It then ends itself where a row hangs, and
        after one that fails, since that may have left the device in disorder.

    Raises:
      ValueError: if there is no accelerator, or the file holds another machine's figures.
    """
    found = _opened(options)
    for row in options.rows:
        if row.name in found["rows"]:
            continue
        expected = _expected(row, found)
        if _skipped(options, found, row):
            continue
        number = 1 + ROWS.index(row)
        print(f"{number}/{len(ROWS)} {row.name}: ", end="", flush=True)
        _note(options, found, row, {"status": "started"})
        start = time.monotonic()
        if guarded:
            patience = min(options.left, max(LEAST_PATIENCE, PATIENCE * expected))
            faulthandler.dump_traceback_later(max(patience, 0.1), exit=True)
        try:
            conditions = Conditions(quick=options.dry_run, until=options.deadline)
            result = {"status": "done", **row.measure(conditions)}
        except Exception as error:
            print(traceback.format_exc(), file=sys.stderr, flush=True)
            result = {"status": "failed", "why": _in_one_line(error)}
        finally:
            if guarded:
                faulthandler.cancel_dump_traceback_later()
        result["seconds"] = time.monotonic() - start
        _note(options, found, row, result)
        print(f"{result['status']} in {result['seconds']:.1f} s", flush=True)
        if guarded and result["status"] == "failed":
            break
        if not options.dry_run:  # whose programs hold little, and have parts in common
            jax.clear_caches()
            gc.collect()
    return found


def supervise(options: Options) -> Found:
    """Measures in processes of their own, one for each group of rows.

    This process never touches the device, whose memory belongs to one process at a time.

    Raises:
      ChildProcessError: if a process ends before its first row.
    """
    found = _read(options)
    while pending := [row for row in options.rows if row.name not in found["rows"]]:
        first = pending[0]
        if _skipped(options, found, first):
            continue
        group = [row for row in pending if row.group == first.group] if first.group else [first]
        with _cache_of(first, options) as environment:
            status = _in_another_process(options, [row.name for row in group], environment)
        found = _read(options)
        for row in group:
            if found["rows"].get(row.name, {}).get("status") == "started":
                why = f"it hung or crashed: its process ended with status {status}"
                if options.left < 1:
                    why = "it did not end in time"
                _note(options, found, row, {"status": "failed", "why": why})
        if first.name not in found["rows"]:
            raise ChildProcessError(f"a process ended with status {status} before its first row")
    return found


@contextlib.contextmanager
def _cache_of(row: Row, options: Options) -> Iterator[dict[str, str]]:
    """The environment of a row's process: with its programs compiled before, if it wants that."""
    if not row.from_cache:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        first = dataclasses.replace(options, out=Path(folder) / "first")
        _in_another_process(first, [row.name], environment)
        yield environment


def _in_another_process(
    options: Options, names: Sequence[str], environment: Mapping[str, str]
) -> int:
    command = [sys.executable, "-m", "benchmarks.accelerator", "--only", *names]
    command += ["--out", str(options.out.resolve()), "--until", str(time.time() + options.left)]
    command += ["--dry-run"] * options.dry_run
    return subprocess.run(
        command, cwd=ROOT, check=False, env={**os.environ, **environment}
    ).returncode


def _opened(options: Options) -> Found:
    """The figures so far, of this machine."""
    here = machine.describe_accelerator()
    if jax.default_backend() == "cpu" and not options.dry_run:
        raise ValueError("JAX sees no GPU or TPU; on a processor give --dry-run")
    found = _read(options)
    found["machine"] = found["machine"] or here
    if found["machine"] != here:
        raise ValueError(
            f"{options.path} holds figures of {found['machine']['device']} and other versions or "
            "settings than here; give another --out"
        )
    return found


def _expected(row: Row, found: Found) -> float:
    """Seconds that a row will take, from others of its group where there are any."""
    others = [r.name for r in ROWS if row.group and r.group == row.group]
    took = [found["rows"][n]["seconds"] for n in others if "seconds" in found["rows"].get(n, {})]
    if took:
        return sum(took) / len(took)
    return 0.0 if found["dry_run"] else row.seconds


def _skipped(options: Options, found: Found, row: Row) -> bool:
    """Notes that there is no time left for a row if that is so."""
    skipped = _expected(row, found) > options.left
    if skipped:
        _note(options, found, row, {"status": "skipped", "why": "no time left"})
    return skipped


def _note(options: Options, found: Found, row: Row, result: dict[str, Any]) -> None:
    rows = found["rows"] | {row.name: {"table": row.table, **result}}
    found["rows"] = {row.name: rows[row.name] for row in ROWS if row.name in rows}
    formats.write(options.path, found)


def _read(options: Options) -> Found:
    if options.path.is_file():
        return json.loads(options.path.read_text())
    return {"machine": None, "dry_run": options.dry_run, "rows": {}}


def forget_failures(options: Options) -> None:
    """What failed or found no time left is measured again; of a dry run, everything."""
    found = _read(options)
    kept = {n: row for n, row in found["rows"].items() if row["status"] == "done"}
    found["rows"] = {} if options.dry_run else kept
    formats.write(options.path, found)


def _in_one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 300 else f"{text[:300]} ..."


def parse(argv: Sequence[str]) -> tuple[Options, argparse.Namespace]:
    """Reads the command line.

    Raises:
      ValueError: if a value is not allowed.
      SystemExit: after --help, or for an unknown option.
    """
    parser = argparse.ArgumentParser(
        prog="benchmarks.accelerator", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/accelerator"), help="folder of the figures"
    )
    parser.add_argument("--only", nargs="+", default=["*"], metavar="ROW", help="names or patterns")
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny networks on a processor: does everything run?"
    )
    parser.add_argument(
        "--page", action="store_true", help="put the figures in --out into the documentation"
    )
    parser.add_argument("--docs", type=Path, default=page.DOCS, help="the folder of the page")
    # For the processes that this one starts: the end, in seconds since 1970.
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if not given.minutes >= 0:
        raise ValueError(f"--minutes is {given.minutes}; allowed are numbers from 0")
    here = [row.name for row in ROWS if row.dry or not given.dry_run]
    for pattern in given.only:
        if not fnmatch.filter(here, pattern):
            raise ValueError(f"--only {pattern} is no row; allowed are {', '.join(here)}")
    names = tuple(n for n in here if any(fnmatch.fnmatchcase(n, p) for p in given.only))
    left = 60 * given.minutes - RESERVE if given.until is None else given.until - time.time()
    return Options(given.out, names, given.dry_run, time.monotonic() + left), given


def main(argv: Sequence[str]) -> int:
    """Measures and prints, or writes the page.

    Returns:
      The number of rows that failed.
    """
    options, given = parse(argv)
    if given.page:
        found = _read(options)
        if options.dry_run:
            raise ValueError("a dry run has no figures for the page; leave --dry-run out")
        if found["machine"] is None:
            raise ValueError(f"{options.path} holds no figures; measure first")
        page.add_accelerator(given.docs, found)
        return 0
    if given.until is not None:
        measure_here(options, guarded=True)
        return 0
    print("$", shlex.join(["python", "-m", "benchmarks.accelerator", *argv]))
    forget_failures(options)
    try:
        found = measure_here(options, guarded=False) if options.dry_run else supervise(options)
    finally:
        print("\n".join(accelerator_page.accelerator_tables(_read(options))))
        print(f"figures in {options.path}")
    return sum(row["status"] == "failed" for row in found["rows"].values())


def program() -> None:
    """Reads the command line and runs it."""
    if "--dry-run" in sys.argv[1:]:  # its programs run for an instant each
        jax.config.update("jax_disable_most_optimizations", True)
    if main(sys.argv[1:]):
        raise ValueError("some rows failed; the table says why")


if __name__ == "__main__":
    sys.exit(run(program, name="benchmarks.accelerator"))
