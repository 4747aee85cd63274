"""An audit as a function on arrays, and what it found: figures, maps, pictures, one page."""

import contextlib
import dataclasses
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.progress import Progress

from jaxinv.arguments import real_number, whole_number
from jaxinv.data import Source
from jaxinv.data.source import parse_bytes
from jaxinv.evaluation import maps, values
from jaxinv.evaluation.audit import AuditPlan, NetworkAudit, Outputs
from jaxinv.evaluation.maps import MapSweep
from jaxinv.evaluation.results import Estimate, Results, save
from jaxinv.evaluation.run import evaluate_networks
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.summary import is_torus, maps_of
from jaxinv.evaluation.sweep import MEMORY, SweepOptions
from jaxinv.evaluation.values import ValueSweep
from jaxinv.files import write_whole
from jaxinv.notebook import html_table
from jaxinv.orbit import OrbitMode
from jaxinv.progress import progress_bar
from jaxinv.report import page, plots, tables, words
from jaxinv.report.audited import source_of, subjects_of
from jaxinv.report.plots import ShiftMap
from jaxinv.report.terminal import console_for, show

Quantity = Literal["accuracy", "confidence", "curve"]


@dataclasses.dataclass(frozen=True, repr=False)
class Audit:
    """What was found out about networks at every shift; `print` shows it as tables.

    Attributes:
      results: everything, as docs/results.md describes it.
      networks: for each network that was reached what it said of each image at each shift.
    """

    results: Results
    networks: tuple[NetworkAudit, ...]

    @property
    def figures(self) -> dict[str, dict[str, Estimate]]:
        """The figures by network and name, each with its 95% interval and number of images."""
        return {network.name: dict(network.figures) for network in self.results.networks}

    @property
    def maps(self) -> dict[str, dict[str, np.ndarray]]:
        """Arrays over the shifts by network and name, as maps.npz holds them."""
        return {made.result.name: _maps_of(made) for made in self.networks}

    def to_html(self) -> str:
        """The report as one HTML page that needs nothing from outside."""
        return page.page(
            self.results,
            accuracy=self._shift_maps("accuracy"),
            confidence=self._shift_maps("confidence"),
            pictures={made.result.name: made.pictures for made in self.networks},
            iou=self._shift_maps("iou"),
            map_pictures={made.result.name: made.map_pictures for made in self.networks},
            seams={made.result.name: made.seams for made in self.networks},
        )

    def save(self, directory: str | Path) -> list[Path]:
        """Writes results.json, maps.npz, CSV files, pictures and report.html.

        Args:
          directory: where to; made if missing.

        Returns:
          The files, results.json first and report.html last.
        """
        directory = Path(directory)
        arrays = {
            f"{name}/{quantity}": values
            for name, found in self.maps.items()
            for quantity, values in found.items()
        }
        save(self.results, arrays, directory)
        written = [directory / "results.json", directory / "maps.npz"]
        written += tables.write_csv(self.results, directory)
        for quantity in ("accuracy", "confidence", "curve"):
            drawn = self._drawn(cast(Quantity, quantity), Figure)
            if drawn is not None:
                path = directory / f"{quantity}.png"
                write_whole(path, functools.partial(plots.save, drawn, dpi=150))
                written.append(path)
        path = directory / "report.html"
        write_whole(path, lambda at: at.write_text(self.to_html(), encoding="utf-8"))
        return [*written, path]

    def plot(self, quantity: Quantity = "accuracy") -> list[Axes]:
        """Draws a map over the shifts for each network, or accuracy by the size of the shift.

        Args:
          quantity: `"accuracy"` or `"confidence"` (mean probability of the true class) for maps,
            `"curve"` for accuracy by the size of the shift.

        Returns:
          The axes of a new figure of `matplotlib.pyplot`, one for each network.

        Raises:
          ValueError: if the quantity is unknown, or no network was reached.
        """
        if quantity not in ("accuracy", "confidence", "curve"):
            raise ValueError(
                f"quantity is {quantity!r}; allowed are 'accuracy', 'confidence' and 'curve'"
            )
        from matplotlib import pyplot  # which chooses a window or a notebook

        drawn = self._drawn(quantity, pyplot.figure)
        if drawn is None:
            why = f"outputs are values, without {quantity}" if self.results.values else None
            raise ValueError(f"nothing to plot: {why or 'no network was reached'}")
        return drawn.axes[: sum(bool(network.curve) for network in self.results.networks)]

    def _drawn(self, quantity: Quantity, make: Callable[..., Figure]) -> Figure | None:
        if quantity == "curve":
            shown = [network for network in self.results.networks if network.curve]
            column = words.curve_column(self.results)
            line = plots.accuracy_line(words.scored(self.results), column)
            return plots.curves(shown, line, make=make) if shown else None
        shown_maps = self._shift_maps(quantity)
        if not shown_maps:
            return None
        if quantity == "accuracy":
            titles, label = plots.accuracy_titles(self.results), words.scored(self.results)
        else:
            titles, label = {name: name for name in shown_maps}, words.probability(self.results)
        return plots.heat_maps(shown_maps, titles=titles, label=label, make=make)

    def _shift_maps(self, quantity: str) -> dict[str, ShiftMap]:
        """The maps that are shown: of a repeat with another seed there are only figures."""
        return {
            made.result.name: plots.shift_map(
                _maps_of(made)[quantity],
                made.sweep.shifts.rows,
                wrap=is_torus(made.sweep),
            )
            for made in self.networks
            if made.result.curve and quantity in _maps_of(made)
        }

    def __str__(self) -> str:
        shown = io.StringIO()
        show(self.results, console_for(shown))
        return shown.getvalue().rstrip("\n")

    def __repr__(self) -> str:
        names = ", ".join(self.figures)
        return f"Audit({names}: {words.setting(self.results)})"

    def _repr_html_(self) -> str:
        """The verdict and the figures, in a notebook."""
        sheet = tables.network_sheet(self.results)
        return html_table(
            self.results.headline,
            [["" if cell is None else cell for cell in row] for row in sheet.rows],
            head=[column.name for column in sheet.columns],
            numbers=[i for i, column in enumerate(sheet.columns) if column.kind == "figure"],
            notes=[words.setting(self.results), words.legend(self.results)],
        )


