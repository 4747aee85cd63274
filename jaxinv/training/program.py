"""The compiled functions of a run, and the data on the devices that they run on."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import data
from jaxinv.devices import data_mesh, padded_to_devices, replicate, shard_batch
from jaxinv.orbit.memory import free_bytes
from jaxinv.training import checkpoints as storage
from jaxinv.training.config import TrainConfig
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.records import Record
from jaxinv.training.seeds import over_seeds
from jaxinv.training.state import TrainState, keys
from jaxinv.training.step import OBJECTIVES, make_evaluation, make_step
from jaxinv.training.workdir import DataInfo, reason

EVALUATION_BATCH = 500


def steps_per_call() -> int:
    """Steps run by one call of the compiled program.

    On accelerators a step may take less time than calling it, so many go into one `scan`. On the
    processor XLA runs convolutions inside loops several times slower than outside, and a call costs
    little beside a step.
    """
    return 1 if jax.default_backend() == "cpu" else 32


@functools.partial(jax.jit, static_argnames="size")
def _order_of(key: jax.Array, epoch: jax.Array, *, size: int) -> jax.Array:
    """The order of the images in an epoch; compiled once for all runs of a size."""
    return jax.random.permutation(jax.random.fold_in(keys(key)["order"], epoch), size)


class Program:
    """A configuration with its data, network and compiled functions, before any state.

    Attributes:
      config: the configuration.
      info: what the data are like.
      steps_per_epoch: optimiser steps of an epoch.
      total: those of the run.
      model: the network.
      mesh: the devices that batches are split over, or None.
      order: the epoch's order of the images, of a state's key and the epoch.
    """

    def __init__(self, config: TrainConfig):
        """Reads the data; compiles nothing.

        Raises:
          ValueError: there are no such data or network, or their sizes do not fit together.
        """
        self.config = config
        load = functools.partial(
            data.load,
            config.dataset,
            data_dir=config.data_dir,
            manual_dir=config.manual_dir,
            canvas=config.canvas,
        )
        train, test = load(split=config.train_split), load(split=config.test_split)
        size = len(train) - config.holdout
        if size < config.batch_size:
            raise ValueError(
                f"batch_size is {config.batch_size}, and there are {max(size, 0)} images to train "
                f"on in {config.dataset} {config.train_split} less {config.holdout} held out"
            )
        self.info = DataInfo.of(train, size=size)
        self.steps_per_epoch = size // config.batch_size
        self.total = config.epochs * self.steps_per_epoch
        self._check_sizes()
        self._many = config.seeds > 1
        self.model, self._make_state = storage.state_maker(config, self.info)
        mesh = self.mesh = data_mesh(config.batch_size // config.accumulate)
        put = functools.partial(replicate, mesh=mesh)
        self._train_data = put((train.images[:size], train.labels[:size]))
        self._splits = {"test": put((test.images, test.labels))}
        if config.holdout:
            self._splits["holdout"] = put((train.images[size:], train.labels[size:]))
        self._compile()

    def _check_sizes(self) -> None:
        """Refuses sizes that do not fit together, before anything is computed."""
        config, size = self.config, self.info.image_shape[:2]
        moves = {"translate", "crop", *OBJECTIVES} & set(config.augment.split("+"))
        if moves and config.max_shift is not None and np.any(np.array(size) <= config.max_shift):
            raise ValueError(
                f"max_shift is {config.max_shift}; for images of {size[0]}x{size[1]} it must be at "
                f"most {min(size) - 1}, or nothing of them is left"
            )
        if self.total > np.iinfo(np.int32).max:
            raise ValueError(
                f"epochs is {config.epochs}; steps are counted up to {np.iinfo(np.int32).max:,}, "
                f"and an epoch has {self.steps_per_epoch}"
            )

    def _compile(self) -> None:
        config, place = self.config, shard_batch(self.mesh)
        scale = {"mean": self.info.mean, "std": self.info.std}
        optimizer = make_optimizer(config, steps_per_epoch=self.steps_per_epoch)
        step = make_step(
            config,
            model=self.model,
            optimizer=optimizer,
            steps_per_epoch=self.steps_per_epoch,
            place=place,
            **scale,
        )
        self._batch = padded_to_devices(EVALUATION_BATCH, self.mesh)
        evaluate = make_evaluation(
            config, model=self.model, batch_size=self._batch, place=place, **scale
        )

        order: Callable[..., jax.Array] = functools.partial(_order_of, size=self.info.size)
        make = self._make_state
        if self._many:
            across = functools.partial(over_seeds, seeds=config.seeds)
            step, evaluate = across(step, mapped=2), across(evaluate, mapped=1)
            order, make = jax.jit(across(order, mapped=1)), across(make, mapped=1)

        @functools.partial(jax.jit, donate_argnums=0, static_argnums=4)
        def advance(state, order, images, labels, count):
            if count == 1:
                return step(state, order, images, labels)
            return jax.lax.scan(
                lambda state, _: (step(state, order, images, labels), None),
                state,
                length=count,
            )[0]

        self._advance = advance
        self._evaluate, self.order = jax.jit(evaluate), order
        # Run once: on the processor, optimising random initialisers takes LLVM longer than an epoch
        # of a small network.
        once = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        self._make = jax.jit(make, compiler_options=once)

    def first_state(self) -> TrainState:
        """The state before the first step; with several seeds a leading axis for them.

        Raises:
          ValueError: the network or a distortion refuses its options, or memory is too small.
        """
        seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        all_keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        key = all_keys if self._many else all_keys[0]
        made = jax.eval_shape(self._make, key)
        arrays = jax.tree.leaves(made.replace(key=None))  # type: ignore[attr-defined]
        need, room = sum(leaf.size * leaf.dtype.itemsize for leaf in arrays), free_bytes()
        if need > room:
            raise ValueError(
                f"{self.config.model} with its optimiser's state takes {need / 2**30:,.1f} GiB for "
                f"{len(seeds)} seed(s), and {room / 2**30:.1f} GiB are free"
            )
        self._trace_a_step(made)
        return self._make(key)

    def _trace_a_step(self, state: TrainState) -> None:
        """Lets the network and the distortions refuse their options, before anything is written."""
        order = jax.eval_shape(self.order, state.key, 0)
        count = min(steps_per_call(), self.steps_per_epoch)
        try:
            jax.eval_shape(
                lambda *args: self._advance(*args, count), state, order, *self._train_data
            )
        except (ValueError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(
                f"model {self.config.model} with options {self.config.model_options} cannot be "
                f"trained: {reason(error)}"
            ) from error

    def advance(self, state: TrainState, order: jax.Array, count: int) -> TrainState:
        """The state `count` steps later; the memory of the old one is given up."""
        return self._advance(state, order, *self._train_data, count)

    def scores(self, state: TrainState) -> Record:
        """Loss and accuracy on each split that is only looked at."""
        scores: Record = {}
        for split, (images, labels) in self._splits.items():
            sums = [
                self._evaluate(state.variables, start, images, labels)
                for start in range(0, len(labels), self._batch)
            ]
            losses, correct = np.sum(jax.device_get(sums), 0) / len(labels)
            scores |= {f"{split}_loss": losses.tolist(), f"{split}_accuracy": correct.tolist()}
        return scores
