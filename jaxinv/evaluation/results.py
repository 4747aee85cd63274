"""What an evaluation found: the one structure that every table, plot and file is made from."""

import dataclasses
import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxinv.files import write_arrays, write_whole

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95% confidence interval over images.

    Attributes:
      value: the figure.
      low: lower end of the interval, None where the figure has none (a maximum, an exact zero).
      high: upper end.
      count: number of images behind it.
      unit: `"share"` (0 to 1), `"dB"`, `"relative"`, `"value"` (that of the output) or another unit
        in words.

    Example:
      >>> print(Estimate(0.5, 0.4, 0.6, 100))
      50.0% (40.0–60.0)
      >>> print(Estimate(3.2e-7, None, None, 100, unit="relative"))
      3.2e-07
    """

    value: float
    low: float | None
    high: float | None
    count: int
    unit: str = "share"

    def __str__(self) -> str:
        interval = self.interval()
        return f"{self.number} ({interval})" if interval else self.number

    @property
    def number(self) -> str:
        """The value with its unit, in words where there is none."""
        if math.isnan(self.value):
            return "undefined"
        if self.unit == "share":
            return f"{100 * self.value:.1f}%"
        bare = self.unit in ("relative", "value")
        return short_number(self.value) + ("" if bare else f" {self.unit}")

    def interval(self, *, digits: int = 1) -> str:
        """The ends of a share's interval in percent; empty where there is none."""
        if self.unit != "share" or self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.{digits}f}–{100 * self.high:.{digits}f}"


def short_number(value: float) -> str:
    """A number with two or three digits that matter, however small or large it is.

    Example:
      >>> " ".join(map(short_number, (0.0, 2.34e-7, 0.1234, 12.34, 1234.5, 1.7e30)))
      '0 2.3e-07 0.123 12.3 1234 1.7e+30'
    """
    size = abs(value)
    if size == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    if size < 1e-3 or size >= 1e6:
        return f"{value:.1e}"
    return f"{value:.3f}" if size < 1 else f"{value:.1f}" if size < 1000 else f"{value:.0f}"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence people say, whether it is true, and the figures that decide it."""

    statement: str
    verdict: str
    measured: str
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer: what is proved about it and what was measured.

    Attributes:
      layer: the module's path, or for programs without modules the program line.
      shape: shape of its output without the images.
      state: the certificate's state, in words.
      lattice_error: as in `jaxinv.metrics.LayerSymmetry`, and so are the other numbers; None where
        that is NaN.
    """

    layer: str
    shape: tuple[int, ...]
    state: str
    lattice_error: float | None = None
    integer_error: float | None = None
    half_pixel_error: float | None = None
    cosine: float | None = None
    aliasing: float | None = None


@dataclasses.dataclass(frozen=True)
class Flip:
    """An image that is classified differently after a small shift."""

    index: int
    label: int
    before: int
    after: int
    shift: tuple[int, ...]
    confidence_before: float
    confidence_after: float


