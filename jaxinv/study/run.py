"""Runs the study: trains what is not trained yet, audits every network, decides the claims."""

import dataclasses
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array
from rich.progress import Progress

from jaxinv import data
from jaxinv.evaluation import summary
from jaxinv.evaluation.audit import FEW, AuditPlan, NetworkAudit
from jaxinv.evaluation.layers import feature_error
from jaxinv.evaluation.loading import first_images
from jaxinv.evaluation.results import (
    Claim,
    Estimate,
    NetworkResult,
    Results,
    SeedsRow,
    circumstances,
)
from jaxinv.evaluation.run import audit_all, described, devices_of, shifts_of
from jaxinv.evaluation.seeds import seeds_rows
from jaxinv.evaluation.subject import Subject, of_module
from jaxinv.evaluation.summary import curve_of
from jaxinv.orbit import symmetrize
from jaxinv.progress import say
from jaxinv.study import maps
from jaxinv.study.arms import ARMS, Arm, training_of
from jaxinv.study.claims import QUESTION, decide, headline, sentence
from jaxinv.study.maps import MAP_ARMS, flicker_claim
from jaxinv.study.trainings import Trainings
from jaxinv.training import TrainResult

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
    """The study: which networks, how long they train, on how many images they are evaluated."""

    folder: Path = Path("study")
    """Where networks, finished shards and the report are kept."""
    epochs: int = 12
    """Passes over the 1,297 training images."""
    images: int = 100
    """Test images that every network is evaluated on, at every shift."""
    seeds: int = 1
    """Networks of each kind, with the seeds `plan.seed`, `plan.seed + 1` and so on."""
    plan: AuditPlan = dataclasses.field(default_factory=AuditPlan)
    """What is done to each network; its seed is that of the first training too."""
    arms: tuple[Arm, ...] = ARMS
    """The networks."""
    map_arms: tuple[Arm, ...] = MAP_ARMS
    """The networks whose output is a map."""


def run_study(
    config: StudyConfig, *, progress: Progress | None = None
) -> tuple[Results, list[NetworkAudit]]:
    """Trains and audits the networks of the study; what is in its folder is not done again.

    Returns:
      The results, marked incomplete after Ctrl-C, and an audit for each network that finished.

    Raises:
      ValueError: if the folder holds a study with other settings, or cannot be written.
    """
    start = time.monotonic()
    dataset = first_images(data.load("digits", split=f"test[:{config.images}]"), config.images)
    few, _ = dataset.read(range(min(FEW, len(dataset))))
    first_layers: dict[str, Estimate] = {}

    def look_at_first_layer(subject: Subject, made: NetworkAudit) -> None:
        if subject.name in FIRST_LAYERS:
            error = feature_error(subject, few, place=0)
            if error is not None:
                first_layers[subject.name] = error[0]

    on_maps: tuple[Claim, ...] = ()
    with Trainings(progress) as trainings:
        subjects = networks_of(config, trainings, progress=progress)
        with_maps = _started_on_maps(config, trainings)
        found, complete = audit_all(
            subjects,
            dataset,
            plan=config.plan,
            progress=progress,
            finished=look_at_first_layer,
        )
        if complete and with_maps:
            try:
                options = config.plan.options
                on_maps = (flicker_claim(with_maps, options=options, progress=progress),)
            except KeyboardInterrupt:
                complete = False
    seeds = seeds_rows(found)
    networks = over_seeds(found, seeds)
    audits = {
        made.result.name: dataclasses.replace(
            made,
            result=dataclasses.replace(made.result, says=sentence(made.result.name, networks)),
        )
        for made in found
    }
    claims = decide(networks, first_layers) + on_maps
    results = Results(
        headline=headline(networks, claims),
        question=QUESTION,
        networks=tuple(made.result for made in audits.values()),
        claims=claims,
        comparisons=tuple(_comparisons(audits)),
        seeds=seeds,
        dataset=described(dataset),
        shifts=shifts_of(found, config.plan.options),
        run=circumstances(
            seed=config.plan.seed,
            seconds=time.monotonic() - start,
            computed_on=devices_of(found),
        ),
        complete=complete,
    )
    return results, list(audits.values())


