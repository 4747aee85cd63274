"""Runs a function at every translation of its argument."""

from jaxinv.orbit.every_shift import every_shift
from jaxinv.orbit.shift_set import OrbitMode, ShiftSet, shift_set
from jaxinv.orbit.transform import orbit

__all__ = ["OrbitMode", "ShiftSet", "every_shift", "orbit", "shift_set"]
