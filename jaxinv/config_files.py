"""Options of the programs from a file: TOML, JSON, or the config.json of a run."""

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from jaxinv.command_line import first_line


def without_config(argv: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The file that `--config` names, and the other words of a command line.

    Raises:
      ValueError: if it names none, or is given twice.

    Example:
      >>> without_config(["--seed", "1", "--config", "run.toml"])
      (PosixPath('run.toml'), ['--seed', '1'])
    """
    found, others, words = [], [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--config":
            found.append(value if equals else next(words, ""))
        else:
            others.append(word)
    if len(found) > 1 or "" in found:
        raise ValueError("config is the name of one file, .toml or .json")
    return (Path(found[0]) if found else None), others


def settings_of(path: Path) -> dict[str, Any]:
    """The options in a file, by name; of a run's config.json those of the run.

    Raises:
      ValueError: if it cannot be read or holds no options.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"config {path} cannot be read: {first_line(error)}") from None
    if isinstance(found, dict) and found.keys() == {"config", "data"}:
        found = found["config"]
    if not isinstance(found, dict):
        raise ValueError(f"config {path} holds no options by name")
    return {name.replace("-", "_"): value for name, value in found.items()}


def words_of(kind: type, settings: Mapping[str, Any], *, append: bool = False) -> list[str]:
    """Options as the words of a command line; those of the command line follow and win.

    Args:
      kind: the dataclass of the options.
      settings: their values by name; None is left out.
      append: whether an option of several values is given once for each.

    Raises:
      ValueError: if an option is unknown or its value has no words.

    Example:
      >>> @dataclasses.dataclass
      ... class Options:
      ...     seed: int = 0
      ...     shape: str = ""
      ...     share: bool = True
      >>> words_of(Options, {"seed": 3, "shape": [1, 28, 28, 1], "share": False})
      ['--seed=3', '--shape=1,28,28,1', '--no-share']
    """
    hints = _options(kind)
    words: list[str] = []
    for name, value in settings.items():
        if name not in hints:
            raise ValueError(f"config names {name!r}; allowed are {', '.join(hints)}")
        flag = f"--{name.replace('_', '-')}"
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            plain = [_plain(name, inner, hints[name]) for inner in value]
            if _is_text(hints[name]):
                words.append(f"{flag}={','.join(plain)}")
            elif append:
                words += [f"{flag}={inner}" for inner in plain]
            else:
                words += [flag, *plain]
        else:
            words.append(f"{flag}={_plain(name, value, hints[name])}")
    return words


def _options(kind: type) -> dict[str, Any]:
    """The types of all options by name, those of options within options among them."""
    options: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        within = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        options |= _options(hint) if within else {name: hint}
    return options


def _is_text(hint: Any) -> bool:
    return hint is str or str in get_args(hint)


def _plain(name: str, value: Any, hint: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"config gives {name} the value {value!r}; allowed are words and numbers")
    # On a command line the shell does it.
    is_path = Path in (hint, *get_args(hint))
    return os.path.expanduser(str(value)) if is_path else str(value)
