"""A network at every shift of every image of a data set: in shards that survive an interruption."""

import contextlib
import dataclasses
import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxinv.data import Source
from jaxinv.data.source import parse_bytes
from jaxinv.evaluation.division import Division, divide, part_of_shifts
from jaxinv.evaluation.passes import Work, on_devices, over_shards, shard_folder
from jaxinv.evaluation.shards import (
    Finished,
    Shard,
    evaluated,
    joined,
    shard_sizes,
    shards_of,
)
from jaxinv.evaluation.totals import ByImage, ByShift, totals
from jaxinv.hosts import agreement as hosts
from jaxinv.lazy import WhenAsked
from jaxinv.magnitudes import norm
from jaxinv.orbit import OrbitMode, ShiftSet, orbit, shift_set

Apply = Callable[[Array], Float[Array, "n classes"]]

# The arrays of a shard, and the dimension of each that counts images.
IMAGES = {"predictions": 2, "confidence": 2, "distance": 2, "outputs": 0, "labels": 0}
# Shifts that a network is measured at which is proved invariant to all.
MEASURED = ((0, 1), (1, 0), (3, 5))

# Bytes of an image at a shift: prediction, confidence and distance, and three times as much while
# they are added up.
BYTES = 40
# What the images, and the results of a network, may take in memory where nothing else is said.
MEMORY = "32MiB"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a network says about each image at each shift. The leading axes are the shifts.

    Attributes:
      shifts: the set of shifts.
      outputs: the unshifted images' outputs, which `distance` is relative to.
      labels: the true classes.
      predictions: the class with the largest output.
      confidence: probability of the true class, by softmax of the outputs.
      distance: Euclidean distance of the outputs to those of the unshifted image.
      devices: those that computed, by name.
      stored: reads some images at a time; None where all are in memory. The arrays of all images
        are then read when they are asked for.
    """

    shifts: ShiftSet
    outputs: Float[np.ndarray, "n classes"]
    labels: Int[np.ndarray, " n"]
    predictions: Int[np.ndarray, "s1 s2 n"] = cast(Any, WhenAsked())  # noqa: RUF009
    confidence: Float[np.ndarray, "s1 s2 n"] = cast(Any, WhenAsked())  # noqa: RUF009
    distance: Float[np.ndarray, "s1 s2 n"] = cast(Any, WhenAsked())  # noqa: RUF009
    devices: tuple[str, ...] = ()
    stored: Callable[[], Iterator["Sweep"]] | None = None

    def parts(self) -> Iterator["Sweep"]:
        """The sweep of some images after the other, of as many as memory may hold."""
        return iter([self]) if self.stored is None else self.stored()

    @functools.cached_property
    def totals(self) -> tuple[ByShift, ByImage]:
        """Its sums over images by shift, and over shifts by image."""
        return totals(self.parts())

    @functools.cached_property
    def between(self) -> float:
        """The distances between the outputs of two images, summed over all ordered pairs."""
        # Image by image: all pairs at once would take n * n * classes numbers.
        outputs = self.outputs.astype(np.float64)
        return sum(np.linalg.norm(outputs - one, axis=-1).sum() for one in outputs)

    @property
    def unshifted(self) -> tuple[int, ...]:
        """Index of the zero shift."""
        return self.shifts.index((0,) * len(self.shifts.shape))

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep of any kind; `sweep` holds the images that were finished, or None."""

    def __init__(self, finished: Any):
        super().__init__("interrupted")
        self.sweep = finished


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """How a sweep is made.

    Attributes:
      mode: what enters at the border, see `jaxinv.orbit`.
      max_shift: the largest shift in pixels; None for all circular shifts.
      batch: number of images in a shard.
      chunk: number of shifts evaluated together; None chooses it from the device's memory.
      share: compute what several shifts have in common once.
      memory: bytes that the results of images may take in memory; those of more images stay in the
        files of their shards.
    """

    mode: OrbitMode = "wrap"
    max_shift: int | None = None
    batch: int = 128
    chunk: int | None = None
    share: bool = True
    memory: int = parse_bytes(MEMORY)


