"""The tables of a report as data; terminal, page and CSV files show the same ones."""

import contextlib
import csv
import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from jaxinv.command_line import printable
from jaxinv.evaluation.results import (
    Estimate,
    LayerRow,
    NetworkResult,
    Results,
    figure,
    shift_words,
)
from jaxinv.evaluation.ties import proved
from jaxinv.files import write_whole

Cell = str | int | Estimate | None

# Sizes of shift, in pixels, that the curve is tabulated at.
TABULATED_SHIFTS = (0, 1, 2, 3, 4, 6, 8, 12, 16)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One table.

    Attributes:
      name: of its CSV file.
      title: what it shows, as its heading.
      columns: headings.
      rows: cells, as many a row as there are columns.
      prose: numbers of the columns that hold text and may wrap; the others hold figures.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: frozenset[int]


def sheets(results: Results) -> list[Sheet]:
    """All tables of the results that have something to show.

    Example:
      >>> sheets(Results("nothing", ()))
      []
    """
    all_sheets = [
        claim_sheet(results),
        network_sheet(results),
        seeds_sheet(results),
        curve_sheet(results),
        certificate_sheet(results),
        comparison_sheet(results),
        protocol_sheet(results),
        *(layer_sheet(network) for network in results.networks),
    ]
    return [sheet for sheet in all_sheets if sheet.rows]


def setting(results: Results) -> str:
    """Data set, images and shifts in one line.

    Example:
      >>> setting(Results("", (), dataset={"name": "digits", "split": "test", "images": 2}))
      'digits (test), 2 images'
    """
    data, shifts = results.dataset, results.shifts
    parts = []
    if data:
        total = data["images"]
        # A network that was interrupted has figures of the images finished until then.
        counts = [n.figures["centred"].count for n in results.networks if n.figures]
        done = min(counts, default=total)
        count = f"{done:,} of {total:,}" if done < total else f"{total:,}"
        parts.append(f"{data['name']} ({data['split']}), {count} images")
    if shifts:
        parts.append(f"{shift_words(shifts)} of each")
    return ", ".join(parts)


def claim_sheet(results: Results) -> Sheet:
    """Claims, verdicts and the figures that carry them."""
    return Sheet(
        "claims",
        "What people say",
        ("claim", "verdict", "measured"),
        tuple((c.statement, c.verdict, c.measured) for c in results.claims),
        frozenset({0, 2}),
    )


def network_sheet(results: Results) -> Sheet:
    """The figures of each network, and in the study what they show."""
    names = {
        "centred": "centred",
        "mean": "mean",
        "worst": "worst",
        "consistency": "consistent",
        "equivariance_error": "features",
        "invariance_error": "output",
    }
    sentences = any(network.says for network in results.networks)
    rows = tuple(
        (n.name, *(n.figures.get(name) for name in names), *((n.says,) if sentences else ()))
        for n in results.networks
        if n.figures
    )
    columns = ("network", *names.values(), *(("what it shows",) if sentences else ()))
    title = f"At {shift_words(results.shifts)}"
    return Sheet("networks", title, columns, rows, frozenset({0, 7}))


def seeds_sheet(results: Results) -> Sheet:
    """Mean and standard deviation over the seeds of each training."""
    names = {
        "centred": "centred",
        "mean": "mean",
        "worst": "worst",
        "consistency": "consistent",
    }
    columns = ["training", "seeds"]
    for title in names.values():
        columns += [title, f"{title} ±"]
    rows = []
    for row in results.seeds:
        cells: list[Cell] = [row.run, len(row.networks)]
        for name in names:
            cells += [row.figures[name], f"{100 * row.spread[name]:.1f}%"]
        rows.append(tuple(cells))
    return Sheet("seeds", "Over seeds", tuple(columns), tuple(rows), frozenset({0}))


def curve_sheet(results: Results) -> Sheet:
    """Accuracy against the size of the shift, a column a size."""
    curves = [network.curve for network in results.networks if network.curve]
    sizes = [s for s in TABULATED_SHIFTS if any(s in curve["shift"] for curve in curves)]
    rows = []
    for network in results.networks:
        if network.curve:
            at = dict(zip(network.curve["shift"], network.curve["accuracy"], strict=True))
            cells = [f"{100 * at[size]:.0f}%" if size in at else "" for size in sizes]
            rows.append((network.name, *cells))
    title = "Accuracy by size of the shift (larger component, pixels)"
    columns = ("network", *map(str, sizes))
    return Sheet("curve", title, columns, tuple(rows), frozenset({0}))


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
    return Sheet("certificates", title, ("network", "verdict", "first break"), rows, _ALL)


def protocol_sheet(results: Results) -> Sheet:
    """Figures of published protocols, a row each, a column a network."""
    networks = [network for network in results.networks if network.protocols]
    found = dict.fromkeys((p, f) for n in networks for p in n.protocols for f in n.protocols[p])
    rows = []
    last = None
    for protocol, name in found:
        cells = [n.protocols.get(protocol, {}).get(name) for n in networks]
        rows.append(("" if protocol == last else protocol, name.replace("_", " "), *cells))
        last = protocol
    columns = ("protocol", "figure", *(n.name for n in networks))
    return Sheet("protocols", "Published protocols", columns, tuple(rows), frozenset({0, 1}))


def comparison_sheet(results: Results) -> Sheet:
    """Paired tests between networks."""
    over = shift_words(results.shifts)
    rows = tuple(
        (
            f"{pair['first']} / {pair['second']}",
            pair["figure"].replace("at every shift", f"at every one of {over}"),
            pair["only_first"],
            pair["only_second"],
            figure(pair["p_value"]),
            pair["images"],
        )
        for pair in results.comparisons
    )
    title = "Compared on the same images (McNemar's exact test)"
    columns = ("networks", "right", "only the first", "only the second", "p", "images")
    return Sheet("comparisons", title, columns, rows, frozenset({0, 1}))


def layer_sheet(network: NetworkResult) -> Sheet:
    """The layers of one network, from input to output."""
    rows = tuple(
        (
            row.layer,
            "x".join(map(str, row.shape)),
            row.state,
            *("" if v is None else figure(v) for v in _errors(row)),
            "" if row.cosine is None else f"{row.cosine:.3f}",
            "" if row.aliasing is None else f"{100 * row.aliasing:.1f}%",
        )
        for row in network.layers
    )
    columns = (
        *("layer", "output", "proved"),
        *("by strides", "by a pixel", "by half", "cosine", "aliased"),
    )
    name = "layers-" + re.sub(r"[^\w.-]+", "_", network.name)[:100]
    return Sheet(name, f"Layer by layer: {network.name}", columns, rows, frozenset({0, 2}))


def _errors(row: LayerRow) -> tuple[float | None, ...]:
    return row.lattice_error, row.integer_error, row.half_pixel_error


def write_csv(results: Results, directory: Path) -> list[Path]:
    """Writes each table as a CSV file; a figure takes the columns value, low, high and images.

    Args:
      results: what was found.
      directory: where to.

    Returns:
      The files.

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
    for name, column in zip(sheet.columns, columns, strict=True):
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
    """A cell that no spreadsheet takes for a formula; numbers are none, negative ones either."""
    if not isinstance(cell, str):
        return cell
    shown = printable(cell)
    with contextlib.suppress(ValueError):
        float(shown.removesuffix("%"))
        return shown
    return f"'{shown}" if shown.lstrip().startswith(("=", "+", "-", "@")) else shown


_ALL = frozenset(range(9))
