"""What code runs here: results are only those of another process if it runs the same."""

import functools
import hashlib
from pathlib import Path

import flax
import jax
import jaxlib
import numpy as np

import jaxinv


@functools.cache
def own_source() -> str:
    """SHA-256 of this package's code: a version number does not change with every line."""
    digest = hashlib.sha256()
    root = Path(jaxinv.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """The code of this package, and the versions of what it computes with.

    Example:
      >>> sorted(versions())
      ['flax', 'jax', 'jaxinv', 'jaxlib', 'numpy']
    """
    libraries = {"flax": flax, "jax": jax, "jaxlib": jaxlib, "numpy": np}
    found = {name: library.__version__ for name, library in libraries.items()}
    return {"jaxinv": own_source()[:12], **found}
