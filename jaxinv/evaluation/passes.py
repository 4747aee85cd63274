"""A pass over the images of a source: shard by shard, on all devices, going on where it stopped."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxinv.data import Source
from jaxinv.digest import content_digest, program_digest
from jaxinv.evaluation.division import Division, over_devices
from jaxinv.evaluation.exchange import of_others
from jaxinv.evaluation.shards import Finished, Shard, evaluated, filled, shard_sizes, shards_of
from jaxinv.hosts import agreement as hosts
from jaxinv.hosts.meeting import meeting_in

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Work:
    """What a pass finds out about each shard.

    Attributes:
      evaluate: from the shards that are evaluated at once, or fewer, to their arrays.
      names: of the arrays.
      division: how the devices divide the work.
    """

    evaluate: Callable[[Sequence[Shard]], Iterator[Arrays]]
    names: tuple[str, ...]
    division: Division


def shard_folder(
    directory: Path | None, apply: Callable, seen: tuple[int, ...], *words: object
) -> Path | None:
    """Where the shards of a pass are: the name says all that a shard depends on but its images.

    The number of shifts evaluated together is no part of it: it follows the memory free at the
    moment.

    Args:
      directory: where the folders of all passes are; None keeps nothing.
      apply: the network.
      seen: shape of the images that it sees.
      *words: what else the arrays depend on.

    Returns:
      The folder; None for a program that has no name: its shards are not kept.

    Raises:
      ValueError: if several processes would share no folder.
    """
    program = directory and program_digest(apply, jax.ShapeDtypeStruct(seen, np.uint8))
    if directory is None or program is None:
        if hosts.several():
            raise ValueError(
                "several processes need a folder for shards, and a network whose program can be "
                "named: one without calls back into Python"
            )
        return None
    folder = directory / content_digest(program, *words)[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def over_shards(
    source: Source,
    batch: int,
    work: Work,
    *,
    folder: Path | None,
    directory: Path | None,
    in_files: bool = False,
    progress: Callable[[int], None],
) -> tuple[list[Finished], tuple[str, ...], bool]:
    """Evaluates the shards of a source, but those found in the folder.

    Where several processes run, each evaluates a block of the shards, and gets the others from the
    directory.

    Args:
      source: the images and their labels, read shard by shard.
      batch: images of a shard.
      work: what is found out about each.
      folder: where finished shards are kept.
      directory: where all processes keep theirs.
      in_files: leave the arrays in their files.
      progress: called with the number of images finished since the last call.

    Returns:
      The finished shards up to the first that is missing, the devices that computed, by name, and
      whether the pass was interrupted.
    """
    count, _ = shard_sizes(source, batch)
    own = hosts.share(count)
    meeting = meeting_in(directory) if directory and hosts.several() else None
    finished: dict[int, Finished] = {}
    devices, interrupted = work.division.names, False
    try:
        with contextlib.closing(shards_of(source, batch, own)) as shards:
            for shard, arrays in evaluated(
                shards, work.evaluate, work.division.shards, own.stop - 1, folder, work.names
            ):
                path = folder and folder / shard.file
                finished[shard.number] = Finished(path, None if path and in_files else arrays)
                progress(len(shard.labels))
        if directory and meeting:
            others, devices = of_others(
                finished, devices, directory, meeting=meeting, in_files=in_files
            )
            finished |= others
    except KeyboardInterrupt:
        interrupted = True
    first = itertools.takewhile(finished.__contains__, range(count))
    return [finished[number] for number in first], devices, interrupted


def on_devices(
    fun: Callable,
    division: Division,
    dims: dict[str, int],
    *,
    length: int,
    rows: int,
    labels_of: Callable[[Shard], np.ndarray] = lambda shard: shard.labels,
) -> Callable[[Sequence[Shard]], Iterator[tuple[Shard, Arrays]]]:
    """A function of the shards that are evaluated at once, or fewer: each with its arrays.

    Args:
      fun: what each device finds out about the images and labels of a shard.
      division: how the devices divide the work.
      dims: the dimension of each array that counts images, see `over_devices`.
      length: images of a shard.
      rows: of all shifts.
      labels_of: the labels of a shard as the function takes them.
    """
    compiled = over_devices(fun, division, dims, rows=rows)

    def evaluate(group: Sequence[Shard]) -> Iterator[tuple[Shard, Arrays]]:
        # Always as many shards, each as long as the first one, so that nothing compiles twice.
        whole = [*group, *[group[-1]] * (division.shards - len(group))]
        images = np.concatenate([filled(shard.images, length) for shard in whole])
        labels = np.concatenate([filled(labels_of(shard), length) for shard in whole])
        made = compiled(images, labels)
        for place, shard in enumerate(group):
            arrays = {}
            for name, dim in dims.items():
                each = made[name].shape[dim] // division.shards
                own = range(place * each, place * each + min(each, len(shard.labels)))
                arrays[name] = made[name].take(own, dim)
            yield shard, arrays

    return evaluate
