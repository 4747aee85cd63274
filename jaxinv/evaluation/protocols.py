"""Published protocols by name: the figures a paper's readers know, exact ones beside sampled ones.

The definitions are those of `jaxinv.metrics.protocols`. Here they get a data set, batch by batch.
Protocols on crops see what lies around an image, so that a crop has the size the network was
trained on and its content can move: with mode crop the larger image, else a black frame.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxinv import metrics
from jaxinv.data import Source
from jaxinv.data.source import groups_of
from jaxinv.devices import data_mesh, spread
from jaxinv.evaluation import summary
from jaxinv.evaluation.aligned import says_maps
from jaxinv.evaluation.layers import spatial_layers
from jaxinv.evaluation.results import Estimate
from jaxinv.evaluation.subject import Subject
from jaxinv.metrics import protocols
from jaxinv.metrics.protocols.stylegan3 import LARGEST
from jaxinv.orbit import orbit

# Pixels of black around the images for protocols on crops: Zhang's 32 of 256 are 4 of 32.
FRAME = 4
# Pixels that an adversary may shift by; also Chaman and Dokmanic's largest shift for 32 pixels.
RADIUS = 3
# Random pairs for each image.
PAIRS = 20
# Random shifts of a batch for EQ-T.
SHIFTS = 64
BATCH = 500
# Pixels of a batch at most, as of 500 images of 64 x 64.
_PIXELS = BATCH * 64 * 64


@functools.partial(jax.tree_util.register_dataclass, data_fields=["value"], meta_fields=["unit"])
@dataclasses.dataclass(frozen=True)
class Total:
    """A figure of a batch as a whole, averaged over batches."""

    value: Float[Array, ""]
    unit: str = "share"


# A figure is the mean of one number per image, an estimate from random draws, or a total.
Figures = Mapping[str, Float[Array, " n"] | protocols.SampleMean | Total]


@dataclasses.dataclass(frozen=True)
class Task:
    """A network and a batch of images, with `margin` pixels of each around what is seen of it."""

    subject: Subject
    larger: Array
    labels: Array
    key: Array
    margin: int = 0

    @property
    def images(self) -> Array:
        """The images as the network sees them."""
        m, (height, width) = self.margin, self.larger.shape[1:3]
        return self.larger[:, m : height - m, m : width - m]

    @property
    def apply(self) -> Callable:
        """The classifier."""
        return self.subject.apply

    @property
    def size(self) -> tuple[int, int]:
        """Positions of an image."""
        height, width = self.images.shape[1:3]
        return height, width

    @property
    def pairs(self) -> protocols.Sample:
        """Random pairs for each image."""
        return protocols.Sample(self.key, PAIRS)

    @property
    def framed(self) -> Array:
        """The images with their margin; those without one in a black frame of `FRAME` pixels."""
        if self.margin:
            return self.larger
        border = (FRAME, FRAME)
        return jnp.pad(self.images, ((0, 0), border, border, (0, 0)))


def _all_shifts(task: Task) -> Figures:
    predictions = metrics.predicted_classes(orbit(task.apply)(task.images))
    scored = {
        "mean_accuracy": metrics.mean_accuracy,
        "worst_case_accuracy": metrics.worst_case_accuracy,
        "consistent_and_right": metrics.consistent_accuracy,
    }
    figures = {
        name: metric(predictions, task.labels, per_image=True) for name, metric in scored.items()
    }
    return figures | {
        "consistency": metrics.consistency(predictions, per_image=True),
        "top1_change_of_one_pixel": metrics.top1_change(predictions, per_image=True),
    }


def _zhang(task: Task) -> Figures:
    crops: dict[str, Any] = {"size": task.size}
    sweep = protocols.diagonal_sweep(task.apply, task.framed, task.labels, **crops)
    return {
        "crop_consistency_exact": protocols.crop_consistency(
            task.apply, task.framed, per_image=True, **crops
        ),
        "crop_consistency_sampled": protocols.crop_consistency(
            task.apply, task.framed, sample=task.pairs, **crops
        ),
        "diagonal_accuracy": jnp.mean(sweep.correct, axis=0),
        "diagonal_probability_deviation": Total(sweep.variation),
    }


def _chaman(task: Task) -> Figures:
    consistency = functools.partial(
        protocols.circular_consistency, task.apply, task.images, max_shift=RADIUS
    )
    return {
        "consistency_exact": consistency(per_image=True),
        "consistency_without_the_last_shift_exact": consistency(published=True, per_image=True),
        "consistency_without_the_last_shift_sampled": consistency(
            published=True, sample=task.pairs
        ),
    }


def _azulay(task: Task) -> Figures:
    # Embedded: the image made smaller by the frame and put on a black canvas of its old size.
    count, height, width, channels = task.images.shape
    smaller = (count, height - FRAME, width - FRAME, channels)
    small = jax.image.resize(task.images, smaller, "linear")
    found: dict[str, protocols.SampleMean | Total] = {}
    for name, images in (
        ("embedded", protocols.embed(small, canvas=task.size)),
        ("cropped", task.framed),
    ):
        change = functools.partial(protocols.one_pixel_change, task.apply, images, size=task.size)
        exact, drawn = change(), change(sample=task.pairs)
        for figure in exact._fields:
            found[f"{name}_{figure}_exact"] = Total(getattr(exact, figure))
            found[f"{name}_{figure}_sampled"] = getattr(drawn, figure)
    return found


def _engstrom(task: Task) -> Figures:
    grid = protocols.spatial_grid(task.apply, task.images, task.labels)
    attack = functools.partial(
        protocols.worst_of, task.key, task.apply, task.images, task.labels, tries=10, repeats=2
    )
    rows = jnp.asarray(protocols.transformation_grid())
    return {
        "natural": Total(grid.natural),
        "grid_average": _unless_nan(jnp.mean(grid.correct, axis=0), grid.average),
        "grid_worst": _unless_nan(jnp.all(grid.correct, axis=0), grid.worst),
        "worst_of_10_of_the_grid_exact": Total(protocols.expected_worst_of(grid.correct, tries=10)),
        "worst_of_10_of_the_grid_sampled": attack(grid=rows),
        "worst_of_10_as_published": attack(),
    }


def _adversarial(task: Task) -> Figures:
    found = protocols.search_shifts(task.apply, task.images, task.labels, radius=RADIUS)
    # An image that is wrong as it is has an adversarial shift of length 0.
    return {
        f"right_within_{radius}_pixels": _unless_nan(found.distance > radius, found.distance)
        for radius in range(RADIUS + 1)
    }


def _unless_nan(right: Array, figure: Array) -> Array:
    """What is right of each image, NaN where a figure of it is."""
    return jnp.where(jnp.isnan(figure), jnp.nan, right)


def _gruver(task: Task) -> Figures:
    layers = task.subject.layers

    def outputs(images):
        return {"output": task.apply(images)} | (layers(images) if layers else {})

    order = list(outputs(task.images))  # derivatives come back with the layers sorted by name
    found = {}
    for method in ("fourier", "bilinear"):
        errors = protocols.local_equivariance_error(outputs, task.images, method=method)
        for layer in order:
            for kind in errors[layer]._fields:
                found[f"{layer} {method} {kind}"] = Total(getattr(errors[layer], kind), "relative")
    return found


def _stylegan3(task: Task) -> Figures:
    features, stride = _maps_on_the_torus(task.subject, task.images)[-1]
    base = features(task.images)
    steps: dict[str, Any] = {"stride": stride, "peak": jnp.max(base) - jnp.min(base)}
    shifts = protocols.Sample(task.key, SHIFTS)
    found = {}
    if 2 * LARGEST * max(task.size) > stride:  # else no whole shift reaches a stride
        sampled = protocols.eq_t(features, task.images, sample=shifts, **steps)
        found["eq_t_exact"] = Total(protocols.eq_t(features, task.images, **steps), "dB")
        found["eq_t_sampled"] = Total(sampled, "dB")
    fractional, _ = protocols.eq_t_frac(features, task.images, sample=shifts, **steps)
    return found | {"eq_t_frac_sampled": Total(fractional, "dB")}


def _maps_on_the_torus(subject: Subject, images: Any) -> list[tuple[Callable, int]]:
    """The feature maps of 1 / stride the size of the images, and the stride."""
    found = []
    for features, (stride, *others) in spatial_layers(subject, images).values():
        seen = jax.eval_shape(features, jax.ShapeDtypeStruct(images.shape, np.float32)).shape
        fits = all(n * stride == size for n, size in zip(seen[1:3], images.shape[1:3], strict=True))
        if fits and set(others) <= {stride}:
            found.append((features, stride))
    return found


def _biscione(task: Task) -> Figures:
    shifts = [(0, right) for right in range(1, FRAME + 1)]
    features = task.subject.layers or (lambda images: {"output": task.apply(images)})
    found = {}
    for path, profile in protocols.cosine_profile(features, task.images, shifts).items():
        layer = re.sub(r"^\['(.*)'\]$", r"\1", path)
        for (_, right), value in zip(shifts, profile.similarity, strict=True):
            found[f"{layer} at_{right}_pixels"] = Total(value, "cosine")
        found[f"{layer} between_images"] = Total(profile.baseline, "cosine")
    return found


PROTOCOLS: dict[str, Callable[[Task], Figures]] = {
    "all-shifts": _all_shifts,
    "zhang2019": _zhang,
    "chaman2021": _chaman,
    "azulay2019": _azulay,
    "engstrom2019": _engstrom,
    "adversarial": _adversarial,
    "gruver2023": _gruver,
    "stylegan3": _stylegan3,
    "biscione2021": _biscione,
}
# Those that speak of layers, not of the class of an image.
OF_LAYERS = ("gruver2023", "stylegan3", "biscione2021")


def check_protocols(names: Sequence[str]) -> None:
    """Raises ValueError for a protocol that does not exist."""
    for name in names:
        if name not in (*PROTOCOLS, "all"):
            raise ValueError(f"protocol is {name!r}; allowed are {', '.join(PROTOCOLS)} and all")


def applicable(
    names: Sequence[str], subject: Subject, shape: tuple[int, int, int]
) -> tuple[str, ...]:
    """The protocols that are run on a network: those named, or for "all" those that apply to it.

    None is run on a network that is known by its proof, as each evaluation of it costs a sweep.

    Raises:
      ValueError: if a name is unknown, or a protocol that is named does not apply to the network.

    Example:
      >>> applicable(["all"], Subject("net", "net", lambda x: x), (8, 8, 1))[-2:]
      ('gruver2023', 'biscione2021')
    """
    check_protocols(names)
    if subject.by_proof or not names:
        return ()
    wanted = tuple(PROTOCOLS) if "all" in names else tuple(names)
    if says_maps(subject, shape):
        others = [name for name in wanted if name not in OF_LAYERS]
        if others and "all" not in names:
            raise ValueError(
                f"protocol {others[0]} needs a class for each image, and the outputs of "
                f"{subject.name} are maps; allowed are {', '.join(OF_LAYERS)} and all"
            )
        wanted = tuple(name for name in wanted if name in OF_LAYERS)
    if min(shape[:2]) <= FRAME and "azulay2019" in wanted:
        if "all" not in names:
            raise ValueError(
                f"protocol azulay2019 makes images smaller by {FRAME} pixels, and they have "
                f"{shape[0]} x {shape[1]}; allowed are larger ones"
            )
        wanted = tuple(name for name in wanted if name != "azulay2019")
    seen = np.zeros((1, *shape), np.float32)
    if "stylegan3" not in wanted or _maps_on_the_torus(subject, seen):
        return wanted
    if "all" not in names:
        raise ValueError(
            f"protocol stylegan3 needs a feature map of 1 / stride the size of the images, and "
            f"{subject.name} shows none; allowed are Flax modules and checkpoints with padded "
            "convolutions"
        )
    return tuple(name for name in wanted if name != "stylegan3")


def run_protocol(
    name: str,
    subject: Subject,
    dataset: Source,
    *,
    margin: int = 0,
    seed: int = 0,
    batch: int = BATCH,
    progress: Callable[[int], None] = lambda images: None,
) -> dict[str, Estimate]:
    """Runs a published protocol.

    Args:
      name: one of `PROTOCOLS`.
      subject: the network.
      dataset: the images.
      margin: pixels at each side that the network does not see unless a crop reads them.
      seed: of random draws.
      batch: number of images at a time.
      progress: called with the number of images finished since the last call.

    Returns:
      Figures by name. Shares have 95% intervals: over images where the figure is exact for each
      image, over draws where it is sampled; none where all draws agree.

    Raises:
      ValueError: if the name is unknown, the protocol does not apply to the network, or a share
        is NaN.
    """
    if name == "all":
        raise ValueError(f"protocol is 'all'; allowed is one of {', '.join(PROTOCOLS)}")
    height, width, channels = dataset.image_shape
    applicable([name], subject, (height - 2 * margin, width - 2 * margin, channels))
    names: list[str] = []

    @jax.jit
    def evaluate(images, labels, key):
        figures = PROTOCOLS[name](Task(subject, images, labels, key, margin))
        names[:] = figures  # A dict comes back sorted from JAX; here the order is the protocol's.
        return dict(figures)

    found, counts = [], []
    batch = _fitting(len(dataset), max(1, min(batch, _PIXELS // (height * width))))
    for number, (pixels, classes) in enumerate(dataset.batches(groups_of(dataset, batch))):
        given = pixels.astype(np.float32), classes
        images, labels = spread(given, data_mesh(len(classes)))
        key = jax.random.fold_in(jax.random.key(seed), number)
        found.append(jax.device_get(evaluate(images, labels, key)))
        counts.append(len(labels))
        progress(len(labels))
    estimates = {figure: _joined([f[figure] for f in found], counts) for figure in names}
    for figure, estimate in estimates.items():
        if estimate.unit == "share" and np.isnan(estimate.value):
            raise ValueError(f"protocol {name} finds NaN for {figure} on {subject.name}")
    return estimates


def _fitting(count: int, most: int) -> int:
    """The largest batch that leaves no shorter one, which would compile everything once more.

    Where every such batch is below half of what is allowed, the one allowed.
    """
    fits = [size for size in range(1, min(count, most) + 1) if count % size == 0]
    return fits[-1] if 2 * fits[-1] > min(count, most) else most


def _joined(parts: Sequence[Any], counts: Sequence[int]) -> Estimate:
    first, total = parts[0], sum(counts)
    if isinstance(first, np.ndarray):
        values = np.concatenate(parts)
        if values.dtype == bool:
            return summary.share(values)
        return summary.mean(jnp.asarray(values))
    weights = np.asarray(counts) / total
    value = float(weights @ np.array([part.value for part in parts]))
    if isinstance(first, Total):
        return Estimate(value, None, None, total, first.unit)
    errors = np.array([part.standard_error for part in parts])
    reach = 1.96 * float(np.sqrt(np.sum((weights * errors) ** 2)))
    if reach == 0:  # Draws that all agree say nothing of their spread.
        return Estimate(value, None, None, total)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), total)
