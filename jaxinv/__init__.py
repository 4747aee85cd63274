"""Whether, where and why a network respects translation: proved, measured and mended."""

from jaxinv.declarations import declare_equivariance
from jaxinv.orbit import orbit
from jaxinv.symmetry import certify

__all__ = ["certify", "declare_equivariance", "orbit"]
