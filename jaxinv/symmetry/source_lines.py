"""The line of the model that an equation comes from, not of the libraries beneath it."""

import functools
import os
import re
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

# Frames that are nobody's model.
_FRAMEWORKS = (
    *("jax", "jaxlib", "flax", "equinox", "haiku", "keras", "jaxtyping", "beartype", "torch"),
    *("torchax", "jaxinv.layers", "jaxinv.symmetry", "jaxinv.orbit", "jaxinv.interop"),
    *("jaxinv.arguments", "jaxinv.declarations", "jaxinv.evaluation"),
)
# Packages of other people: their functions are shown by the line that calls them. Their networks
# are a model, and so are those of this package, installed or not.
_PACKAGES = re.compile(r"[/\\](?:site|dist)-packages[/\\](?!jaxinv[/\\])")
_OF_A_NETWORK = re.compile(r"__call__|call|_?forward\w*")
_OWN = re.compile(r"[/\\]jaxinv[/\\]|[/\\]jaxinv$|^<")


def model_line(frames: Iterable[Any]) -> str:
    """`file.py:12` of the innermost frame of a model, "" if there is none.

    Args:
      frames: of a traceback of jax, the innermost first.
    """
    for frame in frames:
        if _is_framework(frame.file_name):
            continue
        method = frame.function_name.rpartition(".")[2]
        if _OF_A_NETWORK.fullmatch(method) or not _PACKAGES.search(frame.file_name):
            return f"{os.path.basename(frame.file_name)}:{frame.line_num}"
    return ""


@functools.cache
def _is_framework(file: str) -> bool:
    """Whether a file of source text belongs to one of `_FRAMEWORKS`, by where that lies."""
    for name in _FRAMEWORKS:
        place = getattr(sys.modules.get(name), "__file__", None) or ""
        folder, _, _ = place.rpartition(f"{os.sep}__init__.py")
        if place and file.startswith(folder + os.sep if folder else place):
            return True
    return False


def is_installed(file: str) -> bool:
    """Whether a file of source text belongs to a library, not to the user's own code."""
    return bool(_PACKAGES.search(file)) or _is_framework(file)


def calling_line() -> str:
    """`file.py:12` of the line that called this package, "" where none did."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not (_OWN.search(name) or is_installed(name)):
            return f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
