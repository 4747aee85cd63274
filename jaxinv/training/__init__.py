"""Training: a configuration in, a trained network with its checkpoints and metrics out.

* :class:`TrainConfig`, :func:`train_and_evaluate`, :class:`TrainResult`: a run.
* :func:`load_checkpoint`, :class:`Trained`: a network trained before.
* :func:`cross_entropy`, :func:`orbit_loss`, :func:`worst_shift_loss`: losses, over one
  translation, all of them, and the worst.
"""

from jaxinv.training.checkpoints import Trained, load_checkpoint
from jaxinv.training.config import TrainConfig
from jaxinv.training.loop import TrainResult, train_and_evaluate
from jaxinv.training.losses import cross_entropy, orbit_loss, worst_shift_loss

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
