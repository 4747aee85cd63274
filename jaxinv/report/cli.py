"""The command line of evaluate.py: the study, or an audit of checkpoints and own networks."""

import contextlib
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxinv.command_line import printable, read_options, run
from jaxinv.compilation import Compilation, kept
from jaxinv.config_files import settings_of, without_config, words_of
from jaxinv.evaluation.audit import Outputs
from jaxinv.evaluation.loading import OF_PHOTOGRAPHS, Networks, subjects_of
from jaxinv.evaluation.parameters import LIMIT
from jaxinv.evaluation.protocols import check_protocols
from jaxinv.files import locked
from jaxinv.hosts import agreement as hosts
from jaxinv.hosts.joining import Hosts, check, together
from jaxinv.orbit import OrbitMode
from jaxinv.progress import progress_bar
from jaxinv.report.audit import Audit, AuditInterrupted, audit, audit_plan
from jaxinv.report.terminal import console_for, show
from jaxinv.study.run import StudyConfig, run_study


@dataclasses.dataclass(frozen=True)
class Arguments(Compilation, Hosts, Networks):
    """Are ConvNets translation invariant? Without arguments: a study on real digits that trains
    small networks and answers claim by claim. With --checkpoint, --apply or --torch: an audit.

    Exit status: 0 done, 1 an error that the last line names, 130 interrupted (a partial report is
    written and the same command goes on). --config FILE reads options from TOML or JSON.
    """

    max_shift: int | None = None
    """Largest shift in pixels, each way; by default all circular shifts."""
    outputs: Outputs | None = None
    """What outputs that are maps mean: classes, scores of the classes of each position, or values,
    as of denoising or depth; by default values where the data set holds targets."""
    peak: float | None = None
    """The largest value that an output can have, for the PSNR of values; by default 1."""
    mode: OrbitMode | None = None
    """What enters at the border; by default wrap, which is circular."""
    certify: bool = True
    """Prove from the program as well, and show the verdict and the first break."""
    layers: bool = True
    """Go layer by layer."""
    protocol: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """Published protocol, or all that apply to the network; give it several times."""
    share: bool = True
    """Compute what several shifts have in common once."""
    batch: int | None = None
    """Images evaluated together; each such shard is kept when it is finished. By default 25 on a
    processor, as many as its caches hold, and 100 elsewhere."""
    chunk: int | None = None
    """Shifts evaluated together; by default chosen from the memory."""
    seed: int = 0
    """Seed of everything random."""
    out: Path | None = None
    """Folder of report.html, results.json, maps.npz, CSV and pictures; by default study/ for the
    study, runs/evaluation/ for others."""
    json: bool = False
    """Print results.json to standard output, tables to standard error."""
    epochs: int | None = None
    """Study: passes over the training images, by default 12."""
    seeds: int | None = None
    """Study: networks of each kind, which differ in their seed, by default 1; tables then say how
    much the figures vary with training."""


# Options that only one of the two does something with.
OF_THE_STUDY = ("epochs", "seeds")
OF_AUDITS = (
    *("dataset", "split", "data_dir", "void", "max_shift", "mode"),
    *("outputs", "peak"),
    *("preprocess", "size", "crop", "interpolation", "mean", "std", *OF_PHOTOGRAPHS),
)
# What `audit` takes under the same name.
OF_AN_AUDIT = ("max_shift", "certify", "layers", "batch", "chunk", "share", "memory", "seed")
# The least and the largest value of each number; the seed is that of a generator of 32 bits.
BOUNDS = {
    "batch": (1, 10**6),
    "chunk": (1, 10**9),
    "images": (1, 10**9),
    "epochs": (1, 10**6),
    "seeds": (1, 1000),
    "seed": (0, 2**32 - 1),
    "max_shift": (0, 10**6),
}


