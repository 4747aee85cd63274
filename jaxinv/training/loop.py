"""`train_and_evaluate`: a run from its configuration to a trained network."""

import contextlib
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import Progress

from jaxinv import data
from jaxinv.training import checkpoints as storage
from jaxinv.training.config import CHANGEABLE, TrainConfig
from jaxinv.training.devices import (
    data_mesh,
    over_seeds,
    padded_to_devices,
    replicate,
    shard_batch,
)
from jaxinv.training.interrupts import stop_on_signals
from jaxinv.training.optimizers import learning_rate, make_optimizer
from jaxinv.training.records import Display, Every, Record, Recorder, brief
from jaxinv.training.state import TrainState, keys
from jaxinv.training.step import make_evaluation, make_step

# Steps run by one call of the compiled program. On accelerators a step may take less time than
# calling it, so many go into one `scan`. On the processor XLA runs convolutions inside loops
# several times slower than outside, and a call costs little beside a step.
STEPS_PER_CALL = 32
EVALUATION_BATCH = 500


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run ends with.

    Attributes:
      model: the linen network.
      variables: those of the last step (their moving average where there is one); with several
        seeds every array has a leading axis for them.
      config: the run's configuration.
      metrics: the last epoch's record, as in metrics.jsonl.
      history: the records of all epochs.
      step: optimiser steps taken.
      data: number of classes, and the scale and shape of the images.

    Example:
      >>> TrainResult.__dataclass_fields__.keys() >= {"model", "variables", "metrics"}
      True

    Reference: modelled on `train_and_evaluate` of https://github.com/google/flax.
    """

    model: nn.Module
    variables: dict[str, Any]
    config: TrainConfig
    metrics: Record
    history: list[Record]
    step: int
    data: storage.DataInfo


def train_and_evaluate(
    config: TrainConfig,
    workdir: str | os.PathLike | None = None,
    *,
    resume: bool = False,
    show: bool | Progress = True,
    on_epoch: Callable[[Record], None] | None = None,
    stop: threading.Event | None = None,
) -> TrainResult:
    """Train a network and evaluate it after each epoch.

    In `workdir` it leaves config.json, metrics.jsonl with a line an epoch, and checkpoints of the
    best and the last epoch evaluated, each written whole or not at all. A run that was stopped or
    killed and is resumed ends with the same parameters, bit for bit, as one that was not.

    Args:
      config: what to do.
      workdir: where to leave the results; None: nowhere.
      resume: continue the run in `workdir` from its last checkpoint.
      show: a progress bar (lines, if the output is not a terminal), nothing, or the bar to add to.
      on_epoch: called with each epoch's record, the line of metrics.jsonl.
      stop: an event that another thread sets to end the run as Ctrl-C does.

    Returns:
      A `TrainResult`.

    Raises:
      ValueError: the configuration cannot be run; `workdir` holds another run, or none to resume.
      FloatingPointError: the loss became infinite or NaN; the last good checkpoint is kept.
      OSError: the workdir cannot be written; what was stored before is kept.
      KeyboardInterrupt: Ctrl-C or `stop`, after the state was stored.

    Examples:
      >>> config = TrainConfig(model="mlp", epochs=1, train_split="train[:256]")
      >>> result = train_and_evaluate(config, show=False)
      >>> result.step, sorted(result.metrics)[:2]
      (4, ['epoch', 'learning_rate'])

    References:
      https://github.com/google/flax/tree/main/examples/mnist, whose interface this follows.
    """
    folder = None if workdir is None else Path(workdir)
    if folder is not None:
        _check_workdir(folder, config, resume)
    elif resume:
        raise ValueError("resume needs a workdir.")
    run = _Run(config, folder, resume=resume, show=show)
    run.on_epoch = on_epoch
    return run.train(threading.Event() if stop is None else stop)


def _check_workdir(workdir: Path, config: TrainConfig, resume: bool) -> None:
    if not resume:
        for name in (storage.CONFIG_FILE, storage.METRICS_FILE, storage.CHECKPOINTS):
            if (workdir / name).exists():
                raise ValueError(
                    f"workdir {workdir} already holds a run ({name}); continue it with --resume "
                    "or choose another workdir."
                )
        return
    stored, _ = storage.read_run(workdir)
    for field in dataclasses.fields(TrainConfig):
        before, now = getattr(stored, field.name), getattr(config, field.name)
        if before != now and field.name not in CHANGEABLE:
            raise ValueError(
                f"workdir {workdir} holds a run with {field.name} {before!r}, which cannot be "
                f"resumed with {now!r}."
            )


@contextlib.contextmanager
def _writing(workdir: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if str(error).startswith("the checkpoint"):
            raise
        raise OSError(f"workdir {workdir} cannot be written: {storage.reason(error)}") from error


@functools.partial(jax.jit, static_argnames="size")
def _order_of(key: jax.Array, epoch: jax.Array, *, size: int) -> jax.Array:
    """The order of the images in an epoch; compiled once for all runs on so many images."""
    return jax.random.permutation(jax.random.fold_in(keys(key)["order"], epoch), size)


class _Run:
    """The parts of a run that its phases share."""

    on_epoch: Callable[[Record], None] | None = None

    def __init__(
        self, config: TrainConfig, workdir: Path | None, *, resume: bool, show: bool | Progress
    ):
        self.config, self.workdir, self.resume = config, workdir, resume
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
                f"on in {config.dataset} {config.train_split} less {config.holdout} held out."
            )
        self.info = storage.DataInfo.of(train, size=size)
        self.steps_per_epoch = size // config.batch_size
        self.total = config.epochs * self.steps_per_epoch
        self.many = config.seeds > 1
        self.model, self._make_state = storage.state_maker(config, self.info)
        mesh = self.mesh = data_mesh(config.batch_size // config.accumulate)
        put = functools.partial(replicate, mesh=mesh)
        self.train_data = put((train.images[:size], train.labels[:size]))
        self.splits = {"test": put((test.images, test.labels))}
        if config.holdout:
            self.splits["holdout"] = put((train.images[size:], train.labels[size:]))
        self._compile()
        self.display = Display(show, total=self.total, title=f"{config.model} on {config.dataset}")

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
        self.batch = padded_to_devices(EVALUATION_BATCH, self.mesh)
        evaluate = make_evaluation(
            config, model=self.model, batch_size=self.batch, place=place, **scale
        )

        order: Callable[..., jax.Array] = functools.partial(_order_of, size=self.info.size)
        make = self._make_state
        if self.many:
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
        self._evaluate, self._order = jax.jit(evaluate), order
        # Run once: on the processor, optimising random initialisers takes LLVM longer than an epoch
        # of a small network.
        once = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        self._make = jax.jit(make, compiler_options=once)

    def _first_state(self) -> TrainState:
        if not self.many:
            return self._make(jax.random.key(self.config.seed))
        seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        return self._make(jnp.stack([jax.random.key(seed) for seed in seeds]))

    def _scores(self, state: TrainState) -> Record:
        """Loss and accuracy on each split that is only looked at."""
        scores: Record = {}
        for split, (images, labels) in self.splits.items():
            sums = [
                self._evaluate(state.variables, start, images, labels)
                for start in range(0, len(labels), self.batch)
            ]
            losses, correct = np.sum(jax.device_get(sums), 0) / len(labels)
            scores |= {f"{split}_loss": losses.tolist(), f"{split}_accuracy": correct.tolist()}
        return scores

    def train(self, stop: threading.Event) -> TrainResult:
        """Train to the end, or until asked to stop."""
        with contextlib.ExitStack() as stack:
            with _writing(self.workdir):
                self._open(stack)
            stack.enter_context(stop_on_signals(stop))
            stack.enter_context(self.display.running())
            self._train(stop)
        variables = self.state.variables
        records = self.recorder.records
        metrics = records[-1] if records else {}
        return TrainResult(
            self.model, variables, self.config, metrics, records, self.step, self.info
        )

    def _open(self, stack: contextlib.ExitStack) -> None:
        """Make the workdir ready and the state: a new one, or that of the last checkpoint."""
        self.best = storage.best_template()
        self.step = 0
        state = self._first_state()
        self.kept: dict[str, storage.Checkpoints] = {}
        if self.workdir is not None:
            self.workdir.mkdir(parents=True, exist_ok=True)
            for which in ("last", "best"):
                self.kept[which] = storage.Checkpoints(self.workdir, which)  # type: ignore[arg-type]
                stack.callback(self.kept[which].close)
            if self.resume and self.kept["last"].steps():
                template = {"state": storage.pack(state), "best": self.best}
                self.step, tree = self.kept["last"].restore(template)
                state, self.best = storage.unpack(tree["state"], state), tree["best"]
            storage.write_run(self.workdir, self.config, self.info)
        self.state = replicate(state, self.mesh)
        self.recorder = Recorder(self.workdir, step=self.step, tensorboard=self.config.tensorboard)
        stack.callback(self.recorder.close)

    def _train(self, stop: threading.Event) -> None:
        glance, save = Every(0.3), Every(60 * self.config.checkpoint_minutes)
        per_call = 1 if jax.default_backend() == "cpu" else STEPS_PER_CALL
        order, began = None, time.monotonic()
        while self.step < self.total:
            epoch, position = divmod(self.step, self.steps_per_epoch)
            if order is None:
                order = self._order(self.state.key, epoch)
            # Calls end at fixed positions, so that a resumed run makes the same calls.
            count = min(per_call - position % per_call, self.steps_per_epoch - position)
            self.state = self._advance(self.state, order, *self.train_data, count)
            self.step += count
            ended = position + count == self.steps_per_epoch
            stopping = stop.is_set()  # read once: a signal may come at any line
            if ended or stopping or glance.due():
                self._look(epoch)
            if ended:
                self._end_epoch(epoch + 1, time.monotonic() - began)
                order, began = None, time.monotonic()
            if (ended and self._looks_after(epoch + 1)) or stopping or save.due():
                self._save("last")
            if stopping:
                raise KeyboardInterrupt(self._stopped())
        if not self.recorder.records or self.recorder.records[-1]["step"] < self.step:
            self._end_epoch(self.config.epochs, 0.0)
            self._save("last")

    def _stopped(self) -> str:
        if self.workdir is None:
            return f"stopped at step {self.step} of {self.total}."
        return (
            f"stopped at step {self.step} of {self.total}; all of it is kept, and --resume "
            "continues from there."
        )

    def _means(self) -> Record:
        sums = jax.device_get(self.state.sums)
        count = np.maximum(sums["count"], 1)
        return {
            "train_loss": (sums["loss"] / count).tolist(),
            "train_accuracy": (sums["correct"] / count).tolist(),
        }

    def _look(self, epoch: int) -> None:
        """Show how it goes; stop if it goes wrong."""
        means = self._means()
        if not np.isfinite(means["train_loss"]).all():
            self._diverged(f"the loss is {brief(means['train_loss'])}")
        self.display.update(
            self.step,
            f"epoch {epoch + 1}/{self.config.epochs}, loss {brief(means['train_loss'])}",
        )

    def _diverged(self, what: str) -> None:
        kept = "no checkpoint was written before"
        if self.workdir is None:
            kept = "nothing is kept without a workdir"
        elif steps := self.kept["last"].steps():
            kept = f"the checkpoint of step {steps[-1]} is kept"
        raise FloatingPointError(
            f"{what} at step {self.step}; {kept}. Try a smaller learning rate than "
            f"{self.config.learning_rate:g}, or --clip-norm 1."
        )

    def _looks_after(self, epoch: int) -> bool:
        """Whether the network is evaluated and stored after so many epochs."""
        return epoch % self.config.eval_every == 0 or epoch >= self.config.epochs

    def _end_epoch(self, epoch: int, seconds: float) -> None:
        rate = learning_rate(self.config, steps_per_epoch=self.steps_per_epoch)
        record: Record = {"epoch": epoch, "step": self.step, **self._means()}
        looked = self._looks_after(epoch)
        if looked:
            record |= self._scores(self.state)
        record |= {"learning_rate": float(rate(self.step)), "seconds": round(seconds, 3)}
        with _writing(self.workdir):
            self.recorder.add(record)
        self.display.epoch(record, self.config.epochs)
        if self.on_epoch is not None:
            self.on_epoch(record)
        if not looked:
            return
        score = -float(np.mean(record["train_loss"]))
        if self.config.holdout:
            score = float(np.mean(record["holdout_accuracy"]))
        if score > self.best["score"]:
            self.best = {"score": np.array(score), "step": np.array(self.step)}
            self._save("best")

    def _save(self, which: str) -> None:
        if self.workdir is None:
            return
        state = storage.pack(self.state)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state["params"])):
            self._diverged("a parameter is infinite or NaN")
        with _writing(self.workdir):
            self.kept[which].save(self.step, {"state": state, "best": self.best})
