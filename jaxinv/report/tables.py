"""The tables of a report as data; terminal, page and CSV files show the same ones."""

import contextlib
import csv
import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jaxinv.command_line import printable
from jaxinv.evaluation.proof import proved
from jaxinv.evaluation.results import (
    Estimate,
    NetworkResult,
    Results,
    shift_words,
    short_number,
)
from jaxinv.files import write_whole
from jaxinv.report.words import count_of, curve_column, few, scored

Cell = str | int | Estimate | None

# Sizes of shift, in pixels, that the curve is tabulated at.
TABULATED_SHIFTS = (0, 1, 2, 3, 4, 6, 8, 12, 16)


class Column(NamedTuple):
    """A column of a table: words, which may wrap, figures, or verdicts."""

    name: str
    kind: Literal["text", "figure", "verdict"] = "figure"


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One table; `name` is that of its CSV file, and the first column heads the rows."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def sheets(results: Results) -> list[Sheet]:
    """All tables of the results that have something to show."""
    all_sheets = [
        claim_sheet(results),
        network_sheet(results),
        seeds_sheet(results),
        curve_sheet(results),
        certificate_sheet(results),
        comparison_sheet(results),
        protocol_sheet(results),
        *(_on_few(layer_sheet(network), results) for network in results.networks),
    ]
    return [sheet for sheet in all_sheets if sheet.rows]


def _on_few(sheet: Sheet, results: Results) -> Sheet:
    return dataclasses.replace(sheet, title=f"{sheet.title}, on {few(results)}")


def claim_sheet(results: Results) -> Sheet:
    """Claims, verdicts and the figures that carry them."""
    columns = Column("claim", "text"), Column("verdict", "verdict"), Column("measured", "text")
    rows = tuple((c.statement, c.verdict, c.measured) for c in results.claims)
    return Sheet("claims", "What people say", columns, rows)


def network_sheet(results: Results) -> Sheet:
    """The figures of each network, and in the study what they show."""
    figures = {
        "centred": "centred",
        "mean": "mean",
        "worst": "worst",
        "consistency": "consistent",
        "equivariance_error": "features",
        "invariance_error": "output",
        "class_consistency": "by class",
        "iou": "mean IoU",
        "worst_iou": "worst IoU",
        "change": "change",
        "worst_change": "worst change",
        "psnr": "PSNR",
        "worst_psnr": "worst PSNR",
        "error": "error",
        "worst_error": "worst error",
        "target_psnr": "error PSNR",
    }
    networks = [network for network in results.networks if network.figures]
    known = [name for name in figures if any(name in n.figures for n in networks)]
    columns = [Column("network", "text"), *(Column(figures[name]) for name in known)]
    rows: list[tuple[Cell, ...]] = [
        (network.name, *map(network.figures.get, known)) for network in networks
    ]
    if any(network.says for network in networks):
        columns.append(Column("what it shows", "text"))
        rows = [(*row, network.says) for row, network in zip(rows, networks, strict=True)]
    title = f"At {shift_words(results.shifts)}"
    return Sheet("networks", title, tuple(columns), tuple(rows))


def seeds_sheet(results: Results) -> Sheet:
    """Mean and standard deviation over the seeds of each training."""
    figures = {
        "centred": "centred",
        "mean": "mean",
        "worst": "worst",
        "consistency": "consistent",
    }
    columns = [Column("training", "text"), Column("seeds")]
    for title in figures.values():
        columns += [Column(title), Column(f"{title} ±")]
    rows = []
    for row in results.seeds:
        cells: list[Cell] = [row.run, len(row.networks)]
        for name in figures:
            cells += [row.figures[name], f"{100 * row.spread[name]:.1f}%"]
        rows.append(tuple(cells))
    return Sheet("seeds", "Over seeds", tuple(columns), tuple(rows))


def curve_sheet(results: Results) -> Sheet:
    """Accuracy against the size of the shift, a column for each size."""
    column = curve_column(results)
    curves = {
        network.name: dict(zip(network.curve["shift"], network.curve[column], strict=True))
        for network in results.networks
        if network.curve
    }

    def said(value: float) -> str:
        return short_number(value) if results.values else f"{100 * value:.0f}%"

    sizes = [s for s in TABULATED_SHIFTS if any(s in curve for curve in curves.values())]
    rows = tuple(
        (name, *(said(curve[size]) if size in curve else "" for size in sizes))
        for name, curve in curves.items()
    )
    title = f"{scored(results).capitalize()} by size of the shift (larger component, pixels)"
    columns = (Column("network", "text"), *(Column(str(size)) for size in sizes))
    return Sheet("curve", title, columns, rows)


def certificate_sheet(results: Results) -> Sheet:
    """What is proved about each network, and the line that ends it."""
    rows = tuple(
        (n.name, proved(n.certificate), n.certificate["first_break"] or "none")
        for n in results.networks
        if n.certificate
    )
    title = "Proved from the program; conditions of adaptive layers measured on the images"
    if not any(n.certificate.get("assumptions") for n in results.networks if n.certificate):
        title = "Proved from the program, without data"
    columns = tuple(Column(name, "text") for name in ("network", "verdict", "first break"))
    return Sheet("certificates", title, columns, rows)


