"""A network at every shift of every image of a data set: in shards that survive an interruption."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxinv.evaluation.digest import content_digest, program_digest
from jaxinv.files import read_arrays, write_arrays
from jaxinv.orbit import OrbitMode, ShiftSet, orbit, shift_set

Apply = Callable[[Array], Float[Array, "n classes"]]

# Shifts that a network is measured at which is proved invariant to all.
MEASURED = ((0, 1), (1, 0), (3, 5))

# The arrays of a shard, and the dimension of each that counts images.
IMAGES = {"predictions": 2, "confidence": 2, "distance": 2, "outputs": 0}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a network says about each image at each shift. The leading axes are the shifts.

    Attributes:
      shifts: the set of shifts.
      predictions: the class with the largest output.
      confidence: probability of the true class, by softmax of the outputs.
      distance: Euclidean distance of the outputs to those of the unshifted image.
      outputs: the unshifted images' outputs, which `distance` is relative to.
      labels: the true classes.
    """

    shifts: ShiftSet
    predictions: Int[np.ndarray, "s1 s2 n"]
    confidence: Float[np.ndarray, "s1 s2 n"]
    distance: Float[np.ndarray, "s1 s2 n"]
    outputs: Float[np.ndarray, "n classes"]
    labels: Int[np.ndarray, " n"]

    @property
    def unshifted(self) -> tuple[int, ...]:
        """Index of the zero shift."""
        return self.shifts.index((0,) * len(self.shifts.shape))

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep; `sweep` holds the images that were finished, or None."""

    def __init__(self, finished: Sweep | None):
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
    """

    mode: OrbitMode = "wrap"
    max_shift: int | None = None
    batch: int = 128
    chunk: int | None = None
    share: bool = True


def sweep(
    apply: Apply,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    *,
    options: SweepOptions | None = None,
    directory: Path | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> Sweep:
    """Evaluates a network at every shift of every image.

    Args:
      apply: the network, from images (n, H, W, C) to outputs (n, classes).
      images: the images.
      labels: their classes.
      options: which shifts, and how many images and shifts at a time.
      directory: where finished shards are kept and found again; None keeps nothing.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if there are no images, the options do not fit them, or outputs are not finite.
      Interrupted: on Ctrl-C, with the images that were finished.
    """
    options = options or SweepOptions()
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            f"{len(images)} images, {len(labels)} labels; needed are images, a label each"
        )
    shifts = shift_set(images.shape[1:3], mode=options.mode, max_shift=options.max_shift)
    length = min(options.batch, len(images))
    folder = directory and _folder(directory, apply, images[:length], options)
    outputs_at = orbit(
        apply,
        mode=options.mode,
        max_shift=options.max_shift,
        chunk=options.chunk,
        share=options.share,
    )
    evaluate = _evaluator(outputs_at, shifts.index((0, 0)), shifts.table(), length)
    finished: list[dict[str, np.ndarray]] = []
    try:
        for number, start, stop in _shards(len(images), options.batch):
            some, truth = images[start:stop], labels[start:stop]
            path = folder and folder / f"{number:05}-{content_digest(some, truth)[:16]}.npz"
            shard = _read(path)
            if shard is None:
                shard = evaluate(some, truth, start)
                if path is not None:
                    write_arrays(path, shard)
            finished.append(shard)
            progress(stop - start)
    except KeyboardInterrupt:
        raise Interrupted(_join(finished, labels, shifts) if finished else None) from None
    return _join(finished, labels, shifts)


