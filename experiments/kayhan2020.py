"""Kayhan and van Gemert (2020), red-green test: can a ConvNet classify by absolute location?

Class 0 has a red box left of a green one, in the upper half; class 1 green left of red, in the
lower half. A network that reads colours keeps its accuracy when the classes change halves
("dissimilar"), one that reads location loses it. The network ends in a global maximum, so whatever
it knows of location it has from the borders.

`python -m experiments.kayhan2020` trains what is missing and writes docs/kayhan2020.json and
docs/kayhan2020.md. Protocol: https://arxiv.org/abs/2003.07064, section 4.1, with the details of the
authors' code (batches of 200 in fixed order, Adadelta of rate 1 with an L2 penalty, at most 50
epochs, stop after 9 epochs without a better validation loss). There the generator is seeded alike
for all sets, so that validation and test repeat training images; here they are drawn anew, and with
`--repeated` as there. On new images the circular network stays below its published accuracy; on
those it was trained with it reaches it.
"""

import dataclasses
import functools
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from experiments.cells import Figures, Results, mean_and_error
from jaxinv.command_line import read_options, run
from jaxinv.layers import Conv
from jaxinv.training import cross_entropy

DOCS = Path(__file__).resolve().parent.parent / "docs"
# similar and dissimilar accuracy, in percent (their table 1)
PUBLISHED = {
    "VALID": (100.0, 0.2),
    "SAME": (99.8, 8.4),
    "CIRCULAR": (73.7, 73.7),
    "FULL": (89.7, 89.7),
}
SIZE, BOX, ROWS, WOBBLE = 32, 4, (7, 23), 4
BATCH, PATIENCE = 200, 8


@dataclasses.dataclass(frozen=True)
class Options:
    """Reproduce the red-green test."""

    paddings: tuple[str, ...] = tuple(PUBLISHED)
    """Paddings to train with."""
    seeds: int = 10
    """Networks for each."""
    epochs: int = 50
    """Most epochs of a network."""
    repeated: bool = False
    """Draw validation and test from the training images, as the authors' code does."""
    results: Path = DOCS / "kayhan2020.json"
    """Where figures go."""


def boxes(
    seed: int, count: int, *, swapped: bool = False
) -> tuple[Float[np.ndarray, "n 32 32 3"], Int[np.ndarray, " n"]]:
    """Red and green boxes side by side; `swapped` moves each class into the other's half.

    Args:
      seed: of NumPy's generator; with and without `swapped` the same pictures but for the half.
      count: images, half of each class.
      swapped: whether classes and halves are exchanged.
    """
    r = np.random.default_rng(seed)
    images, labels = np.zeros((count, SIZE, SIZE, 3), np.float32), np.arange(count) % 2
    free = SIZE - BOX
    for image, label in zip(images, labels, strict=True):
        base = ROWS[label ^ swapped]
        left = r.integers(free // 2 - BOX)
        right = r.integers(left + BOX + 1, free)
        for column, colour in ((left, label), (right, 1 - label)):
            row = base + r.integers(-WOBBLE, WOBBLE)
            image[row : row + BOX, column : column + BOX, colour] = 1.0
    return images, labels.astype(np.int32)


class Net(nn.Module):
    """Four convolutions without bias, the global maximum, one linear layer."""

    padding: str

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n 2"]:
        """Logits of the two classes."""
        # PyTorch's initial weights, which the published figures started from.
        start = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        for features, stride in ((32, 1), (32, 2), (64, 2), (64, 2)):
            conv = Conv(
                features,
                kernel_size=3,
                stride=stride,
                padding=self.padding,
                use_bias=False,
                kernel_init=start,
            )
            x = nn.relu(conv(x))
        return nn.Dense(2, kernel_init=start)(x.max((1, 2)))


def cell(padding: str, seed: int, epochs: int, repeated: bool = False) -> Figures:
    """Train one network; accuracy where classes are as in training, and exchanged."""
    model = Net(padding)
    draws = [1000 * seed + (1 if repeated else n) for n in (1, 2, 3)]
    train, valid = boxes(draws[0], 2000), boxes(draws[1], 1000)
    params = model.init(jax.random.key(seed), jnp.zeros((1, SIZE, SIZE, 3)))
    tx = optax.chain(optax.add_decayed_weights(5e-5), optax.adadelta(1.0, rho=0.9, eps=1e-6))
    state = tx.init(params)

    def loss(params, images, labels):
        return cross_entropy(jnp.asarray(model.apply(params, images)), labels).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, images, labels):
        updates, state = tx.update(jax.grad(loss)(params, images, labels), state, params)
        return optax.apply_updates(params, updates), state

    evaluate = jax.jit(lambda p, x: model.apply(p, x))
    best, kept, worse, trained = np.inf, params, 0, 0
    for _ in range(epochs):
        for at in range(0, len(train[1]), BATCH):
            rows = slice(at, at + BATCH)
            params, state = step(params, state, train[0][rows], train[1][rows])
        trained += 1
        value = float(cross_entropy(evaluate(params, valid[0]), jnp.asarray(valid[1])).mean())
        if value < best:
            best, kept, worse = value, jax.tree.map(jnp.copy, params), 0
        elif worse >= PATIENCE:
            break
        else:
            worse += 1

    def accuracy(swapped: bool) -> float:
        images, labels = boxes(draws[2], 1000, swapped=swapped)
        return float((np.asarray(evaluate(kept, images)).argmax(-1) == labels).mean())

    return {"similar": accuracy(False), "dissimilar": accuracy(True), "epochs": trained}


