"""Networks by name: compositions of this package with their arguments filled in."""

import dataclasses
from typing import Any

import flax.linen as nn

from jaxinv.layers.activations import ACTIVATIONS
from jaxinv.layers.downsample import DOWNSAMPLES
from jaxinv.layers.heads import HEADS
from jaxinv.layers.padding import PADDINGS
from jaxinv.models.convnet import MLP, ConvNet
from jaxinv.models.norms import NORMS

_NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "mlp": (MLP, {}),
    # Simard, Steinkraus and Platt (2003): 29 x 29 inputs, two strided convolutions, no pooling.
    "simard": (
        ConvNet,
        {
            "widths": ((5,), (50,)),
            "kernels": 5,
            "dense": (100,),
            "padding": "VALID",
            "downsample": "stride",
            "activation": "tanh",
        },
    ),
    # LeCun et al. (1998): 32 x 32 inputs; every map of the second stage sees all of the first.
    "lenet5": (
        ConvNet,
        {
            "widths": ((6,), (16,)),
            "kernels": 5,
            "dense": (120, 84),
            "padding": "VALID",
            "downsample": "avg",
            "activation": "tanh",
        },
    ),
    "lenet": (ConvNet, {}),
    "lenet_local": (ConvNet, {"local": True}),
    # Springenberg et al. (2014), All-CNN-C: the last 1 x 1 convolution and the average over the
    # map are linear, so they may change places; here the average comes first.
    "allconv": (
        ConvNet,
        {
            "widths": ((96, 96, 96), (192, 192, 192), (192, 192)),
            "kernels": ((3, 3, 3), (3, 3, 3), (3, 1)),
            "dense": (),
            "downsample": "stride",
            "downsamplings": 2,
            "head": "gap",
        },
    ),
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "padding": PADDINGS,
    "downsample": DOWNSAMPLES,
    "head": HEADS,
    "activation": ACTIVATIONS,
    "norm": NORMS,
}


def names() -> tuple[str, ...]:
    """The names that `create` knows.

    Returns:
      The names of all networks.

    Example:
      >>> "lenet" in names()
      True
    """
    return tuple(_NETWORKS)


def options(name: str) -> dict[str, Any]:
    """The options of a network and the values it has without them.

    Args:
      name: one of `names()`.

    Returns:
      Option names and default values.

    Raises:
      ValueError: if the name is unknown.

    Example:
      >>> options("mlp")["dense"]
      (256, 128)
    """
    if name not in _NETWORKS:
        raise ValueError(f"model is {name!r}; allowed are {', '.join(names())}")
    network, preset = _NETWORKS[name]
    fields = {
        field.name: field.default
        for field in dataclasses.fields(network)
        if field.name not in ("parent", "name")
    }
    return fields | preset


def create(name: str, *, num_classes: int = 10, **choices: Any) -> nn.Module:
    """A network by name, with any of its options changed.

    Args:
      name: one of `names()`.
      num_classes: the number of logits.
      **choices: options of the network, as `options(name)` lists them: most have `padding`,
        `downsample`, `head` and `activation`.

    Returns:
      A linen module with `__call__(x, *, train=False)` for `x` of shape `(n, *spatial, c)`.

    Raises:
      ValueError: if the name, an option or its value is unknown; the message lists what is allowed.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = create("lenet", padding="CIRCULAR", downsample="none", head="gap")
      >>> model.init_with_output(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))[0].shape
      (1, 10)
    """
    allowed = options(name)
    for option, value in choices.items():
        if option not in allowed:
            raise ValueError(
                f"model {name} has no option {option!r}; allowed are {', '.join(sorted(allowed))}"
            )
        known = _CHOICES.get(option)
        if known and not callable(value) and value not in known:
            raise ValueError(f"{option} is {value!r}; allowed are {', '.join(known)}")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; allowed are integers from 1")
    network, preset = _NETWORKS[name]
    return network(**{**preset, "num_classes": num_classes, **choices})
