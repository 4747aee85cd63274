"""What a command names: networks, images, and whether they fit each other."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.progress import Progress

from jaxinv import data
from jaxinv.command_line import first_line
from jaxinv.data.files import from_anywhere
from jaxinv.data.loading import ALWAYS_THERE
from jaxinv.data.pictures import Interpolation
from jaxinv.evaluation.audit import seen_of
from jaxinv.evaluation.parameters import LIMIT
from jaxinv.evaluation.preprocessing import Preset, preprocessing_of
from jaxinv.evaluation.subject import Subject, distinct, of_function, of_module, of_pytorch
from jaxinv.evaluation.sweep import MEMORY, SweepOptions
from jaxinv.orbit import shift_set
from jaxinv.training import TrainConfig, load_checkpoint
from jaxinv.training.workdir import read_run

# Options that mean nothing for other images.
OF_PHOTOGRAPHS = ("classes", "grey", "strict")


@dataclasses.dataclass(frozen=True)
class Networks:
    """Which networks are evaluated, and on which images."""

    checkpoint: tuple[Path, ...] = ()
    """Workdir of train.py; give it several times to compare."""
    apply: str | None = None
    """Own network, package.module:name: a function of (params, images) or a Flax module; images are
    float32 (n, H, W, C) from 0 to 1."""
    torch: str | None = None
    """Own PyTorch network, package.module:name: a module, or what makes one with its defaults;
    images are float32 (n, C, H, W) from 0 to 1."""
    params: Path | None = None
    """Its parameters: .npz, .safetensors, .msgpack, or a folder of orbax; with torch a state dict
    in .pt, .pth, .bin or .safetensors."""
    params_limit: float = LIMIT
    """Gigabytes that the parameters may take in memory; more are not read."""
    dataset: str | None = None
    """Data set, as for train.py; by default the one a checkpoint was trained on, else digits."""
    split: str | None = None
    """Split, a slice such as test[:1000] included; by default test, of photographs all."""
    data_dir: Path | None = None
    """Folder of prepared TFDS data sets; by default the one a checkpoint was trained from."""
    void: int | None = None
    """Number that marks pixels without a class in label maps, such as 255, which do not count; by
    default that of the training of a checkpoint."""
    images: int | Path | None = None
    """Number of images, the first of the split, by default all, in the study 100; or a folder of
    photographs of any size: class/photograph, or photographs without classes."""
    preprocess: Preset | None = None
    """imagenet: size 256, crop 224, and the mean and std that torchvision's networks expect."""
    size: Annotated[str | None, tyro.conf.arg(metavar="N[,N]")] = None
    """Resize the shorter side of each image to this, or height and width, as torchvision does."""
    crop: Annotated[str | None, tyro.conf.arg(metavar="N[,N]")] = None
    """Cut this window out of the middle; with mode crop, shifts read the image beyond it."""
    interpolation: Interpolation | None = None
    """How images are resized, as the weights were trained; by default bilinear."""
    mean: Annotated[str | None, tyro.conf.arg(metavar="X[,X,X]")] = None
    """Apply or torch: subtracted from values from 0 to 1, a number a channel or one for all."""
    std: Annotated[str | None, tyro.conf.arg(metavar="X[,X,X]")] = None
    """Apply or torch: what the difference is divided by."""
    classes: Path | None = None
    """Names of the network's classes, one a line in the order of its outputs, as the folders of
    photographs are called; by default the folders in the order of their names."""
    grey: bool = False
    """Photographs in grey, one channel."""
    strict: bool = False
    """Refuse photographs that cannot be read, and classes without any, instead of naming them."""
    memory: str = MEMORY
    """Hold the images, and the results of each network, in memory if they take no more than this,
    such as 500MB or 2GiB; read larger ones part by part."""