def _maps_of(made: NetworkAudit) -> dict[str, np.ndarray]:
    found = made.sweep
    if isinstance(found, ValueSweep):
        return values.maps_of(found)
    return maps.maps_of(found) if isinstance(found, MapSweep) else maps_of(found)


class AuditInterrupted(KeyboardInterrupt):
    """Ctrl-C during an audit; its attribute `audit` holds what was finished.

    Example:
      >>> issubclass(AuditInterrupted, KeyboardInterrupt)
      True
    """

    def __init__(self, finished: Audit):
        super().__init__("interrupted")
        self.audit = finished


def audit(
    networks: Callable | Mapping[str, Callable | Subject],
    images: Num[Array | np.ndarray, "n h w c"] | Source,
    labels: Int[Array | np.ndarray, "n *positions"] | None = None,
    *,
    targets: Float[Array | np.ndarray, "n h w c"] | None = None,
    outputs: Outputs | None = None,
    void: int | None = None,
    peak: float | None = None,
    mode: OrbitMode = "wrap",
    max_shift: int | None = None,
    certify: bool = True,
    layers: bool = True,
    protocols: str | Sequence[str] = (),
    batch: int | None = None,
    chunk: int | None = None,
    share: bool = True,
    memory: str | int = MEMORY,
    cache: str | Path | None = None,
    seed: int = 0,
    show: bool | Progress = False,
) -> Audit:
    """Evaluates networks at every shift of images, certifies them, and goes layer by layer.

    Args:
      networks: a network, or several by name, which are compared. Each is a function from images
        (n, H, W, C) to outputs (n, classes), or (n, H, W, classes) of label maps; a Flax nnx,
        Equinox or Keras module that is one; a Flax linen module bound to its variables, or
        `functools.partial(module.apply, variables)`.
      images: real numbers, which the networks see as they are, in float32; or a source of
        `jaxinv.data`, which holds its labels if there are any.
      labels: class of each image, counted from 0, or label maps (n, H, W). None takes what a
        network says of the unshifted image: figures then speak of agreement with it, and there is
        no accuracy.
      targets: maps (n, h, w, c) of real numbers, of the size of the outputs. Outputs are then
        values, and figures speak of their change and of the error to the targets.
      outputs: what outputs that are maps mean: `"classes"`, scores of the classes of each position,
        or `"values"`, of which without targets the change alone is measured. None is the latter
        where there are targets.
      void: the label of positions without a class in label maps, such as 255; they do not count.
      peak: the largest value that an output can have, for the PSNR of values; None is 1.
      mode: what enters at the border, see `jaxinv.orbit`.
      max_shift: the largest shift in pixels, each way; None for all circular shifts.
      certify: whether to prove.
      layers: whether to go layer by layer.
      protocols: a published protocol by name, several, or `"all"` that apply.
      batch: images evaluated together; None for 25 on a processor and 100 elsewhere.
      chunk: shifts evaluated together; None chooses it from the memory.
      share: compute what several shifts have in common once.
      memory: what the results of images may take in memory, in bytes or in words such as "2GiB";
        those of more images are written to files as they come.
      cache: folder in which finished parts are kept, and found again by a later call.
      seed: of everything random.
      show: a progress bar on standard error, nothing, or the bar to add to.

    Returns:
      The audit: `figures`, `maps`, `plot`, `to_html` and `save`.

    Raises:
      ValueError: if a network does not take the images, gives no finite output for each image and
        class, or images, labels or options do not fit.
      AuditInterrupted: on Ctrl-C; it is a KeyboardInterrupt that holds what was finished.

    Example:
      >>> import jax.numpy as jnp, numpy as np, jaxinv
      >>> def network(x):
      ...     return jnp.stack([x[:, ::2].mean((1, 2, 3)), x[:, 1::2].mean((1, 2, 3))], axis=-1)
      >>> stripes = np.zeros((2, 4, 4, 1))
      >>> stripes[0, ::2] = stripes[1, 1::2] = 1
      >>> found = jaxinv.audit(network, stripes, np.array([0, 1]))
      >>> print(found.results.headline)
      network is right on 100.0% of the images as they are, on 50.0% over all 16 circular shifts,
      and on 0.0% at every one of them. Proved: invariant to multiples of (2, 1).
      >>> found.maps["network"]["accuracy"][:, 0]
      array([1., 0., 1., 0.], dtype=float32)
    """
    subjects = subjects_of(networks)
    dataset = source_of(images, labels, targets, void)
    given = len(dataset.label_shape) == 3
    if outputs not in (None, "classes", "values"):
        raise ValueError(f"outputs is {outputs!r}; allowed are 'classes' and 'values'")
    if outputs == "classes" and given:
        raise ValueError("outputs is 'classes', and targets are values; give labels")
    if outputs == "values" and labels is not None:
        raise ValueError("outputs is 'values', and labels are classes; give targets")
    if outputs is None:
        outputs = "values" if given else "classes"
    if peak is not None and outputs != "values":
        raise ValueError(f"peak is {peak}; it is for outputs that are values")
    if outputs == "values":
        labelled = given
    else:
        of_source = isinstance(images, Source) and dataset.num_classes > 0
        labelled = labels is not None or of_source
    plan = audit_plan(
        mode=mode,
        max_shift=max_shift,
        certify=certify,
        layers=layers,
        protocols=protocols,
        batch=batch,
        chunk=chunk,
        share=share,
        memory=memory,
        cache=cache,
        seed=seed,
        outputs=outputs,
        peak=1.0 if peak is None else peak,
    )
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(progress_bar()) if show is True else show or None
        results, made = evaluate_networks(
            subjects,
            dataset,
            plan=plan,
            labelled=labelled,
            progress=bar,
        )
    found = Audit(results, tuple(made))
    if not results.complete:
        raise AuditInterrupted(found)
    return found


