"""Reads a function's program and proves which shifts it commutes with."""

from jaxinv.symmetry.certificate import Certificate, OutputCertificate, certify
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
from jaxinv.symmetry.steps import Step

__all__ = [
    "AxisState",
    "Cause",
    "Certificate",
    "Interior",
    "OutputCertificate",
    "Reason",
    "State",
    "Step",
    "certify",
    "register_rule",
]
