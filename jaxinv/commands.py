"""The command `jaxinv`: what it can do, each in a module that is loaded when it is asked for."""

import contextlib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import jaxinv
from jaxinv.command_line import run

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
  jaxinv --completion bash a script that completes options in a shell, or zsh
"""
# Shells that tyro writes completion for.
_SHELLS = ("bash", "zsh")


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
    return run(lambda: _print(name, *options), name="jaxinv")


def _print(name: str, *options: str) -> None:
    if name == "--completion":
        _print_completion(*options)
    elif name == "--version":
        print(f"jaxinv {jaxinv.__version__}")
    elif name in ("--help", "-h"):
        rows = (f"  {command:23}  {does}" for command, (_, does) in _COMMANDS.items())
        print(_USAGE.format(commands="\n".join(rows)), end="")
    else:
        allowed = ", ".join((*_COMMANDS, "--completion", "--version", "--help"))
        raise ValueError(f"there is no command {name!r}; allowed are {allowed}")


def _print_completion(*given: str) -> None:
    """Prints the script that completes the commands and their options in a shell."""
    if len(given) != 1 or given[0] not in _SHELLS:
        raise ValueError(f"completion is {' '.join(given)!r}; allowed are {', '.join(_SHELLS)}")
    import tyro

    from jaxinv.training.cli import WORDS

    commands: dict[str, Any] = {
        name: importlib.import_module(module).Arguments for name, (module, _) in _COMMANDS.items()
    }
    with contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="jaxinv", args=["--tyro-print-completion", given[0]], registry=WORDS
        )
