"""Training: a configuration in, a trained network with its checkpoints and metrics out.

* :class:`TrainConfig`, :func:`train_and_evaluate`, :class:`TrainResult`: a run.
* :func:`load_checkpoint`, :class:`Trained`: a network trained before.
* :func:`cross_entropy`, :func:`orbit_loss`, :func:`worst_shift_loss`: losses, over one
  translation, all of them, and the worst.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxinv.training.config import TrainConfig
from jaxinv.training.losses import cross_entropy, orbit_loss, worst_shift_loss

if TYPE_CHECKING:
    from jaxinv.training.checkpoints import Trained, load_checkpoint
    from jaxinv.training.loop import TrainResult, train_and_evaluate

# Loaded when first used: a loss needs neither checkpoints nor progress bars.
_ELSEWHERE = {
    "Trained": "checkpoints",
    "load_checkpoint": "checkpoints",
    "TrainResult": "loop",
    "train_and_evaluate": "loop",
}

__all__ = [
    "TrainConfig",
    "TrainResult",
    "Trained",
    "cross_entropy",
    "load_checkpoint",
    "orbit_loss",
    "train_and_evaluate",
    "worst_shift_loss",
]


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(f"jaxinv.training.{_ELSEWHERE[name]}"), name)
    raise AttributeError(f"module 'jaxinv.training' has no attribute {name!r}")
