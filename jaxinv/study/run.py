"""Runs the study: trains what is not trained yet, audits every network, decides the claims."""

import contextlib
import dataclasses
import functools
import re
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from jaxinv import data
from jaxinv.evaluation import summary
from jaxinv.evaluation.audit import FEW, Audit, Plan, audit, partial_audit
from jaxinv.evaluation.features import feature_error
from jaxinv.evaluation.results import Estimate, Results, circumstances
from jaxinv.evaluation.subject import Subject, of_module
from jaxinv.evaluation.sweep import Interrupted, SweepOptions
from jaxinv.study.arms import ARMS, Arm, training_of
from jaxinv.study.claims import decide, headline, sentence
from jaxinv.training import train_and_evaluate

# Pairs that the text compares: what differs is pooling, the data, the head, padding, the stride.
PAIRS = (
    ("dense", "dense, pooled"),
    ("dense, pooled", "dense, shifted data"),
    ("dense, pooled", "global pooling"),
    ("global pooling", "global, zero padding"),
    ("global pooling", "global, adaptive"),
)


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """The study: which networks, how long they train, on how many images they are asked."""

    folder: Path = Path("study")
    """Where networks, finished shards and the report are kept."""
    epochs: int = 25
    """Passes over the 1,297 training images."""
    images: int = 200
    """Test images that every network is evaluated on, at every shift."""
    seed: int = 0
    """Seed of initial weights, order of images and translations."""
    arms: tuple[Arm, ...] = ARMS
    """The networks."""
    chunk: int | None = None
    """Shifts evaluated together; None chooses from the memory."""


def run_study(
    config: StudyConfig, *, progress: Progress | None = None
) -> tuple[Results, list[Audit]]:
    """Trains and audits the networks of the study; what is in its folder is not done again.

    Args:
      config: the study.
      progress: a bar to add to.

    Returns:
      The results, marked incomplete after Ctrl-C, and an audit for each network that finished.

    Raises:
      ValueError: if the folder holds a study with other settings, or cannot be written.
    """
    start = time.monotonic()
    dataset = data.load("digits", split=f"test[:{config.images}]")
    plan = Plan(
        options=SweepOptions(batch=100, chunk=config.chunk),
        directory=config.folder / "shards",
        seed=config.seed,
        layers=True,
    )
    audits: dict[str, Audit] = {}
    first_layers: dict[str, Estimate] = {}
    complete = True
    try:
        for arm in config.arms:
            subject = trained(arm, config, progress=progress)
            with _counting(progress, f"shifting {arm.name}", len(dataset)) as advance:
                try:
                    audits[arm.name] = audit(subject, dataset, plan=plan, progress=advance)
                except Interrupted as stopped:
                    if stopped.sweep is not None:
                        audits[arm.name] = partial_audit(
                            subject, dataset, stopped.sweep, options=plan.options
                        )
                    raise
            if progress is not None:
                progress.console.print(f"{arm.name}: {_brief(audits[arm.name])}")
            error = feature_error(subject, dataset.images[:FEW], place=0)
            if error is not None:
                first_layers[arm.name] = error[0]
    except KeyboardInterrupt:
        complete = False
    networks = {name: made.result for name, made in audits.items()}
    networks = {
        name: dataclasses.replace(result, says=sentence(name, networks))
        for name, result in networks.items()
    }
    audits = {
        name: dataclasses.replace(made, result=networks[name]) for name, made in audits.items()
    }
    claims = decide(networks, first_layers)
    results = Results(
        headline=headline(networks, claims),
        networks=tuple(networks.values()),
        claims=claims,
        comparisons=tuple(_comparisons(audits)),
        dataset=described(dataset),
        shifts=shifts_of(list(audits.values()), plan.options),
        run=circumstances(seed=config.seed, seconds=time.monotonic() - start),
        complete=complete,
    )
    return results, list(audits.values())


def trained(arm: Arm, config: StudyConfig, *, progress: Progress | None = None) -> Subject:
    """A network of the study, trained now or before.

    Args:
      arm: which.
      config: the study.
      progress: a bar to add to.

    Returns:
      The network with its weights.

    Raises:
      ValueError: if its folder holds another run.
    """
    folder = config.folder / "networks" / re.sub(r"\W+", "-", arm.name)
    result = train_and_evaluate(
        training_of(arm, epochs=config.epochs, seed=config.seed),
        folder,
        resume=(folder / "config.json").exists(),
        show=progress or False,
    )
    if progress is not None:
        for task in progress.task_ids:
            progress.remove_task(task)
    return of_module(
        result.model,
        result.variables,
        name=arm.name,
        title=arm.title,
        mean=result.data.mean,
        std=result.data.std,
        origin={"checkpoint": folder.as_posix(), "step": result.step},
    )


def _brief(made: Audit) -> str:
    figures = made.result.figures
    return f"{figures['centred']} centred, {figures['mean']} over all shifts"


def described(dataset: data.Dataset) -> dict[str, object]:
    """A data set for `Results.dataset`."""
    return {
        "name": dataset.name,
        "split": dataset.split,
        "images": len(dataset),
        "shape": list(dataset.images.shape[1:]),
        "classes": dataset.num_classes,
    }


def shifts_of(audits: Sequence[Audit], options: SweepOptions) -> dict[str, object]:
    """The shifts for `Results.shifts`; empty if nothing was swept."""
    if not audits:
        return {}
    shifts = audits[0].sweep.shifts
    return {
        "mode": options.mode,
        "max_shift": options.max_shift,
        "count": shifts.count,
        "shape": list(shifts.shape),
    }


def _unseen(images: int) -> None:
    """Progress that nobody watches."""


@contextlib.contextmanager
def _counting(progress: Progress | None, what: str, total: int):
    """A line of the bar that counts images."""
    if progress is None:
        yield _unseen
        return
    task = progress.add_task(what, total=total, note="images")
    try:
        yield functools.partial(progress.advance, task)
    finally:
        progress.remove_task(task)


def _comparisons(audits: dict[str, Audit]) -> list[dict[str, object]]:
    found = []
    for pair in PAIRS:
        if all(name in audits for name in pair):
            first, second = (audits[name].sweep for name in pair)
            if first.count == second.count:
                found += summary.compare(pair, first, second)
    return found
