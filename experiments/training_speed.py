"""Time of train.py's steps beside the same step in plain jitted JAX, and the price of distortions.

`python -m experiments.training_speed --data-dir DIR` trains Simard's net (and the MLP) on MNIST
through `train_and_evaluate`'s own loop, and runs the same steps in a bare loop over batches that
are already float32 on the device. The fastest epochs of both are compared, in wall-clock time and
in processor time (which a busy machine disturbs less).
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from jaxinv import data, models
from jaxinv.command_line import read_options, run
from jaxinv.training import TrainConfig, cross_entropy, train_and_evaluate
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.presets import preset


@dataclasses.dataclass(frozen=True)
class Options:
    """Time an epoch."""

    data_dir: str | None = None
    """Folder of prepared TFDS data sets."""
    networks: tuple[str, ...] = ("conv", "mlp")
    """Networks of Simard et al. to time."""
    images: int = 60000
    """Images of an epoch."""
    repeats: int = 3
    """Epochs timed of each kind."""


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that work takes, by the wall clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(work())
    return time.perf_counter() - wall, time.process_time() - cpu


def bare_loop(config: TrainConfig) -> Callable[[], object]:
    """An epoch of the same steps in plain JAX over batches prepared beforehand."""
    train = data.load(
        config.dataset, split=config.train_split, data_dir=config.data_dir, canvas=config.canvas
    )
    steps = len(train) // config.batch_size
    shape = (steps, config.batch_size)
    count = steps * config.batch_size
    images = jnp.asarray(data.normalise(train.images[:count], mean=train.mean, std=train.std))
    batches = list(images.reshape(*shape, *images.shape[1:]))
    labels = list(jnp.asarray(train.labels[:count]).reshape(shape))
    model = models.create(config.model, **config.model_options)
    tx = make_optimizer(config, steps_per_epoch=steps)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, images, labels):
        def loss(params):
            logits = jnp.asarray(model.apply(params, images, train=True))
            return cross_entropy(logits, labels, label_smoothing=config.label_smoothing).mean()

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    def epoch():
        params = model.init(jax.random.key(0), batches[0][:1])
        state = tx.init(params)
        for images, target in zip(batches, labels, strict=True):
            params, state = step(params, state, images, target)
        return params

    jax.block_until_ready(epoch())
    return epoch


def epoch_times(config: TrainConfig, repeats: int) -> tuple[float, float]:
    """The fastest epoch of train.py's loop after the first, which compiles."""
    walls, cpus, began = [], [], time.process_time()

    def epoch_done(record):
        nonlocal began
        walls.append(record["seconds"])
        cpus.append(time.process_time() - began)
        began = time.process_time()

    config = dataclasses.replace(config, epochs=repeats + 1, eval_every=1000)
    train_and_evaluate(config, show=False, on_epoch=epoch_done)
    return min(walls[1:-1] or walls), min(cpus[1:-1] or cpus)


def main(options: Options) -> None:
    """Print one row a network and augmentation."""
    table = Table(title=f"seconds of an epoch of {options.images} images, fastest")
    for column in ("network", "augmentation", "wall", "x bare", "processor", "x bare", "x none"):
        table.add_column(column)
    for network in options.networks:
        base = dataclasses.replace(
            preset(f"simard2003-{network}-none"),
            data_dir=options.data_dir,
            train_split=f"train[:{options.images}]",
            test_split="test[:100]",
        )
        loop = bare_loop(base)
        bare = np.min([timed(loop) for _ in range(options.repeats)], 0)
        table.add_row(network, "bare loop", f"{bare[0]:.2f}", "1", f"{bare[1]:.2f}", "1", "")
        plain = None
        for augment in ("none", "translate", "affine", "elastic"):
            config = dataclasses.replace(base, augment=augment)
            wall, cpu = epoch_times(config, options.repeats + 1)
            plain = plain or cpu
            table.add_row(
                network,
                augment,
                f"{wall:.2f}",
                f"{wall / bare[0]:.2f}",
                f"{cpu:.2f}",
                f"{cpu / bare[1]:.2f}",
                f"{cpu / plain:.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run(lambda: main(read_options(Options, sys.argv[1:])), name="training_speed"))
