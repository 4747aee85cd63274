"""Rules by family: how each primitive carries the symmetry of its operands to its results.

Each module registers its rules when it is imported (`jaxinv.symmetry` imports all of them).
"""
