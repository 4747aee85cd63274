"""Code of the user's own: imported by name, its errors in one line."""

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import jaxinv
from jaxinv.command_line import first_line

# Lines of this package, and of code that is in no file, are not those of the user.
_NOT_THEIRS = ("<", str(Path(jaxinv.__file__).parent) + os.sep)


def imported(path: str, *, option: str = "apply") -> Any:
    """The object that `package.module:name` names, found from the current folder.

    Args:
      path: the name.
      option: what it was given as, for errors.

    Raises:
      ValueError: if there is no such object, or its module cannot be imported.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not all((*module_name.split("."), *name.split("."))):
        raise ValueError(f"{option} is {path!r}; it has the form package.module:name")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        value: Any = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the module is the user's own and may do anything, exit too
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            raise ValueError(
                f"cannot import {module_name}: there is no module {missing} in the current "
                "folder or among those installed"
            ) from error
        raise ValueError(
            f"your module {module_name} cannot be imported, by an error of its own: {said(error)}"
        ) from error
    for part in name.split("."):
        if not hasattr(value, part):
            raise ValueError(f"{module_name} has no {name}")
        value = getattr(value, part)
    return value


def said(error: BaseException) -> str:
    """What an error of the user's code says, and the line that it comes from."""
    text = f"{type(error).__name__}: {first_line(error)}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(_NOT_THEIRS)
    ]
    if isinstance(error, SyntaxError) or not frames:  # which says so itself
        return text
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
