"""Pictures of label maps under shifts, and of the seams of tiles."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxinv.evaluation.aligned import MapPicture
from jaxinv.report.plots import STYLE, drawable

CLASSES = "tab20"
ROWS = ("image", "as it is", "shifted,\nmoved back", "difference", "flicker")


def map_plot(pictures: Sequence[MapPicture]) -> Figure:
    """Output, shifted output moved back, their difference and the map of where it flickers.

    Differences and deviations of values have one scale for all pictures.

    Args:
      pictures: a column each.

    Example:
      >>> flat = np.zeros((2, 2), int)
      >>> shown = MapPicture(0, np.zeros((2, 2, 1)), (0, 1), flat, flat, np.zeros((2, 2)))
      >>> len(map_plot([shown]).axes)
      5
    """
    changes = [shown.difference.max(initial=1e-12) for shown in pictures if shown.of_values]
    most = float(max(changes, default=1))
    rows = (*ROWS[:-1], "deviation") if changes else ROWS
    with matplotlib.rc_context(STYLE):
        size = (1.6 * len(pictures) + 0.6, 1.55 * len(ROWS))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(ROWS), len(pictures), squeeze=False)
        for column, shown in zip(grid.T, pictures, strict=True):
            down, right = shown.shift
            column[0].set_title(f"image {shown.index}", fontsize=8)
            column[2].set_xlabel(f"{down:+d} down, {right:+d} right".replace("+0", "0"), fontsize=8)
            _draw(column[0], drawable(shown.image), cmap="gray")
            if shown.of_values:
                drawn = drawable(np.concatenate([shown.before, shown.after]))
                for axes, output in zip(column[1:3], np.split(drawn, 2), strict=True):
                    _draw(axes, output, cmap="gray", vmin=0, vmax=1)
            else:
                for axes, classes in zip(column[1:3], (shown.before, shown.after), strict=True):
                    _draw(axes, classes % 20, cmap=CLASSES, vmin=0, vmax=19)
            for axes, where in zip(column[3:], (shown.difference, shown.flicker), strict=True):
                _draw(axes, where, cmap="magma", vmin=0, vmax=most)
        for axes, row in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(row, fontsize=8)
    return figure


def seam_plot(errors: Mapping[str, Float[np.ndarray, "h w"]]) -> Figure:
    """How far tiles are from the whole at each position, one panel for each overlap.

    Args:
      errors: the absolute difference of one channel, by what the panel is called.

    Example:
      >>> len(seam_plot({"8": np.zeros((2, 2)), "22, proven": np.zeros((2, 2))}).axes)
      3
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(errors) + 0.8, 2.9), layout="constrained")
        grid = figure.subplots(1, len(errors), squeeze=False)[0]
        most = max(max(float(error.max()) for error in errors.values()), 1e-12)
        for axes, (name, error) in zip(grid, errors.items(), strict=True):
            image = _draw(axes, error, cmap="magma", vmin=0, vmax=most)
            axes.set_title(name, fontsize=9)
        figure.colorbar(image, ax=list(grid), label="difference to the whole")
    return figure


def _draw(axes: Axes, picture: np.ndarray, **options):
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(picture, interpolation="none", **options)
