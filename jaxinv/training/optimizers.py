"""The optimiser of a run as one optax chain."""

import jax
import optax

from jaxinv.training.config import TrainConfig


def learning_rate(config: TrainConfig, *, steps_per_epoch: int) -> optax.Schedule:
    """The step size as a function of the step.

    Example:
      >>> rate = learning_rate(TrainConfig(schedule="linear", epochs=2), steps_per_epoch=10)
      >>> [round(float(rate(step)), 6) for step in (0, 10, 20)]
      [0.001, 0.0005, 0.0]
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    steps = max(config.epochs * steps_per_epoch - warmup, 1)
    peak = config.learning_rate
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, steps)
    elif config.schedule == "linear":
        after = optax.linear_schedule(peak, 0.0, steps)
    elif config.schedule == "step":
        every = min(max(round(config.decay_epochs * steps_per_epoch), 1), 2**31 - 1)
        after = optax.exponential_decay(peak, every, config.decay_factor, staircase=True)
    else:
        after = optax.constant_schedule(peak)
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])


def make_optimizer(
    config: TrainConfig, *, steps_per_epoch: int
) -> optax.GradientTransformationExtraArgs:
    """Clipping, the update rule, decoupled weight decay and the schedule."""
    parts = []
    if config.clip_norm is not None:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.optimizer == "sgd":
        if config.momentum:
            parts.append(optax.trace(config.momentum, nesterov=config.nesterov))
    elif config.optimizer == "adadelta":
        parts.append(optax.scale_by_adadelta())
    else:
        parts.append(optax.scale_by_adam())
    if config.weight_decay:
        # Biases and normalisation scales are not decayed, as is usual.
        parts.append(
            optax.add_decayed_weights(
                config.weight_decay, mask=lambda p: jax.tree.map(lambda leaf: leaf.ndim > 1, p)
            )
        )
    parts.append(
        optax.scale_by_learning_rate(learning_rate(config, steps_per_epoch=steps_per_epoch))
    )
    return optax.chain(*parts)
