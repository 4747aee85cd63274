"""Checkpoints of a run: whole or not there, by orbax, and with a digest."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from jaxinv import models
from jaxinv.data.log_level import quiet
from jaxinv.hosts import agreement as hosts
from jaxinv.training.config import TrainConfig
from jaxinv.training.optimizers import make_optimizer
from jaxinv.training.state import TrainState, initial_state
from jaxinv.training.workdir import CHECKPOINTS, DataInfo, read_run, reason

Which = Literal["best", "last"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network, as `load_checkpoint` returns it.

    Attributes:
      model: the linen network.
      variables: what it is applied with: `model.apply(variables, x)`.
      config: the run's configuration.
      step: optimiser steps taken.
      data: number of classes, and the scale and shape of its images.
    """

    model: nn.Module
    variables: dict[str, Any]
    config: TrainConfig
    step: int
    data: DataInfo


class Checkpoints:
    """The checkpoints of one kind ("best" or "last") of a run; the newest is kept."""

    def __init__(self, workdir: Path, which: Which, *, read_only: bool = False):
        self.folder = workdir.absolute() / CHECKPOINTS / which
        with quiet():
            self._manager = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=1,
                    create=not read_only,
                    read_only=read_only,
                    enable_async_checkpointing=False,
                    cleanup_tmp_directories=not read_only,
                ),
            )

    def close(self) -> None:
        """Releases orbax's threads."""
        self._manager.close()

    def steps(self) -> list[int]:
        """The steps stored, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, tree: dict[str, Any]) -> None:
        """Stores a tree of arrays under a step, then drops older ones.

        Raises:
          OSError: it cannot be written; what was stored before is still there.
        """
        if step in self.steps():
            return
        if not hosts.several():  # else each process writes its part of the arrays
            tree = jax.device_get(tree)
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + 2**20
        try:
            free = shutil.disk_usage(self.folder).free
            if free < needed:
                # Asked first: what orbax and tensorstore say of a full disk fills the terminal.
                raise OSError(f"{needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free")
            self._manager.save(
                step, args=ocp.args.StandardSave({**tree, "digest": digest(tree)}), force=True
            )
            self._manager.wait_until_finished()
        except Exception as error:  # orbax and tensorstore raise their own kinds
            before = [s for s in self.steps() if s != step]
            kept = f"that of step {before[-1]} is intact" if before else "there is no earlier one"
            raise OSError(
                f"the checkpoint of step {step} cannot be written to {self.folder} "
                f"({reason(error)}); {kept}"
            ) from error

    def drop_after(self, step: int) -> None:
        """Deletes those of later steps."""
        for later in (s for s in self.steps() if s > step):
            self._manager.delete(later)

    def restore(self, template: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The newest checkpoint and its step.

        Args:
          template: a tree of the same structure with arrays, or their shapes, as leaves.

        Raises:
          ValueError: there is none, it is damaged, or of another structure.
        """
        steps = self.steps()
        if not steps:
            raise ValueError(f"{self.folder} holds no checkpoint")
        where = f"the checkpoint {self.folder / str(steps[-1])}"
        expected = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
        try:
            tree = self._manager.restore(
                steps[-1],
                args=ocp.args.StandardRestore({**expected, "digest": np.zeros(32, np.uint8)}),
            )
        except Exception as error:  # orbax and tensorstore raise their own kinds
            raise ValueError(f"{where} is damaged: {reason(error)}") from error
        stored = tree.pop("digest")
        if jax.tree.map(np.shape, tree) != jax.tree.map(np.shape, expected):
            raise ValueError(f"{where} belongs to another network than its configuration says")
        if not np.array_equal(digest(tree), stored):
            raise ValueError(f"{where} is damaged: its content differs from what was written")
        return steps[-1], tree


