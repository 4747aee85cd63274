"""Reads a function's program and proves which shifts it commutes with."""

from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import register_rule
from jaxinv.symmetry.rules import (  # noqa: F401 (each registers its rules)
    calls,
    contraction,
    convolution,
    declared,
    indexing,
    joining,
    layout,
    loops,
    per_position,
    pointwise,
    pooling,
    reduction,
    unpooling,
)
from jaxinv.symmetry.state import AxisState, Interior, State

__all__ = [
    "AxisState",
    "Cause",
    "Interior",
    "Reason",
    "State",
    "register_rule",
]
