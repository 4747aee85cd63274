"""Networks trained in the background, while others are evaluated."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from rich.progress import Progress

from jaxinv import data
from jaxinv.training import TrainConfig, TrainResult, train_and_evaluate
from jaxinv.training.workdir import CONFIG_FILE

# A training of small networks, an evaluation, and the compilation of either keep no core busy all
# the time; two trainings beside an evaluation do that for two cores.
AT_ONCE = 2


class Trainings:
    """Trains networks in the order in which they are started, a few at a time.

    As a context it stops those under way at its end, as Ctrl-C does, and waits for that: each keeps
    what it has reached.

    Example:
      >>> import tempfile
      >>> config = TrainConfig(model="mlp", epochs=1, train_split="train[:256]")
      >>> with Trainings() as trainings:
      ...     under_way = trainings.start(config, Path(tempfile.mkdtemp()))
      ...     under_way.result().step
      4
    """

    def __init__(self, progress: Progress | None = None):
        """Starts nothing yet.

        Args:
          progress: a bar to add to.
        """
        self._progress = progress
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self, config: TrainConfig, folder: Path) -> Future[TrainResult]:
        """Trains a network, unless it was before; nothing but its training images is read.

        Args:
          config: how.
          folder: where it is kept.
        """
        return self._pool.submit(self._train, config, folder)

    def _train(self, config: TrainConfig, folder: Path) -> TrainResult:
        images = data.open(config.dataset, split=config.train_split, memory=config.memory)
        return train_and_evaluate(
            config,
            folder,
            data={"train": images},
            resume=(folder / CONFIG_FILE).exists(),
            show=self._progress or False,
            stop=self._stop,
        )
