"""Reads a function's program and proves which shifts it commutes with."""

from jaxinv.symmetry.certificate import Certificate, OutputCertificate, Step, certify
from jaxinv.symmetry.state import Interior, State

__all__ = ["Certificate", "Interior", "OutputCertificate", "State", "Step", "certify"]
