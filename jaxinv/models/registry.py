"""Networks by name: compositions of this package with their arguments filled in."""

import dataclasses
from typing import Any

import flax.linen as nn

from jaxinv.layers.activations import ACTIVATIONS
from jaxinv.layers.downsample import DOWNSAMPLES
from jaxinv.layers.heads import HEADS
from jaxinv.layers.normalisation import NORMS
from jaxinv.layers.options import check_options
from jaxinv.layers.padding import PADDINGS
from jaxinv.models.convnet import MLP, ConvNet
from jaxinv.models.convnext import ConvNeXt
from jaxinv.models.mobilenet import MobileNetV2
from jaxinv.models.resnet import SHORTCUTS, STEMS, ResNet
from jaxinv.models.unet import UNet
from jaxinv.models.vit import ViT

_VGG = {
    "kernels": 3,
    "dense": (4096, 4096),
    "dropout": 0.5,
}
_CIFAR_RESNET = {"shortcut": "zeros"}
_IMAGENET_RESNET = {"width": 64, "stem": "imagenet"}

_NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "mlp": (MLP, {}),
    # Simard, Steinkraus and Platt (2003): 29 x 29 inputs, two strided convolutions, no pooling;
    # the activation is not named.
    "simard": (
        ConvNet,
        {
            "widths": ((5,), (50,)),
            "dense": (100,),
            "padding": "VALID",
            "downsample": "stride",
        },
    ),
    # LeCun et al. (1998): 32 x 32 inputs; every map of the second stage sees all of the first.
    "lenet5": (
        ConvNet,
        {
            "widths": ((6,), (16,)),
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
    # Simonyan and Zisserman (2014), configurations A, B and D; 224 x 224 inputs.
    "vgg11": (ConvNet, {**_VGG, "widths": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2)}),
    "vgg13": (ConvNet, {**_VGG, "widths": tuple((f, f) for f in (64, 128, 256, 512, 512))}),
    "vgg16": (
        ConvNet,
        {**_VGG, "widths": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)},
    ),
    # He et al. (2015), section 4.2: 32 x 32 inputs, shortcuts without parameters.
    "resnet20": (ResNet, {**_CIFAR_RESNET, "blocks": (3, 3, 3)}),
    "resnet32": (ResNet, {**_CIFAR_RESNET, "blocks": (5, 5, 5)}),
    "resnet56": (ResNet, {**_CIFAR_RESNET, "blocks": (9, 9, 9)}),
    # He et al. (2015), section 3.3, with the stride in the 3 x 3 convolution as torchvision has it.
    "resnet18": (ResNet, {**_IMAGENET_RESNET, "blocks": (2, 2, 2, 2)}),
    "resnet50": (ResNet, {**_IMAGENET_RESNET, "blocks": (3, 4, 6, 3), "bottleneck": True}),
    # Sandler et al. (2018): 224 x 224 inputs.
    "mobilenet_v2": (MobileNetV2, {}),
    # Liu et al. (2022) and the alias-free form of Michaeli et al. (2023).
    "convnext_tiny": (ConvNeXt, {}),
    "convnext_tiny_alias_free": (
        ConvNeXt,
        {
            "padding": "CIRCULAR",
            "downsample": "ideal",
            "activation": "filtered_scaled_polynomial",
            "norm": "alias_free",
            "stem_polynomial": True,
        },
    ),
    # Touvron et al. (2020), DeiT-S: 224 x 224 inputs, patches of 16 x 16.
    "vit_small": (ViT, {}),
    # Ronneberger et al. (2015) have five levels, of up to 1024 features.
    "unet": (UNet, {"widths": (16, 32, 64), "norm": "batch"}),
    "unet2015": (UNet, {}),
    # Dai et al. (2016), M5: raw waveforms, one spatial axis.
    "audio1d": (
        ConvNet,
        {
            "widths": ((128,), (128,), (256,), (512,)),
            "kernels": ((80,), (3,), (3,), (3,)),
            "dense": (),
            "factor": 4,
            "stem_stride": 4,
            "head": "gap",
            "norm": "batch",
        },
    ),
}

# What the options may be that are chosen by name.
CHOICES: dict[str, tuple[str, ...]] = {
    "padding": PADDINGS,
    "downsample": DOWNSAMPLES,
    "head": HEADS,
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "shortcut": SHORTCUTS,
    "stem": STEMS,
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
        known = CHOICES.get(option, ())
        if option == "head" and _NETWORKS[name][0] is ViT:
            known = (*known, "token")
        each = value if option == "padding" and isinstance(value, tuple | list) else (value,)
        if known and not callable(value) and not all(one in known for one in each):
            raise ValueError(f"{option} is {value!r}; allowed are {', '.join(known)}")
    network, preset = _NETWORKS[name]
    model = network(**{**preset, "num_classes": num_classes, **choices})
    check_options(model)
    return model