def sweep(
    apply: Apply,
    source: Source,
    *,
    options: SweepOptions | None = None,
    directory: Path | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> Sweep:
    """Evaluates a network at every shift of every image.

    Where several processes run, each evaluates a block of the shards, and gets the others from the
    directory.

    Args:
      apply: the network, from images (n, H, W, C) to outputs (n, classes).
      source: the images and their classes, read shard by shard.
      options: which shifts, and how many images and shifts at a time.
      directory: where finished shards are kept and found again; None keeps nothing.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if there are no images, the options do not fit them, outputs are not finite, or
        several processes share no directory.
      Interrupted: on Ctrl-C, with the images that were finished.
    """
    options = options or SweepOptions()
    shifts = shift_set(source.image_shape[:2], mode=options.mode, max_shift=options.max_shift)
    count, length = shard_sizes(source, options.batch)
    seen = (length, *shifts.sizes, source.image_shape[2])
    folder = shard_folder(directory, apply, seen, options.mode, options.max_shift, options.share)
    division = divide(max(1, len(hosts.share(count))), len(shifts.rows[0]))
    how: Any = {"chunk": options.chunk, "share": options.share}
    if division.parts > 1:
        outputs_at = part_of_shifts(apply, shifts, division.parts, **how)
    else:
        everywhere = orbit(apply, mode=options.mode, max_shift=options.max_shift, **how)

        def outputs_at(images, part):
            return everywhere(images)

    row, column = shifts.index((0, 0))
    evaluate = _evaluator(outputs_at, shifts, (row, column), length, division)
    work = Work(evaluate, tuple(IMAGES), division)
    in_files = BYTES * shifts.count * len(source) > options.memory
    at_once = max(1, options.memory // (BYTES * shifts.count * length))
    with contextlib.ExitStack() as in_the_end:
        if in_files and folder is None:
            folder = Path(tempfile.mkdtemp())
            in_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        places: Any = {"folder": folder, "directory": directory, "in_files": in_files}
        some, devices, interrupted = over_shards(
            source, options.batch, work, **places, progress=progress
        )
        found = _join(some, shifts, devices, at_once=at_once) if some else None
        if found is not None:
            weakref.finalize(found, in_the_end.pop_all().close)
    if interrupted or found is None:
        raise Interrupted(found) from None
    return found


def few_shifts(
    apply: Apply,
    source: Source,
    *,
    options: SweepOptions | None = None,
    measured: Sequence[tuple[int, int]] = MEASURED,
    progress: Callable[[int], None] = lambda images: None,
) -> Sweep:
    """A sweep of a network that is proved invariant to every shift: a few are enough.

    The shifts that were not evaluated have the values of the unshifted images, and the largest
    distance that was measured.

    Args:
      apply: the network.
      source: the images and their classes.
      options: which shifts the sweep speaks of; batch and chunk.
      measured: the shifts that are evaluated beside the zero shift.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if outputs are not finite, or a prediction changes at a measured shift: the
        proof's assumptions fail.
    """
    options = options or SweepOptions()
    size = source.image_shape[:2]
    shifts = shift_set(size, mode=options.mode, max_shift=options.max_shift)
    at = ((0, 0), *measured)
    outputs_at = orbit(apply, shifts=at, chunk=1, share=False)
    # The shifts are a list; a second axis of one shift makes them a grid.
    count, length = shard_sizes(source, options.batch)
    division = divide(count, 1)
    tried = shift_set(size, shifts=at)
    evaluate = _evaluator(lambda x, part: outputs_at(x)[:, None], tried, (0, 0), length, division)
    finished = []
    shards = shards_of(source, options.batch, range(count))
    for shard, arrays in evaluated(shards, evaluate, division.shards, count - 1):
        finished.append(arrays)
        progress(len(shard.labels))
    arrays = joined(finished, IMAGES)
    if (arrays["predictions"] != arrays["predictions"][0]).any():
        raise ValueError("a prediction changes although the network is proved invariant")
    largest = arrays["distance"].max(axis=(0, 1))

    def everywhere(name: str, rows: slice) -> np.ndarray:
        one = largest[rows] if name == "distance" else arrays[name][0, 0, rows]
        every = np.broadcast_to(one, (*shifts.shape, *one.shape))
        if name == "distance":
            every = every.copy()
            every[shifts.index((0, 0))] = 0
        return every

    def of(rows: slice, stored: Callable[[], Iterator[Sweep]] | None = None) -> Sweep:
        names = ("predictions", "confidence", "distance")
        lazy: Any = {name: functools.partial(everywhere, name, rows) for name in names}
        outputs, labels = arrays["outputs"][rows], arrays["labels"][rows]
        devices = division.names
        return Sweep(shifts, outputs, labels, devices=devices, stored=stored, **lazy)

    at_once = max(1, options.memory // (BYTES * shifts.count))
    starts = range(0, len(source), at_once)
    return of(slice(None), lambda: (of(slice(start, start + at_once)) for start in starts))


def _evaluator(
    outputs_at: Callable,
    shifts: ShiftSet,
    unshifted: tuple[int, int],
    length: int,
    division: Division,
) -> Callable[[Sequence[Shard]], Iterator[dict[str, np.ndarray]]]:
    """A function of the shards that are evaluated at once, or fewer; it returns their arrays.

    Args:
      outputs_at: from images and a part of the shifts to outputs (rows, columns, n, classes).
      shifts: all shifts.
      unshifted: row and column of the zero shift.
      length: images of a shard.
      division: how the devices divide the work.
    """

    def figures(images, labels):
        outputs = outputs_at(images, division.part)
        centred = division.at(outputs, *unshifted).astype(jnp.float32)
        return _figures(outputs, centred, labels)

    dims = {name: dim for name, dim in IMAGES.items() if name != "labels"} | {"finite": 2}
    compute = on_devices(figures, division, dims, length=length, rows=shifts.shape[0])

    def evaluate(group: Sequence[Shard]) -> Iterator[dict[str, np.ndarray]]:
        for shard, arrays in compute(group):
            check_finite(arrays.pop("finite"), shifts.table(), start=shard.start)
            yield arrays | {"labels": shard.labels}

    return evaluate


def check_finite(finite: np.ndarray, shifts: Int[np.ndarray, "count 2"], *, start: int) -> None:
    """Raises ValueError if an output at a shift of an image is not finite."""
    count = finite.shape[-1]
    wrong = ~finite.reshape(len(shifts), count)
    if wrong.any():
        at = np.flatnonzero(wrong.any(axis=1))
        first = shifts[at[np.abs(shifts[at]).max(axis=1).argmin()]]
        raise ValueError(
            f"outputs are NaN, infinite or too large for float32 on {wrong.any(axis=0).sum():,} "
            f"of the images {start:,} to {start + count - 1:,}, first at shift "
            f"({first[0]}, {first[1]})"
        )


def _figures(outputs: Array, centred: Array, labels: Array) -> dict[str, Array]:
    """The arrays of a shard from an orbit's outputs (*shifts, n, classes), and the unshifted."""
    predictions = jnp.argmax(outputs, axis=-1).astype(class_dtype(outputs.shape[-1]))
    outputs = outputs.astype(jnp.float32)
    distance = norm(outputs - centred, axis=-1)
    truth = jnp.broadcast_to(labels.astype(jnp.int32)[:, None], (*outputs.shape[:-1], 1))
    return {
        "predictions": predictions,
        "confidence": jnp.take_along_axis(jax.nn.softmax(outputs), truth, axis=-1)[..., 0],
        "distance": distance,
        "finite": jnp.isfinite(outputs).all(axis=-1) & jnp.isfinite(distance),
        "outputs": centred,
    }


def class_dtype(classes: int) -> Any:
    """The type that predictions are kept in: the smaller one that holds all classes.

    Example:
      >>> [class_dtype(count).__name__ for count in (2**15, 2**15 + 1)]
      ['int16', 'int32']
    """
    return jnp.int16 if classes - 1 <= jnp.iinfo(jnp.int16).max else jnp.int32


def _join(
    finished: Sequence[Finished], shifts: ShiftSet, devices: tuple[str, ...], *, at_once: int
) -> Sweep:
    """The sweep of finished shards; of those in files so many are read at once."""
    given: Any = {"shifts": shifts, "devices": devices}

    def part(some: Sequence[Finished]) -> Sweep:
        return Sweep(**given, **joined([shard.arrays() for shard in some], IMAGES))

    if finished[0].held is not None:
        return part(finished)

    def parts() -> Iterator[Sweep]:
        for start in range(0, len(finished), at_once):
            yield part(finished[start : start + at_once])

    def whole(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts()], axis=IMAGES[name])

    arrays: Any = {name: functools.partial(whole, name) for name in IMAGES}
    arrays |= {name: whole(name) for name in ("labels", "outputs")}
    return Sweep(stored=parts, **given, **arrays)
