"""Everything a training run is at one moment, as one pytree."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxinv.training.label_maps import check_outputs


@flax.struct.dataclass
class TrainState:
    """Parameters, optimiser, position and randomness of one network in training.

    The position in the data is `step`, and every random number is a function of `key` and `step`:
    a run that starts from a stored state repeats the one that stored it.

    Attributes:
      step: optimiser steps taken.
      key: the run's key, never changed; see `keys`.
      params: trained parameters.
      model_state: the network's other variables, such as batch statistics.
      opt_state: state of the optimiser.
      ema: moving average of `params`, or None.
      sums: loss and right answers summed over this epoch's images so far.
    """

    step: Int[Array, ""]
    key: PRNGKeyArray
    params: Any
    model_state: Any
    opt_state: Any
    ema: Any
    sums: dict[str, Float[Array, ""]]

    @property
    def variables(self) -> dict[str, Any]:
        """What the network is evaluated with: the moving average where there is one."""
        return {"params": self.params if self.ema is None else self.ema, **self.model_state}


def keys(key: PRNGKeyArray) -> dict[str, PRNGKeyArray]:
    """The keys of a run by purpose: initial weights, order of the images, the steps."""
    return dict(zip(("init", "order", "step"), jax.random.split(key, 3), strict=True))


def no_sums() -> dict[str, Float[Array, ""]]:
    """The sums at the start of an epoch."""
    return {name: jnp.zeros(()) for name in ("loss", "correct", "count")}


def initial_state(
    key: PRNGKeyArray,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    shape: tuple[int, ...],
    ema: bool,
    maps: bool = False,
) -> TrainState:
    """The state before the first step, for images of `shape` (H, W, C).

    Raises:
      ValueError: if the network is no classifier: of pixels where labels are `maps`.
    """
    logits, variables = model.init_with_output(
        keys(key)["init"], jnp.zeros((1, *shape)), train=False
    )
    check_outputs(logits, shape, maps=maps, network=type(model).__name__)
    variables = dict(variables)
    params = variables.pop("params")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        # A copy, since both are donated to the compiled step.
        ema=jax.tree.map(jnp.copy, params) if ema else None,
        sums=no_sums(),
    )
