"""How a row of the accelerator benchmark is measured, and how each begins."""

import dataclasses
from typing import Any

from benchmarks import machine
from benchmarks.case import Case, tiny

Line = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How a row is measured.

    Attributes:
      quick: on tiny networks, once: does everything run?
      until: no repetition begins after this time of `time.monotonic()`, if any.
    """

    quick: bool = False
    until: float | None = None


def started(case: Case, precision: str, conditions: Conditions) -> tuple[Case, str, Line]:
    """The case to measure, the dtype of its arrays, and the line's first cells."""
    dtype = machine.use(precision)
    case = tiny(case) if conditions.quick else case
    cells = {
        "network": case.title,
        "input": "x".join(map(str, case.shape)),
        "precision": machine.arithmetic(precision),
    }
    return case, dtype, cells
