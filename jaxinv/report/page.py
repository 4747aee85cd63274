"""report.html: one self-contained file for a phone, a screen or paper, light or dark."""

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Shaped

from jaxinv.evaluation.results import NetworkResult, Results, shift_words
from jaxinv.files import write_whole
from jaxinv.report import markup, plots, tables
from jaxinv.report.plots import ShiftMap

Pictures = Sequence[tuple[Shaped[np.ndarray, "h w c"], Shaped[np.ndarray, "h w c"]]]

# Nothing from outside, no program, nothing sent: what names or labels may smuggle in stays dead.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
SHARES = (
    "Centred: accuracy on the images as they are. Mean: over {over}. Worst: images that are "
    "right at every one of these. Consistent: chance that two random ones of these shifts get the "
    "same prediction, exactly. Features: largest relative departure of the last feature map from "
    "equivariance, over circular shifts by multiples of its stride. Output: largest relative "
    "change of the outputs under any of these shifts. Small print: 95% intervals over images."
)
SEEDS = (
    "Networks of one training that differ in their seed. Each figure is their mean, its small "
    "print the 95% interval over images; ± is the standard deviation between the networks."
)
LAYERS = (
    "Proved: the shifts that the layer's output commutes with. Whole pixels and half pixel: "
    "relative equivariance error at shifts by whole output positions, and of the image by half a "
    "pixel (empty for a map that shows a part of its torus); outputs without positions have "
    "nothing to move, and theirs say how much they change. Cosine: similarity of the outputs on "
    "an image and on its translate. Aliased: share of energy above the Nyquist frequency of the "
    "next layer."
)


def page(
    results: Results,
    *,
    accuracy: Mapping[str, ShiftMap],
    confidence: Mapping[str, ShiftMap],
    pictures: Mapping[str, Pictures],
) -> str:
    """The whole report as HTML, with its style and pictures inside.

    Args:
      results: what was found.
      accuracy: accuracy at each shift, by network.
      confidence: mean probability of the true class at each shift, by network.
      pictures: images before and after the shift that flips them, by network, as in `flips`.

    Returns:
      The document.

    Example:
      >>> shown = page(Results("It is.", ()), accuracy={}, confidence={}, pictures={})
      >>> "<h1>It is.</h1>" in shown
      True
    """
    sheets = {sheet.name: sheet for sheet in tables.sheets(results)}
    parts = [
        f"<h1>{markup.text(results.headline)}</h1>",
        f'<p class="setting">{markup.text(tables.setting(results))}</p>',
    ]
    if not results.complete:
        parts.append(
            '<p class="partial"><strong>Partial.</strong> The evaluation was interrupted. '
            "The figures are right for the images counted here; the same command goes on.</p>"
        )
    parts += _titled(sheets.get("claims"))
    over = shift_words(results.shifts)
    parts += _titled(sheets.get("networks"), note=SHARES.format(over=over))
    parts += _titled(sheets.get("seeds"), note=SEEDS)
    parts += _curve(results, sheets.get("curve"))
    parts += _maps(results, accuracy, confidence)
    parts += _certificates(results, sheets.get("certificates"))
    for network in results.networks:
        parts += _layers(network)
    parts += _flips(results, pictures)
    parts += _radial(results)
    parts += _titled(sheets.get("comparisons"))
    parts += _titled(sheets.get("protocols"))
    parts += _run(results)
    style = (
        importlib.resources.files("jaxinv.report").joinpath("page.css").read_text(encoding="utf-8")
    )
    return _DOCUMENT.format(
        title=markup.text(results.headline),
        style=style.replace("var(--heat)", _heat_stops()),
        policy=POLICY,
        body=markup.with_own_names("\n".join(parts)),
    )


def write_page(path: Path, content: str) -> None:
    """Writes the document, whole or not at all.

    Args:
      path: where to.
      content: the document.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "report.html"
      >>> write_page(path, "<p>")
      >>> path.read_text()
      '<p>'
    """
    write_whole(path, lambda at: at.write_text(content, encoding="utf-8"))


def _titled(sheet: tables.Sheet | None, *, note: str = "") -> list[str]:
    if sheet is None:
        return []
    after = [f'<p class="note">{markup.text(note)}</p>'] if note else []
    return [f"<h2>{markup.text(sheet.title)}</h2>", markup.table(sheet), *after]


def _curve(results: Results, sheet: tables.Sheet | None) -> list[str]:
    if sheet is None:
        return []
    networks = [network for network in results.networks if network.curve]
    return [
        "<h2>How far a shift may go</h2>",
        markup.picture(
            plots.curves(networks),
            alternative="Accuracy against the size of the shift, a line a network; the numbers "
            "stand in the table below.",
            caption=f"Accuracy over those of {shift_words(results.shifts)} whose larger component "
            "has the size given.",
            wide=True,
        ),
        "<details><summary>The same as a table</summary>",
        markup.table(sheet),
        "</details>",
    ]