def audit_plan(
    *,
    mode: OrbitMode,
    max_shift: int | None,
    certify: bool,
    layers: bool,
    protocols: str | Sequence[str],
    batch: int | None,
    chunk: int | None,
    share: bool,
    memory: str | int,
    cache: str | Path | None,
    seed: int,
    outputs: Outputs = "classes",
    peak: float = 1.0,
) -> AuditPlan:
    """The options of `audit` as what is done to each network.

    Raises:
      ValueError: if a number is no whole number, or too small.
    """
    for name, value, least in (("batch", batch, 1), ("max_shift", max_shift, 0), ("seed", seed, 0)):
        if value is not None:
            whole_number(value, name, least=least)
    if not 0 < real_number(peak, "peak") < math.inf:
        raise ValueError(f"peak is {peak}; allowed are positive numbers")
    options = SweepOptions(
        mode=mode,
        max_shift=max_shift,
        batch=(25 if jax.default_backend() == "cpu" else 100) if batch is None else batch,
        chunk=chunk,
        share=share,
        memory=parse_bytes(memory),
    )
    return AuditPlan(
        options=options,
        certify=certify,
        layers=layers,
        protocols=(protocols,) if isinstance(protocols, str) else tuple(protocols),
        directory=None if cache is None else Path(cache),
        seed=seed,
        outputs=outputs,
        peak=float(peak),
    )
