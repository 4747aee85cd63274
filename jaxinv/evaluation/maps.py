"""A network with label maps as outputs, at every shift, each map moved back onto the unshifted."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxinv.data import Source
from jaxinv.data.source import VOID
from jaxinv.evaluation import summary
from jaxinv.evaluation.aligned import (
    AlignedSweep,
    Arrays,
    MapPicture,
    common_places,
    over_maps,
    seen_size,
)
from jaxinv.evaluation.results import Estimate, NetworkResult
from jaxinv.evaluation.shards import Shard
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import Interrupted, SweepOptions, class_dtype
from jaxinv.metrics import maps as metrics
from jaxinv.metrics.maps.labels import overlaps
from jaxinv.training.label_maps import mean_iou

# Numbers of positions by image, and sums over images.
BY_IMAGE = ("counted", "centred", "mean", "worst", "consistency")
SUMS = ("right", "agreeing", "both", "either", "kept")


@dataclasses.dataclass(frozen=True)
class MapSweep(AlignedSweep):
    """What a network says of each position of each image at each shift, as sums.

    Attributes:
      positions: their number in an image.
      counted: positions with a label, by image.
      centred: of these, those that are right without a shift, by image.
      mean: those that are right at a shift, on average, by image.
      worst: those that are right at every shift, by image.
      consistency: see `jaxinv.metrics.maps.consistency`, by image; all positions count.
      right: positions that are right, by shift.
      agreeing: positions with the class of the zero shift, by shift; all count.
      both: positions with a class in both maps, by shift and class, for `mean_iou`.
      either: those with it in either map.
      kept: chances that belong to `class_consistency`, by class: of pairs, and of positions.
      first: label maps of the first images at all shifts.
      labelled: whether the labels are true ones, or what is said of the unshifted image.
    """

    positions: int
    counted: Int[np.ndarray, " n"]
    centred: Int[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    worst: Int[np.ndarray, " n"]
    consistency: Float[np.ndarray, " n"]
    right: Int[np.ndarray, "s1 s2"]
    agreeing: Int[np.ndarray, "s1 s2"]
    both: Int[np.ndarray, "s1 s2 k"]
    either: Int[np.ndarray, "s1 s2 k"]
    kept: Float[np.ndarray, "2 k"]
    first: Int[np.ndarray, "s1 s2 m h w"]
    labelled: bool

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.worst)

    @property
    def accuracy(self) -> Float[np.ndarray, "s1 s2"]:
        """Share of positions that are right at each shift."""
        return self.right / self.counted.sum()

    @property
    def iou(self) -> Float[np.ndarray, "s1 s2"]:
        """Mean IoU at each shift, over all images."""
        return mean_iou(self.both, self.either)


def map_sweep(
    apply: Callable[[Array], Array],
    source: Source,
    *,
    options: SweepOptions,
    labelled: bool = True,
    directory: Path | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> MapSweep:
    """Evaluates a network with label maps at every shift of every image.

    Args:
      apply: from images (n, H, W, C) to logits (n, H, W, classes).
      source: the images and their label maps, read shard by shard.
      options: which shifts, and how many images and shifts at a time.
      labelled: False takes what is said of the unshifted image for the true label map.
      directory: where finished shards are kept and found again; None keeps nothing.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if an output is not proved to move with the image, or is not finite; or no
        position has a label.
      Interrupted: on Ctrl-C, with the images that were finished.
    """
    one = jax.ShapeDtypeStruct((1, *seen_size(source, options)), np.float32)
    classes = jax.eval_shape(apply, one).shape[-1]

    def figures(said: Array, labels: Array, origin: tuple[int, ...]) -> dict[str, Array]:
        truth = labels if labelled else said[origin]
        counted = truth != VOID
        shares = jax.lax.map(
            lambda k: jnp.mean(said == k, axis=(0, 1), dtype=float), jnp.arange(classes)
        )
        both, either = overlaps(
            said[..., None, :, :],
            truth[:, None],
            classes=classes,
            keep=3,
            counted=counted[:, None],
        )
        right = (said == truth) & counted

        def positions(where: Array) -> Array:
            return jnp.sum(where, axis=(-2, -1))

        kept = [jnp.sum(shares**power, axis=(-2, -1)).T for power in (2, 1)]
        return {
            "counted": positions(counted),
            "right": positions(right),
            "agreeing": positions(said == said[origin]),
            "worst": positions(right.all(axis=(0, 1))),
            "consistency": jnp.mean(jnp.sum(shares**2, axis=0), axis=(-2, -1)),
            "both": both,
            "either": either,
            "kept": jnp.stack(kept, axis=1),
            "finite": (said >= 0).all(axis=(-2, -1)),
            "first": said.astype(class_dtype(classes)),
        }

    def added(arrays: Arrays, origin: tuple[int, ...]) -> Arrays:
        right = arrays["right"]
        made = {name: arrays[name] for name in ("counted", "worst", "consistency", "first")}
        made |= {"centred": right[origin], "mean": right.mean(axis=(0, 1))}
        sums = {name: arrays[name].sum(axis=2) for name in SUMS[:-1]}
        return made | sums | {"kept": arrays["kept"].sum(axis=0, dtype=float)}

    def labels_of(shard: Shard) -> np.ndarray:
        count = len(shard.labels)
        return common_places(shard.labels, options) if labelled else np.zeros(count, np.int32)

    arrays, shifts, devices, interrupted = over_maps(
        lambda images: _said(apply(images)),
        source,
        figures,
        dict.fromkeys(("right", "agreeing", "both", "either", "finite", "first"), 2)
        | dict.fromkeys(("counted", "worst", "consistency", "kept"), 0),
        added,
        sums=SUMS,
        joined=dict.fromkeys(BY_IMAGE, 0) | {"first": 2},
        options=options,
        labels_of=labels_of,
        words=("label maps", labelled),
        directory=directory,
        progress=progress,
    )
    if arrays and not arrays["counted"].any():
        if not interrupted:
            raise ValueError(
                f"no position of {source.name} that is seen at every shift has a class"
            )
        arrays = {}
    found = None
    if arrays:
        positions = math.prod(arrays["first"].shape[-2:])
        found = MapSweep(shifts, devices, positions=positions, labelled=labelled, **arrays)
    if interrupted or found is None:
        raise Interrupted(found) from None
    return found


def _said(logits: Array) -> Int[Array, "n h w"]:
    """The class of each position; -1 where a logit is not finite."""
    return jnp.where(jnp.isfinite(logits).all(-1), logits.argmax(-1), -1)


def figures_of(found: MapSweep) -> dict[str, Estimate]:
    """The headline figures: shares of positions, and mean IoU as it is and at the worst shift."""
    pairs, positions = found.kept
    of_classes = np.where(positions > 0, pairs / np.maximum(positions, 1e-12), np.nan)
    iou = found.iou

    def plain(value: np.floating) -> Estimate:
        return Estimate(float(value), None, None, found.count)

    figures = {
        "centred": _share(found.centred, found.counted),
        "mean": _share(found.mean, found.counted),
        "worst": _share(found.worst, found.counted),
        "consistency": summary.mean(found.consistency),
        "class_consistency": plain(np.nanmean(of_classes)),
        "iou": plain(iou[found.unshifted]),
        "worst_iou": plain(iou.min()),
    }
    unlabelled = ("mean", "worst", "consistency", "class_consistency")
    return figures if found.labelled else {name: figures[name] for name in unlabelled}


def _share(right: Float[np.ndarray, " n"], counted: Int[np.ndarray, " n"]) -> Estimate:
    """Share of all positions with a label, with its interval over images."""
    if (counted == counted[0]).all():
        return summary.mean(right / counted)
    # The ratio of two sums: its interval is that of the mean of its linear part in each image.
    value = right.sum() / counted.sum()
    return summary.mean(value + (right - value * counted) / counted.mean())


def maps_of(found: MapSweep) -> dict[str, np.ndarray]:
    """What maps.npz holds of a network, with the shifts leading, in the orbit's order."""
    return {
        "accuracy": found.accuracy.astype(np.float32),
        "iou": found.iou.astype(np.float32),
        "label_maps": found.first,
        "flicker": np.asarray(metrics.flicker(jnp.asarray(found.first))),
        "shifts_down": np.asarray(found.shifts.rows[0]),
        "shifts_right": np.asarray(found.shifts.rows[1]),
    }


def result_of(subject: Subject, found: MapSweep) -> NetworkResult:
    """The figures that follow from a sweep alone."""
    agreement = found.agreeing / (found.count * found.positions)
    return subject.result(
        figures=figures_of(found),
        worst_shift=summary.lowest(found.iou, *summary.rows_of(found)),
        curve=summary.by_reach(found, {"accuracy": found.accuracy, "consistency": agreement}),
    )


def pictures_of(found: MapSweep, source: Source, options: SweepOptions) -> tuple[MapPicture, ...]:
    """The first images, each at the shift that changes the class of most positions."""
    count = found.first.shape[2]
    shown = common_places(source.read(range(count))[0], options)
    flicker = np.asarray(metrics.flicker(jnp.asarray(found.first)))
    pictures = []
    for index in range(count):
        said = found.first[:, :, index]
        agreeing = (said == said[found.unshifted]).mean(axis=(-2, -1))
        at = np.unravel_index(agreeing.argmin(), agreeing.shape)
        pictures.append(
            MapPicture(
                index=index,
                image=shown[index],
                shift=summary.shift_at(found, at),
                before=found.first[(*found.unshifted, index)],
                after=found.first[(*at, index)],
                flicker=flicker[index],
            )
        )
    return tuple(pictures)
