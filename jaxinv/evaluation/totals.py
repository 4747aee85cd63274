"""What a sweep comes to: sums over images by shift, and over shifts by image.

Some images at a time, so that no array of all images and shifts is needed. Counts are exact. Other
sums are those of the parts, added in float64: with several parts they are the same to rounding.
"""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxinv import metrics

# Images whose shifts are compared at a time.
BLOCK = 2048

if TYPE_CHECKING:
    from jaxinv.evaluation.sweep import Sweep


@dataclasses.dataclass(frozen=True)
class ByShift:
    """Sums over images.

    Attributes:
      right: images that are right.
      agreeing: images with the prediction of the zero shift.
      confidence: probability of the true class.
      distance: distance of the outputs to those of the unshifted image.
      squares: of that distance.
    """

    right: Int[np.ndarray, "s1 s2"]
    agreeing: Int[np.ndarray, "s1 s2"]
    confidence: Float[np.ndarray, "s1 s2"]
    distance: Float[np.ndarray, "s1 s2"]
    squares: Float[np.ndarray, "s1 s2"]


@dataclasses.dataclass(frozen=True)
class ByImage:
    """What the shifts of each image come to.

    Attributes:
      centred: whether it is right without a shift.
      worst: whether it is right at every shift.
      right: the number of shifts at which it is right.
      mean: the share of shifts at which it is right.
      consistency: the chance that two shifts get the same prediction.
    """

    centred: Bool[np.ndarray, " n"]
    worst: Bool[np.ndarray, " n"]
    right: Int[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    consistency: Float[np.ndarray, " n"]


def totals(parts: Iterable["Sweep"]) -> tuple[ByShift, ByImage]:
    """The sums of a sweep that comes in parts."""
    by_shift, by_image = [], []
    for part in parts:
        right = part.predictions == part.labels
        agreeing = part.predictions == part.predictions[part.unshifted]
        by_shift.append(
            ByShift(
                right=right.sum(axis=-1),
                agreeing=agreeing.sum(axis=-1),
                confidence=part.confidence.sum(axis=-1).astype(np.float64),
                distance=part.distance.sum(axis=-1, dtype=np.float64),
                squares=np.sum(part.distance.astype(np.float64) ** 2, axis=-1),
            )
        )
        mean, consistency = _shares(part.predictions, part.labels)
        by_image.append(
            ByImage(
                centred=right[part.unshifted],
                worst=right.all(axis=(0, 1)),
                right=right.sum(axis=(0, 1)),
                mean=mean,
                consistency=consistency,
            )
        )
        del part, right, agreeing  # before the next part is read
    return (
        ByShift(**{f.name: _added(by_shift, f.name) for f in dataclasses.fields(ByShift)}),
        ByImage(**{f.name: _joined(by_image, f.name) for f in dataclasses.fields(ByImage)}),
    )


def _shares(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The accuracy and the consistency of each image, of blocks of one size: compiled once."""
    count = len(labels)
    size = min(count, BLOCK)
    found = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        block, truth = jnp.asarray(predictions[..., rows]), jnp.asarray(labels[rows])
        shares = (
            metrics.mean_accuracy(block, truth, per_image=True),
            metrics.consistency(block, per_image=True),
        )
        found.append(np.stack(shares)[:, : count - start])
    mean, consistency = np.concatenate(found, axis=1)
    return mean, consistency


def _added(parts: list[ByShift], name: str) -> np.ndarray:
    first, *others = (getattr(part, name) for part in parts)
    return sum(others, first)


def _joined(parts: list[ByImage], name: str) -> np.ndarray:
    return np.concatenate([getattr(part, name) for part in parts])
