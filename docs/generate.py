"""Writes what the documentation repeats: api.md, and README's study and certificate.

python docs/generate.py                  # docs/api.md
python docs/generate.py --study study    # README.md's picture, table, certificate as well
"""

import argparse
import csv
import inspect
import json
import re
import shutil
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import jaxinv

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
# The network whose certificate README shows in full.
SHOWN = "dense, pooled"
# The networks whose accuracy is drawn in characters, where no picture is shown.
DRAWN = ("dense", "global, zero padding", "global, adaptive")
SHADES = " ░▒▓█"


def members(module: types.ModuleType) -> dict[str, object]:
    """Public names of a module: its `__all__`, or what it imports without an underscore."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]
    return {name: getattr(module, name) for name in names}


def groups(name: str, module: types.ModuleType) -> dict[str, dict[str, object]]:
    """The public names of a module and of the modules that it lists, by module."""
    listed = members(module)
    found = {name: {k: v for k, v in listed.items() if not isinstance(v, types.ModuleType)}}
    for inner, value in listed.items():
        if isinstance(value, types.ModuleType):
            found |= groups(f"{name}.{inner}", value)
    return found


def api() -> str:
    """docs/api.md: every public name with the first line of its docstring."""
    lines = [
        "# Public names",
        "",
        "Written by `docs/generate.py` from the docstrings, which say the rest: "
        "`help(jaxinv.orbit)`.",
    ]
    for group, names in groups("jaxinv", jaxinv).items():
        lines += ["", f"## {group}", "", "| name | what |", "|---|---|"]
        for name, value in names.items():
            if callable(value):
                summary = (inspect.getdoc(value) or "").splitlines()[0]
            elif isinstance(value, tuple):
                summary = ", ".join(map(str, value))
            else:
                summary = "constant"
            lines.append(f"| `{name}` | {summary.replace('|', ' or ')} |")
    return "\n".join(lines) + "\n"


def study_table(rows: list[dict[str, str]], seeds: list[dict[str, str]]) -> str:
    """README's table from networks.csv and seeds.csv, which is empty for a single seed."""
    columns = ("centred", "mean", "worst", "consistent")
    spread = {row["training"]: row for row in seeds}

    def shares(row: dict[str, str]) -> list[str]:
        means = spread.get(row["network"], row)
        shown = [f"{100 * float(means[name]):.1f}%" for name in columns]
        if means is row:
            return shown
        ends = (means[f"{name} ±"].removesuffix("%") for name in columns)
        return [f"{share} ± {end}" for share, end in zip(shown, ends, strict=True)]

    lines = [
        "| network | centred | all shifts | at every shift | consistency | what it shows |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        if row["what it shows"]:  # further seeds of a network have no sentence
            line = (row["network"], *shares(row), row["what it shows"])
            lines.append(f"| {' | '.join(line)} |")
    if seeds:
        count = seeds[0]["seeds"]
        lines += ["", f"Mean ± standard deviation over {count} trainings, each of another seed."]
    return "\n".join(lines) + "\n"


def drawn_maps(maps: Mapping[str, np.ndarray]) -> str:
    """Accuracies at each shift in characters, network beside network; two rows in a line."""
    blocks = []
    for name, accuracy in maps.items():
        down, right = accuracy.shape
        centred = np.fft.fftshift(accuracy)  # The unshifted image in the middle.
        share = centred.reshape(down // 2, 2, right).mean(1)
        levels = np.minimum((share * len(SHADES)).astype(int), len(SHADES) - 1)
        rows = ["".join(SHADES[level] for level in row) for row in levels]
        blocks.append([f"{name}".ljust(right), *rows])
    lines = ["   ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]
    steps = [f"{SHADES[i]} from {100 * i // len(SHADES)}%" for i in range(1, len(SHADES))]
    key = f"Accuracy at each shift, none in the middle: {', '.join(steps)}"
    return "\n".join([*lines, "", key]) + "\n"


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def replaced(text: str, part: str, content: str) -> str:
    """The text with the part between its two markers exchanged."""
    pattern = rf"(<!-- {part} -->\n).*?(<!-- end of {part} -->)"
    if not re.search(pattern, text, re.DOTALL):
        raise ValueError(f"README.md has no part {part}")
    return re.sub(pattern, lambda m: m[1] + content + m[2], text, flags=re.DOTALL)


def take_study(folder: Path) -> None:
    """Copies picture and tables of a study, and puts table and certificate into README.md."""
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "seeds.csv").unlink(missing_ok=True)
    for name in ("accuracy.png", "networks.csv", "seeds.csv"):
        if (folder / name).exists():
            shutil.copy(folder / name, IMAGES / name)
    with np.load(folder / "maps.npz") as arrays:
        maps = {name: arrays[f"{name}/accuracy"] for name in DRAWN}
    (IMAGES / "accuracy.txt").write_text(drawn_maps(maps), encoding="utf-8")
    results = json.loads((folder / "results.json").read_text())
    certificates = {n["name"]: n["certificate"]["text"] for n in results["networks"] if n["says"]}
    readme = ROOT / "README.md"
    table = study_table(read_rows(IMAGES / "networks.csv"), read_rows(IMAGES / "seeds.csv"))
    text = replaced(readme.read_text(), "study", table)
    shown = f"```\n{certificates[SHOWN].rstrip()}\n```\n"
    readme.write_text(replaced(text, "certificate", shown))


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, help="folder that evaluate.py wrote")
    arguments = parser.parse_args()
    (ROOT / "docs" / "api.md").write_text(api())
    if arguments.study:
        take_study(arguments.study)


if __name__ == "__main__":
    main()
