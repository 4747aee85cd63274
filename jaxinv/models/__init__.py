"""Networks as compositions of `jaxinv.layers`; `create` makes one by name."""

from jaxinv.models.convnet import MLP as MLP
from jaxinv.models.convnet import Classifier as Classifier
from jaxinv.models.convnet import ConvNet as ConvNet
from jaxinv.models.convnext import ConvNeXt as ConvNeXt
from jaxinv.models.mobilenet import MobileNetV2 as MobileNetV2
from jaxinv.models.registry import create as create
from jaxinv.models.registry import names as names
from jaxinv.models.registry import options as options
from jaxinv.models.resnet import ResNet as ResNet
from jaxinv.models.unet import UNet as UNet
from jaxinv.models.vit import ViT as ViT
from jaxinv.models.weights import from_arrays as from_arrays
from jaxinv.models.weights import from_torch as from_torch
