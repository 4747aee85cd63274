"""From a sweep over shifts to the figures of a report, each with its uncertainty."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxinv import metrics
from jaxinv.evaluation.results import Estimate, Flip
from jaxinv.evaluation.sweep import Sweep
from jaxinv.orbit import ShiftSet
from jaxinv.shifts import centred_shift

FLIPS = 6


class Shifted(Protocol):
    """Anything found at a set of shifts."""

    @property
    def shifts(self) -> ShiftSet:
        """The shifts."""


def share(successes: Bool[np.ndarray, " n"]) -> Estimate:
    """A proportion of images with Wilson's interval.

    Example:
      >>> print(share(np.array([True, True, False, True])))
      75.0% (30.1–95.4)
    """
    right, count = int(np.sum(successes)), len(successes)
    low, high = metrics.wilson_interval(right, count)
    return Estimate(right / count, low, high, count)


def mean(
    values: Float[Array, " n"] | Float[np.ndarray, " n"], *, unit: str = "share", seed: int = 0
) -> Estimate:
    """A mean over images with its interval: the bootstrap's, or that of a proportion if it is one.

    Equal numbers have equal intervals, in whatever order and under whatever name they come: of
    zeros and ones the mean is a proportion, which has Wilson's interval.

    Example:
      >>> print(mean(np.array([0.5, 0.5, 0.5])))
      50.0% (50.0–50.0)
      >>> print(mean(np.array([1.0, 1.0, 0.0, 1.0])))
      75.0% (30.1–95.4)
    """
    values = np.sort(np.asarray(values, np.float64))
    if unit == "share" and np.isin(values, (0, 1)).all():
        return share(values == 1)
    if len(values) < 2:  # nothing to resample
        return Estimate(float(np.mean(values)), None, None, len(values), unit)
    low, high = metrics.bootstrap_interval(jax.random.key(seed), values, resamples=1000)
    return Estimate(float(np.mean(values)), float(low), float(high), len(values), unit)


def figures_of(found: Sweep) -> dict[str, Estimate]:
    """The headline figures: centred, mean, worst, consistency, invariance_error."""
    by_shift, images = found.totals
    change = np.sqrt(by_shift.squares)
    size = np.linalg.norm(found.outputs.astype(np.float64))
    return {
        "centred": share(images.centred),
        "mean": mean(images.mean),
        "worst": share(images.worst),
        "consistency": mean(images.consistency),
        "invariance_error": Estimate(
            float(change.max() / (size or 1)), None, None, found.count, "relative"
        ),
    }


def curve_of(found: Sweep) -> dict[str, list[float]]:
    """Accuracy, and agreement with the unshifted prediction, by the size of the shift.

    The size of a shift is its larger component, the shortest way round on a torus. The columns are
    `shift`, `accuracy` and `consistency`.
    """
    by_shift, _ = found.totals
    shares = {"accuracy": by_shift.right, "consistency": by_shift.agreeing}
    return by_reach(found, {name: sums / found.count for name, sums in shares.items()})


def by_reach(
    found: Shifted, figures: Mapping[str, Float[np.ndarray, "s1 s2"]]
) -> dict[str, list[float]]:
    """Figures at each shift, on average over shifts of one size, which is the column `shift`."""
    sizes = reach(*rows_of(found))
    rings = range(int(sizes.max()) + 1)
    columns: dict[str, list[float]] = {"shift": list(rings)}
    for name, values in figures.items():
        columns[name] = [float(values[sizes == ring].mean()) for ring in rings]
    return columns


def reach(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The larger component of each shift of a grid."""
    return np.maximum(np.abs(down)[:, None], np.abs(right)[None, :])


def rows_of(found: Shifted) -> list[np.ndarray]:
    """The shifts along each axis, the shortest way round on a torus."""
    rows = [np.asarray(row) for row in found.shifts.rows]
    return [centred_shift(row, len(row)) for row in rows] if is_torus(found) else rows


def is_torus(found: Shifted) -> bool:
    """Whether the sweep holds all circular shifts."""
    return all(
        tuple(row) == tuple(range(size))
        for row, size in zip(found.shifts.rows, found.shifts.sizes, strict=True)
    )


def sensitivity_of(found: Sweep) -> Float[np.ndarray, "s1 s2"]:
    """Kauderer-Abrams' sensitivity map, as `jaxinv.metrics.sensitivity_map`, from distances.

    Not divided by the distance between images where all images give the same outputs.
    """
    scale = found.between / max(1, found.count * (found.count - 1))
    distances = found.totals[0].distance / found.count
    return distances / scale if scale else distances


def radial_of(found: Sweep) -> dict[str, list[float]]:
    """The radial profile of the sensitivity map, as the columns `radius` and `sensitivity`."""
    radius, sensitivity = metrics.radial_profile(
        jnp.asarray(sensitivity_of(found)), origin=found.unshifted, periodic=is_torus(found)
    )
    return {
        "radius": [float(r) for r in radius],
        "sensitivity": [float(s) for s in sensitivity],
    }


