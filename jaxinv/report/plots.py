"""Pictures of results: heat maps over shifts, curves, layers, images that flip.

Colours are Okabe and Ito's for series and cividis for heat maps: readers with any colour vision
tell them apart, and in grey they keep their order. Series differ in their markers as well; of lines
each network has a panel, where those of the others are in grey.
"""

import dataclasses
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jaxinv.command_line import printable
from jaxinv.evaluation.results import Flip, NetworkResult, Results
from jaxinv.evaluation.summary import lowest
from jaxinv.shifts import centred_shift

# Okabe and Ito (2008) without yellow, which is hard to see on white.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")
MARKERS = "osD^v"
INK = "#16191d"
MUTED = "#5c6670"
HEAT = "cividis"
ROUNDING = 1e-5
# Networks side by side.
COLUMNS = 5
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": MUTED,
    "grid.alpha": 0.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxinv",
}


@dataclasses.dataclass(frozen=True)
class ShiftMap:
    """A number for each shift, laid out with the zero shift in the middle.

    Attributes:
      values: (shifts down, shifts right).
      down: shifts along the first axis, ascending, in pixels.
      right: shifts along the second axis.
    """

    values: Float[np.ndarray, "s1 s2"]
    down: Shaped[np.ndarray, " s1"]
    right: Shaped[np.ndarray, " s2"]

    @property
    def differs(self) -> bool:
        """Whether more than rounding tells the shifts apart; otherwise none is the worst."""
        return bool(self.values.max() - self.values.min() > ROUNDING)

    @property
    def worst(self) -> tuple[int, int]:
        """The shift with the lowest value, the smallest one among equals."""
        return lowest(self.values, self.down, self.right)


def shift_map(
    values: Float[np.ndarray, "s1 s2"], rows: Sequence[Sequence[int]], *, wrap: bool
) -> ShiftMap:
    """Lays a map over shifts out for looking at it.

    Args:
      values: a number for each shift, in an orbit's order.
      rows: the shifts along each axis.
      wrap: whether these are all circular shifts, which are then shown the shortest way round.

    Example:
      >>> shift_map(np.arange(4.0).reshape(1, 4), ((0,), (0, 1, 2, 3)), wrap=True).right
      array([-2, -1,  0,  1])
    """
    axes = [np.asarray(row) for row in rows]
    if wrap:
        axes = [centred_shift(row, len(row)) for row in axes]
    orders = [np.argsort(row) for row in axes]
    return ShiftMap(values[np.ix_(*orders)], axes[0][orders[0]], axes[1][orders[1]])


def heat_map(axes: Axes, shown: ShiftMap, *, title: str) -> Any:
    """Draws one map with the worst shift marked, and returns the drawn image for a colour bar."""
    down, right = shown.down, shown.right
    extent = (right[0] - 0.5, right[-1] + 0.5, down[-1] + 0.5, down[0] - 0.5)
    image = axes.imshow(
        shown.values, cmap=HEAT, vmin=0, vmax=1, extent=extent, interpolation="none"
    )
    if shown.differs:
        y, x = shown.worst
        axes.plot(x, y, "x", color="white", markersize=9, markeredgewidth=3.5)
        axes.plot(x, y, "x", color="black", markersize=8, markeredgewidth=1.5)
    axes.set_title(plain(title))
    axes.set_xlabel("shift right (pixels)")
    axes.set_ylabel("shift down (pixels)")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return image


def heat_maps(
    maps: Mapping[str, ShiftMap],
    *,
    titles: Mapping[str, str],
    label: str,
    make: Callable[..., Figure] = Figure,
) -> Figure:
    """All networks' maps side by side on a common scale from 0 to 1.

    Args:
      maps: a map for each network.
      titles: a line above each.
      label: what the colour means.
      make: makes the figure; `matplotlib.pyplot.figure` makes one that is shown.
    """
    with matplotlib.rc_context(STYLE):
        figure, shown = _side_by_side(len(maps), size=(2.45, 2.45), beside=0.9, make=make)
        for axes, name in zip(shown, maps, strict=True):
            image = heat_map(axes, maps[name], title=titles[name])
        _label_outer(shown)
        shrink = 0.9 if len(maps) <= COLUMNS else 0.6
        bar = figure.colorbar(image, ax=shown, shrink=shrink, aspect=30)
        bar.set_label(label)
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        bar.outline.set_visible(False)
    return figure


