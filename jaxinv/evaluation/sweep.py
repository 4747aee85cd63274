"""A network at every shift of every image of a data set: in shards that survive an interruption."""

import dataclasses
import functools
import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxinv.evaluation.results import whole
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
        """Index of the shift by nothing."""
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
    identity: str = "",
    progress: Callable[[int], None] = lambda images: None,
) -> Sweep:
    """Evaluates a network at every shift of every image.

    Args:
      apply: the network, from images (n, H, W, C) to outputs (n, classes).
      images: the images.
      labels: their classes.
      options: which shifts, and how many images and shifts at a time.
      directory: where finished shards are kept and found again; None keeps nothing.
      identity: what tells this network's weights from others', for finding shards again.
      progress: called with the number of images finished since the last call.

    Returns:
      Predictions, confidences and distances.

    Raises:
      ValueError: if there are no images or the options do not fit them.
      Interrupted: on Ctrl-C, with the images that were finished.

    Example:
      >>> import jax.numpy as jnp
      >>> images = np.eye(4, dtype=np.uint8).reshape(1, 4, 4, 1)
      >>> mean = lambda x: jnp.mean(x * 1.0, axis=(1, 2)) * jnp.array([1.0, 2.0])
      >>> found = sweep(mean, images, np.array([1]))
      >>> found.predictions.shape, int(found.predictions.min()), float(found.distance.max())
      ((4, 4, 1), 1, 0.0)
    """
    options = options or SweepOptions()
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(
            f"{len(images)} images, {len(labels)} labels; needed are images, a label each"
        )
    shifts = shift_set(images.shape[1:3], mode=options.mode, max_shift=options.max_shift)
    folder = None
    if directory is not None:
        folder = directory / fingerprint(identity, images, labels, options)
        folder.mkdir(parents=True, exist_ok=True)
    evaluate = _evaluator(apply, shifts.index((0, 0)), options)
    finished: list[dict[str, np.ndarray]] = []
    try:
        for number, start, stop in _shards(len(images), options.batch):
            path = folder / f"{number:05}.npz" if folder else None
            shard = _read(path)
            if shard is None:
                # Every shard is as long as the first, so that nothing compiles twice.
                some = _fill(images[start:stop], min(options.batch, len(images)))
                truth = _fill(labels[start:stop], len(some))
                shard = {k: np.asarray(v) for k, v in evaluate(some, truth).items()}
                shard = {k: v.take(range(stop - start), IMAGES[k]) for k, v in shard.items()}
                if path is not None:
                    whole(path, functools.partial(_write, shard))
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
    """A sweep of a network that is proved invariant to every shift: a few stand for all.

    Args:
      apply: the network.
      images: the images.
      labels: their classes.
      options: which shifts the sweep speaks of; batch and chunk.
      measured: the shifts that are evaluated beside the one by nothing.
      progress: called with the number of images finished since the last call.

    Returns:
      The sweep. The shifts that were not evaluated have the values of the unshifted images, and
      the largest distance that was measured.

    Raises:
      AssertionError: if a prediction changes at a measured shift: the proof's assumptions fail.

    Example:
      >>> images, labels = np.eye(8, dtype=np.uint8).reshape(1, 8, 8, 1), np.array([1])
      >>> pooled = lambda x: jnp.mean(x * 1.0, axis=(1, 2)) * jnp.array([1.0, 2.0])
      >>> few_shifts(pooled, images, labels).predictions.shape
      (8, 8, 1)
    """
    options = options or SweepOptions()
    shifts = shift_set(images.shape[1:3], mode=options.mode, max_shift=options.max_shift)
    outputs_at = orbit(apply, shifts=((0, 0), *measured), chunk=1, share=False)
    summarise = jax.jit(lambda x, truth: _figures(outputs_at(x).astype(jnp.float32), truth, (0,)))
    parts = []
    for _, start, stop in _shards(len(images), options.batch):
        some = _fill(images[start:stop], min(options.batch, len(images)))
        part = summarise(some, _fill(labels[start:stop], len(some)))
        dims = {name: max(0, dim - 1) for name, dim in IMAGES.items()}
        parts.append({k: np.asarray(v).take(range(stop - start), dims[k]) for k, v in part.items()})
        progress(stop - start)
    joined = {k: np.concatenate([p[k] for p in parts], max(0, IMAGES[k] - 1)) for k in IMAGES}
    if (joined["predictions"] != joined["predictions"][0]).any():
        raise AssertionError("a prediction changes although the network is proved invariant")
    grid = (*shifts.shape, len(labels))
    distance = np.broadcast_to(joined["distance"].max(axis=0), grid).copy()
    distance[shifts.index((0, 0))] = 0
    return Sweep(
        shifts=shifts,
        predictions=np.broadcast_to(joined["predictions"][0], grid),
        confidence=np.broadcast_to(joined["confidence"][0], grid),
        distance=distance,
        outputs=joined["outputs"],
        labels=np.asarray(labels),
    )


def fingerprint(
    identity: str,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    options: SweepOptions,
) -> str:
    """Names a sweep by all that its result depends on.

    Example:
      >>> images, labels = np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, int)
      >>> a = fingerprint("a", images, labels, SweepOptions())
      >>> a == fingerprint("a", images, labels, SweepOptions(chunk=8))
      True
      >>> a == fingerprint("a", images, labels, SweepOptions(max_shift=1))
      False
    """
    digest = hashlib.sha256(identity.encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    digest.update(repr((images.shape, options.mode, options.max_shift, options.batch)).encode())
    return digest.hexdigest()[:16]


def _evaluator(apply: Apply, unshifted: tuple[int, ...], options: SweepOptions):
    outputs_at = orbit(
        apply,
        mode=options.mode,
        max_shift=options.max_shift,
        chunk=options.chunk,
        share=options.share,
    )

    @jax.jit
    def evaluate(images, labels):
        return _figures(outputs_at(images).astype(jnp.float32), labels, unshifted)

    return evaluate


def _figures(outputs: Array, labels: Array, unshifted: tuple[int, ...]) -> dict[str, Array]:
    """The arrays of a shard from an orbit's outputs (*shifts, n, classes)."""
    centred = outputs[unshifted]
    truth = jnp.broadcast_to(labels.astype(jnp.int32)[:, None], (*outputs.shape[:-1], 1))
    return {
        "predictions": jnp.argmax(outputs, axis=-1).astype(jnp.int16),
        "confidence": jnp.take_along_axis(jax.nn.softmax(outputs), truth, axis=-1)[..., 0],
        "distance": jnp.linalg.norm(outputs - centred, axis=-1),
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


def _write(shard: dict[str, np.ndarray], path: Path) -> None:
    np.savez(path, allow_pickle=False, **shard)


def _read(path: Path | None) -> dict[str, np.ndarray] | None:
    """A finished shard; None if there is none, or if the file is damaged and has to be redone."""
    if path is None or not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return {name: file[name] for name in IMAGES}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _join(shards: list[dict[str, np.ndarray]], labels: np.ndarray, shifts: ShiftSet) -> Sweep:
    joined = {name: np.concatenate([s[name] for s in shards], axis=IMAGES[name]) for name in IMAGES}
    count = len(joined["outputs"])
    return Sweep(shifts=shifts, labels=np.asarray(labels[:count]), **joined)
