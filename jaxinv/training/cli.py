"""The command line of train.py: a configuration from a preset, a stored run, and the options."""

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxinv.command_line import read_options, run
from jaxinv.compilation import Compilation, kept
from jaxinv.config_files import settings_of, without_config, words_of
from jaxinv.data.loading import ALWAYS_THERE
from jaxinv.hosts.joining import Hosts, check, together
from jaxinv.models.registry import CHOICES
from jaxinv.training.config import TrainConfig, parse_options
from jaxinv.training.loop import train_and_evaluate
from jaxinv.training.presets import PRESETS, preset
from jaxinv.training.step import OBJECTIVES
from jaxinv.training.workdir import read_run

# Options that most networks share have flags of their own, in capitals or not.
SHARED_OPTIONS = ("padding", "downsample", "head", "activation", "norm")

# Options that mean something with some values of another option only.
NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "max_shift": ("augment", ("translate", "crop", *OBJECTIVES)),
    "fill": ("augment", ("translate", "crop", *OBJECTIVES)),
    "subpixel": ("augment", ("translate",)),
    "rotation": ("augment", ("affine",)),
    "scaling": ("augment", ("affine",)),
    "shear": ("augment", ("affine",)),
    "alpha": ("augment", ("elastic",)),
    "sigma": ("augment", ("elastic",)),
    "chunk": ("augment", OBJECTIVES),
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
    "decay_epochs": ("schedule", ("step",)),
    "decay_factor": ("schedule", ("step",)),
}


# How the options of a network are written in one word each.
WORDS = tyro.constructors.ConstructorRegistry()


@WORDS.primitive_rule
def _options_as_words(info: tyro.constructors.PrimitiveTypeInfo) -> Any:
    if info.type_origin is not dict:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE ...",
        instance_from_str=parse_options,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [f"{k}={v}" for k, v in value.items()],
    )


def _names(option: str) -> Any:
    known = ", ".join(CHOICES[option])
    return tyro.conf.arg(help=f"Short for --model-options {option}=; {known}.", metavar="NAME")


@dataclasses.dataclass(frozen=True)
class Arguments(Compilation, Hosts):
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


def parse(argv: Sequence[str], *, name: str | None = None) -> Arguments:
    """Reads the command line.

    Raises:
      ValueError: an unknown preset or option, a value not allowed, or nothing to resume.
      SystemExit: after --help.
    """
    file, argv = without_config(argv)
    settings = settings_of(file) if file else {}
    of_the_run = {field.name for field in dataclasses.fields(TrainConfig)}
    chosen_settings = {n: settings.pop(n) for n in list(settings) if n in of_the_run}
    argv = [*words_of(Arguments, settings), *argv]
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--preset")
    early.add_argument("--workdir", type=Path)
    early.add_argument("--resume", action="store_true")
    try:
        chosen, _ = early.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ValueError(f"{error} (see --help)") from None
    flags = [word.partition("=")[0].replace("_", "-") for word in argv]
    if flags.count("--model-options") > 1:
        raise ValueError("model_options is given twice; one --model-options takes all of them")
    config = TrainConfig()
    if chosen.resume:
        if chosen.preset is not None:
            raise ValueError("--resume continues with the settings of its run; leave out --preset")
        if chosen_settings:
            raise ValueError("--resume continues with the settings of its run; leave out --config")
        if chosen.workdir is None:
            raise ValueError("--resume needs the --workdir of the run to continue")
        config, _ = read_run(chosen.workdir)
    elif chosen.preset is not None:
        config = preset(chosen.preset)
    config = TrainConfig.from_dict(config.to_dict() | chosen_settings)
    arguments = read_options(
        Arguments,
        argv,
        default=Arguments(config=config),
        registry=WORDS,
        prog=name,
        description=(
            "Train a network. --config FILE reads options from TOML or JSON, such as the "
            f"config.json of a run. Presets: {', '.join(PRESETS)}."
        ),
    )
    # A run's config.json names every setting, a file of one's own those that are meant.
    meant = set() if chosen_settings.keys() >= NEEDS.keys() else set(chosen_settings)
    _check_needs(arguments.config, argv, meant)
    check(arguments)
    if chosen_options := _shared_options(arguments):
        given = arguments.config.model_options
        twice = sorted(chosen_options.keys() & given.keys())
        if twice and (given != config.model_options or settings.keys() & set(twice)):
            raise ValueError(f"model option {twice[0]!r} is given twice")
        options = {**arguments.config.model_options, **chosen_options}
        config = dataclasses.replace(arguments.config, model_options=options)
        arguments = dataclasses.replace(arguments, config=config)
    if arguments.workdir is None:
        name = chosen.preset or "-".join(
            (arguments.config.dataset, arguments.config.model, arguments.config.augment)
        )
        arguments = dataclasses.replace(arguments, workdir=Path("runs") / name.replace("/", "-"))
    return arguments


def _check_needs(config: TrainConfig, argv: Sequence[str], settings: Iterable[str]) -> None:
    """Refuses options, on the command line and in a file, that mean nothing beside the others."""
    flags = (word.split("=")[0] for word in argv if word.startswith("--"))
    given = {flag[2:].replace("-", "_").removeprefix("no_"): flag for flag in flags}
    given = {name: name for name in settings} | given
    for name, (other, values) in NEEDS.items():
        value = getattr(config, other)
        if name in given and not set(value.split("+")) & set(values):
            raise ValueError(
                f"{given[name]} means nothing with --{other} {value}; it needs "
                f"{' or '.join(values)}"
            )
    for name in ("data_dir", "manual_dir"):
        if name in given and config.dataset in ALWAYS_THERE:
            raise ValueError(
                f"{given[name]} means nothing with --dataset {config.dataset}, always there"
            )
    if config.nesterov and not config.momentum:
        raise ValueError("--nesterov means nothing with --momentum 0")


def _shared_options(arguments: Arguments) -> dict[str, str]:
    given = {name: getattr(arguments, name) for name in SHARED_OPTIONS}
    return {
        name: next((k for k in CHOICES[name] if k.lower() == value.lower()), value)
        for name, value in given.items()
        if value is not None
    }


def _percents(figure: float | list[float]) -> str:
    """A figure, or that of each seed with their mean."""
    values = figure if isinstance(figure, list) else [figure]
    said = ", ".join(f"{value:.2%}" for value in values)
    if len(values) > 1:
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        said += f" (mean {mean:.2%}, standard deviation {deviation:.2%} over seeds)"
    return said


def main(argv: Sequence[str] | None = None, *, name: str = "train.py") -> int:
    """The program train.py, or the command of that name; returns its exit status."""

    def body() -> None:
        arguments = parse(sys.argv[1:] if argv is None else argv, name=name)
        assert arguments.workdir is not None
        again = "; --resume continues from the last checkpoint, with any number of processes"
        with together(arguments, arguments.workdir, name=name, again=again), kept(arguments):
            _train(arguments)

    return run(body, name=name)


def _train(arguments: Arguments) -> None:
    result = train_and_evaluate(arguments.config, arguments.workdir, resume=arguments.resume)
    names = {"accuracy": "test_accuracy", "mean IoU": "test_iou"}
    said = ", ".join(
        f"{name} {_percents(result.metrics[key])}"
        for name, key in names.items()
        if key in result.metrics
    )
    print(f"test {said}; {arguments.workdir}")
