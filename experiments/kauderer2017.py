"""Kauderer-Abrams (2017): what makes a network less sensitive to translation, data or architecture?

`python -m experiments.kauderer2017 --data-dir DIR` trains {no augmentation, translated up to 6
pixels} x {one or two stages of 3x3 or 5x5 convolutions with max pooling, a net without pooling, an
MLP} on MNIST and Fashion-MNIST, each image on a canvas that leaves it room to move, and writes
docs/kauderer2017.json and docs/kauderer2017.md with the sensitivity over shifts and its radial
profile. It may be stopped and started again.
"""

import dataclasses
import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells import Figures, Results
from jaxinv import data, metrics
from jaxinv.command_line import read_options, run
from jaxinv.orbit import orbit
from jaxinv.training import TrainConfig, train_and_evaluate

DOCS = Path(__file__).resolve().parent.parent / "docs"
CANVAS, REACH = 40, 6
DATASETS = ("mnist", "fashion_mnist")
AUGMENTS = ("none", "translate")
SMALL = {"dense": (64,)}
NETWORKS: dict[str, tuple[str, dict]] = {
    "one stage, 5x5, pooling": ("lenet", SMALL | {"widths": ((8,),)}),
    "two stages, 5x5, pooling": ("lenet", SMALL | {"widths": ((8,), (16,))}),
    "two stages, 3x3, pooling": ("lenet", SMALL | {"widths": ((8,), (16,)), "kernels": 3}),
    "two stages, 5x5, strides": (
        "lenet",
        SMALL | {"widths": ((8,), (16,)), "downsample": "stride"},
    ),
    "MLP": ("mlp", {"dense": (128,)}),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Reproduce the comparison of data and architecture."""

    data_dir: str | None = None
    """Folder of prepared TFDS data sets."""
    datasets: tuple[str, ...] = DATASETS
    """Data sets to train on."""
    networks: tuple[str, ...] = tuple(NETWORKS)
    """Networks to train."""
    seeds: tuple[int, ...] = (0,)
    """Seeds to train with."""
    epochs: int = 2
    """Epochs without augmentation; twice as many with."""
    train_images: int = 20000
    """Training images."""
    images: int = 200
    """Test images whose every shift is evaluated."""
    results: Path = DOCS / "kauderer2017.json"
    """Where figures go."""


def cell(dataset: str, network: str, augment: str, seed: int, options: Options) -> Figures:
    """Train one network; its accuracy and sensitivity at every shift within reach."""
    model, model_options = NETWORKS[network]
    config = TrainConfig(
        dataset=dataset,
        data_dir=options.data_dir,
        train_split=f"train[:{options.train_images}]",
        canvas=CANVAS,
        model=model,
        model_options=model_options,
        augment=augment,
        max_shift=REACH,
        epochs=options.epochs * (2 if augment == "translate" else 1),
        eval_every=1000,
        batch_size=128,
        learning_rate=2e-3,
        seed=seed,
    )
    result = train_and_evaluate(config, show=False)
    test = data.load(
        dataset, split=f"test[:{options.images}]", data_dir=options.data_dir, canvas=CANVAS
    )
    images = jnp.asarray(data.normalise(test.images, mean=test.mean, std=test.std))

    def logits(x: jax.Array) -> jax.Array:
        return jnp.asarray(result.model.apply(result.variables, x))

    every = jax.jit(orbit(logits, mode="constant", max_shift=REACH, chunk=(2 * REACH + 1) ** 2))
    outputs = jnp.concatenate([every(images[at : at + 20]) for at in range(0, len(images), 20)], 2)
    sensitivity = metrics.sensitivity_map(outputs, origin=(REACH, REACH))
    radii, profile = metrics.radial_profile(sensitivity, periodic=False)
    labels = jnp.asarray(test.labels)
    return {
        "epochs": config.epochs,
        "accuracy": result.metrics["test_accuracy"],
        "mean": float(metrics.mean_accuracy(outputs, labels)),
        "worst": float(metrics.worst_case_accuracy(outputs, labels)),
        "sensitivity": float(sensitivity.mean()),
        "map": np.round(np.asarray(sensitivity), 4).tolist(),
        "radii": np.asarray(radii).tolist(),
        "profile": np.round(np.asarray(profile), 4).tolist(),
    }


def page(cells: dict[str, Figures]) -> str:
    """docs/kauderer2017.md."""
    text = [
        "# Kauderer-Abrams (2017): augmentation or architecture?",
        "",
        "*This page is written by `python -m experiments.kauderer2017 --data-dir DIR`; its figures",
        "are those in `kauderer2017.json` beside it, the sensitivity maps among them.*",
        "",
        "Translation sensitivity is the distance between the outputs for a shifted and an",
        "unshifted image, divided by that between the outputs for different images: 0 is",
        "invariance, 1 means that a shift changes the output as much as another image does",
        "(https://arxiv.org/abs/1801.01450, `jaxinv.metrics.sensitivity_map`). Images lie on a",
        f"canvas of {CANVAS}x{CANVAS} and move by up to {REACH} pixels along each axis, so nothing",
        "is cut off. The paper's networks have other widths and train on the whole training set;",
        f"here they are small and train on {Options.train_images:,} of its images, for the epochs",
        "of the table.",
        "",
    ]
    for dataset in DATASETS:
        rows: list[str] = []
        means: dict[str, list[tuple[str, float]]] = {augment: [] for augment in AUGMENTS}
        for network in NETWORKS:
            for augment in AUGMENTS:
                group = f"{dataset}/{network}/{augment}/"
                runs = [figures for name, figures in cells.items() if name.startswith(group)]
                if not runs:
                    rows.append(f"| {network} | {augment} | not run | | | | | | |")
                    continue
                mean = {
                    key: np.mean([figures[key] for figures in runs])
                    for key in ("accuracy", "mean", "worst", "sensitivity")
                }
                epochs = ", ".join(map(str, sorted({figures["epochs"] for figures in runs})))
                profile = np.mean([figures["profile"] for figures in runs], 0)
                shown = ", ".join(f"{profile[r]:.2f}" for r in (1, 2, 4, 6))
                means[augment].append((network, float(mean["sensitivity"])))
                rows.append(
                    f"| {network} | {augment} | {epochs} | {len(runs)} "
                    f"| {100 * mean['accuracy']:.1f} "
                    f"| {100 * mean['mean']:.1f} | {100 * mean['worst']:.1f} "
                    f"| {mean['sensitivity']:.2f} | {shown} |"
                )
        text += [
            f"## {dataset}",
            "",
            "| network | training data | epochs | seeds | centred, % | mean over shifts "
            "| worst case | sensitivity | at 1, 2, 4, 6 pixels |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            *_verdict(means),
        ]
    return "\n".join(text)


def _verdict(means: dict[str, list[tuple[str, float]]]) -> list[str]:
    """How much each factor changes the sensitivity, where both were varied."""
    plain, moved = (dict(means[augment]) for augment in AUGMENTS)
    both = [network for network in plain if network in moved]
    convolutional = [plain[network] for network in plain if network != "MLP"]
    if len(both) < 2 or len(convolutional) < 2:
        return []
    ratio = float(np.mean([plain[network] / moved[network] for network in both]))
    spread = max(convolutional) / min(convolutional)
    larger = "augmentation" if ratio > spread else "architecture"
    return [
        f"Training on translated images divides the sensitivity by {ratio:.1f} (mean over "
        f"{len(both)} networks). Between the {len(convolutional)} convolutional architectures "
        f"trained without it, it differs by a factor of {spread:.1f}. "
        f"The larger factor here: {larger}.",
        "",
    ]


def main(options: Options) -> None:
    """Run every cell once and write the page before and after each."""
    results = Results(options.results, page)
    for seed in options.seeds:
        for dataset in options.datasets:
            for network in options.networks:
                for augment in AUGMENTS:
                    name = f"{dataset}/{network}/{augment}/{seed}"
                    results.once(
                        name, functools.partial(cell, dataset, network, augment, seed, options)
                    )


if __name__ == "__main__":
    sys.exit(run(lambda: main(read_options(Options, sys.argv[1:])), name="kauderer2017"))
