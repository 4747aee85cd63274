"""Compiled programs: the time that took, the chunk that was chosen, the memory they need."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function, which waits for its result.

    Attributes:
      compiled: as JAX returns it.
      seconds: to trace and compile it.
      chunk: how many shifts it evaluates together by the library's choice; None: there was none
        to make, since all is shared or the chunk was given.
    """

    compiled: Any
    seconds: float
    chunk: int | None

    def __call__(self, *args: Any) -> Any:
        """The result, ready."""
        return jax.block_until_ready(self.compiled(*args))

    @property
    def bytes(self) -> int | None:
        """Memory of its arguments, outputs and temporary values, as XLA planned it."""
        planned = self.compiled.memory_analysis()
        if planned is None:
            return None
        sizes = (
            planned.argument_size_in_bytes,
            planned.output_size_in_bytes,
            planned.temp_size_in_bytes,
            -planned.alias_size_in_bytes,
        )
        return int(sum(sizes))


def compiled(fun: Callable, *args: Any) -> Program:
    """The function, traced and compiled for these arguments."""
    start = time.perf_counter()
    with _chosen_chunks() as chosen:
        run = jax.jit(fun).lower(*args).compile()
    # Plans are made more than once for a program; the last choice is the one that it runs with.
    return Program(run, time.perf_counter() - start, chosen[-1] if chosen else None)


@contextlib.contextmanager
def _chosen_chunks() -> Iterator[list[int]]:
    """The chunks that the library chooses meanwhile, which it logs."""
    chosen: list[int] = []
    log = logging.getLogger("jaxinv.orbit.memory")
    handler = logging.Handler()
    handler.emit = lambda record: chosen.append(record.args[0])  # type: ignore
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield chosen
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def memory_of(program: Program, *args: Any) -> dict[str, int | None]:
    """What a program needs: as XLA planned it, and the process's peak once it has run.

    The second is None where the device does not count, or where more was in use before, while it
    was compiled and tried out: such a peak says nothing of the program.
    """
    before = _peak_bytes()
    program(*args)
    after = _peak_bytes()
    grew = before is not None and after is not None and after > before
    return {"program_bytes": program.bytes, "peak_bytes": after if grew else None}


def _peak_bytes() -> int | None:
    stats = jax.local_devices()[0].memory_stats()
    return (stats or {}).get("peak_bytes_in_use")
