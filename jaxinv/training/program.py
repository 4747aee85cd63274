"""The compiled functions of a run, and the data on the devices that they run on."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv import data
from jaxinv.data.source import Groups, parse_bytes
from jaxinv.devices import (
    everywhere,
    global_mesh,
    own_rows,
    padded_to_devices,
    replicate,
    shard_batch,
    spread,
)
from jaxinv.hosts import agreement as hosts
from jaxinv.orbit.memory import free_bytes
from jaxinv.training import checkpoints as storage
from jaxinv.training.config import TrainConfig
from jaxinv.training.label_maps import check_augment, mean_iou
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.records import Record
from jaxinv.training.seeds import over_seeds
from jaxinv.training.splits import splits_of
from jaxinv.training.state import TrainState, keys
from jaxinv.training.step import OBJECTIVES, make_evaluation, make_step
from jaxinv.training.workdir import DataInfo, reason

EVALUATION_BATCH = 500


def steps_per_call() -> int:
    """Steps run by one call of the compiled program.

    On accelerators a step may take less time than calling it, so many go into one `scan`. On the
    processor a call costs little beside a step.
    """
    return 1 if jax.default_backend() == "cpu" else 32


@functools.partial(jax.jit, static_argnames="size")
def _order_of(key: jax.Array, epoch: jax.Array, *, size: int) -> jax.Array:
    """The order of the images in an epoch; compiled once for all runs of a size."""
    return jax.random.permutation(jax.random.fold_in(keys(key)["order"], epoch), size)


class Program:
    """A configuration with its data, network and compiled functions, before any state.

    Images that fit into `config.memory` lie on the devices, and a step gathers its batch there.
    Others are read batch by batch, in the same order.

    Attributes:
      config: the configuration.
      info: what the data are like.
      steps_per_epoch: optimiser steps of an epoch.
      total: those of the run.
      model: the network.
      mesh: the devices of all processes, that batches are split over, or None.
    """

    def __init__(self, config: TrainConfig, named: dict[str, data.Source] | None = None):
        """Reads what is held in memory; compiles nothing.

        Args:
          config: the configuration.
          named: data by split, instead of those that the configuration names.

        Raises:
          ValueError: there are no such data or network, or their sizes do not fit together.
        """
        self.config = config
        train, test = splits_of(config, named)
        size = len(train) - config.holdout
        if size < config.batch_size:
            raise ValueError(
                f"batch_size is {config.batch_size}, and there are {max(size, 0)} images to train "
                f"on in {config.dataset} {config.train_split} less {config.holdout} held out"
            )
        self.info = DataInfo.of(train, size=size)
        if self.info.label_maps:
            check_augment(config)
        self.steps_per_epoch = size // config.batch_size
        self.total = config.epochs * self.steps_per_epoch
        self._check_sizes()
        self._many = config.seeds > 1
        self._check_hosts()
        self.model, self._make_state = storage.state_maker(config, self.info)
        self.mesh = global_mesh(config.batch_size // config.accumulate)
        self._train = self._placed(train.part(range(size)))
        self._looked_at = {} if test is None else {"test": self._placed(test)}
        if config.holdout:
            self._looked_at["holdout"] = self._placed(train.part(range(size, len(train))))
        self._compile()

    def _placed(self, split: data.Source) -> "_Split":
        """A split, and all of it on the devices if it fits."""
        if split.nbytes > parse_bytes(self.config.memory):
            return _Split(split, None)
        held = split.load()
        return _Split(split, replicate((held.images, held.labels), self.mesh))

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

    def _check_hosts(self) -> None:
        """Refuses what would let the processes of a run compute different things."""
        moves = set(OBJECTIVES) & set(self.config.augment.split("+"))
        if hosts.several() and moves and self.config.chunk is None:
            raise ValueError(
                f"augment {self.config.augment} needs chunk in several processes: the number of "
                "shifts evaluated together would follow the memory of each"
            )
        hosts.refuse_differences({"data": str(self.info)})

    def _compile(self) -> None:
        config = self.config
        scale = {"mean": self.info.mean, "std": self.info.std}
        step = make_step(
            config,
            model=self.model,
            optimizer=make_optimizer(config, steps_per_epoch=self.steps_per_epoch),
            steps_per_epoch=self.steps_per_epoch,
            place=shard_batch(self.mesh),
            **scale,
        )
        evaluation = make_evaluation(config, model=self.model, **scale)
        self._batch = padded_to_devices(EVALUATION_BATCH, self.mesh)
        order: Callable[..., jax.Array] = functools.partial(_order_of, size=self.info.size)
        make = self._make_state
        if self._many:
            step, evaluation = over_seeds(step, mapped=3), over_seeds(evaluation, mapped=1)
            order, make = jax.jit(over_seeds(order, mapped=1)), over_seeds(make, mapped=1)

        placed: Any = {"out_shardings": everywhere(self.mesh)}

        @functools.partial(jax.jit, donate_argnums=0, **placed)
        def advance(state, held, batches):
            def one(state, batch):
                return step(state, *_read(held, batch)), None

            if len(jax.tree.leaves(batches)[0]) > 1:
                return jax.lax.scan(one, state, batches)[0]
            return one(state, jax.tree.map(lambda array: array[0], batches))[0]

        @functools.partial(jax.jit, **placed)
        def evaluate(variables, held, batch, there):
            return evaluation(variables, *_read(held, batch), there)

        self._advance, self._evaluate = advance, evaluate
        self._order = order
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
        lead = (min(steps_per_call(), self.steps_per_epoch), *self._lead)
        batches: Any = jax.ShapeDtypeStruct(lead, np.int32)
        if self._train.held is None:
            images = jax.ShapeDtypeStruct((*lead, *self.info.image_shape), np.uint8)
            pixels = self.info.image_shape[:2] if self.info.label_maps else ()
            batches = images, jax.ShapeDtypeStruct((*lead, *pixels), np.int32)
        try:
            jax.eval_shape(self._advance, state, self._train.held, batches)
        except (ValueError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(
                f"model {self.config.model} with options {self.config.model_options} cannot be "
                f"trained: {reason(error)}"
            ) from error

    @property
    def _lead(self) -> tuple[int, ...]:
        """The dimensions of the labels of a step."""
        batch = (self.config.batch_size,)
        return (self.config.seeds, *batch) if self._many else batch

    def epoch(
        self, key: jax.Array, epoch: int, *, position: int
    ) -> Callable[[TrainState, int], TrainState]:
        """A function of a state and a count: the state so many steps later in an epoch.

        The memory of the old state is given up.

        Args:
          key: of the run.
          epoch: number of the epoch, from 0.
          position: steps of the epoch that were taken before the first call.
        """
        batches = self._batches(np.asarray(self._order(key, epoch)), position)

        def advance(state: TrainState, count: int) -> TrainState:
            some = list(itertools.islice(batches, count))
            stacked = jax.tree.map(lambda *arrays: np.stack(arrays), *some)
            # In front of the images of a batch stand the steps, and the seeds if there are several.
            on_devices = spread(stacked, self.mesh, dim=len(self._lead))
            return self._advance(state, self._train.held, on_devices)

        return advance

    def _batches(self, order: np.ndarray, position: int) -> Iterator[Any]:
        """The batches of an epoch's order (*seeds, n), from a position on, see `_Split.batches`.

        Of each batch the rows that lie on devices of this process.
        """
        steps, batch = self.steps_per_epoch, self.config.batch_size
        # (*seeds, n) -> (steps, *seeds, batch)
        rows = order[..., : steps * batch].reshape(-1, steps, batch).swapaxes(0, 1)
        rows = rows[..., own_rows(batch, self.mesh)]
        lead = (*self._lead[:-1], rows.shape[-1])
        for read in self._train.batches(rows.reshape(steps, -1)[position:]):
            yield jax.tree.map(lambda array: array.reshape(*lead, *array.shape[1:]), read)

    def scores(self, state: TrainState) -> Record:
        """Loss and accuracy on each split that is only looked at."""
        scores: Record = {}
        for name, split in self._looked_at.items():
            sums = jax.device_get(list(self._sums(state.variables, split)))
            added = (sum(rows[1:], rows[0]) for rows in zip(*sums, strict=True))
            losses, correct, count, *overlap = added
            means = {f"{name}_loss": losses, f"{name}_accuracy": correct}
            scores |= {key: (value / count).tolist() for key, value in means.items()}
            if overlap:
                scores[f"{name}_iou"] = mean_iou(*overlap).tolist()
        return scores

    def was_looked_at(self, record: Record) -> bool:
        """Whether a record has the scores of all splits."""
        return all(f"{name}_loss" in record for name in self._looked_at)

    def _sums(self, variables: Any, split: "_Split") -> Iterator[tuple[jax.Array, ...]]:
        """Losses and right answers summed over each batch of a split."""
        size, own = len(split.source), own_rows(self._batch, self.mesh)
        count = own.stop - own.start
        starts = range(own.start, size + own.start, self._batch)
        # In the last, shorter batch a process may have nothing left to read but the last image.
        firsts = [min(start, size - 1) for start in starts]
        groups = [range(first, min(first + count, size)) for first in firsts]
        for start, rows, read in zip(starts, groups, split.batches(groups), strict=True):
            # One compiled program serves the last, shorter batch too.
            again = np.minimum(np.arange(count), len(rows) - 1)
            there = start + np.arange(count) < size
            batch = jax.tree.map(lambda array, again=again: array[again], read)
            yield self._evaluate(variables, split.held, *spread((batch, there), self.mesh))


@dataclasses.dataclass(frozen=True)
class _Split:
    """Images, and all of them with their labels on the devices if they fit."""

    source: data.Source
    held: tuple[jax.Array, jax.Array] | None

    def batches(self, groups: Groups) -> Iterator[Any]:
        """Groups of rows: their numbers alone where all are on the devices, else read ahead."""
        return self.source.batches(groups) if self.held is None else map(np.asarray, groups)


def _read(held: tuple[jax.Array, jax.Array] | None, batch: Any) -> tuple[jax.Array, jax.Array]:
    """Images and labels of a batch of `_Split.batches`, on the devices."""
    if held is None:
        return batch
    images, labels = held
    return images[batch], labels[batch]
