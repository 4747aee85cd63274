"""Shards that other processes of the run evaluated, found through the folder that all share."""

from pathlib import Path

import jax
import numpy as np

from jaxinv.evaluation.shards import Finished
from jaxinv.files import read_arrays, write_arrays
from jaxinv.hosts.meeting import Meeting


def of_others(
    finished: dict[int, Finished],
    devices: tuple[str, ...],
    directory: Path,
    *,
    meeting: Meeting,
    in_files: bool,
) -> tuple[dict[int, Finished], tuple[str, ...]]:
    """The shards of the other processes; waits until they have evaluated them.

    All processes call it after each sweep, in the same order.

    Args:
      finished: the shards of this process, by number, each with its file.
      devices: those that evaluated them, by name.
      directory: where all processes keep shards.
      meeting: of the processes there.
      in_files: leave their arrays in their files.

    Returns:
      Their shards, and the devices of all processes.

    Raises:
      ValueError: another process failed, or evaluates another network.
    """
    sweep = f"sweep{next(meeting.counter)}"
    index, count = jax.process_index(), jax.process_count()
    files = {i: meeting.path(sweep, i).with_suffix(".npz") for i in range(count)}
    places = [s.path.relative_to(directory).as_posix() for s in finished.values() if s.path]
    write_arrays(
        files[index],
        {
            "numbers": np.array(list(finished), np.int64),
            "places": np.array(places, np.str_),
            "devices": np.array(devices if finished else (), np.str_),
        },
    )
    meeting.wait_for(files)
    found: dict[int, Finished] = {}
    names: list[str] = []
    folders = {Path(place).parent for place in places}
    for other, file in files.items():
        said = read_arrays(file)
        names += said["devices"].tolist()
        if other == index:
            continue
        for number, place in zip(said["numbers"], said["places"], strict=True):
            folders.add(Path(place).parent)
            if len(folders) > 1:
                raise ValueError(
                    f"process {other} evaluates another network than process {index}: the digests "
                    "of their programs and weights differ"
                )
            path = directory / place
            found[int(number)] = Finished(path, None if in_files else read_arrays(path))
    return found, tuple(names)
