"""Networks whose outputs are maps at every shift, moved back onto the unshifted, shard by shard."""

import dataclasses
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxinv.data import Source
from jaxinv.evaluation.division import Division
from jaxinv.evaluation.passes import Work, on_devices, over_shards, shard_folder
from jaxinv.evaluation.shards import Finished, Shard, shard_sizes
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import SweepOptions, check_finite
from jaxinv.hosts import agreement as hosts
from jaxinv.orbit import ShiftSet, orbit, shift_set

Arrays = dict[str, np.ndarray]

# Images of which there are pictures, and of which all maps are kept for them.
PICTURES = 3
# Bytes that the maps of a shard may take at all shifts.
AT_ONCE = 2**27


@dataclasses.dataclass(frozen=True)
class AlignedSweep:
    """What was found of maps at a set of shifts, by the devices that computed."""

    shifts: ShiftSet
    devices: tuple[str, ...]

    @property
    def unshifted(self) -> tuple[int, ...]:
        """Index of the zero shift."""
        return self.shifts.index((0,) * len(self.shifts.shape))


@dataclasses.dataclass(frozen=True)
class MapPicture:
    """What a network makes of an image as it is and at its worst shift, moved back.

    Attributes:
      index: number of the image.
      image: without a shift, of the positions that are seen at every shift.
      shift: the one at which the output changes most.
      before: output for the unshifted image, a label map or values (h, w, channels).
      after: that at the shift, moved back.
      flicker: chance that a position has two classes at two random shifts; of values their standard
        deviation over shifts, mean over channels.
    """

    index: int
    image: Shaped[np.ndarray, "h w c"]
    shift: tuple[int, ...]
    before: Shaped[np.ndarray, "h2 w2 *d"]
    after: Shaped[np.ndarray, "h2 w2 *d"]
    flicker: Float[np.ndarray, "h2 w2"]

    @property
    def of_values(self) -> bool:
        """Whether the output is values, and no label map."""
        return self.before.ndim == 3

    @property
    def difference(self) -> Float[np.ndarray, "h2 w2"]:
        """By how much values change at a position, the most of all channels; of classes 0 or 1."""
        if self.of_values:
            return np.abs(self.before - self.after).max(axis=-1)
        return (self.before != self.after).astype(float)


def says_maps(subject: Subject, shape: Sequence[int]) -> bool:
    """Whether the output for images (H, W, C) has positions."""
    seen = jax.ShapeDtypeStruct((1, *shape), np.float32)
    with subject.named_in_errors():
        return len(jax.eval_shape(subject.apply, seen).shape) == 4


def common_places(
    values: Shaped[np.ndarray, "n h w ..."],
    options: SweepOptions,
    *,
    scale: Fraction = Fraction(1),
) -> Shaped[np.ndarray, "n h2 w2 ..."]:
    """Of images or maps the positions that are seen at every shift.

    Args:
      values: of whole images.
      options: the shifts.
      scale: positions for each pixel.

    Example:
      >>> common_places(np.zeros((1, 9, 8)), SweepOptions(mode="crop", max_shift=2)).shape
      (1, 1, 0)
      >>> common_places(np.zeros((1, 9, 8)), SweepOptions()).shape
      (1, 9, 8)
    """
    if options.mode == "wrap":
        return values
    m = int(scale * (options.max_shift or 0)) * (2 if options.mode == "crop" else 1)
    return values[:, m : values.shape[1] - m, m : values.shape[2] - m]


def seen_size(source: Source, options: SweepOptions) -> tuple[int, int, int]:
    """(H, W, C) of what a network sees of the images of a source."""
    size, channels = source.image_shape[:2], source.image_shape[2]
    height, width = shift_set(size, mode=options.mode, max_shift=options.max_shift).sizes
    return height, width, channels


