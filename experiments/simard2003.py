"""Simard, Steinkraus and Platt (2003) on MNIST: what distorted training data are worth.

`python -m experiments.simard2003 --data-dir DIR` trains what is missing of the grid
{MLP 800, Simard's net} x {none, translate, affine, elastic, orbit} and writes docs/simard2003.json
and docs/simard2003.md. It may be stopped and started again at any time.
"""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp

from experiments.cells import Figures, Results, shift_figures
from experiments.simard2003_page import page
from jaxinv import data
from jaxinv.command_line import read_options, run
from jaxinv.training import TrainConfig, train_and_evaluate
from jaxinv.training.presets import preset

DOCS = Path(__file__).resolve().parent.parent / "docs"
NETWORKS = ("conv", "mlp")
AUGMENTS = ("none", "translate", "affine", "elastic", "orbit")


@dataclasses.dataclass(frozen=True)
class Options:
    """Reproduce the grid."""

    data_dir: str | None = None
    """Folder of prepared TFDS data sets."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds to train with."""
    networks: tuple[str, ...] = NETWORKS
    """Rows of the grid."""
    augments: tuple[str, ...] = AUGMENTS
    """Columns of the grid; `wide`, for conv alone, is orbit on a canvas for shifts of 8 pixels."""
    epochs: int | None = None
    """Epochs instead of the preset's."""
    max_shift: int = 8
    """Largest shift evaluated."""
    shifted_images: int = 2000
    """Test images evaluated at every shift."""
    workdir: Path = Path("runs/simard2003")
    """Where checkpoints go."""
    results: Path = DOCS / "simard2003.json"
    """Where figures go."""


def cell(config: TrainConfig, workdir: Path, options: Options) -> Figures:
    """Train one network and evaluate it, centred and shifted."""
    resume = (workdir / "config.json").is_file()
    result = train_and_evaluate(config, workdir, resume=resume)
    test = data.load(
        config.dataset,
        split=f"test[:{options.shifted_images}]",
        data_dir=config.data_dir,
        canvas=config.canvas,
    )
    shifted = shift_figures(
        lambda x: jnp.asarray(result.model.apply(result.variables, x)),
        test,
        max_shift=options.max_shift,
    )
    return {
        "error": 1 - result.metrics["test_accuracy"],
        "epochs": config.epochs,
        "seconds": round(sum(record["seconds"] for record in result.history)),
        "shifted": shifted,
    }


def main(options: Options) -> None:
    """Run every cell once, a seed at a time, and write the page before and after each."""
    results = Results(options.results, page)
    for seed in options.seeds:
        for augment in options.augments:
            for network in options.networks:
                config = dataclasses.replace(
                    preset(f"simard2003-{network}-{augment}"),
                    seed=seed,
                    data_dir=options.data_dir,
                    eval_every=5,
                )
                if options.epochs is not None:
                    config = dataclasses.replace(config, epochs=options.epochs)
                name = f"{network}-{augment}-{seed}"
                workdir = options.workdir / name
                results.once(name, lambda c=config, w=workdir: cell(c, w, options))  # type: ignore[misc]


if __name__ == "__main__":
    sys.exit(run(lambda: main(read_options(Options, sys.argv[1:])), name="simard2003"))
