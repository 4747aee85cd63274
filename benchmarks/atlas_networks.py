"""The architectures of the atlas, and how each is built with random weights."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxinv

# By family, in the order in which they are listed.
TORCHVISION = {
    "AlexNet, VGG": "alexnet vgg11 vgg11_bn vgg16",
    "ResNet": "resnet18 resnet50 wide_resnet50_2 resnext50_32x4d",
    "Inception": "googlenet inception_v3",
    "DenseNet": "densenet121",
    "SqueezeNet": "squeezenet1_0 squeezenet1_1",
    "ShuffleNet": "shufflenet_v2_x0_5 shufflenet_v2_x1_0",
    "MobileNet": "mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet1_0",
    "EfficientNet": "efficientnet_b0 efficientnet_b1 efficientnet_v2_s",
    "RegNet": "regnet_x_400mf regnet_y_400mf regnet_y_800mf",
    "ConvNeXt": "convnext_tiny",
    "ViT": "vit_b_16 vit_b_32",
    "Swin": "swin_t swin_v2_t",
    "MaxViT": "maxvit_t",
}
SEGMENTATION = (
    "fcn_resnet50 deeplabv3_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large"
)
BACKBONES = "resnet18_fpn resnet50_fpn mobilenet_v3_large_fpn ssd300_vgg16"
TIMM = {
    "ResNet": "resnet26d seresnet18 ecaresnet50t resnetblur50 resnetaa50 resnest14d resnetv2_50 "
    "nf_resnet50 skresnet18 res2net50_26w_4s cspresnet50",
    "DLA, DPN, HRNet": "dla34 dpn48b hrnet_w18_small",
    "DenseNet": "densenetblur121d rdnet_tiny",
    "Inception": "inception_v4 legacy_xception xception41",
    "VoVNet, DarkNet, HGNet": "ese_vovnet19b_dw darknet53 cspdarknet53 hgnetv2_b0 selecsls42 "
    "gernet_s",
    "RepVGG": "repvgg_a0 mobileone_s0 repvit_m0_9 repghostnet_050",
    "RegNet": "regnetx_002 regnety_002",
    "EfficientNet": "efficientnet_lite0 tf_efficientnetv2_b0 tinynet_e mixnet_s rexnet_100",
    "MobileNet": "mobilenetv3_small_050 mobilenetv4_conv_small ghostnet_050 lcnet_050 fbnetc_100 "
    "hardcorenas_a",
    "NFNet": "nfnet_f0",
    "ConvNeXt": "convnext_atto convnextv2_atto inception_next_atto convmixer_768_32",
    "MetaFormer": "poolformer_s12 caformer_s18 convformer_s18 starnet_s1 focalnet_tiny_srf",
    "MLP": "mixer_s32_224 resmlp_12_224 gmlp_ti16_224 sequencer2d_s",
    "ViT": "vit_tiny_patch16_224 deit3_small_patch16_224 beit_base_patch16_224 cait_xxs24_224 "
    "xcit_nano_12_p16_224 pit_ti_224 tnt_s_patch16_224 convit_tiny crossvit_tiny_240 "
    "eva02_tiny_patch14_224 visformer_tiny volo_d1_224",
    "Swin": "swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 davit_tiny gcvit_xxtiny nest_tiny",
    "Hierarchical ViT": "pvt_v2_b0 twins_pcpvt_small hiera_tiny_224 mvitv2_tiny coat_tiny",
    "Hybrid": "coatnet_nano_rw_224 maxvit_nano_rw_256 levit_128s edgenext_xx_small mobilevit_xxs "
    "mobilevitv2_050 efficientformer_l1 fastvit_t8 efficientvit_b0 efficientvit_m0 nextvit_small "
    "botnet26t_256 halonet26t lambda_resnet26t tiny_vit_5m_224",
}
KERAS = {
    "AlexNet, VGG": "VGG16",
    "ResNet": "ResNet50 ResNet50V2",
    "Inception": "InceptionV3 InceptionResNetV2 Xception",
    "DenseNet": "DenseNet121",
    "MobileNet": "MobileNet MobileNetV2 MobileNetV3Small MobileNetV3Large",
    "NASNet": "NASNetMobile",
    "EfficientNet": "EfficientNetB0 EfficientNetV2B0",
    "ConvNeXt": "ConvNeXtTiny",
}
OWN = {
    "LeNet": "lenet",
    "ResNet": "resnet20 resnet18",
    "ConvNeXt": "convnext",
    "ViT": "vit",
    "U-Net": "unet",
}


@dataclass(frozen=True)
class Network:
    """An architecture of the atlas.

    Attributes:
      source: `"torchvision"`, `"timm"`, `"keras"` or `"jaxinv"`.
      name: as its library calls it.
      family: under which it is listed.
      task: `"classification"`, `"segmentation"` or `"backbone"`.
    """

    source: str
    name: str
    family: str
    task: str = "classification"

    @property
    def key(self) -> str:
        """Its name with that of its library: `"timm/resnet26d"`."""
        return f"{self.source}/{self.name}"


def _listed() -> list[Network]:
    sources = {"torchvision": TORCHVISION, "timm": TIMM, "keras": KERAS, "jaxinv": OWN}
    networks = [
        Network(source, name, family, "segmentation" if family == "U-Net" else "classification")
        for source, families in sources.items()
        for family, names in families.items()
        for name in names.split()
    ]
    networks += [
        Network("torchvision", n, "Segmentation", "segmentation") for n in SEGMENTATION.split()
    ]
    networks += [Network("torchvision", n, "Backbones", "backbone") for n in BACKBONES.split()]
    return networks


NETWORKS = _listed()


@dataclass(frozen=True)
class Built:
    """A network with random weights.

    Attributes:
      apply: of `(params, images)`, a function of JAX.
      params: its parameters.
      theirs: of images, what its own framework computes; None if that is JAX itself.
      shape: of the images.
      axes: their spatial axes.
      count: the number of parameters.
    """

    apply: Callable[[Any, Any], Any]
    params: Any
    theirs: Callable[[np.ndarray], Any] | None
    shape: tuple[int, ...]
    axes: tuple[int, int]
    count: int


def built(network: Network, size: int = 224) -> Built:
    """A network, at a size of image, or at its own where it takes no other."""
    make = {"torchvision": _torchvision, "timm": _timm, "keras": _keras, "jaxinv": _own}
    return make[network.source](network, size)


def _torch(module: Any, size: int, *, noise: bool = True) -> Built:
    import torch

    module = module.eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                # A head that starts at zero would answer zero, whatever it sees.
                parameter.normal_(std=0.02)
    if noise:
        _see_noise(module, (4, 3, size, size))
    params, apply = jaxinv.from_pytorch(module)

    def theirs(images: np.ndarray) -> Any:
        with torch.no_grad():
            outputs = module(torch.from_numpy(images))
        return jax.tree.map(lambda tensor: tensor.numpy(), _plain(outputs))

    count = sum(p.numel() for p in module.parameters())
    return Built(
        lambda params, x: _plain(apply(params, x)),
        params,
        theirs,
        (1, 3, size, size),
        (2, 3),
        count,
    )


def _see_noise(module: Any, shape: tuple[int, ...]) -> None:
    """Gives batch normalisation the statistics of noise; otherwise outputs hardly depend on images.

    Without them small weights in many layers leave of an image less than rounding.
    """
    import torch

    def of_maps(part, inputs):
        # What is pooled hardly differs between images of noise: its own rounding would be blown up.
        part.train(inputs[0].shape[-1] > 1)

    normalised = torch.nn.modules.batchnorm._BatchNorm
    parts = [part for part in module.modules() if isinstance(part, normalised)]
    hooks = [part.register_forward_pre_hook(of_maps) for part in parts]
    for part in parts:
        part.momentum = 1.0
    with torch.no_grad():
        module(torch.randn(shape))
    for hook in hooks:
        hook.remove()
    module.eval()


def _plain(outputs: Any) -> Any:
    """Outputs as dictionaries, lists and arrays, in one order in both frameworks."""
    if isinstance(outputs, dict):
        return {str(name): _plain(value) for name, value in outputs.items()}
    if isinstance(outputs, tuple | list):
        return [_plain(value) for value in outputs]
    return outputs


def _torchvision(network: Network, size: int) -> Built:
    import torch
    import torchvision
    from torchvision.models.detection import backbone_utils, ssd300_vgg16

    torch.manual_seed(0)
    none = {"weights": None, "weights_backbone": None}
    if network.task == "segmentation":
        # Of the deepest of these, with noise, PyTorch's own rounding is 1e-4 of the largest output.
        return _torch(torchvision.models.get_model(network.name, **none), size, noise=False)
    if network.name == "ssd300_vgg16":
        return _torch(ssd300_vgg16(**none).backbone, max(size, 300))
    if network.task == "backbone":
        options: Any = {"weights": None, "norm_layer": torch.nn.BatchNorm2d}
        options["backbone_name"] = network.name.removesuffix("_fpn")
        if network.name.startswith("mobilenet"):
            return _torch(backbone_utils.mobilenet_backbone(fpn=True, **options), size)
        return _torch(backbone_utils.resnet_fpn_backbone(**options), size)
    # Weights drawn one by one from a truncated normal distribution take minutes.
    slow = network.name in ("inception_v3", "googlenet")
    options = {"init_weights": False} if slow else {}
    return _torch(torchvision.models.get_model(network.name, weights=None, **options), size)


def _timm(network: Network, size: int) -> Built:
    import timm
    import torch

    torch.manual_seed(0)
    module = timm.create_model(network.name, pretrained=False)
    config = module.default_cfg
    own = config["input_size"][-1]
    return _torch(module, own if config.get("fixed_input_size") else size)


def _keras(network: Network, size: int) -> Built:
    import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, network.name)(
        weights=None, input_shape=(size, size, 3), classifier_activation=None
    )
    trained = [v.value for v in model.trainable_variables]
    frozen = [v.value for v in model.non_trainable_variables]

    def apply(params: Any, images: Any) -> Any:
        return model.stateless_call(*params, images, training=False)[0]

    def theirs(images: np.ndarray) -> np.ndarray:
        return np.asarray(model(images, training=False))

    count = sum(math.prod(v.shape) for v in model.trainable_variables)
    return Built(apply, (trained, frozen), theirs, (1, size, size, 3), (1, 2), count)


def _own(network: Network, size: int) -> Built:
    from jaxinv import models

    size = min(size, 64)  # they are networks for small images
    module = models.create(network.name)
    shape = (1, size, size, 3)
    params = module.init(jax.random.key(0), jnp.zeros(shape))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params["params"]))
    return Built(module.apply, params, None, shape, (1, 2), count)


def named(words: Sequence[str]) -> list[Network]:
    """The networks that words name: `"timm/resnet26d"`, or a name alone.

    Raises:
      ValueError: if there is none of a name.
    """
    found = []
    for word in words:
        of_name = [n for n in NETWORKS if word in (n.key, n.name)]
        if not of_name:
            raise ValueError(f"no network is called {word!r}; benchmarks/atlas_networks.py has all")
        found += of_name
    return found
