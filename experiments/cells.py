"""Cells of a reproduction: each runs once, survives an interruption, and leaves its figures."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import metrics
from jaxinv.data import Dataset, normalise
from jaxinv.orbit import orbit

Figures = dict[str, Any]


class Results:
    """Figures by the name of their cell in one JSON file, and the page made of them beside it."""

    def __init__(self, path: Path, page: Callable[[dict[str, Figures]], str]):
        self.path, self._page = path, page
        self.cells: dict[str, Figures] = {}
        self.write()

    def write(self) -> None:
        """The page beside the file, from all cells there are."""
        if self.path.is_file():
            self.cells = json.loads(self.path.read_text())
        self.path.with_suffix(".md").write_text(self._page(self.cells))

    def once(self, name: str, run: Callable[[], Figures]) -> Figures:
        """The figures of a cell, from the file if it has run before."""
        if name not in self.cells:
            figures = run()
            # Another process may have added cells meanwhile.
            self.write()
            self.cells[name] = figures
            beside = self.path.with_suffix(".tmp")
            beside.write_text(json.dumps(dict(sorted(self.cells.items())), indent=1) + "\n")
            os.replace(beside, self.path)
            self.write()
            print(f"{name}: {figures}", flush=True)
        return self.cells[name]


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and standard error; the error of a single value is NaN."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def shift_figures(
    apply: Callable[[jax.Array], jax.Array], dataset: Dataset, *, max_shift: int, batch: int = 25
) -> Figures:
    """Accuracy over shifts, worst case and consistency, zeros coming in at the border.

    Args:
      apply: normalised images to logits.
      dataset: the images.
      max_shift: pixels either way along each axis.
      batch: images at a time; all their shifts are evaluated together.
    """
    count = (2 * max_shift + 1) ** 2
    # One batch over all shifts: convolutions in a loop are slow on the processor.
    at_shifts = jax.jit(orbit(apply, mode="constant", max_shift=max_shift, chunk=count))
    images = normalise(dataset.images, mean=dataset.mean, std=dataset.std)
    parts = [
        np.asarray(at_shifts(jnp.asarray(images[start : start + batch])).argmax(-1))
        for start in range(0, len(images), batch)
    ]
    predictions, labels = jnp.asarray(np.concatenate(parts, axis=2)), jnp.asarray(dataset.labels)
    half = max_shift // 2
    within = slice(max_shift - half, max_shift + half + 1)
    inner = predictions[within, within]
    return {
        "images": len(labels),
        "max_shift": max_shift,
        "mean": float(metrics.mean_accuracy(predictions, labels)),
        "lowest": float(metrics.accuracy_map(predictions, labels).min()),
        "worst": float(metrics.worst_case_accuracy(predictions, labels)),
        "consistency": float(metrics.consistency(predictions)),
        "centred": float((predictions[max_shift, max_shift] == labels).mean()),
        "half_mean": float(metrics.mean_accuracy(inner, labels)),
        "half_worst": float(metrics.worst_case_accuracy(inner, labels)),
        "half_consistency": float(metrics.consistency(inner)),
    }