def few_shifts(
    apply: Apply,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
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
      images: the images.
      labels: their classes.
      options: which shifts the sweep speaks of; batch and chunk.
      measured: the shifts that are evaluated beside the zero shift.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if outputs are not finite, or a prediction changes at a measured shift: the
        proof's assumptions fail.
    """
    options = options or SweepOptions()
    shifts = shift_set(images.shape[1:3], mode=options.mode, max_shift=options.max_shift)
    at = ((0, 0), *measured)
    outputs_at = orbit(apply, shifts=at, chunk=1, share=False)
    # The shifts are a list; a second axis of one shift makes them a grid.
    length = min(options.batch, len(images))
    evaluate = _evaluator(lambda x: outputs_at(x)[:, None], (0, 0), np.array(at), length)
    shards = []
    for _, start, stop in _shards(len(images), options.batch):
        shards.append(evaluate(images[start:stop], labels[start:stop], start))
        progress(stop - start)
    joined = _joined(shards)
    if (joined["predictions"] != joined["predictions"][0]).any():
        raise ValueError("a prediction changes although the network is proved invariant")
    grid = (*shifts.shape, len(labels))
    distance = np.broadcast_to(joined["distance"].max(axis=(0, 1)), grid).copy()
    distance[shifts.index((0, 0))] = 0
    return Sweep(
        shifts=shifts,
        predictions=np.broadcast_to(joined["predictions"][0, 0], grid),
        confidence=np.broadcast_to(joined["confidence"][0, 0], grid),
        distance=distance,
        outputs=joined["outputs"],
        labels=np.asarray(labels),
    )


def _folder(
    directory: Path, apply: Apply, images: UInt8[np.ndarray, "n h w c"], options: SweepOptions
) -> Path | None:
    """Where the shards of a sweep are: the name says all that a shard depends on but its images.

    The number of shifts evaluated together is no part of it: it follows the memory free at the
    moment. None for a program that has no name: its shards are not kept.
    """
    height, width = shift_set(
        images.shape[1:3], mode=options.mode, max_shift=options.max_shift
    ).sizes
    seen = jax.ShapeDtypeStruct((len(images), height, width, images.shape[3]), images.dtype)
    program = program_digest(apply, seen)
    if program is None:
        return None
    folder = (
        directory / content_digest(program, options.mode, options.max_shift, options.share)[:32]
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _evaluator(
    outputs_at: Callable, unshifted: tuple[int, ...], table: np.ndarray, length: int
) -> Callable:
    """A function of some images, their labels and the number of the first; it returns a shard."""

    @jax.jit
    def figures(images, labels):
        return _figures(outputs_at(images).astype(jnp.float32), labels, unshifted)

    def evaluate(images, labels, start):
        # Every shard is as long as the first, so that nothing compiles twice.
        made, count = figures(_fill(images, length), _fill(labels, length)), len(images)
        _check_finite(made["finite"], table, count=count, start=start)
        return {k: np.asarray(made[k]).take(range(count), dim) for k, dim in IMAGES.items()}

    return evaluate


def _check_finite(
    finite: Array, shifts: Int[np.ndarray, "count 2"], *, count: int, start: int
) -> None:
    """Raises ValueError if an output is NaN or infinite: it has no class."""
    wrong = ~np.asarray(finite).reshape(len(shifts), -1)[:, :count]
    if wrong.any():
        at = np.flatnonzero(wrong.any(axis=1))
        first = shifts[at[np.abs(shifts[at]).max(axis=1).argmin()]]
        raise ValueError(
            f"outputs are NaN, infinite or too large for float32 on {wrong.any(axis=0).sum():,} "
            f"of the images {start:,} to {start + count - 1:,}, first at shift "
            f"({first[0]}, {first[1]})"
        )


def _figures(outputs: Array, labels: Array, unshifted: tuple[int, ...]) -> dict[str, Array]:
    """The arrays of a shard from an orbit's outputs (*shifts, n, classes)."""
    centred = outputs[unshifted]
    distance = jnp.linalg.norm(outputs - centred, axis=-1)
    truth = jnp.broadcast_to(labels.astype(jnp.int32)[:, None], (*outputs.shape[:-1], 1))
    return {
        "predictions": jnp.argmax(outputs, axis=-1).astype(jnp.int16),
        "confidence": jnp.take_along_axis(jax.nn.softmax(outputs), truth, axis=-1)[..., 0],
        "distance": distance,
        "finite": jnp.isfinite(outputs).all(axis=-1) & jnp.isfinite(distance),
        "outputs": centred,
    }


def _shards(count: int, batch: int) -> Iterator[tuple[int, int, int]]:
    if batch < 1:
        raise ValueError(f"batch is {batch}; allowed are numbers from 1")
    for number, start in enumerate(range(0, count, batch)):
        yield number, start, min(start + batch, count)


def _fill(array: np.ndarray, length: int) -> np.ndarray:
    missing = length - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _read(path: Path | None) -> dict[str, np.ndarray] | None:
    """A finished shard; None if there is none, or if the file is damaged and has to be redone."""
    if path is None or not path.exists():
        return None
    try:
        stored = read_arrays(path)
        return {name: stored[name] for name in IMAGES}
    except Exception:  # a damaged archive fails in a dozen ways
        return None


def _joined(shards: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate([s[name] for s in shards], axis=dim) for name, dim in IMAGES.items()
    }


def _join(shards: list[dict[str, np.ndarray]], labels: np.ndarray, shifts: ShiftSet) -> Sweep:
    joined = _joined(shards)
    return Sweep(shifts=shifts, labels=np.asarray(labels[: len(joined["outputs"])]), **joined)