@dataclasses.dataclass(frozen=True)
class NetworkResult:
    """All figures of one network.

    Attributes:
      name: short name, unique within the results.
      title: what it is, in a few words.
      says: one sentence on what the row shows; empty outside the study.
      origin: where the weights came from.
      parameters: their number; None if unknown.
      certificate: `Certificate.to_dict()`, with the keys `verdict` and `first_break` in words.
      figures: the headline figures by name: `centred`, `mean`, `worst`, `consistency`,
        `equivariance_error`, `invariance_error`; of label maps `centred`, `mean`, `worst`,
        `consistency`, `class_consistency`, `iou` and `worst_iou`; of values `change`,
        `worst_change`, `psnr`, `worst_psnr`, and with targets `error`, `mean_error`,
        `worst_error`, `squared_error`, `target_psnr` and `worst_target_psnr`.
      protocols: figures of published protocols, by protocol and figure.
      curve: columns `shift` (pixels), `accuracy`, `consistency` by the size of the shift; of values
        `change`, and with targets `error`, instead.
      radial: columns `radius` (pixels), `sensitivity`: Kauderer-Abrams' radial profile.
      worst_shift: the shift with the lowest accuracy; of values with the largest change.
      layers: the layer table; empty where not asked for.
      flips: images that flip under the smallest shifts.
      run: the training it is one of several networks of; empty if it is the only one.
    """

    name: str
    title: str
    says: str = ""
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parameters: int | None = None
    certificate: Mapping[str, Any] | None = None
    figures: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    protocols: Mapping[str, Mapping[str, Estimate]] = dataclasses.field(default_factory=dict)
    curve: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
    radial: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
    worst_shift: tuple[int, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    flips: tuple[Flip, ...] = ()
    run: str = ""


@dataclasses.dataclass(frozen=True)
class SeedsRow:
    """The networks of one training that differ in their seed, together.

    Attributes:
      run: the training.
      networks: their names.
      figures: mean over the networks by figure, with its interval over images.
      spread: standard deviation between the networks by figure.
    """

    run: str
    networks: tuple[str, ...]
    figures: Mapping[str, Estimate]
    spread: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything one command found out.

    Attributes:
      headline: the verdict, one sentence.
      networks: one entry a network.
      question: what the verdict answers.
      claims: the study's claims; empty for other evaluations.
      comparisons: pairs of networks with the paired test between them.
      seeds: an entry for each training of several networks.
      dataset: name, split, number of images, their shape.
      shifts: mode, max_shift, count, shape.
      run: command, versions, devices, seed, seconds.
      maps: whether outputs are label maps; shares are then of positions.
      values: whether outputs are real-valued maps.
      complete: False if the evaluation was interrupted.
    """

    headline: str
    networks: tuple[NetworkResult, ...]
    question: str = ""
    claims: tuple[Claim, ...] = ()
    comparisons: tuple[Mapping[str, Any], ...] = ()
    seeds: tuple[SeedsRow, ...] = ()
    dataset: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shifts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    maps: bool = False
    values: bool = False
    complete: bool = True

    @property
    def labelled(self) -> bool:
        """Whether images have classes; else their own unshifted prediction stands for them."""
        figures = [network.figures for network in self.networks if network.figures]
        return not figures or any("centred" in one for one in figures)

    def class_name(self, number: int) -> str:
        """The name of a class, or its number where the data set has none.

        Example:
          >>> named = Results("", (), dataset={"class_names": ["cat", "dog"]})
          >>> named.class_name(1), named.class_name(2)
          ('dog', '2')
        """
        names = self.dataset.get("class_names", ())
        return names[number] if 0 <= number < len(names) else str(number)

    def to_dict(self) -> dict[str, Any]:
        """The content of results.json, as docs/results.md describes it."""
        return {"schema": "jaxinv.results", "version": SCHEMA_VERSION} | _plain(self)


def shift_words(shifts: Mapping[str, Any]) -> str:
    """The set of shifts, as in `Results.shifts`, in words that follow "over".

    Example:
      >>> shift_words({"mode": "wrap", "max_shift": None, "count": 1024})
      'all 1,024 circular shifts'
      >>> shift_words({"mode": "edge", "max_shift": 1, "count": 9})
      'the 9 shifts within 1 pixel (mode edge)'
    """
    if not shifts:
        return "the shifts"
    if shifts["max_shift"] is None:
        return f"all {shifts['count']:,} circular shifts"
    reach = shifts["max_shift"]
    kind, fill = (
        ("circular ", "") if shifts["mode"] == "wrap" else ("", f" (mode {shifts['mode']})")
    )
    within = f"within {reach} pixel{'' if reach == 1 else 's'}{fill}"
    return f"the {shifts['count']:,} {kind}shifts {within}"


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and tuples as what JSON knows; numbers that JSON lacks as None."""
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.generic, jax.Array)):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def command(argv: Sequence[str]) -> str:
    """What started Python, as `sys.argv` tells it, in the words of a shell.

    Example:
      >>> command(["/usr/bin/jaxinv", "evaluate", "--seed", "1"])
      'jaxinv evaluate --seed 1'
      >>> command(["evaluate.py"]), command(["/lib/jaxinv/__main__.py", "evaluate"])
      ('python evaluate.py', 'python -m jaxinv evaluate')
      >>> command(["/lib/ipykernel_launcher.py", "-f", "kernel.json"]), command([""])
      ('in a notebook', 'in Python')
    """
    program, *options = argv
    path = Path(program)
    if path.stem == "ipykernel_launcher":
        return "in a notebook"
    if program in ("", "-c"):
        return "in Python"
    module = path.parent.name if path.name == "__main__.py" else None
    started = ["python", "-m", module] if module else ["python"] * (path.suffix == ".py")
    return shlex.join([*started, *([] if module else [path.name]), *options])


def circumstances(
    *, seed: int | None, seconds: float, computed_on: Sequence[str] = ()
) -> dict[str, Any]:
    """What has to be known to repeat a run, for `Results.run`: command, versions, devices, seed."""
    import flax

    return {
        "command": command(sys.argv),
        "seed": seed,
        "seconds": round(seconds, 1),
        "device": str(jax.devices()[0].device_kind),
        "devices": jax.device_count(),
        "computed_on": list(computed_on),
        "processors": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "flax": flax.__version__,
            "numpy": np.__version__,
        },
    }


def save(
    results: Results, maps: Mapping[str, Shaped[np.ndarray, "..."]], directory: str | Path
) -> None:
    """Writes results.json and maps.npz, each whole or not at all.

    Args:
      results: what was found.
      maps: arrays by the name `network/quantity`.
      directory: where to; made if missing.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results.to_dict(), indent=1, allow_nan=False)
    write_whole(directory / "results.json", lambda path: path.write_text(text + "\n"))
    write_arrays(directory / "maps.npz", maps, compressed=True)
