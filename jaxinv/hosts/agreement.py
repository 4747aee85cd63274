"""What the processes of a run tell one another. A single process agrees with itself."""

import json
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")


def several() -> bool:
    """Whether other processes take part."""
    return jax.process_count() > 1


def first() -> bool:
    """Whether this is the process that prints and writes reports."""
    return jax.process_index() == 0


def share(count: int) -> range:
    """Which of a number of things this process does: one block of them.

    Example:
      >>> share(7) == range(7) or several()
      True
    """
    index, processes = jax.process_index(), jax.process_count()
    return range(count * index // processes, count * (index + 1) // processes)


def gather(text: str) -> list[str]:
    """A text of each process, on all of them; each waits for the others."""
    if not several():
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.array([len(data)], np.int32)).ravel()
    padded = np.zeros(max(1, lengths.max()), np.uint8)
    padded[: len(data)] = data
    texts = multihost_utils.process_allgather(padded).reshape(len(lengths), -1)
    return [bytes(t[:n]).decode() for t, n in zip(texts, lengths, strict=True)]


def from_first(value: T) -> T:
    """What JSON can hold of process 0, on all of them; each waits for the others."""
    return json.loads(gather(json.dumps(value) if first() else "")[0]) if several() else value


def any_of(*flags: bool) -> tuple[bool, ...]:
    """For each flag whether it is set in any process; each waits for the others.

    Example:
      >>> any_of(True, False)
      (True, False)
    """
    if not several():
        return flags
    found = multihost_utils.process_allgather(np.array(flags))
    return tuple(found.reshape(-1, len(flags)).any(axis=0).tolist())


def by_first(action: Callable[[], object]) -> None:
    """Runs an action in process 0, and raises its error in all; each waits for the others.

    Raises:
      ValueError: in the other processes, and so is an OSError of process 0.
    """
    if not several():
        action()
        return
    error = None
    if first():
        try:
            action()
        except (ValueError, OSError) as caught:
            error = caught
    said = gather(str(error or ""))[0]
    if error is not None:
        raise error
    if said:
        raise ValueError(said)
    return


def refuse_differences(what: dict[str, str]) -> None:
    """Raises ValueError, in all processes, unless each has the same values under the same names."""
    mine, *others = map(json.loads, gather(json.dumps(what)))
    for index, theirs in enumerate(others, 1):
        for name in mine.keys() | theirs.keys():
            if mine.get(name) != theirs.get(name):
                raise ValueError(
                    f"process {index} has {name} {theirs.get(name)}, and process 0 has "
                    f"{mine.get(name)}; allowed is one for all processes of a run"
                )