def digest(tree: Any) -> np.ndarray:
    """SHA-256 of all arrays of a tree and their paths, as 32 bytes."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(total.digest(), np.uint8)


def pack(state: TrainState) -> dict[str, Any]:
    """A state as nested dictionaries of arrays, keys as their data, absent parts left out."""
    plain = flax.serialization.to_state_dict(state.replace(key=jax.random.key_data(state.key)))  # type: ignore[attr-defined]
    return {name: part for name, part in plain.items() if jax.tree.leaves(part)}


def unpack(packed: dict[str, Any], template: TrainState) -> TrainState:
    """The state that `pack` made of one of the same structure as `template`."""
    plain = flax.serialization.to_state_dict(template.replace(key=0))  # type: ignore[attr-defined]
    state = flax.serialization.from_state_dict(template, {**plain, **packed})
    return state.replace(key=jax.random.wrap_key_data(jnp.asarray(state.key)))


def state_maker(
    config: TrainConfig, data: DataInfo
) -> tuple[nn.Module, Callable[[jax.Array], TrainState]]:
    """The network of a run and the function that makes its first state from a key.

    Raises:
      ValueError: unknown model or option.
    """
    if reserved := {"num_classes", "name", "parent"} & set(config.model_options):
        raise ValueError(f"model option {min(reserved)!r} is not for a run to choose")
    try:
        model = models.create(config.model, num_classes=data.num_classes, **config.model_options)
    except TypeError as error:
        raise ValueError(f"model {config.model!r}: {error}") from None
    optimizer = make_optimizer(config, steps_per_epoch=data.size // config.batch_size)

    def make(key: jax.Array) -> TrainState:
        try:
            return initial_state(
                key,
                model=model,
                optimizer=optimizer,
                shape=data.image_shape,
                ema=config.ema > 0,
                maps=data.label_maps,
            )
        except Exception as error:  # options that do not fit together fail anywhere in a network
            raise ValueError(
                f"model {config.model} with options {config.model_options} cannot be built for "
                f"images of shape {data.image_shape}: {reason(error)}"
            ) from error

    return model, make


def load_checkpoint(
    path: str | os.PathLike, *, which: Which | None = None, seed: int = 0
) -> Trained:
    """Loads a trained network from the workdir of a run.

    Args:
      path: the workdir given to train.py.
      which: "best" or "last"; by default the best where the run held images out to choose it by,
        otherwise the last.
      seed: which network of a run that trained several, from 0.

    Returns:
      The network with its variables.

    Raises:
      ValueError: no run, no checkpoint, or a damaged one; no such seed.

    Example:
      >>> load_checkpoint("runs/nowhere")
      Traceback (most recent call last):
      ValueError: runs/nowhere holds no run of train.py: it has no config.json
    """
    config, data = read_run(path)
    if which not in ("best", "last", None):
        raise ValueError(f"which is {which!r}; allowed are best and last")
    if not 0 <= seed < config.seeds:
        raise ValueError(f"seed is {seed}; the run in {path} has {config.seeds}, from 0")
    which = which or ("best" if config.holdout else "last")
    folder = Path(path).absolute() / CHECKPOINTS / which
    if not folder.is_dir():
        raise ValueError(f"{folder} holds no checkpoint")
    model, make = state_maker(config, data)
    shapes = jax.eval_shape(make, jax.random.key(0))
    many = config.seeds > 1
    if many:
        shapes = jax.eval_shape(jax.vmap(make), jax.random.split(jax.random.key(0), config.seeds))
    template = jax.eval_shape(pack, shapes)
    checkpoints = Checkpoints(Path(path), which, read_only=True)
    try:
        step, tree = checkpoints.restore({"state": template, "best": best_template()})
    finally:
        checkpoints.close()
    stored = tree["state"]
    variables = {
        "params": stored.get("ema", stored["params"]),
        **stored.get("model_state", {}),
    }
    pick = (lambda leaf: jnp.asarray(leaf[seed])) if many else jnp.asarray
    return Trained(model, jax.tree.map(pick, variables), config, step, data)


def best_template() -> dict[str, np.ndarray]:
    """The best score so far and its step, as they are stored beside a state."""
    return {"score": np.array(-np.inf), "step": np.array(0)}
