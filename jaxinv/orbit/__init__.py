"""Runs a function at every translation of its argument."""

from jaxinv.orbit.brute_force import every_shift
from jaxinv.orbit.cost import OrbitCost, orbit_cost
from jaxinv.orbit.distinct import DistinctOutputs, distinct_orbit
from jaxinv.orbit.shift_set import OrbitMode, ShiftSet, shift_set
from jaxinv.orbit.symmetrize import symmetrize
from jaxinv.orbit.transform import orbit

__all__ = [
    "DistinctOutputs",
    "OrbitCost",
    "OrbitMode",
    "ShiftSet",
    "distinct_orbit",
    "every_shift",
    "orbit",
    "orbit_cost",
    "shift_set",
    "symmetrize",
]