def _maps(
    results: Results, accuracy: Mapping[str, ShiftMap], confidence: Mapping[str, ShiftMap]
) -> list[str]:
    if not accuracy:
        return []
    parts = [
        "<h2>Where each network is blind</h2>",
        "<p>Each square is one shift; the shift by nothing is in the middle. The cross marks the "
        "worst shift. All maps share one scale.</p>",
        '<div class="bar"><span>0%</span><i></i><span>100%</span></div>',
    ]
    for heading, maps in (
        ("Accuracy", accuracy),
        ("Mean probability of the true class", confidence),
    ):
        figures = [
            markup.picture(
                plots.single_heat_map(shown, title=name),
                alternative=_described(name, shown, over=shift_words(results.shifts)),
            )
            for name, shown in maps.items()
        ]
        parts += [f"<h3>{heading}</h3>", f'<div class="maps">{"".join(figures)}</div>']
    return parts


def _described(name: str, shown: ShiftMap, *, over: str) -> str:
    if not shown.differs:
        return f"{name}: {100 * shown.values.mean():.0f}% at every one of {over}."
    down, right = shown.worst
    low, high = 100 * shown.values.min(), 100 * shown.values.max()
    return (
        f"{name}: between {low:.0f}% and {high:.0f}% over {over}, "
        f"lowest at {down} pixels down and {right} right."
    )


def _certificates(results: Results, sheet: tables.Sheet | None) -> list[str]:
    parts = _titled(sheet)
    for network in results.networks:
        if network.certificate and network.certificate.get("text"):
            program = f"<pre>{markup.text(network.certificate['text'])}</pre>"
            parts.append(
                f"<details><summary>Certificate of {markup.text(network.name)}</summary>"
                f"{markup.scrolled(program, label=f'Certificate of {network.name}')}</details>"
            )
    return parts


def _layers(network: NetworkResult) -> list[str]:
    if not network.layers:
        return []
    drawn = markup.picture(
        plots.layer_plot(network),
        alternative=f"Equivariance errors, cosine similarity and aliasing of {network.name} at "
        "each layer; the numbers stand in the table below.",
        wide=True,
    )
    sheet = tables.layer_sheet(network)
    heading, *rest = _titled(sheet, note=LAYERS)
    return [heading, drawn, *rest]


def _flips(results: Results, pictures: Mapping[str, Pictures]) -> list[str]:
    parts = []
    for network in results.networks:
        if network.flips:
            what = "; ".join(
                f"image {flip.index}, a {flip.label}: {flip.before} becomes {flip.after} at "
                f"{flip.shift[0]} down and {flip.shift[1]} right"
                for flip in network.flips
            )
            parts += [
                f"<h3>{markup.text(network.name)}</h3>",
                markup.picture(
                    plots.flip_plot(network.flips, pictures[network.name]), alternative=what
                ),
            ]
    if parts:
        parts[:0] = [
            "<h2>Images that flip under the smallest shift</h2>",
            "<p>Above each picture: what the network says.</p>",
        ]
    return parts


def _radial(results: Results) -> list[str]:
    networks = [network for network in results.networks if network.radial]
    if not networks:
        return []
    drawn = plots.curves(
        networks,
        column=("radius", "sensitivity"),
        labels=("radius of the shift (pixels)", "translation sensitivity"),
        percent=False,
    )
    return [
        "<h2>Radial profile of translation sensitivity</h2>",
        markup.picture(
            drawn,
            alternative="Translation sensitivity against the radius of the shift, a line a network",
            caption="Distance of the outputs to those of the unshifted image, relative to "
            "its scale, averaged over images and over shifts of one length "
            "(Kauderer-Abrams 2017).",
            wide=True,
        ),
    ]


def _run(results: Results) -> list[str]:
    run = results.run
    if not run:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    rows = {
        "command": f"<code>{markup.text(run['command'])}</code>",
        "seed": markup.text(run["seed"]),
        "versions": markup.text(versions),
        "device": markup.text(f"{run['device']}, {run['processors']} processors"),
        "time": markup.text(f"{run['seconds']:.0f} s"),
        "data set": markup.text(tables.setting(results)),
        "files": "results.json, maps.npz and the CSV files beside this page hold every number",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items())
    return ["<h2>How to repeat it</h2>", f"<dl>{listed}</dl>"]


def _heat_stops() -> str:
    colours = matplotlib.colormaps[plots.HEAT](np.linspace(0, 1, 9))
    return ", ".join(matplotlib.colors.to_hex(colour) for colour in colours)


_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