def maps_of(found: Sweep) -> dict[str, np.ndarray]:
    """What maps.npz holds of a network, with the shifts leading, in the orbit's order."""
    by_shift, _ = found.totals
    return {
        "accuracy": (by_shift.right / found.count).astype(np.float32),
        "confidence": (by_shift.confidence / found.count).astype(np.float32),
        "sensitivity": sensitivity_of(found).astype(np.float32),
        "predictions": found.predictions if found.stored is None else _in_a_file(found),
        "shifts_down": np.asarray(found.shifts.rows[0]),
        "shifts_right": np.asarray(found.shifts.rows[1]),
    }


def _in_a_file(found: Sweep) -> np.memmap:
    """The predictions at all shifts of all images, in a file that goes with the array."""
    folder = Path(tempfile.mkdtemp())
    path, start = folder / "predictions.npy", 0
    shape = (*found.shifts.shape, found.count)
    for part in found.parts():
        # Opened for each part, so that what was written does not stay in memory.
        mode: Any = "r+" if start else "w+"
        array = np.lib.format.open_memmap(path, mode, dtype=part.predictions.dtype, shape=shape)
        array[..., start : start + part.count] = part.predictions
        start += part.count
        del array
    array = np.lib.format.open_memmap(path, "r")
    weakref.finalize(array, shutil.rmtree, folder, ignore_errors=True)
    return array


def flips_of(found: Sweep) -> tuple[Flip, ...]:
    """Images that are right as they are and wrong after the smallest shift.

    At most `FLIPS` of them: first those with the smallest shift, then those that lose most
    probability of the true class.
    """
    flips: list[tuple[tuple[float, float, int], Flip]] = []
    start = 0
    for part in found.parts():
        flips += _flips(part, start)
        start += part.count
    return tuple(flip for _, flip in sorted(flips, key=lambda ranked: ranked[0])[:FLIPS])


def _flips(found: Sweep, start: int) -> Iterator[tuple[tuple[float, float, int], Flip]]:
    """The first flips of some images, of which the first is number `start`, with their ranks."""
    zero = found.unshifted
    down, right = rows_of(found)
    sizes = down[:, None] ** 2 + right[None, :] ** 2
    wrong = (found.predictions != found.labels) & (found.predictions[zero] == found.labels)
    # The smallest shift that flips an image, the first among equals.
    size = np.where(wrong, sizes[..., None], np.iinfo(np.int64).max).reshape(-1, found.count)
    first = size.argmin(axis=0)
    smallest = size[first, np.arange(found.count)]
    before = found.confidence[zero]
    after = found.confidence.reshape(-1, found.count)[first, np.arange(found.count)]
    order = np.lexsort((after - before, smallest))
    for image in order[:FLIPS]:
        if not wrong[..., image].any():
            break
        at = np.unravel_index(first[image], sizes.shape)
        rank = (float(smallest[image]), float(after[image] - before[image]), start + int(image))
        yield (
            rank,
            Flip(
                index=start + int(image),
                label=int(found.labels[image]),
                before=int(found.predictions[(*zero, image)]),
                after=int(found.predictions[(*at, image)]),
                shift=shift_at(found, at),
                confidence_before=float(before[image]),
                confidence_after=float(after[image]),
            ),
        )


def worst_shift_of(found: Sweep) -> tuple[int, ...]:
    """The shift with the lowest accuracy, the smallest among equals."""
    return lowest(found.totals[0].right / found.count, *rows_of(found))


def lowest(values: np.ndarray, down: np.ndarray, right: np.ndarray) -> tuple[int, int]:
    """The shift of a grid at which a figure is lowest, the smallest among equals."""
    order = np.lexsort((reach(down, right).ravel(), values.ravel()))
    i, j = np.unravel_index(order[0], values.shape)
    return int(down[i]), int(right[j])


def compare(names: tuple[str, str], first: Sweep, second: Sweep) -> list[dict[str, Any]]:
    """McNemar's test between two networks on the same images, centred and at every shift.

    Returns:
      A dictionary for each figure, for `Results.comparisons`.

    Raises:
      ValueError: if the sweeps hold different images.
    """
    if not np.array_equal(first.labels, second.labels):
        raise ValueError(f"{names[0]} and {names[1]} were not evaluated on the same images")
    tests = []
    for figure, right in (
        ("centred", lambda images: images.centred),
        ("at every shift", lambda images: images.worst),
    ):
        test = metrics.mcnemar(*(right(found.totals[1]) for found in (first, second)))
        tests.append(
            {
                "first": names[0],
                "second": names[1],
                "figure": figure,
                "only_first": test.only_first,
                "only_second": test.only_second,
                "images": test.total,
                "p_value": test.p_value,
            }
        )
    return tests


def shift_at(found: Shifted, index: Sequence[Any]) -> tuple[int, ...]:
    """The shift with an index, the shortest way round on a torus."""
    return tuple(int(row[i]) for row, i in zip(rows_of(found), index, strict=True))
