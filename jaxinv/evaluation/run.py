"""Audits one or several networks on one data set."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import Progress

from jaxinv import data
from jaxinv.digest import content_digest
from jaxinv.evaluation import summary
from jaxinv.evaluation.aligned import AlignedSweep, says_maps
from jaxinv.evaluation.audit import AuditPlan, NetworkAudit, audit_network, partial_audit, seen_of
from jaxinv.evaluation.loading import check_fits, check_reach
from jaxinv.evaluation.maps import MapSweep
from jaxinv.evaluation.proof import closest, proved
from jaxinv.evaluation.protocols import applicable, check_protocols
from jaxinv.evaluation.results import NetworkResult, Results, SeedsRow, circumstances, shift_words
from jaxinv.evaluation.seeds import seeds_rows
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import Interrupted, Sweep, SweepOptions, sweep
from jaxinv.evaluation.values import ValueSweep
from jaxinv.hosts import agreement as hosts
from jaxinv.progress import counting, say

QUESTION = "Does a network say the same of an image wherever its content lies?"


def evaluate_networks(
    subjects: Sequence[Subject],
    dataset: data.Source,
    *,
    plan: AuditPlan,
    labelled: bool = True,
    progress: Progress | None = None,
) -> tuple[Results, list[NetworkAudit]]:
    """Audits networks on the same images and compares each pair of them.

    Args:
      subjects: the networks.
      dataset: the images.
      plan: what is done to each.
      labelled: False if the labels mean nothing: what a network says of the unshifted image
        stands for its class then.
      progress: a bar to add to.

    Returns:
      The results, marked incomplete after Ctrl-C, and an audit for each network that was reached.

    Raises:
      ValueError: if a network does not take the images, or an option does not fit them.
    """
    start = time.monotonic()
    options = plan.options
    check_protocols(plan.protocols)
    check_reach(dataset, options)
    hosts.refuse_differences({"the data set": _fingerprint(dataset)} if hosts.several() else {})
    for subject in subjects:
        values = plan.outputs == "values"
        outputs = check_fits(subject, dataset, options, labelled=labelled, values=values)
        if labelled and not values and outputs > dataset.num_classes:
            say(
                progress,
                f"{subject.name} has {outputs:,} outputs; the classes of {dataset.name} "
                f"({dataset.num_classes:,}) are taken for the first ones",
            )
        with subject.named_in_errors():
            applicable(plan.protocols, subject, seen_of(dataset, options).image_shape)
    if labelled:
        audits, complete = audit_all(subjects, dataset, plan=plan, progress=progress)
    else:
        audits, complete = _audit_unlabelled(subjects, dataset, plan=plan)
    comparisons: list[dict[str, Any]] = []
    for number, first in enumerate(audits):
        for second in audits[number + 1 :]:
            of_one_run = first.result.run and first.result.run == second.result.run
            one, two = first.sweep, second.sweep
            if not (isinstance(one, Sweep) and isinstance(two, Sweep)):
                continue
            if labelled and one.count == two.count and not of_one_run:
                names = (first.result.name, second.result.name)
                comparisons += summary.compare(names, one, two)
    of_maps = any(isinstance(made.sweep, AlignedSweep) for made in audits)
    shifts, seeds = shifts_of(audits, options), () if of_maps else seeds_rows(audits)
    return Results(
        headline=headline(audits, shifts=shifts, seeds=seeds),
        networks=tuple(made.result for made in audits),
        question=QUESTION,
        comparisons=tuple(comparisons),
        seeds=seeds,
        dataset=described(dataset),
        shifts=shifts,
        maps=any(isinstance(made.sweep, MapSweep) for made in audits),
        values=any(isinstance(made.sweep, ValueSweep) for made in audits),
        run=circumstances(
            seed=plan.seed,
            seconds=time.monotonic() - start,
            computed_on=devices_of(audits),
        ),
        complete=complete,
    ), audits


def _audit_unlabelled(
    subjects: Iterable[Subject], dataset: data.Source, *, plan: AuditPlan
) -> tuple[list[NetworkAudit], bool]:
    """Audits each network on images whose classes are what it says of them unshifted."""
    seen = seen_of(dataset, plan.options)
    still = dataclasses.replace(plan.options, mode="wrap", max_shift=0)
    audits: list[NetworkAudit] = []
    for subject in subjects:
        if says_maps(subject, seen.image_shape):
            bare = dataclasses.replace(plan, labelled=False)
            made, complete = audit_all([subject], dataset, plan=bare)
            audits += made
            if not complete:
                return audits, False
            continue
        try:
            shared = plan.directory if hosts.several() else None
            said = sweep(subject.apply, seen, options=still, directory=shared)
        except KeyboardInterrupt:
            return audits, False
        labels = said.predictions[said.unshifted].astype(np.int32)
        made, complete = audit_all([subject], dataset.labelled(labels), plan=plan)
        for one in made:
            figures = {name: f for name, f in one.result.figures.items() if name != "centred"}
            result = dataclasses.replace(one.result, figures=figures)
            audits.append(dataclasses.replace(one, result=result))
        if not complete:
            return audits, False
    return audits, True


def audit_all(
    subjects: Iterable[Subject],
    dataset: data.Source,
    *,
    plan: AuditPlan,
    progress: Progress | None = None,
    finished: Callable[[Subject, NetworkAudit], None] = lambda subject, made: None,
) -> tuple[list[NetworkAudit], bool]:
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
    audits: list[NetworkAudit] = []
    try:
        for subject in subjects:
            shape = seen_of(dataset, plan.options).image_shape
            total = len(dataset) * (1 + len(applicable(plan.protocols, subject, shape)))
            with counting(progress, f"shifting images for {subject.name}", total) as advance:
                try:
                    made = audit_network(subject, dataset, plan=plan, progress=advance)
                except Interrupted as stopped:
                    if stopped.sweep is not None:
                        found, options = stopped.sweep, plan.options
                        audits.append(partial_audit(subject, dataset, found, options=options))
                    raise
            audits.append(made)
            figures, over = made.result.figures, shift_words(shifts_of([made], plan.options))
            still = f"right on {figures['centred']} as they are, " if "centred" in figures else ""
            what = f"changes by {figures['change']}" if "change" in figures else figures["mean"]
            say(progress, f"{subject.name}: {still}{what} over {over}")
            finished(subject, made)
    except KeyboardInterrupt:
        return audits, False
    return audits, True


def headline(
    audits: Sequence[NetworkAudit],
    *,
    shifts: Mapping[str, Any] | None = None,
    seeds: Sequence[SeedsRow] = (),
) -> str:
    """The verdict on one network, or the comparison of several, in a sentence."""
    if not audits:
        return "The evaluation was stopped before an image was finished."
    results, over = [made.result for made in audits], shift_words(shifts or {})
    if isinstance(audits[0].sweep, MapSweep):
        return _headline_of_maps(results, over=over)
    if isinstance(audits[0].sweep, ValueSweep):
        return _headline_of_values(results, over=over)
    if "centred" not in results[0].figures:
        return _headline_unlabelled(results, over=over)
    names = ("centred", "mean", "worst")
    if len(seeds) == 1 and len(seeds[0].networks) == len(results):
        (row,) = seeds
        centred, mean, worst = (
            f"{100 * row.figures[name].value:.1f}% ± {100 * row.spread[name]:.1f}" for name in names
        )
        who = f"{row.run}, mean ± standard deviation of {len(results)} seeds,"
    else:
        best = _best(results)
        centred, mean, worst = (f"{100 * best.figures[name].value:.1f}%" for name in names)
        who = best.name
        if len(results) > 1:
            return (
                f"Of {len(results)} networks, {who} is right at every one of {over} on the most "
                f"images, {worst} ({centred} as they are, {mean} over these shifts)."
            )
    return (
        f"{who} is right on {centred} of the images as they are, on {mean} over {over}, and on "
        f"{worst} at every one of them.{_proved_of(results)}"
    )


def _headline_of_maps(results: Sequence[NetworkResult], *, over: str) -> str:
    steady = max(results, key=lambda result: result.figures["consistency"].value)
    figures = {name: figure.number for name, figure in steady.figures.items()}
    kept = f"{figures['consistency']} of positions keep their class over pairs of {over}"
    iou = ""
    if "iou" in figures:
        iou = f"; mean IoU is {figures['iou']} as they are, {figures['worst_iou']} at the worst"
    if len(results) > 1:
        return f"Of {len(results)} networks, {steady.name} flickers least: {kept}{iou}."
    return f"{steady.name}: {kept}{iou}.{_proved_of(results)}"


def _headline_of_values(results: Sequence[NetworkResult], *, over: str) -> str:
    steady = min(results, key=lambda result: result.figures["change"].value)
    figures = {name: figure.number for name, figure in steady.figures.items()}
    change = (
        f"by {figures['change']} on average over {over}, {figures['worst_change']} at the worst"
    )
    error = ""
    if "error" in figures:
        error = (
            f"; the error is {figures['error']} as they are, {figures['worst_error']} at the worst"
        )
    if len(results) > 1:
        who = f"Of {len(results)} networks, the output of {steady.name} changes least"
        return f"{who}: {change}{error}."
    return f"The output of {steady.name} changes {change}{error}.{_proved_of(results)}"


def _best(results: Sequence[NetworkResult]) -> NetworkResult:
    """The network that is right at every shift on the most images, then on average."""
    figures = ("worst", "mean")
    return max(results, key=lambda result: [result.figures[name].value for name in figures])


def _headline_unlabelled(results: Sequence[NetworkResult], *, over: str) -> str:
    best = _best(results)
    mean, worst = (f"{100 * best.figures[name].value:.1f}%" for name in ("mean", "worst"))
    if len(results) > 1:
        return (
            f"Of {len(results)} networks, {best.name} says of most images what it says of them "
            f"unshifted at every one of {over}, {worst} ({mean} over these shifts)."
        )
    return (
        f"{best.name} says of {mean} of the images what it says of them unshifted, over {over}, "
        f"and of {worst} at every one of them.{_proved_of(results)}"
    )


def _proved_of(results: Sequence[NetworkResult]) -> str:
    """What is proved of all networks alike, as a sentence that follows another one."""
    certificates = [result.certificate for result in results if result.certificate]
    if len({certificate["verdict"] for certificate in certificates}) != 1:
        return ""
    return f" Proved: {proved(closest(certificates))}."


def described(dataset: data.Source) -> dict[str, Any]:
    """A data set for `Results.dataset`."""
    return {
        "name": dataset.name,
        "split": dataset.split,
        "images": len(dataset),
        "shape": list(dataset.image_shape),
        "classes": dataset.num_classes,
        "class_names": list(dataset.class_names),
        "left_out": list(dataset.left_out),
    }


def _fingerprint(dataset: data.Source) -> str:
    """A data set in words, and the content of its first image, its last and that in the middle."""
    some = dataset.read([0, len(dataset) // 2, len(dataset) - 1]) if len(dataset) else ()
    words = described(dataset)
    shape = "x".join(map(str, words["shape"]))
    return (
        f"{words['name']} ({words['split']}), {words['images']} images of {shape}, content "
        f"{content_digest(*some)[:8]}"
    )


def devices_of(audits: Sequence[NetworkAudit]) -> list[str]:
    """The devices that swept, by name."""
    return list(dict.fromkeys(name for made in audits for name in made.sweep.devices))


def shifts_of(audits: Sequence[NetworkAudit], options: SweepOptions) -> dict[str, Any]:
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
