"""Settings of published runs, by name; every value can be overridden."""

import dataclasses

from jaxinv.training.config import TrainConfig

# Simard et al. pad MNIST's 28x28 to 29x29 so that their strided convolutions divide it evenly.
# They decay the step size by 0.3 every hundred epochs, from 0.005, at one image a step. With
# batches and Adam a cosine decay gets there in far fewer epochs; what comes out is in
# docs/simard2003.md.
_SIMARD = TrainConfig(
    dataset="mnist", canvas=29, optimizer="adam", schedule="cosine", epochs=20, batch_size=128
)
_MLP = dataclasses.replace(_SIMARD, model="mlp", model_options={"dense": (800,)})
_CONV = dataclasses.replace(_SIMARD, model="simard", learning_rate=2e-3)

PRESETS: dict[str, TrainConfig] = {
    **{
        f"simard2003-{name}-{augment}": dataclasses.replace(
            config, augment=augment, max_shift=shift
        )
        for name, config in (("mlp", _MLP), ("conv", _CONV))
        for augment, shift in (
            ("none", 4),
            # orbit is the exact mean of what translate samples: the same shifts.
            ("translate", 2),
            ("affine", 4),
            ("elastic", 4),
            ("orbit", 2),
        )
    },
}


def preset(name: str) -> TrainConfig:
    """The settings of a published run.

    Args:
      name: one of `PRESETS`.

    Returns:
      The configuration.

    Raises:
      ValueError: unknown name.

    Examples:
      >>> preset("simard2003-conv-elastic").augment
      'elastic'
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; allowed are {', '.join(PRESETS)}.")
    return PRESETS[name]
