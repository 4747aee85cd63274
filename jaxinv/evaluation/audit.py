"""One network audited: proof, sweep over shifts, features, layers and protocols."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jaxinv.certificate import Certificate
from jaxinv.data import Source
from jaxinv.evaluation import maps, proof, summary, values
from jaxinv.evaluation.aligned import AlignedSweep, MapPicture, says_maps
from jaxinv.evaluation.layers import feature_error, layer_rows
from jaxinv.evaluation.maps import MapSweep
from jaxinv.evaluation.proof import with_tie_margin
from jaxinv.evaluation.protocols import applicable, run_protocol
from jaxinv.evaluation.results import NetworkResult
from jaxinv.evaluation.seams import seams_of
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import Sweep, SweepOptions, few_shifts, sweep
from jaxinv.evaluation.values import ValueSweep
from jaxinv.hosts import agreement as hosts
from jaxinv.shifts import crop_translate, translate

# What outputs that are maps mean.
Outputs = Literal["classes", "values"]
# Images that the layer table and the features' error are measured on.
FEW = 8


@dataclasses.dataclass(frozen=True)
class NetworkAudit:
    """A network's figures, and what its maps and pictures are made from."""

    result: NetworkResult
    sweep: Sweep | MapSweep | ValueSweep
    pictures: tuple[tuple[np.ndarray, np.ndarray], ...]
    map_pictures: tuple[MapPicture, ...] = ()
    seams: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def class_sweep(self) -> Sweep:
        """What a network with class vectors says at each shift."""
        assert isinstance(self.sweep, Sweep)
        return self.sweep


@dataclasses.dataclass(frozen=True)
class AuditPlan:
    """What is done to each network.

    Attributes:
      options: the shifts.
      certify: whether to prove.
      layers: whether to go layer by layer.
      protocols: names of published protocols, see `jaxinv.evaluation.protocols.applicable`.
      directory: where finished shards are kept; None keeps none.
      seed: of everything random.
      labelled: whether the labels of the images mean something. Only where outputs are maps what a
        network says of the unshifted image can stand for them.
      outputs: what maps are, scores of classes or values.
      peak: the largest value that an output can have.
    """

    options: SweepOptions = dataclasses.field(default_factory=SweepOptions)
    certify: bool = True
    layers: bool = True
    protocols: tuple[str, ...] = ()
    directory: Path | None = None
    seed: int = 0
    labelled: bool = True
    outputs: Outputs = "classes"
    peak: float = 1.0