def protocol_sheet(results: Results) -> Sheet:
    """Figures of published protocols, a row for each, a column for each network."""
    networks = [network for network in results.networks if network.protocols]
    found = dict.fromkeys((p, f) for n in networks for p in n.protocols for f in n.protocols[p])
    rows = []
    last = None
    for protocol, name in found:
        cells = [n.protocols.get(protocol, {}).get(name) for n in networks]
        rows.append(("" if protocol == last else protocol, name.replace("_", " "), *cells))
        last = protocol
    columns = [Column("protocol", "text"), Column("figure", "text")]
    columns += [Column(network.name) for network in networks]
    title = f"Published protocols, each with its own shifts, on {count_of(results)}"
    return Sheet("protocols", title, tuple(columns), tuple(rows))


def comparison_sheet(results: Results) -> Sheet:
    """Paired tests between networks."""
    over = shift_words(results.shifts)
    rows = tuple(
        (
            f"{pair['first']} / {pair['second']}",
            pair["figure"].replace("at every shift", f"at every one of {over}"),
            pair["only_first"],
            pair["only_second"],
            short_number(pair["p_value"]),
            pair["images"],
        )
        for pair in results.comparisons
    )
    title = "Compared on the same images (McNemar's exact test)"
    figures = ("only the first", "only the second", "p", "images")
    columns = (Column("networks", "text"), Column("right", "text"), *map(Column, figures))
    return Sheet("comparisons", title, columns, rows)


def layer_sheet(network: NetworkResult) -> Sheet:
    """The layers of one network, from input to output."""
    rows = tuple(
        (
            row.layer,
            "x".join(map(str, row.shape)),
            row.state,
            # Outputs without positions have nothing to move.
            "change" if row.aliasing is None else "equivariance",
            *(
                "" if error is None else short_number(error)
                for error in (row.lattice_error, row.integer_error, row.half_pixel_error)
            ),
            "" if row.cosine is None else f"{row.cosine:.3f}",
            "" if row.aliasing is None else f"{100 * row.aliasing:.1f}%",
        )
        for row in network.layers
    )
    columns = (
        *(Column("layer", "text"), Column("output"), Column("proved", "text")),
        Column("error of", "text"),
        *map(Column, ("by strides", "by a pixel", "by half", "cosine", "aliased")),
    )
    name = "layers-" + re.sub(r"[^\w.-]+", "_", network.name)[:100]
    return Sheet(name, f"Layer by layer: {network.name}", columns, rows)


def where_the_proof_changes(network: NetworkResult) -> Sheet:
    """The first layer, and each of which something else is proved than of the one before."""
    sheet = layer_sheet(network)
    states = [None, *(row.state for row in network.layers)]
    rows = tuple(
        row
        for row, before, after in zip(sheet.rows, states[:-1], states[1:], strict=True)
        if before != after
    )
    return dataclasses.replace(sheet, rows=rows)


def write_csv(results: Results, directory: Path) -> list[Path]:
    """Writes each table as a CSV file; a figure takes the columns value, low, high and images.

    Example:
      >>> import tempfile
      >>> net = NetworkResult("a", "net", figures={"mean": Estimate(0.5, 0.4, 0.6, 9)})
      >>> (path,) = write_csv(Results("", (net,)), Path(tempfile.mkdtemp()))
      >>> path.read_text().splitlines()
      ['network,mean,mean low,mean high,mean images', 'a,0.5,0.4,0.6,9']
    """
    paths: list[Path] = []
    for sheet in sheets(results):
        path = directory / f"{sheet.name}.csv"
        while path in paths:  # names that differ in signs which files do not have
            path = path.with_name(f"{path.stem}_.csv")
        write_whole(path, functools.partial(_write, sheet))
        paths.append(path)
    return paths


def _write(sheet: Sheet, path: Path) -> None:
    columns = list(zip(*sheet.rows, strict=True))
    heading: list[str] = []
    body: list[Sequence[object]] = []
    for (name, _), column in zip(sheet.columns, columns, strict=True):
        if not any(isinstance(cell, Estimate) for cell in column):
            if any(cell is not None for cell in column):
                heading.append(name)
                body.append(column)
            continue
        for part, label in (
            ("value", ""),
            ("low", " low"),
            ("high", " high"),
            ("count", " images"),
        ):
            heading.append(name + label)
            body.append([getattr(cell, part, None) for cell in column])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(_harmless, heading))
        writer.writerows(map(_harmless, row) for row in zip(*body, strict=True))


def _harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers, negative ones too, stay."""
    if not isinstance(cell, str):
        return cell
    shown = printable(cell)
    with contextlib.suppress(ValueError):
        float(shown.removesuffix("%"))
        return shown
    return f"'{shown}" if shown.lstrip().startswith(("=", "+", "-", "@")) else shown
