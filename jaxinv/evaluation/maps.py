"""A network with label maps as outputs, at every shift, each map moved back onto the unshifted."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxinv.data import Source
from jaxinv.evaluation import summary
from jaxinv.evaluation.results import Estimate, NetworkResult
from jaxinv.evaluation.shards import filled, shard_sizes, shards_of
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import Interrupted, SweepOptions
from jaxinv.metrics import maps as metrics
from jaxinv.metrics.maps.labels import overlaps
from jaxinv.orbit import ShiftSet, orbit, shift_set
from jaxinv.training.label_maps import mean_iou

# Images of which there are pictures, and of which all label maps are kept for them.
PICTURES = 3
# Bytes that the label maps of a shard may take at all shifts.
AT_ONCE = 2**27


@dataclasses.dataclass(frozen=True)
class MapSweep:
    """What a network says of each position of each image at each shift, as sums.

    Attributes:
      shifts: the set of shifts.
      right: share of positions that are right, by shift and image.
      agreeing: share of positions with the class of the zero shift, by shift and image.
      worst: share of positions that are right at every shift, by image.
      consistency: see `jaxinv.metrics.maps.consistency`, by image.
      both: positions with a class in both maps, by shift and class, for `mean_iou`.
      either: those with it in either map.
      kept: chances that belong to `class_consistency`, by class: of pairs, and of positions.
      first: label maps of the first images at all shifts.
      labels: the true label maps of the first images.
      labelled: whether the labels are true ones, or what is said of the unshifted image.
      devices: those that computed, by name.
    """

    shifts: ShiftSet
    right: Float[np.ndarray, "s1 s2 n"]
    agreeing: Float[np.ndarray, "s1 s2 n"]
    worst: Float[np.ndarray, " n"]
    consistency: Float[np.ndarray, " n"]
    both: Int[np.ndarray, "s1 s2 k"]
    either: Int[np.ndarray, "s1 s2 k"]
    kept: Float[np.ndarray, "2 k"]
    first: Int[np.ndarray, "s1 s2 m h w"]
    labels: Int[np.ndarray, "m h w"]
    labelled: bool
    devices: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.worst)

    @property
    def unshifted(self) -> tuple[int, ...]:
        """Index of the zero shift."""
        return self.shifts.index((0,) * len(self.shifts.shape))

    @property
    def iou(self) -> Float[np.ndarray, "s1 s2"]:
        """Mean IoU at each shift, over all images."""
        return mean_iou(self.both, self.either)


@dataclasses.dataclass(frozen=True)
class MapPicture:
    """What a network says of an image as it is and at its worst shift, moved back.

    Attributes:
      index: number of the image.
      image: without a shift, of the positions that are seen at every shift.
      shift: the one at which most positions change their class.
      before: label map of the unshifted image.
      after: that at the shift, moved back.
      flicker: chance that a position has two classes at two random shifts.
    """

    index: int
    image: Shaped[np.ndarray, "h w c"]
    shift: tuple[int, ...]
    before: Int[np.ndarray, "h w"]
    after: Int[np.ndarray, "h w"]
    flicker: Float[np.ndarray, "h w"]


def says_maps(subject: Subject, shape: Sequence[int]) -> bool:
    """Whether the output for images (H, W, C) has positions."""
    seen = jax.ShapeDtypeStruct((1, *shape), np.float32)
    with subject.named_in_errors():
        return len(jax.eval_shape(subject.apply, seen).shape) == 4


def common_places(
    values: Shaped[np.ndarray, "n h w ..."], options: SweepOptions
) -> Shaped[np.ndarray, "n h2 w2 ..."]:
    """Of images or label maps the positions that are seen at every shift.

    Example:
      >>> common_places(np.zeros((1, 9, 8)), SweepOptions(mode="crop", max_shift=2)).shape
      (1, 1, 0)
      >>> common_places(np.zeros((1, 9, 8)), SweepOptions()).shape
      (1, 9, 8)
    """
    if options.mode == "wrap":
        return values
    m = (options.max_shift or 0) * (2 if options.mode == "crop" else 1)
    return values[:, m : values.shape[1] - m, m : values.shape[2] - m]


def map_sweep(
    apply: Callable[[Array], Array],
    source: Source,
    *,
    options: SweepOptions,
    labelled: bool = True,
    progress: Callable[[int], None] = lambda images: None,
) -> MapSweep:
    """Evaluates a network with label maps at every shift of every image.

    Args:
      apply: from images (n, H, W, C) to logits (n, H, W, classes).
      source: the images and their label maps, read shard by shard.
      options: which shifts, and how many images and shifts at a time.
      labelled: False takes what is said of the unshifted image for the true label map.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if an output is not proved to move with the image, or is not finite.
      Interrupted: on Ctrl-C, with the images that were finished.
    """
    shifts = shift_set(source.image_shape[:2], mode=options.mode, max_shift=options.max_shift)
    batch = min(options.batch, max(1, AT_ONCE // (4 * shifts.count * math.prod(shifts.sizes))))
    count, length = shard_sizes(source, batch)
    seen = jax.ShapeDtypeStruct((1, *shifts.sizes, source.image_shape[2]), np.float32)
    classes = jax.eval_shape(apply, seen).shape[-1]
    everywhere = orbit(
        lambda images: _said(apply(images)),
        mode=options.mode,
        max_shift=options.max_shift,
        chunk=options.chunk,
        share=options.share,
        align=True,
    )
    origin = shifts.index((0, 0))

    @jax.jit
    def evaluate(images, labels):
        said = everywhere(images)
        truth = labels if labelled else said[origin]
        shares = jax.lax.map(
            lambda k: jnp.mean(said == k, axis=(0, 1), dtype=float), jnp.arange(classes)
        )
        both, either = overlaps(said[..., None, :, :], truth[:, None], classes=classes, keep=3)
        right, agreeing = said == truth, said == said[origin]
        return {
            "right": jnp.mean(right, axis=(-2, -1), dtype=float),
            "agreeing": jnp.mean(agreeing, axis=(-2, -1), dtype=float),
            "worst": jnp.mean(right.all(axis=(0, 1)), axis=(-2, -1), dtype=float),
            "consistency": jnp.mean(jnp.sum(shares**2, axis=0), axis=(-2, -1)),
            "both": both,
            "either": either,
            "kept": jnp.stack([jnp.sum(shares**p, axis=(-2, -1)) for p in (2, 1)]),
            "finite": (said >= 0).all(axis=(-2, -1)),
            "said": said,
            "truth": truth,
        }

    found: list[dict[str, Any]] = []
    try:
        for shard in shards_of(source, batch, range(count)):
            labels = (
                common_places(shard.labels, options) if labelled else np.zeros(len(shard.labels))
            )
            arrays = evaluate(filled(shard.images, length), filled(labels, length))
            found.append(_figures(arrays, len(shard.labels), keep=shard.number == 0))
            progress(len(shard.labels))
    except KeyboardInterrupt:
        finished = _joined(found, shifts, labelled) if found else None
        raise Interrupted(finished) from None  # type: ignore[arg-type]
    return _joined(found, shifts, labelled)


def _said(logits: Array) -> Int[Array, "n h w"]:
    """The class of each position; -1 where a logit is not finite."""
    return jnp.where(jnp.isfinite(logits).all(-1), logits.argmax(-1), -1)


def _figures(arrays: dict[str, Array], count: int, *, keep: bool) -> dict[str, Any]:
    """The arrays of a shard without the images that only fill it."""
    made = {name: np.asarray(value) for name, value in arrays.items() if name != "said"}
    if not made["finite"][..., :count].all():
        raise ValueError("outputs are NaN or infinite: a position has no class")
    few = PICTURES if keep else 0
    return {
        "right": made["right"][..., :count],
        "agreeing": made["agreeing"][..., :count],
        "worst": made["worst"][:count],
        "consistency": made["consistency"][:count],
        "both": made["both"][:, :, :count].sum(axis=2),
        "either": made["either"][:, :, :count].sum(axis=2),
        "kept": made["kept"][:, :, :count].sum(axis=2),
        "first": np.asarray(arrays["said"][:, :, : min(few, count)]),
        "labels": made["truth"][: min(few, count)],
    }


def _joined(found: list[dict[str, Any]], shifts: ShiftSet, labelled: bool) -> MapSweep:
    arrays = {
        name: np.concatenate([part[name] for part in found], axis=-1)
        for name in ("right", "agreeing", "worst", "consistency")
    }
    arrays |= {name: sum(part[name] for part in found) for name in ("both", "either", "kept")}
    arrays |= {name: found[0][name] for name in ("first", "labels")}
    devices = (str(jax.local_devices()[0]),)
    return MapSweep(shifts=shifts, labelled=labelled, devices=devices, **arrays)


def figures_of(found: MapSweep) -> dict[str, Estimate]:
    """The headline figures: shares of positions, and mean IoU as it is and at the worst shift."""
    pairs, positions = found.kept
    of_classes = np.where(positions > 0, pairs / np.maximum(positions, 1e-12), np.nan)
    iou = found.iou

    def plain(value: np.floating) -> Estimate:
        return Estimate(float(value), None, None, found.count)

    figures = {
        "centred": summary.mean(found.right[found.unshifted]),
        "mean": summary.mean(found.right.mean(axis=(0, 1))),
        "worst": summary.mean(found.worst),
        "consistency": summary.mean(found.consistency),
        "class_consistency": plain(np.nanmean(of_classes)),
        "iou": plain(iou[found.unshifted]),
        "worst_iou": plain(iou.min()),
    }
    unlabelled = ("mean", "worst", "consistency", "class_consistency")
    return figures if found.labelled else {name: figures[name] for name in unlabelled}


def maps_of(found: MapSweep) -> dict[str, np.ndarray]:
    """What maps.npz holds of a network, with the shifts leading, in the orbit's order."""
    return {
        "accuracy": found.right.mean(axis=-1).astype(np.float32),
        "iou": found.iou.astype(np.float32),
        "label_maps": found.first.astype(np.int16),
        "flicker": np.asarray(metrics.flicker(jnp.asarray(found.first))),
        "shifts_down": np.asarray(found.shifts.rows[0]),
        "shifts_right": np.asarray(found.shifts.rows[1]),
    }


