"""The line of the model that an equation comes from, not of the libraries beneath it."""

import os
import re
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

# Frames that are nobody's model.
_FRAMEWORKS = re.compile(
    r"[/\\](jax|jaxlib|flax|equinox|haiku|keras|jaxtyping|beartype)[/\\]"
    r"|[/\\]jaxinv[/\\](layers[/\\]|symmetry[/\\]|orbit[/\\]|declarations\.py)"
)
# Packages of other people: their functions are shown by the line that calls them. Their networks
# are a model, and so are those of this package, installed or not.
_PACKAGES = re.compile(r"[/\\](?:site|dist)-packages[/\\](?!jaxinv[/\\])")
_OF_A_NETWORK = {"__call__", "call", "forward"}
_OWN = re.compile(r"[/\\]jaxinv[/\\]|[/\\]jaxinv$|^<")


def model_line(frames: Iterable[Any]) -> str:
    """`file.py:12` of the innermost frame of a model, "" if there is none.

    Args:
      frames: of a traceback of jax, the innermost first.
    """
    for frame in frames:
        if _FRAMEWORKS.search(frame.file_name):
            continue
        method = frame.function_name.rpartition(".")[2]
        if method in _OF_A_NETWORK or not _PACKAGES.search(frame.file_name):
            return f"{os.path.basename(frame.file_name)}:{frame.line_num}"
    return ""


def calling_line() -> str:
    """`file.py:12` of the line that called this package, "" where none did."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not any(kind.search(name) for kind in (_OWN, _FRAMEWORKS, _PACKAGES)):
            return f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
