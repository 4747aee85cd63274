"""MobileNetV2, trained on ImageNet, on real photographs that move by a few pixels.

`python -m experiments.imagenet --weights mobilenet_v2_imagenet.npz` audits the trained network, and
the same weights with circular padding, blurred and adaptive sampling, on photographs that come with
scikit-image and scikit-learn, and writes docs/imagenet.json, docs/imagenet.md and their pictures.
It may be stopped and started again. Needs `pip install scikit-image`.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from experiments.cells import Figures, Results
from experiments.imagenet_page import SHOWN, class_name, page
from jaxinv import certify, metrics, models, shifts
from jaxinv.command_line import read_options, run
from jaxinv.metrics.protocols import Sample, adversarial_shift, crop_consistency
from jaxinv.orbit import orbit, shift_set

DOCS = Path(__file__).resolve().parent.parent / "docs"
SQUARE, CROP = 256, 224
# Shifts along an axis: as far as the photograph goes, all of them for the trained network, and for
# those that are compared with it.
FAR, NEAR, COMPARED = (SQUARE - CROP) // 2, 8, 4
TRAINED = {"padding": "SAME_UPPER"}
NETWORKS: dict[str, dict[str, str]] = {
    "as trained": TRAINED,
    "circular": {"padding": "CIRCULAR"},
    "blurred": {"padding": "SAME", "downsample": "blur"},
    "circular, blurred": {"padding": "CIRCULAR", "downsample": "blur"},
    "circular, adaptive": {"padding": "CIRCULAR", "downsample": "aps"},
}
# What is to be seen, in ImageNet's numbers; nothing where no class of ImageNet is.
PHOTOGRAPHS: dict[str, tuple[int, ...]] = {
    "astronaut": (),
    "camera": (872, 759),
    "chelsea": (281, 282, 285),
    "china": (),
    "coffee": (967, 504, 968),
    "flower": (),
    "motorcycle": (670, 665),
    "rocket": (657, 744, 812),
}
# The first of the network's classes is "background".
BACKGROUND = 1
# Sides of the squares of shifts over which probabilities are averaged.
AVERAGED = (2, 4)


@dataclasses.dataclass(frozen=True)
class Options:
    """Audit MobileNetV2 on photographs."""

    weights: Path
    """The file mobilenet_v2_imagenet.npz."""
    networks: tuple[str, ...] = tuple(NETWORKS)
    """Networks to audit."""
    photographs: tuple[str, ...] = tuple(PHOTOGRAPHS)
    """Photographs to move."""
    pairs: int = 10
    """Pairs of crops for Zhang's consistency, of each photograph."""
    results: Path = DOCS / "imagenet.json"
    """Where figures go."""


