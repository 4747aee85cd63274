"""A network with real-valued maps as outputs, at every shift, each map moved back."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxinv.data import Source
from jaxinv.evaluation import summary
from jaxinv.evaluation.aligned import AlignedSweep, Arrays, MapPicture, common_places, over_maps
from jaxinv.evaluation.results import Estimate, NetworkResult
from jaxinv.evaluation.shards import Shard
from jaxinv.evaluation.subject import Subject
from jaxinv.evaluation.sweep import Interrupted, SweepOptions
from jaxinv.magnitudes import norm
from jaxinv.metrics.maps import deviation

# What is measured at each shift of each image: against the unshifted output, and the target.
CHANGES = ("change", "squared_change")
ERRORS = ("error", "squared_error")


@dataclasses.dataclass(frozen=True)
class ValueSweep(AlignedSweep):
    """How far the values at each shift are from those of the unshifted image, and the targets.

    Attributes:
      images: mean over positions, channels and shifts by image: `change`, the absolute difference
        to the unshifted output, and with targets `error`, that to the target, and `centred`, the
        same without a shift.
      at: mean over images, positions and channels at each shift: `change`, `squared_change`, and
        with targets `error` and `squared_error`.
      first: of the first images the unshifted output, that at the shift that changes it most, moved
        back, and the standard deviation over shifts.
      worst: the index of that shift.
      peak: the largest value that an output can have, for PSNR.
    """

    images: Mapping[str, Float[np.ndarray, " n"]]
    at: Mapping[str, Float[np.ndarray, "s1 s2"]]
    first: Float[np.ndarray, "m 3 h w c"]
    worst: Shaped[np.ndarray, "m 2"]
    peak: float

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images["change"])

    @property
    def labelled(self) -> bool:
        """Whether there are targets."""
        return "error" in self.at

    def psnr(self, squares: str) -> Float[np.ndarray, "s1 s2"]:
        """Peak signal-to-noise ratio at each shift, in dB; infinite where nothing differs."""
        return decibels(self.at[squares], self.peak)


def decibels(squares: Any, peak: float) -> Any:
    """PSNR of mean squared differences, in dB; infinite where nothing differs.

    Example:
      >>> decibels(np.array([0.01, 0.0]), 1.0)
      array([20., inf])
    """
    with np.errstate(divide="ignore"):
        return 20 * np.log10(peak) - 10 * np.log10(squares)


def value_sweep(
    apply: Callable[[Array], Array],
    source: Source,
    *,
    options: SweepOptions,
    peak: float = 1.0,
    labelled: bool = True,
    directory: Path | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> ValueSweep:
    """Evaluates a network with real-valued maps at every shift of every image.

    Args:
      apply: from images (n, H, W, C) to maps (n, h, w, c).
      source: the images and, instead of labels, targets (n, h, w, c), read shard by shard.
      options: which shifts, and how many images and shifts at a time.
      peak: the largest value that an output can have.
      labelled: whether there are targets.
      directory: where finished shards are kept and found again; None keeps nothing.
      progress: called with the number of images finished since the last call.

    Raises:
      ValueError: if an output is not proved to move with the image, or is not finite.
      Interrupted: on Ctrl-C, with the images that were finished.
    """
    measured = (*CHANGES, *ERRORS) if labelled else CHANGES

    def figures(said: Array, targets: Array, origin: tuple[int, ...]) -> dict[str, Array]:
        said = said.astype(jnp.float32)
        made: dict[str, Array] = {}
        for names, truth in ((CHANGES, said[origin]), (ERRORS, targets)):
            if names[0] in measured:
                difference, over = jnp.abs(said - truth), (-3, -2, -1)
                # Of squares the root, which float32 holds whatever their size.
                root = norm(difference, axis=over) / math.prod(said.shape[-3:]) ** 0.5
                made |= dict(zip(names, (jnp.mean(difference, axis=over), root), strict=True))
        change = made["change"]
        worst = change.reshape(-1, change.shape[-1]).argmax(axis=0)
        flat = said.reshape(-1, *said.shape[2:])
        shown = (said[origin], flat[worst, jnp.arange(len(worst))], deviation(said))
        return made | {
            "finite": jnp.isfinite(said).all(axis=(-3, -2, -1)),
            "worst": jnp.stack(jnp.unravel_index(worst, said.shape[:2]), axis=-1),
            "first": jnp.stack(shown, axis=1),
        }

    def added(arrays: Arrays, origin: tuple[int, ...]) -> Arrays:
        made = {"first": arrays["first"], "worst": arrays["worst"][: len(arrays["first"])]}
        for name in measured:
            each = arrays[name].astype(np.float64) ** (2 if "squared" in name else 1)
            made[name] = each.sum(axis=-1)
            if name in of_images:
                made[of_images[name]] = each.mean(axis=(0, 1))
        if labelled:
            made["centred"] = arrays["error"][origin].astype(np.float64)
        return made

    def targets_of(shard: Shard) -> np.ndarray:
        if not labelled:
            return np.zeros(len(shard.labels), np.float32)
        scale = Fraction(shard.labels.shape[1], source.image_shape[0])
        return common_places(shard.labels, options, scale=scale)

    of_images = {name: f"{name}_of_images" for name in ("change", "error") if name in measured}
    of_images |= {"centred": "centred"} if labelled else {}
    arrays, shifts, devices, interrupted = over_maps(
        apply,
        source,
        figures,
        dict.fromkeys((*measured, "finite"), 2) | {"worst": 0, "first": 0},
        added,
        sums=measured,
        joined=dict.fromkeys((*of_images.values(), "worst", "first"), 0),
        options=options,
        labels_of=targets_of,
        words=("values", labelled),
        directory=directory,
        progress=progress,
    )
    if not arrays:
        raise Interrupted(None)
    images = {name: arrays[kept] for name, kept in of_images.items()}
    count = len(images["change"])
    found = ValueSweep(
        shifts=shifts,
        devices=devices,
        images=images,
        at={name: arrays[name] / count for name in measured},
        first=arrays["first"],
        worst=arrays["worst"],
        peak=peak,
    )
    if interrupted:
        raise Interrupted(found) from None
    return found


def figures_of(found: ValueSweep) -> dict[str, Estimate]:
    """The headline figures: change and, with targets, error; on average and at the worst shift."""

    def plain(value: float, unit: str = "value") -> Estimate:
        return Estimate(float(value), None, None, found.count, unit)

    def ratio(squares: Any) -> Estimate:
        return plain(decibels(squares, found.peak), "dB")

    figures = {
        "change": summary.mean(found.images["change"], unit="value"),
        "worst_change": plain(found.at["change"].max()),
        "psnr": ratio(found.at["squared_change"].mean()),
        "worst_psnr": ratio(found.at["squared_change"].max()),
    }
    if found.labelled:
        squares = found.at["squared_error"]
        figures |= {
            "error": summary.mean(found.images["centred"], unit="value"),
            "mean_error": summary.mean(found.images["error"], unit="value"),
            "worst_error": plain(found.at["error"].max()),
            "squared_error": plain(squares[found.unshifted]),
            "target_psnr": ratio(squares[found.unshifted]),
            "worst_target_psnr": ratio(squares.max()),
        }
    return figures


def maps_of(found: ValueSweep) -> dict[str, np.ndarray]:
    """What maps.npz holds of a network, with the shifts leading, in the orbit's order."""
    arrays = dict(found.at) | {"psnr": found.psnr("squared_change")}
    if found.labelled:
        arrays["target_psnr"] = found.psnr("squared_error")
    return {name: values.astype(np.float32) for name, values in arrays.items()} | {
        "deviation": found.first[:, 2],
        "shifts_down": np.asarray(found.shifts.rows[0]),
        "shifts_right": np.asarray(found.shifts.rows[1]),
    }


def result_of(subject: Subject, found: ValueSweep) -> NetworkResult:
    """The figures that follow from a sweep alone."""
    shown = {name: found.at[name] for name in ("change", "error") if name in found.at}
    return subject.result(
        figures=figures_of(found),
        worst_shift=summary.lowest(-found.at["change"], *summary.rows_of(found)),
        curve=summary.by_reach(found, shown),
    )


def pictures_of(found: ValueSweep, source: Source, options: SweepOptions) -> tuple[MapPicture, ...]:
    """The first images, each at the shift that changes its output most."""
    shown = common_places(source.read(range(len(found.first)))[0], options)
    return tuple(
        MapPicture(
            index=index,
            image=shown[index],
            shift=summary.shift_at(found, tuple(found.worst[index])),
            before=before,
            after=after,
            flicker=deviation.mean(axis=-1),
        )
        for index, (before, after, deviation) in enumerate(found.first)
    )