def result_of(subject: Subject, found: MapSweep) -> NetworkResult:
    """The figures that follow from a sweep alone."""
    accuracy, agreement = (values.mean(axis=-1) for values in (found.right, found.agreeing))
    order = np.lexsort((summary.reach_of(found).ravel(), found.iou.ravel()))
    return NetworkResult(
        name=subject.name,
        title=subject.title,
        origin=dict(subject.origin),
        parameters=subject.parameters,
        figures=figures_of(found),
        worst_shift=_shift_at(found, np.unravel_index(order[0], found.iou.shape)),
        curve=summary.by_reach(found, accuracy, agreement),
        run=subject.run,
    )


def pictures_of(found: MapSweep, source: Source, options: SweepOptions) -> tuple[MapPicture, ...]:
    """The first images, each at the shift that changes the class of most positions."""
    count = found.first.shape[2]
    shown = common_places(source.read(range(count))[0], options)
    flicker = np.asarray(metrics.flicker(jnp.asarray(found.first)))
    pictures = []
    for index in range(count):
        agreeing = found.agreeing[..., index]
        at = np.unravel_index(agreeing.argmin(), agreeing.shape)
        pictures.append(
            MapPicture(
                index=index,
                image=shown[index],
                shift=_shift_at(found, at),
                before=found.first[(*found.unshifted, index)],
                after=found.first[(*at, index)],
                flicker=flicker[index],
            )
        )
    return tuple(pictures)


def _shift_at(found: MapSweep, index) -> tuple[int, ...]:
    return tuple(int(row[i]) for row, i in zip(summary.rows_of(found), index, strict=True))
