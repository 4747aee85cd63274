"""Times of several computations, measured in turn so that all meet the same load."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

# A candidate is given up after its first run if it took so much longer than the best of its group.
HOPELESS = 1.5


@dataclasses.dataclass
class Contender:
    """One way to compute the outputs at all shifts.

    Attributes:
      name: unique in its row.
      call: computes, waits until that is done, and returns the result.
      scale: what a call's time is multiplied by, for calls that take a sample of the shifts.
      group: contenders of a group differ in a setting (the chunk); only the best is of interest.
      setting: that setting, for the tables.
      compile_seconds: time to trace and compile.
      shifts: how many shifts a call computes.
      seconds: of each round, on the clock.
      processor: the same of the processor, all its threads together.
      failure: why it could not be timed, such as too little memory.
    """

    name: str
    call: Callable[[], Any]
    scale: float = 1.0
    group: str = ""
    setting: str = ""
    compile_seconds: float | None = None
    shifts: int = 1
    seconds: list[float] = dataclasses.field(default_factory=list)
    processor: list[float] = dataclasses.field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        """Seconds for all shifts."""
        return float(np.median(self.seconds))

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {
            "group": self.group or self.name,
            "setting": self.setting,
            **({"failure": self.failure} if self.failure else {"median": self.median}),
            "seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
            "shifts_timed": self.shifts,
        }


def interleave(
    contenders: Sequence[Contender], *, rounds: int, at_least: float, until: float | None = None
) -> dict[str, Any]:
    """Times every contender once a round: A B C A B C ..., so that a busy machine slows all alike.

    The first call of each warms it up. Of a group, those that took more than `HOPELESS` times the
    quickest's time then keep that single time and are not called again, and one that fails is left
    out: the next setting may fit into the memory.

    Args:
      contenders: what is timed; their `seconds` are filled in.
      rounds: rounds.
      at_least: seconds in which a contender is called again and again within its turn.
      until: no round but the first begins after this time of `time.monotonic()`, if any.

    Returns:
      The result of each contender's first call.
    """
    results: dict[str, Any] = {}
    first: dict[str, float] = {}
    for contender in contenders:
        start = time.perf_counter()
        try:
            results[contender.name] = contender.call()
        except RuntimeError as error:  # what JAX and PyTorch raise, out of memory included
            if not contender.group:
                raise
            contender.failure = f"{type(error).__name__}: {error}"
            continue
        first[contender.name] = contender.scale * (time.perf_counter() - start)
    able = [c for c in contenders if not c.failure]
    groups = {c.group for c in able if c.group}
    best = {g: min(first[c.name] for c in able if c.group == g) for g in groups}
    kept = []
    for contender in able:
        if contender.group and first[contender.name] > HOPELESS * best[contender.group]:
            contender.seconds = [first[contender.name]]
        else:
            kept.append(contender)
    for number in range(rounds):
        if number and until is not None and time.monotonic() > until:
            break
        for contender in kept:
            start, busy, calls = time.perf_counter(), time.process_time(), 0
            while calls == 0 or time.perf_counter() - start < at_least:
                contender.call()
                calls += 1
            took = time.perf_counter() - start
            contender.seconds.append(contender.scale * took / calls)
            busy = time.process_time() - busy
            contender.processor.append(contender.scale * busy / calls)
    return results


def ratio(
    slow: Contender, fast: Contender, *, of: Literal["seconds", "processor"] = "seconds"
) -> float:
    """How many times as fast: the median over rounds of what both took in the same round."""
    ours, theirs = getattr(slow, of), getattr(fast, of)
    rounds = min(len(ours), len(theirs))
    pairs = zip(ours[-rounds:], theirs[-rounds:], strict=True)
    return float(np.median([a / b for a, b in pairs]))


def best(
    contenders: Sequence[Contender], group: str, *, of: Literal["seconds", "processor"] = "seconds"
) -> Contender | None:
    """The quickest of a group, None if there is none."""
    able = [c for c in contenders if c.group == group and not c.failure and getattr(c, of)]
    return min(able, key=lambda c: float(np.median(getattr(c, of))), default=None)
