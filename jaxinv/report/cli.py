"""The command line of evaluate.py: the study, or an audit of checkpoints and own networks."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxinv.command_line import read_options, run
from jaxinv.evaluation.audit import Plan
from jaxinv.evaluation.progress import progress_bar
from jaxinv.evaluation.protocols import check_protocols
from jaxinv.evaluation.run import EvaluationConfig, evaluate_networks
from jaxinv.evaluation.sweep import SweepOptions
from jaxinv.orbit import OrbitMode
from jaxinv.report.files import write_report
from jaxinv.report.terminal import console_for, show
from jaxinv.study.run import StudyConfig, run_study


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Are ConvNets translation invariant? Without arguments: a study on real digits that trains
    small networks and answers claim by claim. With --checkpoint or --apply: an audit of networks.

    Exit status: 0 done, 1 an error that the last line names, 130 interrupted (a partial report is
    written and the same command goes on).
    """

    checkpoint: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """Workdir of train.py; give it several times to compare."""
    apply: str | None = None
    """Own network, package.module:name: a function of (params, images) or a Flax module; images are
    float32 (n, H, W, C) from 0 to 1."""
    params: Path | None = None
    """Its parameters: .npz, .safetensors, .msgpack, or a folder of orbax."""
    dataset: str | None = None
    """Data set; by default the one a checkpoint was trained on, else digits."""
    split: str = "test"
    """Split, a slice such as test[:1000] included."""
    data_dir: Path | None = None
    """Folder of prepared TFDS data sets."""
    max_shift: int | None = None
    """Shifts up to so many pixels each way; by default all circular ones."""
    mode: OrbitMode = "wrap"
    """What enters at the border."""
    certify: bool = True
    """Prove from the program as well, and show the verdict and the first break."""
    layers: bool = True
    """Go layer by layer."""
    protocol: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME")
    ] = ()
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
    epochs: int = StudyConfig.epochs
    """Study: passes over the training images."""
    images: int = StudyConfig.images
    """Study: number of test images."""


def parse(argv: Sequence[str]) -> Arguments:
    """Reads the command line.

    Args:
      argv: without the program's name.

    Returns:
      The arguments.

    Raises:
      ValueError: an unknown option or a value that is not allowed.
      SystemExit: after --help.

    Example:
      >>> parse(["--checkpoint", "runs/a", "--checkpoint", "runs/b"]).checkpoint
      (PosixPath('runs/a'), PosixPath('runs/b'))
    """
    arguments = read_options(Arguments, argv)
    for name, low in (("batch", 1), ("images", 1), ("epochs", 1)):
        value = getattr(arguments, name)
        if value is not None and value < low:
            raise ValueError(f"{name} is {value}; allowed are numbers from 1")
    check_protocols(arguments.protocol)
    audits = arguments.checkpoint or arguments.apply or arguments.params
    if not audits and (arguments.dataset or arguments.max_shift is not None):
        raise ValueError(
            "the study has its own data set and shifts; dataset and max_shift need a checkpoint "
            "or apply"
        )
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """The program evaluate.py.

    Args:
      argv: the command line without the program's name.

    Returns:
      The exit status.
    """

    def body() -> None:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        study = not (arguments.checkpoint or arguments.apply or arguments.params)
        out = arguments.out or Path("study" if study else "runs/evaluation")
        plan = Plan(
            options=SweepOptions(
                mode=arguments.mode,
                max_shift=arguments.max_shift,
                batch=arguments.batch or (25 if jax.default_backend() == "cpu" else 100),
                chunk=arguments.chunk,
                share=arguments.share,
            ),
            certify=arguments.certify,
            layers=arguments.layers,
            protocols=arguments.protocol,
            directory=out / "shards",
            seed=arguments.seed,
        )
        with progress_bar() as progress:
            if study:
                settings = StudyConfig(out, arguments.epochs, arguments.images, plan)
                results, audits = run_study(settings, progress=progress)
            else:
                networks = EvaluationConfig(
                    checkpoint=arguments.checkpoint,
                    apply=arguments.apply,
                    params=arguments.params,
                    dataset=arguments.dataset,
                    split=arguments.split,
                    data_dir=arguments.data_dir,
                    plan=plan,
                )
                results, audits = evaluate_networks(networks, progress=progress)
        written = write_report(results, audits, out)
        console = console_for(sys.stderr if arguments.json else sys.stdout)
        show(results, console)
        console.print(f"\n{written[-1]} shows all of it; {written[0]} holds the numbers.")
        if arguments.json:
            print(json.dumps(results.to_dict(), allow_nan=False))
        if not results.complete:
            raise KeyboardInterrupt(f"stopped; the partial report is {written[-1]}.")

    return run(body, name="evaluate.py")