def audit_network(
    subject: Subject,
    dataset: Source,
    *,
    plan: AuditPlan | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> NetworkAudit:
    """Audits one network on one data set.

    Several processes divide the sweep; the rest is done by process 0 alone.

    Args:
      subject: the network.
      dataset: its images.
      plan: what is done.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if the network does not take the images, gives no output per image and class, or
        outputs that are not finite.
      Interrupted: on Ctrl-C; `partial_audit` makes a result of what it carries.
    """
    plan = plan or AuditPlan()
    seen = seen_of(dataset, plan.options)
    few, _ = seen.read(range(min(FEW, len(seen))))
    certificate = written = None
    if plan.certify and (subject.by_proof or not subject.repeats):
        certificate = proof.certified(subject.apply, few[:1], mode=plan.options.mode)
        written = with_tie_margin(
            proof.written(certificate), subject, seen, batch=plan.options.batch
        )
    found = _swept(subject, dataset, plan=plan, certificate=certificate, progress=progress)
    made = partial_audit(subject, dataset, found, options=plan.options)
    if subject.repeats or not hosts.first():
        return made
    figures = dict(made.result.figures)
    states: Callable[..., Any] | None = proof.layer_states if plan.certify else None
    with subject.named_in_errors():
        features = None if isinstance(found, AlignedSweep) else feature_error(subject, few)
        layers = layer_rows(subject, few, states=states) if plan.layers else ()
    if features is not None:
        figures["equivariance_error"] = features[0]
    result = dataclasses.replace(
        made.result,
        figures=figures,
        certificate=written,
        layers=layers,
        protocols={
            name: run_protocol(
                name,
                subject,
                dataset,
                margin=margin_of(plan.options),
                seed=plan.seed,
                progress=progress,
            )
            for name in applicable(plan.protocols, subject, seen.image_shape)
        },
    )
    if isinstance(found, AlignedSweep) and plan.certify:
        made = dataclasses.replace(made, seams=seams_of(subject.apply, jnp.float32(few[:1])))
    return dataclasses.replace(made, result=result)


def _swept(
    subject: Subject,
    dataset: Source,
    *,
    plan: AuditPlan,
    certificate: Certificate | None,
    progress: Callable[[int], None],
) -> Sweep | MapSweep | ValueSweep:
    given: Any = (subject.apply, dataset)
    options: Any = {"options": plan.options, "progress": progress}
    if says_maps(subject, seen_of(dataset, plan.options).image_shape):
        with subject.named_in_errors():
            options |= {"labelled": plan.labelled, "directory": plan.directory}
            if plan.outputs == "values":
                return values.value_sweep(*given, **options, peak=plan.peak)
            return maps.map_sweep(*given, **options)
    if subject.by_proof and (certificate is None or not certificate.only.state.is_invariant):
        raise ValueError(
            f"{subject.name} is to be evaluated by its proof of invariance, and there is none; "
            "certify must not be switched off"
        )
    with subject.named_in_errors():
        if subject.by_proof:
            return few_shifts(*given, **options)
        return sweep(*given, **options, directory=plan.directory)


def seen_of(dataset: Source, options: SweepOptions) -> Source:
    """The unshifted images as the network sees them."""
    return dataset.map(functools.partial(shown_to_the_network, options=options))


def margin_of(options: SweepOptions) -> int:
    """Pixels at each side of the images that an unshifted network does not see."""
    return (options.max_shift or 0) if options.mode == "crop" else 0


def shown_to_the_network(
    images: Shaped[np.ndarray, "n h w c"], options: SweepOptions
) -> Shaped[np.ndarray, "n h2 w2 c"]:
    """The unshifted images as the network sees them: for mode "crop" the window in the middle.

    Example:
      >>> options = SweepOptions(mode="crop", max_shift=2)
      >>> shown_to_the_network(np.zeros((1, 8, 9, 3)), options).shape
      (1, 4, 5, 3)
    """
    m = margin_of(options)
    return images[:, m : images.shape[1] - m, m : images.shape[2] - m]


def partial_audit(
    subject: Subject,
    dataset: Source,
    found: Sweep | MapSweep | ValueSweep,
    *,
    options: SweepOptions,
) -> NetworkAudit:
    """The figures that follow from a sweep alone, of all images or of the first ones."""
    if isinstance(found, AlignedSweep):
        kind: Any = values if isinstance(found, ValueSweep) else maps
        shown = kind.pictures_of(found, dataset, options)
        return NetworkAudit(kind.result_of(subject, found), found, (), shown)
    result = subject.result(
        figures=summary.figures_of(found), worst_shift=summary.worst_shift_of(found)
    )
    if subject.repeats:
        return NetworkAudit(result, found, ())
    flips = summary.flips_of(found)
    result = dataclasses.replace(
        result, curve=summary.curve_of(found), radial=summary.radial_of(found), flips=flips
    )
    images, _ = dataset.read([flip.index for flip in flips])
    pictures = [
        shown_pair(image, flip.shift, options) for image, flip in zip(images, flips, strict=True)
    ]
    return NetworkAudit(result, found, tuple(pictures))


def shown_pair(
    image: Shaped[np.ndarray, "h w c"], shift: Sequence[int], options: SweepOptions
) -> tuple[np.ndarray, np.ndarray]:
    """An image, for mode "crop" the larger one, as the network sees it without and with a shift.

    Example:
      >>> dot = np.zeros((2, 2, 1), np.uint8)
      >>> dot[0, 0] = 9
      >>> shown_pair(dot, (1, 0), SweepOptions())[1][..., 0].tolist()
      [[0, 0], [9, 0]]
    """
    if options.mode == "crop":
        size = [n - 2 * (options.max_shift or 0) for n in image.shape[:2]]
        move = functools.partial(crop_translate, size=size, axes=(0, 1))
    else:
        move = functools.partial(translate, axes=(0, 1), mode=options.mode)
    before, after = (np.asarray(move(image, tuple(t))) for t in ((0, 0), shift))
    return before, after
