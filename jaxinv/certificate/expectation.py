"""What somebody expects of a network, in the words of a verdict: a guard for tests and CI."""

import re
from dataclasses import dataclass

from jaxinv.certificate.certificate import Certificate
from jaxinv.symmetry.state import BROKEN, EQUIVARIANT, INVARIANT

_FORM = re.compile(
    rf"({INVARIANT}|{EQUIVARIANT})(?: to)? (?:every shift|multiples of (\d[\d, ]*|\([\d, ]+\)))"
)


@dataclass(frozen=True)
class Expectation:
    """A kind of symmetry, and the shifts for which it shall hold.

    Attributes:
      kind: `"invariant"` or `"equivariant"`. What no shift changes is equivariant, too.
      period: the shifts are its multiples; one number for all axes, or one for each.
    """

    kind: str
    period: tuple[int, ...]

    def holds(self, certificate: Certificate) -> bool:
        """Whether all outputs of a network are proved to be so.

        Raises:
          ValueError: if the network has another number of axes.
        """
        axes = len(certificate.axes)
        if len(self.period) not in (1, axes):
            raise ValueError(f"expect names {len(self.period)} axes; the network has {axes}")
        period = self.period if len(self.period) == axes else self.period * axes
        kinds = {INVARIANT} if self.kind == INVARIANT else {INVARIANT, EQUIVARIANT}
        return all(
            state.kind in kinds and state.kind != BROKEN and multiple % state.period == 0
            for output in certificate.outputs
            for state, multiple in zip(output.per_axis, period, strict=True)
        )


def expectation(words: str) -> Expectation:
    """The expectation that some words state.

    Raises:
      ValueError: if they have another form.

    Example:
      >>> expectation("invariant to every shift")
      Expectation(kind='invariant', period=(1,))
      >>> expectation("equivariant to multiples of (4, 2)")
      Expectation(kind='equivariant', period=(4, 2))
    """
    found = _FORM.fullmatch(words.strip())
    numbers = re.findall(r"\d+", found[2] or "1") if found else []
    if found is None or not numbers or "0" in numbers:
        raise ValueError(
            f"expect is {words!r}; it has the form 'invariant to every shift' or "
            "'equivariant to multiples of 4', of '(4, 2)' for one number an axis"
        )
    return Expectation(found[1], tuple(map(int, numbers)))
