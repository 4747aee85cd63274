"""Audits one or several networks on one data set."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import Progress

from jaxinv import data
from jaxinv.evaluation import summary
from jaxinv.evaluation.audit import Audit, Plan, audit, partial_audit
from jaxinv.evaluation.progress import counting, say
from jaxinv.evaluation.protocols import check_protocols, chosen
from jaxinv.evaluation.results import Results, circumstances
from jaxinv.evaluation.subject import Subject, of_function, of_module
from jaxinv.evaluation.sweep import Interrupted, SweepOptions
from jaxinv.training import load_checkpoint


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated, on what, and how."""

    checkpoint: tuple[Path, ...] = ()
    """Workdirs of train.py."""
    apply: str | None = None
    """The user's own network, package.module:function."""
    params: Path | None = None
    """File of its parameters."""
    dataset: str | None = None
    """Data set; by default the one a checkpoint was trained on, else digits."""
    split: str = "test"
    """Split, a slice such as test[:1000] included."""
    data_dir: Path | None = None
    """Folder of prepared TFDS data sets."""
    plan: Plan = dataclasses.field(default_factory=Plan)
    """What is done to each network."""


def evaluate_networks(
    config: EvaluationConfig, *, progress: Progress | None = None
) -> tuple[Results, list[Audit]]:
    """Audits networks on the same images and compares each pair of them.

    Args:
      config: what to evaluate.
      progress: a bar to add to.

    Returns:
      The results, marked incomplete after Ctrl-C, and an audit for each network that was reached.

    Raises:
      ValueError: if there is nothing to evaluate, a checkpoint or file cannot be read, the data
        set is not there, or a network does not take its images.
    """
    start = time.monotonic()
    check_protocols(config.plan.protocols)
    subjects, dataset = subjects_of(config)
    for subject in subjects:
        check_fits(subject, dataset)
        chosen(config.plan.protocols, subject, dataset.images)
    audits, complete = audit_all(subjects, dataset, plan=config.plan, progress=progress)
    comparisons: list[dict[str, Any]] = []
    for number, first in enumerate(audits):
        for second in audits[number + 1 :]:
            if first.sweep.count == second.sweep.count:
                names = (first.result.name, second.result.name)
                comparisons += summary.compare(names, first.sweep, second.sweep)
    return Results(
        headline=headline(audits),
        networks=tuple(made.result for made in audits),
        comparisons=tuple(comparisons),
        dataset=described(dataset),
        shifts=shifts_of(audits, config.plan.options),
        run=circumstances(seed=config.plan.seed, seconds=time.monotonic() - start),
        complete=complete,
    ), audits


def audit_all(
    subjects: Iterable[Subject],
    dataset: data.Dataset,
    *,
    plan: Plan,
    progress: Progress | None = None,
    finished: Callable[[Subject, Audit], None] = lambda subject, made: None,
) -> tuple[list[Audit], bool]:
    """Audits networks one after the other; Ctrl-C ends it with what is there.

    Args:
      subjects: the networks; may be a generator that trains them.
      dataset: the images.
      plan: what is done to each.
      progress: a bar to add to.
      finished: called after each network.

    Returns:
      The audits, and whether all were finished.
    """
    audits: list[Audit] = []
    try:
        for subject in subjects:
            total = len(dataset) * (1 + len(chosen(plan.protocols, subject, dataset.images)))
            with counting(progress, f"shifting images for {subject.name}", total) as advance:
                try:
                    made = audit(subject, dataset, plan=plan, progress=advance)
                except Interrupted as stopped:
                    if stopped.sweep is not None:
                        found, options = stopped.sweep, plan.options
                        audits.append(partial_audit(subject, dataset, found, options=options))
                    raise
            audits.append(made)
            figures = made.result.figures
            say(
                progress,
                f"{subject.name}: right on {figures['centred']} as they are, "
                f"{figures['mean']} over all shifts",
            )
            finished(subject, made)
    except KeyboardInterrupt:
        return audits, False
    return audits, True