def over_maps(
    answer: Callable[[Array], Array],
    source: Source,
    figures: Callable[[Array, Array, tuple[int, ...]], dict[str, Array]],
    dims: Mapping[str, int],
    added: Callable[[Arrays, tuple[int, ...]], Arrays],
    *,
    sums: Sequence[str],
    joined: Mapping[str, int],
    options: SweepOptions,
    labels_of: Callable[[Shard], np.ndarray],
    words: Sequence[object],
    directory: Path | None,
    progress: Callable[[int], None],
) -> tuple[Arrays, ShiftSet, tuple[str, ...], bool]:
    """A pass over the shards of a source, with all maps of a shard on one device.

    There are as many shards as devices at least, if there are as many images. What is kept of each
    lies in a file, so that memory holds one at a time.

    Args:
      answer: from images (n, H, W, C) to what is said of each position (n, h, w, ...).
      source: the images, read shard by shard.
      figures: from the answers at every shift (s1, s2, n, h, w, ...), moved back, labels, and the
        index of the zero shift to arrays. Among them are `finite` (s1, s2, n) and `first`, of
        which that of the first images is kept.
      dims: the dimension of each that counts images.
      added: from the arrays of a shard, and that index, to those that are kept.
      sums: names of the latter that are added up over shards.
      joined: names of the others, and the dimension of each that counts images.
      options: which shifts, and how many images and shifts at a time.
      labels_of: labels of a shard.
      words: what else the arrays depend on.
      directory: where finished shards are kept and found again; None keeps nothing.
      progress: called with the number of images finished since the last call.

    Returns:
      What is kept of the finished shards, nothing if there are none; the shifts, the devices, and
      whether the pass was interrupted.
    """
    mode, reach = options.mode, options.max_shift
    shifts = shift_set(source.image_shape[:2], mode=mode, max_shift=reach)
    size = seen_size(source, options)
    said = jax.eval_shape(answer, jax.ShapeDtypeStruct((1, *size), np.float32))
    room = AT_ONCE // (4 * shifts.count * math.prod(said.shape))
    dims = dict(dims)
    batch = max(1, min(options.batch, room, math.ceil(len(source) / jax.device_count())))
    count, length = shard_sizes(source, batch)
    everywhere = orbit(
        answer,
        mode=mode,
        max_shift=reach,
        chunk=options.chunk,
        share=options.share,
        align=True,
    )
    shards = max(1, len(hosts.share(count)))
    division = Division(shards=min(jax.local_device_count(), shards))
    origin = shifts.index((0, 0))

    def found(images: Array, labels: Array) -> dict[str, Array]:
        made = figures(everywhere(images), labels, origin)
        few = jax.lax.slice_in_dim(made["first"], 0, min(PICTURES, length), axis=dims["first"])
        return made | {"first": few}

    compute = on_devices(
        found,
        division,
        dims,
        length=length,
        rows=shifts.shape[0],
        labels_of=labels_of,
    )

    def evaluate(group: Sequence[Shard]) -> Iterator[Arrays]:
        for shard, arrays in compute(group):
            check_finite(arrays.pop("finite"), shifts.table(), start=shard.start)
            few = max(0, PICTURES - shard.start)
            first = arrays["first"].take(range(min(few, len(shard.labels))), dims["first"])
            yield added(arrays | {"first": first}, origin)

    work = Work(evaluate, (*sums, *joined), division)
    folder = shard_folder(directory, answer, (length, *size), mode, reach, options.share, *words)
    with tempfile.TemporaryDirectory() as somewhere:
        finished, devices, interrupted = over_shards(
            source,
            batch,
            work,
            folder=folder or Path(somewhere),
            directory=directory,
            in_files=True,
            progress=progress,
        )
        return _together(finished, sums, joined), shifts, devices, interrupted


def _together(
    finished: Sequence[Finished], sums: Sequence[str], joined: Mapping[str, int]
) -> Arrays:
    """The arrays of shards, read one after the other, added up or joined."""
    total: Arrays = {}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in joined}
    for shard in finished:
        arrays = shard.arrays()
        for name in sums:
            total[name] = total[name] + arrays[name] if name in total else arrays[name]
        for name, parts in rows.items():
            parts.append(arrays[name])
    if not finished:
        return {}
    return total | {name: np.concatenate(parts, joined[name]) for name, parts in rows.items()}