def photograph(name: str) -> np.ndarray:
    """A photograph as the network's input: 256 x 256, the middle of it, from -1 to 1."""
    import skimage.data
    import sklearn.datasets

    if name in ("china", "flower"):
        pixels = sklearn.datasets.load_sample_image(f"{name}.jpg")
    elif name == "motorcycle":
        pixels = skimage.data.stereo_motorcycle()[0]
    else:
        pixels = getattr(skimage.data, name)()
    picture = Image.fromarray(pixels).convert("RGB")
    scale = SQUARE / min(picture.size)
    size = [round(side * scale) for side in picture.size]
    picture = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    left, top = ((side - SQUARE) // 2 for side in size)
    square = picture.crop((left, top, left + SQUARE, top + SQUARE))
    return np.asarray(square, np.float32) * 2 / 256 - 1


@functools.cache
def network(name: str, weights: Path) -> Callable[[jax.Array], jax.Array]:
    """The trained weights in one of the networks; images to logits."""
    model = models.create("mobilenet_v2", num_classes=1001, norm="none", **NETWORKS[name])
    variables = models.from_arrays(weights, model, shape=(CROP, CROP, 3))
    return jax.jit(functools.partial(model.apply, variables))


def centred(square: np.ndarray, reach: int) -> np.ndarray:
    """The middle of a photograph, with as much around the crop as shifts up to `reach` need."""
    cut = FAR - reach
    return square[None, cut : SQUARE - cut, cut : SQUARE - cut]


def moved(name: str, network_name: str, options: Options) -> Figures:
    """What a network says of a photograph at each shift within reach."""
    apply, square = network(network_name, options.weights), photograph(name)
    reach = NEAR if NETWORKS[network_name] is TRAINED else COMPARED
    every = orbit(apply, mode="crop", max_shift=reach, share=False, chunk=2 * reach + 1)
    logits = np.asarray(every(jnp.asarray(centred(square, reach))))[:, :, 0]
    middle = (reach, reach)
    probabilities = np.asarray(jax.nn.softmax(logits))
    predictions = probabilities.argmax(-1)
    first = int(predictions[middle])
    inner = slice(reach - COMPARED, reach + COMPARED + 1)
    figures = {
        "class": first - BACKGROUND,
        "compared": _outcome(name, predictions[inner, inner]),
    }
    if reach == COMPARED:
        return figures
    line = [(0, right) for right in range(-FAR, FAR + 1)]
    along = orbit(apply, mode="crop", max_shift=FAR, shifts=line, share=False, chunk=len(line))
    curve = jax.nn.softmax(along(jnp.asarray(square[None])))[:, 0, first]
    found = adversarial_shift(
        jnp.asarray(predictions[..., None]),
        jnp.asarray([first]),
        shift_set((2 * reach + CROP,) * 2, mode="crop", max_shift=reach),
    )
    least = np.unravel_index(probabilities[..., first].argmin(), predictions.shape)
    figures |= {
        "probability": float(probabilities[(*middle, first)]),
        "least": float(probabilities[..., first].min()),
        "least_at": [int(place) - reach for place in least],
        "kept": float((predictions == first).mean()),
        "every": _outcome(name, predictions),
        "curve": np.round(np.asarray(curve, np.float64), 4).tolist(),
        "averaged": {},
    }
    if np.isfinite(found.distance[0]):
        shift = [int(t) for t in found.shift[0]]
        there = tuple(t + reach for t in shift)
        figures["changed"] = {
            "shift": shift,
            "class": int(predictions[there]) - BACKGROUND,
            "probability": float(probabilities[there].max()),
        }
    for side in AVERAGED:
        windows = np.lib.stride_tricks.sliding_window_view(probabilities, (side, side), (0, 1))
        mean = windows.mean((-1, -2)).argmax(-1)
        figures["averaged"][str(side)] = _outcome(name, mean)
    return figures


def _outcome(name: str, predictions: np.ndarray) -> Figures:
    """How many windows of a photograph are classified rightly, and how consistently."""
    consistency = metrics.consistency(jnp.asarray(predictions[..., None]))
    return {"right": _right(name, predictions).tolist(), "consistency": float(consistency)}


def _right(name: str, predictions: np.ndarray) -> np.ndarray:
    """How many shifts are classified rightly; none where there is no right class."""
    known = [number + BACKGROUND for number in PHOTOGRAPHS[name]]
    return np.array([np.isin(predictions, known).sum(), predictions.size] if known else [0, 0])


def random_crops(network_name: str, options: Options) -> Figures:
    """Zhang's consistency: the chance that two random crops get the same class."""
    images = jnp.asarray(np.stack([photograph(name) for name in options.photographs]))
    sample = Sample(jax.random.key(0), options.pairs)
    apply = network(network_name, options.weights)
    found = crop_consistency(apply, images, size=CROP, sample=sample, shared=False)
    return {
        "pairs": options.pairs * len(images),
        "value": float(found.value),
        "standard_error": float(found.standard_error),
    }


def proof(network_name: str, options: Options) -> Figures:
    """The certificate at 224 pixels, and the largest difference at some circular shifts."""
    apply = network(network_name, options.weights)
    image = jnp.asarray(centred(photograph("chelsea"), 0))
    certificate = certify(apply, image)
    here = apply(image)
    period = certificate.period[0]
    moves = [(period, 0), (0, 3 * period), (5 * period, 2 * period)]
    differences = [
        float(jnp.abs(apply(shifts.translate(image, move)) - here).max() / jnp.abs(here).max())
        for move in moves
        if max(move) < CROP
    ]
    interior = []
    for step in certificate.steps:
        along = step.after.interior[0]
        if along is not None and (not interior or interior[-1][1:] != _span(along)):
            interior.append([step.layer, *_span(along)])
    end = certificate.first_end
    return {
        "kind": certificate.kind,
        "period": period,
        "first_end": f"{end.layer}: {end.reason}" if end is not None else "",
        "interior": interior,
        "difference": max(differences, default=None),
    }


def _span(interior) -> list[int]:
    return [interior.start, interior.stop, interior.size, interior.period]


def draw(results: Results, options: Options) -> None:
    """The curves and the pairs of crops, as pictures beside the page."""
    folder = options.results.parent / "images"
    folder.mkdir(exist_ok=True)
    names = [name for name in SHOWN if f"as trained/{name}" in results.cells]
    places = range(-FAR, FAR + 1)
    if not names:
        return
    figure, row = plt.subplots(
        1, len(names), figsize=(9, 2.4), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, name in zip(row[0], names, strict=True):
        cell = results.cells[f"as trained/{name}"]
        ax.plot(places, cell["curve"], linewidth=1.2)
        ax.set_title(f"{name}: {class_name(cell['class'])}", size=8)
        ax.set_xlabel("shift, pixels", size=8)
        ax.tick_params(labelsize=7)
        ax.set_ylim(0, 1)
    row[0, 0].set_ylabel("probability", size=8)
    figure.savefig(folder / "imagenet-curves.png", dpi=110)
    pairs = [name for name in names if "changed" in results.cells[f"as trained/{name}"]]
    if not pairs:
        return
    figure, rows = plt.subplots(
        2, len(pairs), figsize=(2.3 * len(pairs), 5.2), squeeze=False, layout="constrained"
    )
    for (above, below), name in zip(rows.T, pairs, strict=True):
        cell = results.cells[f"as trained/{name}"]
        changed = cell["changed"]
        for ax, shift, told in (
            (above, (0, 0), (cell["class"], cell["probability"])),
            (below, changed["shift"], (changed["class"], changed["probability"])),
        ):
            down, right = (FAR - t for t in shift)
            crop = photograph(name)[down : down + CROP, right : right + CROP]
            ax.imshow((crop + 1) / 2)
            ax.set_title(f"{class_name(told[0])}, {100 * told[1]:.0f}%", size=8)
            ax.set_xlabel(f"shift {tuple(shift)}", size=8)
            ax.set_xticks([])
            ax.set_yticks([])
    figure.savefig(folder / "imagenet-pairs.jpg", dpi=90, pil_kwargs={"quality": 80})


def main(options: Options) -> None:
    """Run every cell once, write the page after each, and draw."""
    for given, known, what in (
        (options.networks, NETWORKS, "networks"),
        (options.photographs, PHOTOGRAPHS, "photographs"),
    ):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"{what} has {unknown[0]!r}; allowed are {', '.join(known)}")
    results = Results(options.results, page)
    for name in options.networks:
        for image in options.photographs:
            results.once(f"{name}/{image}", functools.partial(moved, image, name, options))
    for name in options.networks:
        results.once(f"{name}/proof", functools.partial(proof, name, options))
        results.once(f"{name}/pairs", functools.partial(random_crops, name, options))
    draw(results, options)


if __name__ == "__main__":
    sys.exit(run(lambda: main(read_options(Options, sys.argv[1:])), name="imagenet"))