def _started_on_maps(
    config: StudyConfig, trainings: Trainings
) -> list[tuple[Arm, Future[TrainResult]]]:
    """The networks whose output is a map, and their trainings."""
    epochs, seed = max(1, config.epochs // 2), config.plan.seed
    return [
        (
            arm,
            trainings.start(maps.training_of(arm, epochs=epochs, seed=seed), _folder(config, arm)),
        )
        for arm in config.map_arms
    ]


def networks_of(
    config: StudyConfig, trainings: Trainings, *, progress: Progress | None = None
) -> Iterator[Subject]:
    """The networks of the study, each trained unless it was before.

    All trainings are started; the networks come in the order of the study, each as soon as it is
    trained.

    Raises:
      ValueError: if its folder holds another run.
    """
    under_way = {
        (arm.name, seed): trainings.start(
            training_of(arm, epochs=config.epochs, seed=seed), _folder(config, arm, seed=seed)
        )
        for arm in config.arms
        for seed in _seeds(config)
        if arm.averages is None
    }
    return _in_order(config, under_way, progress=progress)


def _in_order(
    config: StudyConfig,
    under_way: Mapping[tuple[str, int], Future[TrainResult]],
    *,
    progress: Progress | None,
) -> Iterator[Subject]:
    made: dict[tuple[str, int], Subject] = {}
    for number, arm in enumerate(config.arms, 1):
        say(progress, f"{number} of {len(config.arms)}, {arm.name}: {arm.title}")
        for seed in _seeds(config):
            if arm.averages is None:
                trained = under_way[arm.name, seed].result()
                made[arm.name, seed] = _subject(arm, trained, _folder(config, arm, seed=seed))
            elif config.plan.certify:
                made[arm.name, seed] = _averaged(arm, made[arm.averages, seed])
            else:
                continue  # at all shifts it is known by its proof only
            yield _named(made[arm.name, seed], arm, config, seed=seed)


def _seeds(config: StudyConfig) -> range:
    return range(config.plan.seed, config.plan.seed + config.seeds)


def _folder(config: StudyConfig, arm: Arm, *, seed: int | None = None) -> Path:
    """Where a network is kept; the first seed is that of the plan, which has no number."""
    name = re.sub(r"\W+", "-", arm.name)
    repeats = seed not in (None, config.plan.seed)
    return config.folder / "networks" / (f"{name}-{seed}" if repeats else name)


def _named(subject: Subject, arm: Arm, config: StudyConfig, *, seed: int) -> Subject:
    """The first network of an arm has the arm's name, the others have their seed in theirs."""
    repeats = seed != config.plan.seed
    return dataclasses.replace(
        subject,
        name=f"{arm.name}, seed {seed}" if repeats else arm.name,
        run=arm.name if config.seeds > 1 else "",
        repeats=repeats,
    )


def over_seeds(
    found: Sequence[NetworkAudit], seeds: Sequence[SeedsRow]
) -> dict[str, NetworkResult]:
    """The results that claims and sentences speak of, by name: means where there are several."""
    networks = {made.result.name: made.result for made in found}
    for row in seeds:
        curves = [curve_of(made.class_sweep) for made in found if made.result.name in row.networks]
        mean = {name: np.mean([c[name] for c in curves], axis=0).tolist() for name in curves[0]}
        first = networks[row.run]
        networks[row.run] = dataclasses.replace(
            first, figures={**first.figures, **row.figures}, curve=mean
        )
    return networks


def _mean_over_all_shifts(apply: Callable) -> Callable:
    """Of a network that shares little: what that costs is a point that the study makes."""
    symmetric = symmetrize(apply)

    def mean(images: Array) -> Array:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="symmetrize is brute force")
            return symmetric(images)

    return mean


def _averaged(arm: Arm, network: Subject) -> Subject:
    return dataclasses.replace(
        network,
        name=arm.name,
        title=arm.title,
        apply=_mean_over_all_shifts(network.apply),
        layers=None,
        by_proof=True,
    )


def _subject(arm: Arm, trained: TrainResult, folder: Path) -> Subject:
    return of_module(
        trained.model,
        trained.variables,
        name=arm.name,
        title=arm.title,
        mean=trained.data.mean,
        std=trained.data.std,
        origin={
            "checkpoint": folder.as_posix(),
            "step": trained.step,
            "seed": trained.config.seed,
        },
    )


def _comparisons(audits: dict[str, NetworkAudit]) -> list[dict[str, Any]]:
    found = []
    for pair in PAIRS:
        if all(name in audits for name in pair):
            first, second = (audits[name].class_sweep for name in pair)
            if first.count == second.count:
                found += summary.compare(pair, first, second)
    return found