def page(cells: dict[str, Figures]) -> str:
    """docs/kayhan2020.md."""
    rows = []
    for padding in PUBLISHED:
        rows.append(_row(padding, "new", _networks(cells, padding)))
        repeated = _networks(cells, f"{padding}-repeated")
        if repeated:
            rows.append(_row(padding, "training's", repeated))
    description = "\n".join((__doc__ or "").splitlines()[1:])
    return "\n".join(
        [
            "# Kayhan and van Gemert (2020): classifying by absolute location",
            "",
            "*This page is written by `python -m experiments.kayhan2020`; its figures are those in",
            "`kayhan2020.json` beside it.*",
            description,
            "",
            "Accuracy in percent, mean and standard error over networks; 50 is chance.",
            "",
            "| padding | test images | networks | epochs | similar | dissimilar "
            "| published similar | published dissimilar |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _networks(cells: dict[str, Figures], group: str) -> list[Figures]:
    return [figures for name, figures in cells.items() if name.rpartition("-")[0] == group]


def _row(padding: str, images: str, runs: list[Figures]) -> str:
    published = PUBLISHED[padding]
    if not runs:
        return f"| {padding} | {images} | 0 | | not run | | {published[0]} | {published[1]} |"
    found = []
    for kind in ("similar", "dissimilar"):
        mean, error = mean_and_error([100 * figures[kind] for figures in runs])
        found.append(f"{mean:.1f} ± {error:.1f}" if error == error else f"{mean:.1f}")
    epochs = [figures["epochs"] for figures in runs]
    return (
        f"| {padding} | {images} | {len(runs)} | {min(epochs)} to {max(epochs)} | {found[0]} "
        f"| {found[1]} | {published[0]} | {published[1]} |"
    )


def main(options: Options) -> None:
    """Run every cell once and write the page before and after each."""
    results = Results(options.results, page)
    for seed in range(options.seeds):
        for padding in options.paddings:
            name = f"{padding}-repeated-{seed}" if options.repeated else f"{padding}-{seed}"
            train = functools.partial(cell, padding, seed, options.epochs, options.repeated)
            results.once(name, train)


if __name__ == "__main__":
    sys.exit(run(lambda: main(read_options(Options, sys.argv[1:])), name="kayhan2020"))
