"""What a training run is made of: one dataclass, stored beside its checkpoints as JSON."""

import ast
import dataclasses
import functools
import math
import numbers
import os
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from jaxinv.arguments import LARGEST_FLOAT
from jaxinv.data.source import MEMORY, parse_bytes
from jaxinv.shift_options import Mode, check_max_shift

Optimizer = Literal["sgd", "adam", "adamw", "adadelta"]
Schedule = Literal["constant", "cosine", "linear", "step"]
Precision = Literal["float32", "bfloat16"]

# How a run is stored and shown; a resumed run may change these and stays the same run. `epochs`
# is among them so that a finished run can be continued.
CHANGEABLE = frozenset(
    {
        "epochs",
        "data_dir",
        "manual_dir",
        "memory",
        "tensorboard",
        "wandb",
        "checkpoint_minutes",
        "eval_every",
    }
)


def parse_options(words: list[str]) -> dict[str, Any]:
    """Reads `["head=gap", "dense=800,"]` as `{"head": "gap", "dense": (800,)}`.

    Raises:
      ValueError: a word is not `name=value`.

    Example:
      >>> parse_options(["head=gap", "dense=800,", "local=True"])
      {'head': 'gap', 'dense': (800,), 'local': True}
    """
    options: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"model option {word!r} is not of the form name=value")
        if name in options:
            raise ValueError(f"model option {name!r} is given twice")
        try:
            options[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[name] = text
    return options


# Keys are made of 32 bits: a larger seed would be another's.
_LARGEST_SEED = 2**32 - 1


@functools.cache
def _hints() -> dict[str, Any]:
    return get_type_hints(TrainConfig)


# A field's type: what is accepted for it, and made JSON's of, and how that is called.
_KINDS: dict[Any, tuple[Any, Callable[[Any], Any], str]] = {
    int: (numbers.Integral, int, "whole numbers"),
    float: (numbers.Real, float, "numbers"),
    bool: (bool, bool, "True and False"),
    str: ((str, os.PathLike), os.fspath, "words"),
    dict: (dict, dict, "dictionaries"),
}


def _checked(name: str, value: Any, hint: Any) -> Any:
    """The value, if it is of its field's type and finite."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        if value not in parts:
            raise ValueError(f"{name} is {value!r}; allowed are {', '.join(parts)}")
        return value
    if value is None and type(None) in parts:
        return None
    kind = next(kind for kind in (get_origin(hint), *parts, hint) if kind in _KINDS)
    accepted, convert, allowed = _KINDS[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is {value!r}; allowed are {allowed}")
    if value == "" and type(None) in parts:
        raise ValueError(f"{name} is empty; leave it out or give a name")
    try:
        value = convert(value)
    except OverflowError:
        value = math.inf
    if kind is float and not abs(value) <= LARGEST_FLOAT:
        raise ValueError(f"{name} is {value}; it must be finite, in float32")
    return value


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A training run. The same configuration and seed give the same parameters, bit for bit.

    Reference: the settings of published runs are in `PRESETS`, such as Simard, Steinkraus and
    Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801.
    """

    dataset: str = "digits"
    """Data set: 'digits', 'digits_scenes' (a class for each pixel), a name of TensorFlow Datasets
    such as mnist, or the path of a folder (split/class/picture) or an .npz file, such as
    ./pictures."""
    data_dir: str | None = None
    """Folder of prepared TFDS data sets."""
    manual_dir: str | None = None
    """Folder with the original files of a data set of the MNIST family."""
    train_split: str = "train"
    """Split to train on, a slice such as train[:50000] included."""
    test_split: str = "test"
    """Split to report on."""
    holdout: int = 0
    """Images at the end of the training split kept out of training; the best checkpoint is the one
    most accurate on them. With none it is the one of the lowest training loss: the test split
    never chooses."""
    canvas: int | None = None
    """Centre the images on a black square of this side, in pixels."""
    void: int | None = None
    """Number that marks pixels without a class in label maps, such as 255; they do not count."""
    memory: str = MEMORY
    """Hold a split in memory if its images take no more than this, such as 500MB or 2GiB; read a
    larger one as it is needed."""

    model: str = "lenet"
    """Network, by its name in jaxinv.models."""
    model_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Options of the network, such as padding=CIRCULAR head=gap."""

    augment: str = "none"
    """none, or names joined by +: translate, affine, elastic, crop, flip distort each image anew at
    each step; orbit averages the loss over every translation, worst takes each image's worst. Of
    the 25 translations up to 2 pixels that takes 4 to 7 times the work of plain training where
    both padding and fill are circular (lenet with global pooling, resnet20), else 16 to 25."""
    max_shift: int | float | tuple[int | float, int | float] | None = 4
    """Pixels up to which translate, crop, orbit and worst move, or one number per axis; fractions
    with subpixel only; None: every circular shift."""
    fill: Mode = "constant"
    """What comes in at the border."""
    subpixel: bool = False
    """Translate by fractions of a pixel."""
    rotation: float = 15.0
    """Affine: largest rotation in degrees, either way."""
    scaling: float = 0.15
    """Affine: each axis is scaled by a factor within 1 -+ this."""
    shear: float = 0.15
    """Affine: shear up to this either way, in pixels per pixel."""
    alpha: float = 34.0
    """Elastic: Simard's intensity, the Euclidean norm of each displacement field, for a picture of
    29x29; alpha/29 pixels is the root mean square displacement along each axis at any size."""
    sigma: float = 4.0
    """Elastic: standard deviation in pixels of the smoothing of the displacement field."""
    chunk: int | None = None
    """Orbit and worst: shifts evaluated at a time; None: chosen from the memory."""

    optimizer: Optimizer = "adam"
    """Update rule."""
    learning_rate: float = 1e-3
    """Peak step size."""
    momentum: float = 0.9
    """Of sgd."""
    nesterov: bool = False
    """Nesterov's momentum for sgd."""
    schedule: Schedule = "cosine"
    """Course of the step size: constant; cosine or linear to 0; step: times decay_factor every
    decay_epochs."""
    warmup_epochs: float = 0.0
    """Epochs over which the step size first rises from 0."""
    decay_epochs: float = 100.0
    """Of the schedule step."""
    decay_factor: float = 0.3
    """Of the schedule step."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on arrays of two or more dimensions."""
    clip_norm: float | None = None
    """Scale gradients down to at most this global norm."""
    label_smoothing: float = 0.0
    """Share of each label's weight spread over all classes."""
    ema: float = 0.0
    """Decay of a moving average of the parameters, which is then evaluated; 0: none."""

    epochs: int = 20
    """Passes over the training split."""
    batch_size: int = 64
    """Images a step, over all devices and accumulated parts."""
    accumulate: int = 1
    """Parts that each batch is split into, one after the other, to save memory."""
    precision: Precision = "float32"
    """bfloat16 computes the network in it; parameters, optimiser and loss stay float32."""
    seed: int = 0
    """Seed of initial weights, order of images, distortions and dropout."""
    seeds: int = 1
    """Networks that are trained at once, with seeds seed, seed + 1, ..."""

    eval_every: int = 1
    """Epochs between evaluations on the test split, with checkpoints; the last epoch has both."""
    checkpoint_minutes: float = 10.0
    """Longest time between checkpoints; there is one after each evaluation in any case."""
    tensorboard: bool = False
    """Write event files for TensorBoard as well (extra tensorboard)."""
    wandb: str | None = None
    """Project of Weights & Biases that is told the figures as well (extra wandb)."""

    def __post_init__(self) -> None:
        """Refuses values that no run could have, before any data is read."""
        for name, hint in _hints().items():
            if name == "max_shift":
                continue
            object.__setattr__(self, name, _checked(name, getattr(self, name), hint))
        parse_bytes(self.memory)
        for name in ("batch_size", "accumulate", "seeds", "eval_every", "canvas", "chunk"):
            self._check(name, lambda value: value >= 1, "must be at least 1")
        for name in ("epochs", "holdout", "weight_decay", "warmup_epochs", "alpha"):
            self._check(name, lambda value: value >= 0, "must not be negative")
        for name in ("learning_rate", "decay_epochs", "sigma", "checkpoint_minutes", "clip_norm"):
            self._check(name, lambda value: value > 0, "must be positive")
        for name in ("ema", "label_smoothing", "scaling", "momentum"):
            self._check(name, lambda value: 0 <= value < 1, "must be in [0, 1)")
        self._check("shear", lambda value: value >= 0, "must not be negative")
        self._check("rotation", lambda value: 0 <= value <= 180, "must be in [0, 180]")
        self._check("decay_factor", lambda value: 0 < value <= 1, "must be in (0, 1]")
        self._check("seeds", lambda value: value <= 1000, "must be at most 1000")
        self._check(
            "seed", lambda value: 0 <= value <= _LARGEST_SEED, f"must be in 0 to {_LARGEST_SEED}"
        )
        if self.seed + self.seeds - 1 > _LARGEST_SEED:
            raise ValueError(f"seed {self.seed} and those after it exceed {_LARGEST_SEED}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be split into {self.accumulate} equal parts"
            )
        if self.max_shift is None and self.fill != "wrap":
            raise ValueError("max_shift None means every circular shift and needs fill 'wrap'")
        given: Any = self.max_shift
        limits = check_max_shift(given, mode=self.fill, subpixel=self.subpixel)
        if limits is not None:
            object.__setattr__(self, "max_shift", limits if np.ndim(given) else limits[0])
        if self.epochs and self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs}; it must be at most epochs, {self.epochs}"
            )

    def _check(self, name: str, holds: Callable[[Any], bool], what: str) -> None:
        value = getattr(self, name)
        # As the run will see it: 1e-50 is zero there, and 1 - 1e-9 is one.
        seen = np.float32(value) if isinstance(value, float) else value
        if value is not None and not holds(seen):
            raise ValueError(f"{name} is {value}; it {what}")

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "TrainConfig":
        """The configuration that `to_dict` wrote, also after a trip through JSON.

        Raises:
          ValueError: a field that does not exist, or a value that is not allowed.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise ValueError(f"unknown settings of a training run: {', '.join(unknown)}")
        return cls(**_tuples(fields))


def _tuples(value: Any) -> Any:
    """JSON has lists where modules need hashable tuples."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
