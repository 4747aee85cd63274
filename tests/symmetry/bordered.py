"""Random programs whose maps have borders and an interior."""

from unittest import mock

from tests.symmetry import programs
from tests.symmetry.steps_windows import BORDERED


def seeded(seed: int) -> programs.Program:
    """The program of this seed with zeros, edges and mirror images in place of circular padding."""
    with mock.patch("tests.symmetry.steps_windows.PADDINGS", BORDERED):
        return programs.seeded(seed)