def subjects_of(
    config: Networks, *, margin: int = 0, progress: Progress | None = None
) -> tuple[list[Subject], data.Source]:
    """Loads the networks, and the data set for all of them.

    Args:
      config: which.
      margin: pixels around the crop that shifts read.
      progress: a bar to add to.

    Raises:
      ValueError: if there is nothing to evaluate, a checkpoint or file cannot be read, or the data
        set is not there.
    """
    if not config.checkpoint and config.apply is None and config.torch is None:
        raise ValueError("nothing to evaluate: give a checkpoint, or apply with params")
    if config.apply is not None and config.torch is not None:
        raise ValueError("apply and torch are two networks; allowed is one, beside checkpoints")
    if config.params is not None and config.apply is None and config.torch is None:
        raise ValueError(
            "params belongs to apply or torch, which names the network that takes them"
        )
    seen = preprocessing_of(
        config.preprocess,
        size=config.size,
        crop=config.crop,
        mean=config.mean,
        std=config.std,
        interpolation=config.interpolation,
    )
    if seen.mean is not None and config.apply is None and config.torch is None:
        raise ValueError("mean and std belong to apply or torch; checkpoints hold their own")
    subjects: list[Subject] = []
    trained: list[TrainConfig] = []
    places = [path.resolve() for path in config.checkpoint]
    for path, place in zip(config.checkpoint, places, strict=True):
        if places.count(place) > 1:
            raise ValueError(f"checkpoint {path} is given twice; a network has one row")
        short = place.name and [p.name for p in places].count(place.name) == 1
        trained.append(read_run(path)[0])
        subjects += _of_checkpoint(path, trained[-1], name=place.name if short else str(place))
    how: Any = {"preprocessing": seen, "limit": config.params_limit}
    if config.apply is not None:
        subjects.append(of_function(config.apply, config.params, **how))
    if config.torch is not None:
        subjects.append(of_pytorch(config.torch, config.params, **how))
    distinct(subjects)
    framing = {
        "size": seen.size,
        "crop": seen.crop,
        "margin": margin if seen.crop else 0,
        "interpolation": seen.interpolation,
    }
    if isinstance(config.images, Path):
        return subjects, _photographs(config.images, config, framing, progress)
    if misplaced := [name for name in OF_PHOTOGRAPHS if getattr(config, name)]:
        raise ValueError(f"{misplaced[0]} is for images that name a folder of photographs")
    return subjects, _dataset(config, trained, framing)


def _photographs(
    folder: Path, config: Networks, framing: Mapping[str, Any], progress: Progress | None
) -> data.Source:
    """The photographs of a folder."""
    for name in ("dataset", "data_dir", "void"):
        if getattr(config, name) is not None:
            raise ValueError(f"{name} and images {folder} name two sources; allowed is one")
    return data.photographs(
        folder,
        split=config.split or "all",
        grey=config.grey,
        classes=config.classes,
        strict=config.strict,
        memory=config.memory,
        progress=progress,
        **framing,
    )


def _dataset(
    config: Networks, trained: Sequence[TrainConfig], framing: Mapping[str, Any]
) -> data.Source:
    """The data set that the options name, or the one that the checkpoints were trained on."""
    own = [run.dataset for run in trained] if config.dataset is None else [config.dataset]
    chosen = set(map(from_anywhere, own))
    canvases = {run.canvas for run in trained}
    if len(chosen) > 1 or len(canvases) > 1:
        different = ", ".join(sorted({run.dataset for run in trained}))
        raise ValueError(
            f"the checkpoints were trained on different images ({different}); "
            "name one data set for all, and compare networks that take the same size"
        )
    name = next(iter(chosen), "digits")
    if name in ALWAYS_THERE and config.data_dir is not None:
        raise ValueError(f"data_dir means nothing for {name}, which comes with scikit-learn")
    same = [run for run in trained if from_anywhere(run.dataset) == name]
    stored = (run.data_dir for run in same if run.data_dir)
    split = "test" if config.split is None else config.split
    voids = {run.void for run in same}
    if config.void is None and len(voids) > 1:
        raise ValueError("the checkpoints were trained with different void labels; name one")
    count = config.images if isinstance(config.images, int) else None
    if count is not None and "[" not in split:
        split += f"[:{count}]"  # no more is read than that
    dataset = data.open(
        name if config.dataset is None else config.dataset,
        split=split,
        data_dir=config.data_dir or next(stored, None),
        canvas=next(iter(canvases), None),
        memory=config.memory,
        void=next(iter(voids), None) if config.void is None else config.void,
        **framing,
    )
    return first_images(dataset, count)


