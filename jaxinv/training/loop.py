"""`train_and_evaluate`: a run from its configuration to a trained network."""

import contextlib
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from rich.progress import Progress

from jaxinv.data import Source
from jaxinv.devices import replicate
from jaxinv.files import refuse_if_locked
from jaxinv.hosts import agreement as hosts
from jaxinv.training import checkpoints as storage
from jaxinv.training import workdir as folders
from jaxinv.training.config import TrainConfig
from jaxinv.training.interrupts import stop_on_signals
from jaxinv.training.loggers import loggers_of
from jaxinv.training.optimizers import learning_rate
from jaxinv.training.program import Program, steps_per_call
from jaxinv.training.records import Display, Every, Record, Recorder, brief
from jaxinv.training.splits import Given, named_splits
from jaxinv.training.state import TrainState


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
    """

    model: nn.Module
    variables: dict[str, Any]
    config: TrainConfig
    metrics: Record
    history: list[Record]
    step: int
    data: folders.DataInfo


def train_and_evaluate(
    config: TrainConfig,
    workdir: str | os.PathLike | None = None,
    *,
    data: Given | None = None,
    resume: bool = False,
    show: bool | Progress = True,
    on_epoch: Callable[[Record], None] | None = None,
    stop: threading.Event | None = None,
) -> TrainResult:
    """Trains a network and evaluates it after each epoch.

    In `workdir` it leaves config.json, metrics.jsonl with one line per epoch, and checkpoints of
    the best and the last epoch evaluated, each written whole or not at all. A run that was stopped
    or killed and is resumed ends with the same parameters, bit for bit, as one that was not.

    Args:
      config: what to do.
      workdir: where to leave the results; None: nowhere.
      data: images and labels, or a `jaxinv.data.Source`, instead of those that `config.dataset`
        names; or a dictionary of them by split. What is no dictionary is the split "train". A part
        of it may be reported on (`test_split="train[80%:]"`); without a split "test" none need be.
      resume: continue the run in `workdir` from its last checkpoint.
      show: a progress bar (lines, if the output is not a terminal), nothing, or the bar to add to.
      on_epoch: called with each epoch's record, the line of metrics.jsonl.
      stop: an event that another thread sets to end the run as Ctrl-C does.

    Returns:
      The trained network and its records.

    Raises:
      ValueError: the configuration cannot be run, or on these data; `workdir` holds another run,
        or none to resume.
      FloatingPointError: the loss became infinite or NaN; the last good checkpoint is kept.
      OSError: the workdir cannot be written; what was stored before is kept.
      KeyboardInterrupt: Ctrl-C or `stop`, after the state was stored.

    Example:
      >>> config = TrainConfig(model="mlp", epochs=1, train_split="train[:256]")
      >>> result = train_and_evaluate(config, show=False)
      >>> result.step, sorted(result.metrics)[:2]
      (4, ['epoch', 'learning_rate'])
    """
    named = None if data is None else named_splits(data, void=config.void)
    if named is not None:
        config = dataclasses.replace(config, dataset=next(iter(named.values())).name)
    folder = None if workdir is None else Path(workdir)
    if folder is not None:
        # Once more when it is opened; said here before data are read.
        with folders.writing(folder):
            hosts.by_first(lambda: refuse_if_locked(folder))
        hosts.by_first(lambda: folders.check(folder, config, resume=resume))
    elif resume:
        raise ValueError("resume needs a workdir")
    run = _Run(config, folder, named, resume=resume, show=show)
    run.on_epoch = on_epoch
    return run.train(threading.Event() if stop is None else stop)


class _Run:
    """The parts of a run that its phases share."""

    on_epoch: Callable[[Record], None] | None = None

    def __init__(
        self,
        config: TrainConfig,
        workdir: Path | None,
        named: dict[str, Source] | None,
        *,
        resume: bool,
        show: bool | Progress,
    ):
        self.config, self.workdir, self.resume = config, workdir, resume
        self.program = Program(config, named)
        self.display = Display(
            show if hosts.first() else False,
            total=self.program.total,
            title=f"{config.model} on {config.dataset}",
        )

    def train(self, stop: threading.Event) -> TrainResult:
        """Trains to the end, or until asked to stop."""
        with contextlib.ExitStack() as stack:
            self._open(stack)
            stack.enter_context(stop_on_signals(stop))
            stack.enter_context(self.display.running())
            self._train(stop)
        variables = self.state.variables
        records = self.recorder.records
        metrics = records[-1] if records else {}
        return TrainResult(
            self.program.model,
            variables,
            self.config,
            metrics,
            records,
            self.step,
            self.program.info,
        )

    def _open(self, stack: contextlib.ExitStack) -> None:
        """Makes the workdir ready and the state: a new one, or that of the last checkpoint."""
        self.best = storage.best_template()
        self.step = 0
        state = self.program.first_state()
        self.kept: dict[str, storage.Checkpoints] = {}
        if self.workdir is not None:
            hosts.by_first(functools.partial(self._open_workdir, self.workdir, stack))
            with folders.writing(self.workdir):
                state = self._open_checkpoints(self.workdir, state, stack)
        self.state = replicate(state, self.program.mesh)
        self._save_if_best()  # what a kill just after the last checkpoint left undone
        with folders.writing(self.workdir):
            loggers = loggers_of(self.config, self.workdir, step=self.step) if hosts.first() else ()
            self.recorder = Recorder(self.workdir, step=self.step, loggers=loggers)
        stack.callback(self.recorder.close)

    def _open_workdir(self, workdir: Path, stack: contextlib.ExitStack) -> None:
        stack.enter_context(folders.opened(workdir))
        folders.check(workdir, self.config, resume=self.resume, data=self.program.info)
        if not self.resume:
            # Before anything else: from now on the run can be resumed.
            folders.write_run(workdir, self.config, self.program.info)

    def _open_checkpoints(
        self, workdir: Path, state: TrainState, stack: contextlib.ExitStack
    ) -> TrainState:
        for which in ("last", "best"):
            self.kept[which] = storage.Checkpoints(workdir, which)  # type: ignore[arg-type]
            stack.callback(self.kept[which].close)
        template = {"state": storage.pack(state), "best": self.best}
        if self.kept["last"].steps():
            self.step, tree = self.kept["last"].restore(template)
            state, self.best = storage.unpack(tree["state"], state), tree["best"]
        self._agree_on_best(template)
        if self.resume:
            hosts.by_first(lambda: folders.write_run(workdir, self.config, self.program.info))
        return state

    def _agree_on_best(self, template: dict[str, Any]) -> None:
        """Takes the best for what is stored as such, and nothing that comes after the last.

        They differ where the last checkpoint is older, or was written before the network of its
        step was looked at; the epochs in between may not be looked at again.
        """
        kept = self.kept["best"]
        kept.drop_after(self.step)
        stored = max(kept.steps(), default=None)
        if self.best["step"] in (stored, self.step):
            return
        self.best = storage.best_template()
        if stored is not None:
            self.best = kept.restore(template)[1]["best"]

    def _train(self, stop: threading.Event) -> None:
        glance, save = Every(0.3), Every(60 * self.config.checkpoint_minutes)
        per_call = steps_per_call()
        advance, began = None, time.monotonic()
        while self.step < self.program.total:
            epoch, position = divmod(self.step, self.program.steps_per_epoch)
            if advance is None:
                advance = self.program.epoch(self.state.key, epoch, position=position)
            # Calls end at fixed positions, so that a resumed run makes the same calls.
            count = min(per_call - position % per_call, self.program.steps_per_epoch - position)
            self.state = advance(self.state, count)
            self.step += count
            ended = position + count == self.program.steps_per_epoch
            # Read once: a signal may come at any line. All processes do the same after a step.
            stopping, glancing, saving = hosts.any_of(stop.is_set(), glance.due(), save.due())
            if ended or stopping or glancing:
                self._look(epoch)
            if ended:
                self._end_epoch(epoch + 1, time.monotonic() - began)
                advance, began = None, time.monotonic()
            if (ended and self._looks_after(epoch + 1)) or stopping or saving:
                self._save("last")
                self._save_if_best()
            if ended:
                self._tell()
            if stopping:
                raise KeyboardInterrupt(self._stopped())
        record = self.recorder.records[-1] if self.recorder.records else {}
        if record.get("step") != self.step or not self.program.was_looked_at(record):
            # No step was left to do, and the network was never looked at after the last one.
            self._end_epoch(self.config.epochs, 0.0)
            self._save("last")
            self._save_if_best()
            self._tell()

    def _tell(self) -> None:
        """Shows the last epoch, after it is stored: showing it may fail."""
        record = self.recorder.records[-1]
        self.display.epoch(record, self.config.epochs)
        if self.on_epoch is not None:
            self.on_epoch(record)

    def _stopped(self) -> str:
        if self.workdir is None:
            return f"stopped at step {self.step} of {self.program.total}"
        return (
            f"stopped at step {self.step} of {self.program.total}; all of it is kept, and --resume "
            "continues from there"
        )

    def _means(self) -> Record:
        sums = jax.device_get(self.state.sums)
        count = sums["count"]
        if not np.all(count):
            return {}  # a run of no epochs
        return {
            "train_loss": (sums["loss"] / count).tolist(),
            "train_accuracy": (sums["correct"] / count).tolist(),
        }

    def _look(self, epoch: int) -> None:
        """Shows how it goes; stops if it goes wrong."""
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
            f"{what} at step {self.step}; {kept}; try a smaller learning rate than "
            f"{self.config.learning_rate:g}, or --clip-norm 1"
        )

    def _looks_after(self, epoch: int) -> bool:
        """Whether the network is evaluated and stored after this many epochs."""
        return epoch % self.config.eval_every == 0 or epoch >= self.config.epochs

    def _end_epoch(self, epoch: int, seconds: float) -> None:
        rate = learning_rate(self.config, steps_per_epoch=self.program.steps_per_epoch)
        record: Record = {"epoch": epoch, "step": self.step, **self._means()}
        looked = self._looks_after(epoch)
        if looked:
            record |= self.program.scores(self.state)
            for name in (name for name in record if name.endswith("_loss")):
                if not np.isfinite(record[name]).all():
                    self._diverged(f"{name} is {brief(record[name])}")
        record |= {"learning_rate": float(rate(self.step)), "seconds": round(seconds, 3)}
        with folders.writing(self.workdir):
            self.recorder.add(record)
        if not looked:
            return
        score = -float(np.mean(record.get("train_loss", np.finfo(np.float32).max)))
        if self.config.holdout:
            score = float(np.mean(record["holdout_accuracy"]))
        if score > self.best["score"]:
            self.best = {"score": np.array(score), "step": np.array(self.step)}

    def _save_if_best(self) -> None:
        # After the last checkpoint, so that none is newer.
        if np.isfinite(self.best["score"]) and self.best["step"] == self.step:
            self._save("best")

    def _save(self, which: str) -> None:
        if self.workdir is None:
            return
        state = storage.pack(self.state)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state["params"])):
            self._diverged("a parameter is infinite or NaN")
        with folders.writing(self.workdir):
            self.kept[which].save(self.step, {"state": state, "best": self.best})