def subjects_of(config: EvaluationConfig) -> tuple[list[Subject], data.Dataset]:
    """Loads networks and data set.

    Args:
      config: which.

    Returns:
      The networks, and the data set of all of them.

    Raises:
      ValueError: as `evaluate_networks`.
    """
    if not config.checkpoint and config.apply is None:
        raise ValueError("nothing to evaluate: give a checkpoint, or apply with params")
    if config.params is not None and config.apply is None:
        raise ValueError("params belongs to apply, which names the function that takes them")
    subjects: list[Subject] = []
    names: list[str] = []
    canvases: list[int | None] = []
    for path in config.checkpoint:
        loaded = load_checkpoint(path)
        name = path.name if [p.name for p in config.checkpoint].count(path.name) == 1 else str(path)
        options = ", ".join(f"{k}={v}" for k, v in loaded.config.model_options.items())
        subject = of_module(
            loaded.model,
            loaded.variables,
            name=name,
            title=f"{loaded.config.model}({options}) trained on {loaded.config.dataset}",
            mean=loaded.data.mean,
            std=loaded.data.std,
            origin={"checkpoint": str(path), "step": loaded.step},
        )
        subjects.append(subject)
        names.append(loaded.config.dataset)
        canvases.append(loaded.config.canvas)
    if config.apply is not None:
        subjects.append(of_function(config.apply, config.params))
    chosen = {config.dataset} if config.dataset else set(names)
    if len(chosen) > 1 or len(set(canvases)) > 1:
        raise ValueError(
            f"the checkpoints were trained on different images ({', '.join(sorted(names))}); "
            "name one data set for all, and compare networks that take the same size"
        )
    dataset = data.load(
        next(iter(chosen), None) or "digits",
        split=config.split,
        data_dir=config.data_dir,
        canvas=canvases[0] if canvases else None,
    )
    return subjects, dataset


def check_fits(subject: Subject, dataset: data.Dataset) -> None:
    """Raises unless a network maps the images to one output per image and class.

    Args:
      subject: the network.
      dataset: the images.

    Raises:
      ValueError: if it does not.
    """
    shape = (2, *dataset.images.shape[1:])
    try:
        out = jax.eval_shape(subject.apply, jax.ShapeDtypeStruct(shape, np.float32))
    except (
        Exception
    ) as error:  # each framework has an error of its own for a shape that does not fit
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(
            f"{subject.name} does not take images of shape {shape[1:]} of {dataset.name}: {reason}"
        ) from error
    got = getattr(out, "shape", None)
    if got is None or len(got) != 2 or got[0] != 2 or got[1] < dataset.num_classes:
        raise ValueError(
            f"{subject.name} returns {'no array' if got is None else got} for {shape}; needed are "
            f"outputs (n, classes) with at least {dataset.num_classes} classes"
        )


def headline(audits: Sequence[Audit]) -> str:
    """The verdict on one network, or the comparison of several, in a sentence.

    Args:
      audits: what was found.

    Returns:
      The sentence.

    Example:
      >>> headline([])
      'The evaluation was stopped before an image was finished.'
    """
    if not audits:
        return "The evaluation was stopped before an image was finished."
    results = [made.result for made in audits]

    def shares(result):
        figures = result.figures
        names = ("centred", "mean", "worst")
        return (f"{100 * figures[name].value:.1f}%" for name in names)

    if len(results) == 1:
        centred, mean, worst = shares(results[0])
        proof = results[0].certificate
        proved = f" Proved: {proof['verdict']}." if proof else ""
        return (
            f"{results[0].name} is right on {centred} of the images as they are, on {mean} over "
            f"all shifts, and on {worst} at every shift.{proved}"
        )
    best = max(results, key=lambda result: result.figures["worst"].value)
    centred, mean, worst = shares(best)
    return (
        f"Of {len(results)} networks, {best.name} is right at every shift on the most images, "
        f"{worst} ({centred} as they are, {mean} over all shifts)."
    )


def described(dataset: data.Dataset) -> dict[str, Any]:
    """A data set for `Results.dataset`."""
    return {
        "name": dataset.name,
        "split": dataset.split,
        "images": len(dataset),
        "shape": list(dataset.images.shape[1:]),
        "classes": dataset.num_classes,
    }


def shifts_of(audits: Sequence[Audit], options: SweepOptions) -> dict[str, Any]:
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
