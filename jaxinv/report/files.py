"""All files of a report: results.json, maps.npz, CSV, pictures, report.html."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxinv.evaluation.audit import Audit
from jaxinv.evaluation.results import Results, save
from jaxinv.evaluation.summary import is_torus, maps_of
from jaxinv.files import write_whole
from jaxinv.report import page, plots, tables
from jaxinv.report.plots import ShiftMap


def write_report(results: Results, audits: Sequence[Audit], directory: Path) -> list[Path]:
    """Writes all that was found out, with one audit for each network; returns the files."""
    arrays: dict[str, np.ndarray] = {}
    accuracy: dict[str, ShiftMap] = {}
    confidence: dict[str, ShiftMap] = {}
    for made in audits:
        name, wrap = made.result.name, is_torus(made.sweep)
        maps = maps_of(made.sweep)
        arrays |= {f"{name}/{quantity}": values for quantity, values in maps.items()}
        if not made.result.curve:  # a repeat with another seed: only its figures are shown
            continue
        rows = made.sweep.shifts.rows
        accuracy[name] = plots.shift_map(maps["accuracy"], rows, wrap=wrap)
        confidence[name] = plots.shift_map(maps["confidence"], rows, wrap=wrap)
    save(results, arrays, directory)
    written = [directory / "results.json", directory / "maps.npz"]
    written += tables.write_csv(results, directory)
    titles = plots.accuracy_titles(results)
    pictures = {}
    if accuracy:
        pictures["accuracy"] = plots.heat_maps(accuracy, titles=titles, label="accuracy")
        pictures["confidence"] = plots.heat_maps(
            confidence,
            titles={name: name for name in confidence},
            label="mean probability of the true class",
        )
        pictures["curve"] = plots.curves([n for n in results.networks if n.curve])
    for name, figure in pictures.items():
        path = directory / f"{name}.png"
        write_whole(path, functools.partial(plots.save, figure, dpi=150))
        written.append(path)
    content = page.page(
        results,
        accuracy=accuracy,
        confidence=confidence,
        pictures={made.result.name: made.pictures for made in audits},
    )
    path = directory / "report.html"
    write_whole(path, lambda at: at.write_text(content, encoding="utf-8"))
    return [*written, path]
