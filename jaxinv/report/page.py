"""report.html: one self-contained file for a phone, a screen or paper, light or dark."""

import collections
import functools
import itertools
from collections.abc import Mapping, Sequence

import jinja2
import matplotlib
import numpy as np
from jaxtyping import Shaped
from markupsafe import Markup
from matplotlib.figure import Figure

from jaxinv.command_line import printable
from jaxinv.evaluation.aligned import MapPicture
from jaxinv.evaluation.results import (
    Estimate,
    Flip,
    NetworkResult,
    Results,
    shift_words,
    short_number,
)
from jaxinv.report import maps, plots, tables, words
from jaxinv.report.plots import ShiftMap
from jaxinv.report.svg import inline_svg

Pictures = Sequence[tuple[Shaped[np.ndarray, "h w c"], Shaped[np.ndarray, "h w c"]]]

# The layers of a network with more of them are folded.
FOLDED = 20


def page(
    results: Results,
    *,
    accuracy: Mapping[str, ShiftMap],
    confidence: Mapping[str, ShiftMap],
    pictures: Mapping[str, Pictures],
    iou: Mapping[str, ShiftMap] | None = None,
    map_pictures: Mapping[str, Sequence[MapPicture]] | None = None,
    seams: Mapping[str, Mapping[str, Shaped[np.ndarray, "h w"]]] | None = None,
) -> str:
    """The whole report as HTML, with its style and pictures inside.

    Args:
      results: what was found.
      accuracy: accuracy at each shift, by network.
      confidence: mean probability of the true class at each shift, by network.
      pictures: images before and after the shift that flips them, by network, as in `flips`.
      iou: mean IoU at each shift, by network with label maps.
      map_pictures: what such networks say with and without a shift.
      seams: how tiles of an image differ from the whole, by network and overlap.

    Example:
      >>> "<h1>It is.</h1>" in page(Results("It is.", ()), accuracy={}, confidence={}, pictures={})
      True
    """
    numbers = itertools.count()

    def svg(drawn: Figure, alternative: str) -> Markup:
        return inline_svg(drawn, alternative=printable(alternative), prefix=f"g{next(numbers)}-")

    sheets: dict[str, tables.Sheet | None] = collections.defaultdict(lambda: None)
    sheets |= {sheet.name: sheet for sheet in tables.sheets(results)}
    colours = matplotlib.colormaps[plots.HEAT](np.linspace(0, 1, 9))
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            results=results,
            setting=words.setting(results),
            sheets=sheets,
            shift_maps=[
                (said, shown)
                for said, shown in (
                    (words.scored(results), accuracy),
                    (words.probability(results), confidence),
                    ("mean IoU", iou),
                )
                if shown
            ],
            pictures=pictures,
            map_pictures=map_pictures or {},
            map_picture_words=_map_picture_words,
            heat=[matplotlib.colors.to_hex(colour) for colour in colours],
            svg=svg,
            plots=plots,
            map_plot=maps.map_plot,
            seams=seams or {},
            seam_plot=maps.seam_plot,
            seam_words=_seam_words,
            map_words=_map_words,
            flip_words=functools.partial(_flip_words, results),
            line_words=_line_words,
            tables=tables,
            words=words,
            headings=[],
            folded=FOLDED,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxinv.report", "."),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["shift_words"] = shift_words
    environment.tests["estimate"] = lambda value: isinstance(value, Estimate)
    return environment


def _map_words(name: str, shown: ShiftMap, over: str) -> str:
    if not shown.differs:
        return f"{name}: {100 * shown.values.mean():.0f}% at every one of {over}."
    down, right = shown.worst
    low, high = 100 * shown.values.min(), 100 * shown.values.max()
    return (
        f"{name}: between {low:.0f}% and {high:.0f}% over {over}, "
        f"lowest at {down} pixels down and {right} right."
    )


def _flip_words(results: Results, flips: Sequence[Flip]) -> str:
    called = results.class_name
    return "; ".join(
        f"image {flip.index}{f', a {called(flip.label)}' * results.labelled}: "
        f"{called(flip.before)} becomes {called(flip.after)} "
        f"at {flip.shift[0]} down and {flip.shift[1]} right"
        for flip in flips
    )


def _seam_words(errors: Mapping[str, Shaped[np.ndarray, "h w"]]) -> str:
    return "; ".join(
        f"{name}: {short_number(float(error.max()))} at most" for name, error in errors.items()
    )


def _map_picture_words(pictures: Sequence[MapPicture]) -> str:
    def change(shown: MapPicture) -> str:
        if shown.of_values:
            return f"values change by up to {short_number(float(shown.difference.max()))}"
        return f"{100 * np.mean(shown.difference):.1f}% of positions change"

    return "; ".join(
        f"image {shown.index}: {change(shown)} at {shown.shift[0]} down and {shown.shift[1]} right"
        for shown in pictures
    )


def _line_words(network: NetworkResult, line: plots.Line, what: str) -> str:
    across, up = line.of(network)

    def said(value: float) -> str:
        return f"{100 * value:.0f}%" if line.percent else short_number(value)

    return f"{network.name}: {what} {said(up[0])} at 0 pixels, {said(up[-1])} at {across[-1]:.0f}."


def _shown(value: object) -> object:
    """A value as the page shows it: its control characters spelt out, its lines kept."""
    if hasattr(value, "__html__"):
        return value
    return "\n".join(map(printable, str(value).split("\n")))
