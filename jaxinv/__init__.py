"""Whether, where and why a network respects translation: proved, measured and mended."""

# ruff: noqa: I001 - the groups are the order
import importlib
from typing import TYPE_CHECKING, Any

# Translating an input.
from jaxinv.shifts import crop_translate, subpixel_translate, translate

# Proof: which shifts a network commutes with, and which line ends that.
from jaxinv.declarations import declare_equivariance, declare_invariance
from jaxinv.certificate import Certificate, certify, layers_of
from jaxinv.symmetry import register_rule
from jaxinv.margins import declared_margin

# Measurement: a network at every translation of its input.
from jaxinv.orbit import DistinctOutputs, OrbitCost, distinct_orbit, orbit, orbit_cost, symmetrize

# Networks of PyTorch.
from jaxinv.interop import from_pytorch

# Tiles of an image that make up the whole.
from jaxinv.tiling import Tiling, seam_error, tiled, tiling

# Assertions of the identities, in chex's manner.
from jaxinv.asserts import assert_translation_equivariant, assert_translation_invariant
from jaxinv.tolerances import tolerance

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxinv import augment, data, layers, metrics, models, training

    # An audit: figures, maps and a report of networks at every shift of a data set.
    from jaxinv.report.audit import Audit, AuditInterrupted, audit

# Loaded when first used: some of them import much.
_NAMESPACES = ("augment", "data", "layers", "metrics", "models", "training")

_FUNCTIONS = dict.fromkeys(("Audit", "AuditInterrupted", "audit"), "jaxinv.report.audit")

__all__ = [
    "Audit",
    "AuditInterrupted",
    "Certificate",
    "DistinctOutputs",
    "OrbitCost",
    "Tiling",
    "assert_translation_equivariant",
    "assert_translation_invariant",
    "audit",
    "augment",
    "certify",
    "crop_translate",
    "data",
    "declare_equivariance",
    "declare_invariance",
    "declared_margin",
    "distinct_orbit",
    "from_pytorch",
    "layers",
    "layers_of",
    "metrics",
    "models",
    "orbit",
    "orbit_cost",
    "register_rule",
    "seam_error",
    "subpixel_translate",
    "symmetrize",
    "tiled",
    "tiling",
    "tolerance",
    "training",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"jaxinv.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'jaxinv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMESPACES, *_FUNCTIONS])
