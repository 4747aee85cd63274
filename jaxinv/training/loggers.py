"""Where the figures of a run go besides its own file: TensorBoard, Weights & Biases."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxinv.training.config import TrainConfig


class Logger(Protocol):
    """What is told the figures of each epoch."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Takes the figures after so many steps."""

    def close(self) -> None:
        """Ends, after a run that finished and after one that did not."""


class TensorBoard:
    """Event files in the workdir's folder tensorboard."""

    def __init__(self, workdir: Path, *, step: int):
        """Drops what comes after `step`.

        Raises:
          ValueError: tensorboardX is not installed.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ValueError(
                "tensorboard needs tensorboardX: pip install 'jaxinv[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Logger`."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """See `Logger`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of a project of Weights & Biases; a workdir that is resumed goes on with its run."""

    def __init__(self, workdir: Path, *, project: str, config: Mapping[str, Any]):
        """Starts the run, or goes on with it.

        Raises:
          ValueError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise ValueError("wandb needs wandb: pip install 'jaxinv[wandb]'") from None
        place = str(workdir.resolve())
        self._run = wandb.init(
            project=project,
            dir=place,
            name=workdir.resolve().name,
            id=hashlib.sha256(place.encode()).hexdigest()[:16],
            resume="allow",
            config=dict(config),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Logger`."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """See `Logger`."""
        self._run.finish()


def loggers_of(config: TrainConfig, workdir: Path | None, *, step: int) -> list[Logger]:
    """The loggers that a configuration asks for; none without a workdir.

    Args:
      config: the run.
      workdir: its folder.
      step: the step that a resumed run starts from.

    Raises:
      ValueError: a package is not installed.
    """
    loggers: list[Logger] = []
    if workdir is not None and config.tensorboard:
        loggers.append(TensorBoard(workdir, step=step))
    if workdir is not None and config.wandb is not None:
        loggers.append(WeightsAndBiases(workdir, project=config.wandb, config=config.to_dict()))
    return loggers