def _side_by_side(
    count: int, *, size: tuple[float, float], beside: float, make: Callable[..., Figure]
) -> tuple[Figure, list[Axes]]:
    """A figure with a place for each network, at most five in a row."""
    rows = -(-count // COLUMNS)
    columns = -(-count // rows)
    width, height = size
    # A row's height has room for its titles; below the last one are labels as well.
    size = (width * columns + beside, height * rows + 0.4)
    figure = make(figsize=size, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).flat
    for place in places[count:]:
        place.remove()
    return figure, list(places[:count])


def _label_outer(shown: Sequence[Axes]) -> None:
    """Leaves labels to the first column and to the last panel of each; panels share their scale."""
    columns = shown[0].get_gridspec().ncols  # type: ignore[union-attr]
    for number, axes in enumerate(shown):
        if number % columns:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if number + columns < len(shown):
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)


def single_heat_map(shown: ShiftMap, *, title: str) -> Figure:
    """One map without a colour bar, for the page, which has one for all."""
    with matplotlib.rc_context(STYLE):
        # The places are known: a constrained layout would draw everything twice to find them.
        figure = Figure(figsize=(2.9, 2.95))
        heat_map(figure.add_axes((0.2, 0.16, 0.76, 0.75)), shown, title=title)
    return figure


@dataclasses.dataclass(frozen=True)
class Line:
    """A figure against the size of the shift.

    Attributes:
      table: the field of a network that holds it.
      across: its column for the horizontal axis.
      up: its column for the vertical axis.
      labels: names of the axes, with units.
      percent: whether it runs from 0 to 100%.
    """

    table: Literal["curve", "radial"]
    across: str
    up: str
    labels: tuple[str, str]
    percent: bool

    def of(self, network: NetworkResult) -> tuple[list[float], list[float]]:
        """The columns of a network; empty where it has none."""
        columns = getattr(network, self.table)
        return columns.get(self.across, []), columns.get(self.up, [])


def accuracy_line(label: str = "accuracy", column: str = "accuracy") -> Line:
    """Accuracy, or what stands for it, by the size of the shift; the column of curves it is in."""
    percent = column == "accuracy"
    return Line("curve", "shift", column, ("size of the shift (pixels)", label), percent)


SENSITIVITY_LINE = Line(
    "radial",
    "radius",
    "sensitivity",
    ("radius of the shift (pixels)", "translation sensitivity"),
    False,
)


def curves(
    networks: Sequence[NetworkResult], line: Line, *, make: Callable[..., Figure] = Figure
) -> Figure:
    """A panel for each network, with its line before those of the others; `make` as above."""
    with matplotlib.rc_context(STYLE):
        figure, shown = _side_by_side(len(networks), size=(2.45, 1.9), beside=0.3, make=make)
        for axes, network in zip(shown, networks, strict=True):
            _curve(axes, network, networks, line)
        _label_outer(shown)
    return figure


def single_curve(network: NetworkResult, networks: Sequence[NetworkResult], line: Line) -> Figure:
    """The panel of one network, for the page, which puts as many side by side as fit.

    What is up the page says once for all.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9, 2.4))
        axes = figure.add_axes((0.17, 0.19, 0.79, 0.69))
        _curve(axes, network, networks, line)
        axes.set_ylabel("")
    return figure


def _curve(
    axes: Axes, network: NetworkResult, networks: Sequence[NetworkResult], line: Line
) -> None:
    for other in networks:
        if other is not network:
            axes.plot(*line.of(other), color=MUTED, alpha=0.3, linewidth=0.9)
    axes.plot(*line.of(network), color=SERIES[0], linewidth=2.2)
    axes.set_title(plain(network.name))
    axes.set_xlabel(line.labels[0])
    axes.set_ylabel(line.labels[1])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(left=0)
    axes.grid(axis="y")
    if line.percent:
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    else:
        largest = max((max(line.of(one)[1], default=0) for one in networks), default=0)
        axes.set_ylim(0, 1.05 * largest or 1)


def plain(text: str) -> str:
    r"""A name as matplotlib shows it as it is: no formula, and not left out of the legend.

    Example:
      >>> plain("_a$b$")
      ' _a\\$b\\$'
    """
    shown = printable(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def save(figure: Figure, target: Any, **options: Any) -> None:
    """Saves a figure; signs in names that the font lacks raise no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(target, **options)


def layer_plot(network: NetworkResult) -> Figure:
    """Where the symmetry is lost: errors and aliasing at each layer, from input to output."""
    rows = network.layers
    height = 1.5 + 0.24 * len(rows)
    places = np.arange(len(rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        errors, shares = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        # Rounding leaves 1e-7; what is exactly zero is drawn at the left edge.
        floor = 1e-8
        columns = (
            (errors, "lattice_error", "shifts by the layer's stride"),
            (errors, "integer_error", "by one pixel of the image"),
            (errors, "half_pixel_error", "by half a pixel"),
            (shares, "cosine", "cosine similarity"),
            (shares, "aliasing", "energy that aliases next"),
        )
        for number, (axes, name, label) in enumerate(columns):
            values = [getattr(row, name) for row in rows]
            known = [i for i, value in enumerate(values) if value is not None]
            xs = [max(values[i], floor) if axes is errors else values[i] for i in known]
            style = {"color": SERIES[number], "marker": MARKERS[number], "markersize": 5}
            axes.plot(xs, places[known], label=label, linestyle="none", **style)
        errors.set_xscale("log")
        errors.minorticks_off()
        errors.set_xlim(floor / 2, 4)
        errors.set_xlabel("equivariance error (relative)")
        errors.set_yticks(places, [plain(row.layer) for row in rows])
        errors.invert_yaxis()
        shares.set_xlim(-0.04, 1.04)
        shares.set_xlabel("share")
        shares.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        for axes in (errors, shares):
            axes.grid(axis="both")
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, ncols=1)
    return figure


def flip_plot(
    results: Results,
    flips: Sequence[Flip],
    pictures: Sequence[tuple[Shaped[np.ndarray, "h w c"], Shaped[np.ndarray, "h w c"]]],
) -> Figure:
    """Images that flip under the smallest shift: before above, after below."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.25 * len(flips) + 0.2, 3.3), layout="constrained")
        grid = figure.subplots(2, len(flips), squeeze=False)
        for (above, below), flip, pair in zip(grid.T, flips, pictures, strict=True):
            down, right = flip.shift
            above.set_title(_title(results.class_name(flip.before)))
            below.set_title(_title(results.class_name(flip.after)))
            below.set_xlabel(f"{down:+d} down\n{right:+d} right".replace("+0", "0"), fontsize=8)
            for axes, picture in zip((above, below), pair, strict=True):
                axes.imshow(drawable(picture), cmap="gray", interpolation="none")
                axes.set_xticks([])
                axes.set_yticks([])
        grid[0, 0].set_ylabel("as it is")
        grid[1, 0].set_ylabel("shifted")
    return figure


def _title(name: str) -> str:
    """A class in at most two lines as wide as a picture."""
    lines = textwrap.wrap(f"“{name}”", 14, max_lines=2, placeholder="…”")
    return "\n".join(map(plain, lines))


def drawable(picture: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "..."]:
    """A picture in colour, or in grey where it has not three channels; from black to white."""
    if picture.dtype != np.uint8:
        low, high = float(picture.min()), float(picture.max())
        picture = (picture - low) / ((high - low) or 1)
    return picture if picture.shape[-1] == 3 else picture.mean(axis=-1)


def accuracy_titles(results: Results) -> dict[str, str]:
    """The line above each accuracy map: its network and mean."""
    titles = {}
    for network in results.networks:
        mean = network.figures.get("mean")
        titles[network.name] = network.name + (f" ({100 * mean.value:.0f}%)" if mean else "")
    return titles
