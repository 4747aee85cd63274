"""The folder of a run: what is run in it, whether it can be started or resumed, and by whom."""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxinv.command_line import first_line
from jaxinv.data import Source
from jaxinv.data.dataset import check_scale
from jaxinv.data.files import from_anywhere
from jaxinv.files import locked, write_whole
from jaxinv.training.config import CHANGEABLE, TrainConfig

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
# Images that are looked at to tell one data set from another.
_SAMPLED = 64


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """What evaluating a network needs to know of the data it was trained on.

    `sample` names some of the images and their classes: a run is resumed on the same data only.
    """

    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]
    size: int
    label_maps: bool = False
    sample: str = ""

    def __post_init__(self) -> None:
        """Refuses values that no data set has: every figure would be wrong with them."""
        if len(self.image_shape) != 3 or min(self.num_classes, self.size, *self.image_shape) < 1:
            raise ValueError(
                f"num_classes {self.num_classes}, size {self.size} and image_shape "
                f"{self.image_shape} must be positive, the last of length 3"
            )
        check_scale(self.mean, self.std, channels=self.image_shape[-1])

    @classmethod
    def of(cls, source: Source, *, size: int) -> "DataInfo":
        """The information on a data set; `size` of its images are trained on."""
        return cls(
            source.num_classes,
            source.mean,
            source.std,
            source.image_shape,
            size,
            bool(source.label_shape),
            _sample(source, size),
        )


def _sample(source: Source, size: int) -> str:
    """A digest of images all over a data set, and of their labels."""
    rows = range(0, size, -(-size // _SAMPLED))
    return hashlib.sha256(b"".join(part.tobytes() for part in source.read(rows))).hexdigest()[:16]


def read_run(workdir: str | os.PathLike) -> tuple[TrainConfig, DataInfo]:
    """The configuration stored in a workdir.

    Raises:
      ValueError: there is no run in it, or its configuration is damaged.
    """
    path = Path(workdir) / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{workdir} holds no run of train.py: it has no {CONFIG_FILE}")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        fields = stored["data"]
        fields |= {name: tuple(fields[name]) for name in ("mean", "std", "image_shape")}
        return TrainConfig.from_dict(stored["config"]), DataInfo(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or not of a run of train.py: {first_line(error)}"
        ) from None


def write_run(workdir: Path, config: TrainConfig, data: DataInfo) -> None:
    """Stores a run's configuration in its workdir, its folders as seen from anywhere.

    Raises:
      ValueError: JSON cannot hold an option of the network.
    """
    stored = {"config": _seen_from_anywhere(config).to_dict(), "data": dataclasses.asdict(data)}
    try:
        text = json.dumps(stored, indent=2, allow_nan=False) + "\n"
    except TypeError as error:
        raise ValueError(f"model_options cannot be stored: {error}") from None
    write_whole(workdir / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def _seen_from_anywhere(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute paths of its data."""
    places = {"data_dir": config.data_dir, "manual_dir": config.manual_dir}
    absolute: dict[str, Any] = {
        name: os.path.abspath(os.path.expanduser(place)) for name, place in places.items() if place
    }
    return dataclasses.replace(config, dataset=from_anywhere(config.dataset), **absolute)


def check(
    workdir: Path, config: TrainConfig, *, resume: bool, data: DataInfo | None = None
) -> None:
    """Refuses to start a run where there is one, and to resume another one or none.

    A run writes its configuration before anything else: from then on it can be resumed, and up to
    then be started. Nothing is written here.

    Raises:
      ValueError: says what is there.
    """
    try:
        str(workdir.absolute()).encode()
    except UnicodeEncodeError:  # checkpoints are written by a library that takes UTF-8 only
        raise ValueError(
            f"workdir {workdir} cannot be read in the encoding of this locale, "
            f"{sys.getfilesystemencoding()}; choose another name or set PYTHONUTF8=1"
        ) from None
    if not resume:
        _check_startable(workdir)
        return
    stored, stored_data = read_run(workdir)
    here: Any = (_seen_from_anywhere(stored), _seen_from_anywhere(config))
    compared: list[tuple[Any, Any]] = [here]
    if data is not None:
        older = not stored_data.sample  # A run of a version that did not look at images.
        known = dataclasses.replace(stored_data, sample=data.sample) if older else stored_data
        compared.append((known, data))
    for before, now in compared:
        for name in (field.name for field in dataclasses.fields(now)):
            if getattr(before, name) != getattr(now, name) and name not in CHANGEABLE:
                if name == "sample":
                    raise ValueError(
                        f"the images or labels have changed since the run in {workdir} began; it "
                        "cannot be resumed"
                    )
                raise ValueError(
                    f"workdir {workdir} holds a run with {name} {getattr(before, name)!r}, which "
                    f"cannot be resumed with {getattr(now, name)!r}"
                )
    steps_per_epoch = max(stored_data.size // stored.batch_size, 1)
    done = max(stored_steps(workdir, "last"), default=0) / steps_per_epoch
    if config.epochs < done:
        raise ValueError(
            f"epochs is {config.epochs}, and the run in {workdir} has done {done:.4g}; it cannot "
            "be resumed with fewer"
        )


def stored_steps(workdir: Path, which: str) -> list[int]:
    """The steps of the finished checkpoints of a kind; unfinished ones have other names."""
    folders = (workdir / CHECKPOINTS / which).glob("*")
    return sorted(int(folder.name) for folder in folders if folder.name.isdecimal())


def _check_startable(workdir: Path) -> None:
    if (workdir / CONFIG_FILE).exists():
        raise ValueError(
            f"workdir {workdir} already holds a run ({CONFIG_FILE}); continue it with --resume or "
            "choose another workdir"
        )
    metrics = workdir / METRICS_FILE
    if (metrics.is_file() and metrics.stat().st_size) or any(
        stored_steps(workdir, which) for which in ("last", "best")
    ):
        raise ValueError(
            f"workdir {workdir} holds results of a run without its {CONFIG_FILE}; choose another "
            f"workdir, or delete {METRICS_FILE} and {CHECKPOINTS}/ there"
        )


@contextlib.contextmanager
def opened(workdir: Path) -> Iterator[None]:
    """The workdir, made if need be, for this run alone.

    Raises:
      ValueError: another run is using it.
      OSError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        with writing(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(workdir))
        yield


@contextlib.contextmanager
def writing(workdir: Path | None) -> Iterator[None]:
    """Errors of the block name the workdir, unless they name a checkpoint."""
    try:
        yield
    except OSError as error:
        if str(error).startswith("the checkpoint"):
            raise
        raise OSError(f"workdir {workdir} cannot be written: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """The first line of what went wrong, of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
