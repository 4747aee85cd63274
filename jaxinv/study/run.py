"""Runs the study: trains what is not trained yet, audits every network, decides the claims."""

import contextlib
import dataclasses
import re
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.progress import Progress

from jaxinv import data
from jaxinv.evaluation import summary
from jaxinv.evaluation.audit import FEW, Audit, Plan
from jaxinv.evaluation.features import feature_error
from jaxinv.evaluation.progress import say
from jaxinv.evaluation.results import Estimate, Results, circumstances
from jaxinv.evaluation.run import audit_all, described, shifts_of
from jaxinv.evaluation.subject import Subject, of_module
from jaxinv.orbit import symmetrize
from jaxinv.study.arms import ARMS, Arm, training_of
from jaxinv.study.claims import decide, headline, sentence
from jaxinv.training import train_and_evaluate

# Pairs that differ in one thing: pooling, the data, the head, padding, how a stride samples.
PAIRS = (
    ("dense", "dense, pooled"),
    ("dense, pooled", "dense, shifted data"),
    ("dense, shifted data", "averaged"),
    ("dense, pooled", "global pooling"),
    ("global pooling", "global, zero padding"),
    ("global pooling", "global, adaptive"),
)

# The networks whose first layer the first claim compares: with shared weights and without.
FIRST_LAYERS = ("dense", "unshared")


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """The study: which networks, how long they train, on how many images they are asked."""

    folder: Path = Path("study")
    """Where networks, finished shards and the report are kept."""
    epochs: int = 12
    """Passes over the 1,297 training images."""
    images: int = 100
    """Test images that every network is evaluated on, at every shift."""
    plan: Plan = dataclasses.field(default_factory=Plan)
    """What is done to each network; its seed is that of the training too."""
    arms: tuple[Arm, ...] = ARMS
    """The networks."""


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
    first_layers: dict[str, Estimate] = {}

    def look_at_first_layer(subject: Subject, made: Audit) -> None:
        if subject.name in FIRST_LAYERS:
            error = feature_error(subject, dataset.images[:FEW], place=0)
            if error is not None:
                first_layers[subject.name] = error[0]

    with contextlib.closing(networks_of(config, progress=progress)) as subjects:
        found, complete = audit_all(
            subjects,
            dataset,
            plan=config.plan,
            progress=progress,
            finished=look_at_first_layer,
        )
    networks = {made.result.name: made.result for made in found}
    audits = {
        made.result.name: dataclasses.replace(
            made,
            result=dataclasses.replace(made.result, says=sentence(made.result.name, networks)),
        )
        for made in found
    }
    claims = decide(networks, first_layers)
    results = Results(
        headline=headline(networks, claims),
        networks=tuple(made.result for made in audits.values()),
        claims=claims,
        comparisons=tuple(_comparisons(audits)),
        dataset=described(dataset),
        shifts=shifts_of(found, config.plan.options),
        run=circumstances(seed=config.plan.seed, seconds=time.monotonic() - start),
        complete=complete,
    )
    return results, list(audits.values())


def networks_of(
    config: StudyConfig, *, progress: Progress | None = None
) -> Generator[Subject, None, None]:
    """The networks of the study, each trained unless it was before.

    A second thread trains them, so that a network is evaluated while the next one learns: neither
    keeps all cores busy.

    Args:
      config: the study.
      progress: a bar to add to.

    Yields:
      Each network with its weights.

    Raises:
      ValueError: if its folder holds another run.
    """
    made: dict[str, Subject] = {}
    stop, trainer = threading.Event(), ThreadPoolExecutor(1)
    try:
        runs = {
            arm.name: trainer.submit(_trained, arm, config, stop=stop, progress=progress)
            for arm in config.arms
            if arm.averages is None
        }
        for number, arm in enumerate(config.arms, 1):
            say(progress, f"{number} of {len(config.arms)}, {arm.name}: {arm.title}")
            if arm.averages is None:
                made[arm.name] = runs[arm.name].result()
            elif config.plan.certify:
                made[arm.name] = _averaged(arm, made[arm.averages])
            else:
                continue  # at all shifts it is known by its proof only
            yield made[arm.name]
    finally:
        stop.set()
        trainer.shutdown(cancel_futures=True)


def _averaged(arm: Arm, network: Subject) -> Subject:
    return dataclasses.replace(
        network,
        name=arm.name,
        title=arm.title,
        apply=symmetrize(network.apply),
        layers=None,
        by_proof=True,
    )


def _trained(
    arm: Arm, config: StudyConfig, *, stop: threading.Event, progress: Progress | None
) -> Subject:
    folder = config.folder / "networks" / re.sub(r"\W+", "-", arm.name)
    result = train_and_evaluate(
        training_of(arm, epochs=config.epochs, seed=config.plan.seed),
        folder,
        resume=(folder / "config.json").exists(),
        show=progress or False,
        stop=stop,
    )
    return of_module(
        result.model,
        result.variables,
        name=arm.name,
        title=arm.title,
        mean=result.data.mean,
        std=result.data.std,
        origin={"checkpoint": folder.as_posix(), "step": result.step},
    )


def _comparisons(audits: dict[str, Audit]) -> list[dict[str, Any]]:
    found = []
    for pair in PAIRS:
        if all(name in audits for name in pair):
            first, second = (audits[name].sweep for name in pair)
            if first.count == second.count:
                found += summary.compare(pair, first, second)
    return found
