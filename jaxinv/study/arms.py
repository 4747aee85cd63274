"""The networks of the study: each differs from another one in one thing."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxinv.training import TrainConfig

# Two convolutions of 5 x 5 with circular padding, each followed by a max pool of stride 2 unless
# an arm says otherwise, then a dense layer of 64 units.
COMMON: Mapping[str, Any] = {
    "widths": ((4,), (16,)),
    "kernels": 5,
    "dense": (64,),
    "padding": "CIRCULAR",
}


@dataclasses.dataclass(frozen=True)
class Arm:
    """A network of the study.

    Attributes:
      name: short name, in tables and plots.
      title: what it is.
      model: its name in `jaxinv.models`.
      options: what differs from `COMMON`.
      training: what differs from the study's training.
      averages: name of the arm before it whose outputs it averages over all shifts; it is not
        trained itself.
    """

    name: str
    title: str
    model: str = "lenet"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    averages: str | None = None


ARMS: tuple[Arm, ...] = (
    Arm("dense", "convolutions, then flatten and dense", options={"downsample": "none"}),
    Arm("dense, pooled", "the same with a pool of stride 2 after each convolution"),
    Arm(
        "dense, shifted data",
        "'dense, pooled' trained on circularly translated images",
        training={"augment": "translate", "max_shift": None, "fill": "wrap"},
    ),
    Arm(
        "global, zero padding",
        "'global pooling' with zeros at the border",
        options={"head": "gap", "padding": "SAME"},
    ),
    Arm(
        "global pooling",
        "'dense, pooled' with the mean over all positions instead of flatten",
        options={"head": "gap"},
    ),
    Arm(
        "global, no stride",
        "'global pooling' without the pools of stride 2",
        options={"head": "gap", "downsample": "none"},
    ),
    Arm(
        "global, adaptive",
        "'global pooling' with adaptive polyphase sampling for the pools",
        options={"head": "gap", "downsample": "aps"},
    ),
    Arm(
        "averaged",
        "'dense, shifted data', its outputs averaged over all shifts; not trained again",
        averages="dense, shifted data",
    ),
    Arm("unshared", "'dense, pooled' without weight sharing", model="lenet_local"),
    Arm("MLP", "no convolution at all", model="mlp", options={"dense": (64,)}),
)


def training_of(arm: Arm, *, epochs: int, seed: int) -> TrainConfig:
    """How an arm is trained; `seed` is that of initial weights, order and translations."""
    options = dict(arm.options) if arm.model == "mlp" else {**COMMON, **arm.options}
    return TrainConfig(
        dataset="digits",
        model=arm.model,
        model_options=options,
        learning_rate=4e-3,
        warmup_epochs=1.0,
        batch_size=8,
        epochs=epochs,
        eval_every=epochs,
        seed=seed,
        **arm.training,
    )
