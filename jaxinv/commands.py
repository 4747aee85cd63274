"""The command `jaxinv`: what it can do, each in a module that is loaded when it is asked for."""

import importlib
import sys
from collections.abc import Sequence

import jaxinv

# The module whose `main` runs each, and what it does.
_COMMANDS = {
    "certify": ("jaxinv.certificate.cli", "prove which shifts a network commutes with"),
    "evaluate": ("jaxinv.report.cli", "measure networks at every shift; without options: a study"),
    "train": ("jaxinv.training.cli", "train a network"),
}
_USAGE = """usage: jaxinv COMMAND [OPTIONS]

Whether, where and why a network respects translation.

{commands}

  jaxinv COMMAND --help    its options
  jaxinv --version         the version
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status.

    Example:
      >>> main(["--version"])
      jaxinv ...
      0
    """
    name, *options = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in _COMMANDS:
        module = importlib.import_module(_COMMANDS[name][0])
        return module.main(options, name=f"jaxinv {name}")
    if name == "--version":
        print(f"jaxinv {jaxinv.__version__}")
        return 0
    if name in ("--help", "-h"):
        rows = (f"  {command:23}  {does}" for command, (_, does) in _COMMANDS.items())
        print(_USAGE.format(commands="\n".join(rows)), end="")
        return 0
    allowed = ", ".join((*_COMMANDS, "--version", "--help"))
    print(f"jaxinv: error: there is no command {name!r}; allowed are {allowed}", file=sys.stderr)
    return 1
