"""One table: for each primitive the rule by which it carries the symmetry of its operands."""

from jaxinv.symmetry.rules.table import RULES

__all__ = ["RULES"]
