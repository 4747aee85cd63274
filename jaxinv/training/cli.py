"""The command line of train.py: a configuration from a preset, a stored run, and the options."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxinv.command_line import read_options, run
from jaxinv.models.registry import CHOICES
from jaxinv.training.checkpoints import read_run
from jaxinv.training.config import TrainConfig
from jaxinv.training.loop import train_and_evaluate
from jaxinv.training.presets import PRESETS, preset

# Options that most networks share have flags of their own, in capitals or not.
SHARED_OPTIONS = ("padding", "downsample", "head", "activation", "norm")


def _names(option: str) -> Any:
    known = ", ".join(CHOICES[option])
    return tyro.conf.arg(help=f"Short for --model-options {option}=; {known}.", metavar="NAME")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train a network and evaluate it after each epoch."""

    config: Annotated[TrainConfig, tyro.conf.OmitArgPrefixes]
    padding: Annotated[str | None, _names("padding")] = None
    downsample: Annotated[str | None, _names("downsample")] = None
    head: Annotated[str | None, _names("head")] = None
    activation: Annotated[str | None, _names("activation")] = None
    norm: Annotated[str | None, _names("norm")] = None
    workdir: Path | None = None
    """Where to leave configuration, metrics and checkpoints; by default a folder of runs/ named
    after the data set, the network and the augmentation, or the preset."""
    resume: bool = False
    """Continue the run in --workdir exactly where its last checkpoint is."""
    preset: str | None = None
    """Start from the settings of a published run; the options given change them."""


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    Raises:
      ValueError: an unknown preset or option, a value not allowed, or nothing to resume.
      SystemExit: after --help.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset")
    early.add_argument("--workdir", type=Path)
    early.add_argument("--resume", action="store_true")
    chosen, _ = early.parse_known_args(argv)
    config = TrainConfig()
    if chosen.resume:
        if chosen.workdir is None:
            raise ValueError("--resume needs the --workdir of the run to continue.")
        config, _ = read_run(chosen.workdir)
    elif chosen.preset is not None:
        config = preset(chosen.preset)
    arguments = read_options(
        Arguments,
        argv,
        default=Arguments(config=config),
        description=f"Train a network. Presets: {', '.join(PRESETS)}.",
    )
    if chosen_options := _shared_options(arguments):
        options = {**arguments.config.model_options, **chosen_options}
        config = dataclasses.replace(arguments.config, model_options=options)
        arguments = dataclasses.replace(arguments, config=config)
    if arguments.workdir is None:
        name = chosen.preset or "-".join(
            (arguments.config.dataset, arguments.config.model, arguments.config.augment)
        )
        arguments = dataclasses.replace(arguments, workdir=Path("runs") / name.replace("/", "-"))
    return arguments


def _shared_options(arguments: Arguments) -> dict[str, str]:
    given = {name: getattr(arguments, name) for name in SHARED_OPTIONS}
    return {
        name: next((k for k in CHOICES[name] if k.lower() == value.lower()), value)
        for name, value in given.items()
        if value is not None
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The program train.py.

    Args:
      argv: the command line without the program's name.

    Returns:
      The exit status.
    """

    def body() -> None:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        result = train_and_evaluate(arguments.config, arguments.workdir, resume=arguments.resume)
        accuracy = result.metrics["test_accuracy"]
        accuracies = accuracy if isinstance(accuracy, list) else [accuracy]
        print(f"test accuracy {', '.join(f'{a:.2%}' for a in accuracies)}; {arguments.workdir}")

    return run(body, name="train.py")