def parse(argv: Sequence[str], *, name: str | None = None) -> Arguments:
    """Reads the command line, without the program's name.

    Raises:
      ValueError: an unknown option or a value that is not allowed.
      SystemExit: after --help.
    """
    file, argv = without_config(argv)
    settings = words_of(Arguments, settings_of(file), append=True) if file else []
    given = [*settings, *argv]
    arguments = read_options(Arguments, given, prog=name, config=(tyro.conf.UseAppendAction,))
    for option in ("apply", "torch"):
        if sum(word.partition("=")[0] == f"--{option}" for word in argv) > 1:
            raise ValueError(f"{option} is given twice; allowed is one network, beside checkpoints")
    for name, (low, high) in BOUNDS.items():
        value = getattr(arguments, name)
        if isinstance(value, int) and not low <= value <= high:
            raise ValueError(f"{name} is {value}; allowed are numbers from {low} to {high}")
    if not 0 < arguments.params_limit < math.inf:
        raise ValueError(
            f"params_limit is {arguments.params_limit}; allowed are positive numbers of gigabytes"
        )
    check_protocols(arguments.protocol)
    check(arguments)
    study = _is_study(arguments)
    if study and arguments.together:
        raise ValueError(
            "several processes need a checkpoint, apply or torch: the study runs in one"
        )
    for name in OF_AUDITS if study else OF_THE_STUDY:
        if getattr(arguments, name) not in (None, False):
            raise ValueError(
                f"{name} needs a checkpoint or apply: the study has its own data set and shifts"
                if study
                else f"{name} is an option of the study; a checkpoint or apply is trained already"
            )
    if study and isinstance(arguments.images, Path):
        raise ValueError("images names a folder, which needs a checkpoint, apply or torch")
    if arguments.params_limit != LIMIT and arguments.params is None:
        raise ValueError("params_limit means nothing without params")
    return arguments


def _is_study(arguments: Arguments) -> bool:
    own = arguments.apply is not None or arguments.torch is not None or arguments.params
    return not (arguments.checkpoint or own)


def _check_out(out: Path) -> None:
    """Raises ValueError unless a report can be written to a folder, before any work is done."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"out is {out}; {there} is a file, and a folder is needed")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"out is {out}; {there} cannot be written to")


def main(argv: Sequence[str] | None = None, *, name: str = "evaluate.py") -> int:
    """The program evaluate.py, or the command of that name; returns its exit status."""

    def body() -> None:
        arguments = parse(sys.argv[1:] if argv is None else argv, name=name)
        study = _is_study(arguments)
        out = arguments.out or Path("study" if study else "runs/evaluation")
        _check_out(out)
        again = "; the same command goes on from the shards that are finished"
        with contextlib.ExitStack() as stack:
            stack.enter_context(together(arguments, out, name=name, again=again))
            stack.enter_context(kept(arguments))
            hosts.by_first(lambda: stack.enter_context(_for_this_run_alone(out)))
            _evaluate(arguments, out, study=study)

    return run(body, name=name)


@contextlib.contextmanager
def _for_this_run_alone(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        yield


def _evaluate(arguments: Arguments, out: Path, *, study: bool) -> None:
    options: dict[str, Any] = {
        "mode": arguments.mode or "wrap",
        "protocols": arguments.protocol,
        "cache": out / "shards",
    }
    options |= {option: getattr(arguments, option) for option in OF_AN_AUDIT}
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(progress_bar()) if hosts.first() else None
        if study:
            given = {name: getattr(arguments, name) for name in ("epochs", "images", "seeds")}
            chosen = {name: value for name, value in given.items() if value is not None}
            config = StudyConfig(out, plan=audit_plan(**options), **chosen)
            results, audits = run_study(config, progress=progress)
            found = Audit(results, tuple(audits))
        else:
            margin = (arguments.max_shift or 0) if arguments.mode == "crop" else 0
            subjects, dataset = subjects_of(arguments, margin=margin, progress=progress)
            networks = {subject.name: subject for subject in subjects}
            options |= {"outputs": arguments.outputs, "peak": arguments.peak}
            try:
                found = audit(networks, dataset, show=progress or False, **options)
            except AuditInterrupted as stopped:
                found = stopped.audit
    if hosts.first():
        _report(found, out, as_json=arguments.json)
    elif not found.results.complete:
        raise KeyboardInterrupt("interrupted")


def _report(found: Audit, out: Path, *, as_json: bool) -> None:
    written, results = found.save(out), found.results
    console = console_for(sys.stderr if as_json else sys.stdout)
    show(results, console)
    page, numbers = printable(written[-1]), printable(written[0])
    console.print(f"\n{page} shows all of it; {numbers} holds the numbers.")
    if as_json:
        print(json.dumps(results.to_dict(), allow_nan=False))
    if not results.complete:
        raise KeyboardInterrupt(f"stopped; the partial report is {page}")