def _of_checkpoint(path: Path, trained: TrainConfig, *, name: str) -> Iterator[Subject]:
    """The networks of a workdir: one, or one for each seed."""
    options = ", ".join(f"{k}={v}" for k, v in trained.model_options.items())
    for number in range(trained.seeds):
        loaded = load_checkpoint(path, seed=number)
        seed, many = trained.seed + number, trained.seeds > 1
        yield of_module(
            loaded.model,
            loaded.variables,
            name=f"{name}, seed {seed}" if many else name,
            title=f"{trained.model}({options}) trained on {trained.dataset}",
            mean=loaded.data.mean,
            std=loaded.data.std,
            origin={"checkpoint": str(path), "step": loaded.step, "seed": seed},
            run=name if many else "",
        )


def first_images(dataset: data.Source, count: int | None) -> data.Source:
    """The first images of a data set; all if `count` is None.

    Raises:
      ValueError: if there are fewer.
    """
    if count is None:
        return dataset
    if count > len(dataset):
        raise ValueError(f"images is {count}; {dataset.name} ({dataset.split}) has {len(dataset)}")
    return dataset.part(range(count))


def check_reach(dataset: data.Source, options: SweepOptions) -> None:
    """Raises ValueError unless the images can be shifted that far, before anything is computed."""
    height, width = dataset.image_shape[:2]
    least, m = min(height, width), options.max_shift
    largest = (least - 1) // 2 if options.mode == "crop" else least - 1
    if m is not None and not 0 <= m <= largest:
        raise ValueError(
            f"max_shift is {m}; allowed are numbers from 0 to {largest} for images of "
            f"{height} x {width} and mode {options.mode}"
        )
    shift_set((height, width), mode=options.mode, max_shift=m)


def check_fits(
    subject: Subject,
    dataset: data.Source,
    options: SweepOptions | None = None,
    *,
    labelled: bool = True,
    values: bool = False,
) -> int:
    """The number of outputs of an image, or of a position.

    Raises:
      ValueError: unless a network gives a real output for each class that labels speak of: one
        per image and class, or where labels are maps one per position and class; without labels
        either. Or, where outputs are values, maps of the size of the targets, if there are any.
    """
    options = options or SweepOptions()
    shape = (2, *seen_of(dataset, options).image_shape)
    what = f"images of shape {shape[1:]} of {dataset.name}"
    if options.mode == "crop":
        what = f"windows of shape {shape[1:]} that mode crop cuts from images of {dataset.name}"
    try:
        out = jax.eval_shape(subject.apply, jax.ShapeDtypeStruct(shape, np.float32))
    except (
        Exception
    ) as error:  # each framework has an error of its own for a shape that does not fit
        raise ValueError(f"{subject.name} does not take {what}: {first_line(error)}") from error
    got = getattr(out, "shape", None)
    maps = bool(dataset.label_shape)
    needed: list[tuple[int, ...]] = [(2, *shape[1:3])] if maps else [(2,)]
    if not labelled:
        needed = [(2,), (2, *shape[1:3])]
    if values:
        _check_values(subject, dataset, shape, got, labelled=labelled)
    elif got is None or got[:-1] not in needed or got[-1] < max(2, dataset.num_classes):
        # Which output is the largest says nothing of a single one.
        forms = "(n, H, W, classes)" if maps else "(n, classes)"
        forms += "" if labelled else " or (n, H, W, classes)"
        raise ValueError(
            f"{subject.name} returns {'no array' if got is None else got} for {shape}; needed are "
            f"outputs {forms} with at least {max(2, dataset.num_classes)} classes"
        )
    if not (jnp.issubdtype(out.dtype, jnp.floating) or jnp.issubdtype(out.dtype, jnp.integer)):
        raise ValueError(f"{subject.name} returns {out.dtype}; needed are real numbers")
    return out.shape[-1]


def _check_values(
    subject: Subject, dataset: data.Source, shape: tuple[int, ...], got: Any, *, labelled: bool
) -> None:
    """Raises ValueError unless outputs are maps, and targets those of whole images."""
    if got is None or len(got) != 4:
        raise ValueError(
            f"{subject.name} returns {'no array' if got is None else got} for {shape}; values are "
            "maps (n, h, w, c)"
        )
    if not labelled:
        return
    seen, whole, target = shape[1:3], dataset.image_shape[:2], dataset.label_shape
    # As many positions for each pixel.
    fit = all(seen[i] * target[i] == got[i + 1] * whole[i] for i in range(2))
    if not fit or target[2] != got[3]:
        raise ValueError(
            f"{subject.name} returns {got[1:]} for an image of shape {shape[1:]}, and targets have "
            f"shape {target} for images of shape {dataset.image_shape}; needed is one size"
        )
