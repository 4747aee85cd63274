"""Weights trained elsewhere: PyTorch state dicts, and arrays named by their places."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.command_line import some_of
from jaxinv.files import read_arrays
from jaxinv.models.convnet import ConvNet
from jaxinv.models.mobilenet import MobileNetV2
from jaxinv.models.resnet import ResNet

_NORM_LEAVES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
_LAYER_LEAVES = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
Path_ = tuple[str, ...]


def from_torch(
    state_dict: Mapping[str, Any] | str | os.PathLike[str], model: nn.Module
) -> dict[str, Any]:
    """The variables of a network from the state dict of the same network in PyTorch.

    Kernels turn from (out, in, *window) to (*window, in, out); the first dense layer after a
    flattened map from channels first to channels last. torchvision's names are understood, for
    ResNet (`layer1.0.conv1.weight`, `fc` or `linear` for the last layer), MobileNetV2
    (`features.1.conv.0.0.weight`) and VGG, with and without batch normalisation
    (`features.0.weight`, `classifier.0.weight`). torch itself is not needed.

    Args:
      state_dict: names and arrays (NumPy's, or tensors in host memory), or the path of an `.npz`
        or `.safetensors` file that holds them.
      model: the network they belong to, a `ResNet`, `MobileNetV2` or `ConvNet` of this package.

    Returns:
      Variables for `model.apply`: `"params"` and, with batch normalisation, `"batch_stats"`.

    Raises:
      ValueError: if the file type or the kind of network is not known, or names or shapes do not
        match; the message says which, and what the network has.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxinv import models
      >>> model = models.create("resnet20")
      >>> models.from_torch({"linear.weight": jnp.zeros((10, 64))}, model)
      Traceback (most recent call last):
      ValueError: state dict lacks ... of ResNet

    Reference:
      The names are those of https://github.com/pytorch/vision, torchvision.models.
    """
    if isinstance(state_dict, str | os.PathLike):
        state_dict = read_state_dict(state_dict)
    arrays = {
        name.removeprefix("module."): np.asarray(value)
        for name, value in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    if isinstance(model, ResNet):
        places = {name: _resnet_place(name) for name in arrays}
    elif isinstance(model, MobileNetV2):
        layers = _mobilenet_layers(model)
        places = {name: _mobilenet_place(name, layers) for name in arrays}
    elif isinstance(model, ConvNet):
        places = _convnet_places(arrays, model)
    else:
        raise ValueError(
            f"model is a {type(model).__name__}; allowed are ResNet, MobileNetV2 and ConvNet"
        )
    label = type(model).__name__
    foreign = sorted(name for name, place in places.items() if place is None)
    if foreign:
        raise ValueError(f"state dict has {some_of(foreign)}, which no layer of {label} is called")
    expected = _expected_shapes(model, arrays)
    names = {place: name for name, place in places.items() if place is not None}
    lacking = [_torch_name(place, model) for place in expected if place not in names]
    if lacking:
        raise ValueError(f"state dict lacks {some_of(lacking)} of {label}")
    variables = {}
    for place, name in names.items():
        if place not in expected:
            raise ValueError(f"state dict has {name}, for which {label} has no layer")
        value = _to_flax(arrays[name], place, model)
        _check_shape(value, expected[place], f"{name} has shape {arrays[name].shape}", place, label)
        variables[place] = jnp.asarray(value)
    return flax.traverse_util.unflatten_dict(variables)


def from_arrays(
    arrays: Mapping[str, Any] | str | os.PathLike[str], model: nn.Module, *, shape: Sequence[int]
) -> dict[str, Any]:
    """The variables of a network from arrays that are named by their places in it.

    `block00/expand/kernel` is that parameter; a running statistic is named with its collection,
    `batch_stats/stem_norm/batch/mean`. Kernels are `(*window, in, out)`, and a dense layer's may be
    that of a convolution of one position.

    Args:
      arrays: names and arrays, or the path of an `.npz` or `.safetensors` file that holds them.
      model: the network they belong to, a linen module.
      shape: of one input, without the batch: `(*spatial, c)`.

    Returns:
      Variables for `model.apply`.

    Raises:
      ValueError: if the file cannot be read, or names or shapes do not match; the message says
        which, and what the network has.

    Example:
      >>> import flax.linen as nn
      >>> import numpy as np
      >>> weights = {"kernel": np.ones((1, 1, 3, 2)), "bias": np.zeros(2)}
      >>> variables = from_arrays(weights, nn.Dense(2), shape=(3,))
      >>> variables["params"]["kernel"].shape
      (3, 2)
    """
    if isinstance(arrays, str | os.PathLike):
        arrays = read_state_dict(arrays)
    label = type(model).__name__
    expected = _shapes_of(model, shape)
    collections = {place[0] for place in expected}
    found: dict[Path_, Any] = {}
    for name, value in arrays.items():
        place = tuple(name.split("/"))
        found[place if place[0] in collections else ("params", *place)] = np.asarray(value)
    lacking = ["/".join(place) for place in expected if place not in found]
    foreign = ["/".join(place) for place in found if place not in expected]
    if lacking:
        raise ValueError(f"arrays lack {some_of(lacking)} of {label}")
    if foreign:
        raise ValueError(f"there are arrays {some_of(foreign)}, for which {label} has no layer")
    for place, value in found.items():
        needed, stored = expected[place], value.shape
        if value.ndim > len(needed) == 2 and stored[:-2] == (1,) * (value.ndim - 2):
            value = value.reshape(stored[-2:])
        _check_shape(value, needed, f"an array has shape {stored}", place, label)
        found[place] = jnp.asarray(value)
    return flax.traverse_util.unflatten_dict(found)


def _check_shape(value: np.ndarray, needed: tuple, has: str, place: Path_, label: str) -> None:
    if value.shape != needed:
        raise ValueError(
            f"{has}; {'/'.join(place)} of {label} needs {needed} (window first, channels last)"
        )


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` or `.safetensors` file by their names.

    Raises:
      ValueError: if the file is missing, of another type, or cannot be read.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"weights are in {path.name}; allowed are .npz and .safetensors files")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        return read_arrays(path)
    except ImportError as error:
        raise ValueError("reading .safetensors needs: pip install safetensors") from error
    except Exception as error:  # the readers raise whatever their parsers do
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _leaf(layer: Path_, leaves: dict[str, tuple[str, str]], leaf: str) -> Path_ | None:
    if leaf not in leaves:
        return None
    collection, name = leaves[leaf]
    return (collection, *layer, name)


def _resnet_place(name: str) -> Path_ | None:
    """Where an array of torchvision's ResNet belongs, or None for a foreign name."""
    *modules, leaf = name.split(".")
    block: Path_ = ()
    if len(modules) > 2 and re.fullmatch(r"layer\d+", modules[0]) and modules[1].isdigit():
        block = (f"{modules[0]}_{modules[1]}",)
        modules = modules[2:]
    match modules:
        case ["fc" | "linear"] if not block:
            return _leaf(("classifier", "logits"), _LAYER_LEAVES, leaf)
        case ["downsample" | "shortcut", "0"] if block:
            return _leaf((*block, "shortcut_conv"), _LAYER_LEAVES, leaf)
        case ["downsample" | "shortcut", "1"] if block:
            return _leaf((*block, "shortcut_norm", "batch"), _NORM_LEAVES, leaf)
        case [module] if re.fullmatch(r"conv\d", module):
            return _leaf((*block, module), _LAYER_LEAVES, leaf)
        case [module] if re.fullmatch(r"bn\d", module):
            return _leaf((*block, f"norm{module[2:]}", "batch"), _NORM_LEAVES, leaf)
    return None


def _mobilenet_layers(model: MobileNetV2) -> dict[str, Path_]:
    """The layers of torchvision's MobileNetV2, and their places in this package's."""
    expansions = [stage[0] for stage in model.stages for _ in range(stage[2])]
    convolutions: dict[str, Path_] = {
        "features.0.0": ("stem",),
        f"features.{len(expansions) + 1}.0": ("last",),
    }
    linear: dict[str, Path_] = {}
    for index, expansion in enumerate(expansions):
        here, inner = f"features.{index + 1}.conv", f"block{index:02}"
        names = ("depthwise",) if expansion == 1 else ("expand", "depthwise")
        for at, name in enumerate(names):
            convolutions[f"{here}.{at}.0"] = (inner, name)
        linear[f"{here}.{len(names)}"] = (inner, "project")
    layers: dict[str, Path_] = {"classifier.1": ("logits",)}
    for name, place in (convolutions | linear).items():
        before, _, number = name.rpartition(".")
        layers[name] = place
        layers[f"{before}.{int(number) + 1}"] = (*place[:-1], f"{place[-1]}_norm", "batch")
    return layers


def _mobilenet_place(name: str, layers: Mapping[str, Path_]) -> Path_ | None:
    """Where an array of torchvision's MobileNetV2 belongs, or None for a foreign name."""
    layer, _, leaf = name.rpartition(".")
    if layer not in layers:
        return None
    place = layers[layer]
    return _leaf(place, _NORM_LEAVES if place[-1] == "batch" else _LAYER_LEAVES, leaf)


def _convnet_places(arrays: Mapping[str, np.ndarray], model: ConvNet) -> dict[str, Path_ | None]:
    """Torchvision's VGG numbers its layers in one sequence; kinds and order tell them apart."""
    numbers: dict[str, list[int]] = {"features": [], "classifier": []}
    for name in arrays:
        match = re.fullmatch(r"(features|classifier)\.(\d+)\.weight", name)
        if match:
            numbers[match[1]].append(int(match[2]))
    layers: dict[str, tuple[Path_, dict[str, tuple[str, str]]]] = {}
    convolutions = 0
    for number in sorted(numbers["features"]):
        prefix = f"features.{number}"
        if arrays[f"{prefix}.weight"].ndim > 1:
            layers[prefix] = ((f"conv{convolutions}",), _LAYER_LEAVES)
            convolutions += 1
        else:
            layers[prefix] = ((f"norm{convolutions - 1}", "batch"), _NORM_LEAVES)
    for index, number in enumerate(sorted(numbers["classifier"])):
        layer = "logits" if index == len(model.dense) else f"dense{index}"
        layers[f"classifier.{number}"] = (("classifier", layer), _LAYER_LEAVES)
    places: dict[str, Path_ | None] = {}
    for name in arrays:
        prefix, _, leaf = name.rpartition(".")
        places[name] = _leaf(*layers[prefix], leaf) if prefix in layers else None
    return places


def _torch_name(place: Path_, model: nn.Module) -> str:
    """The name under which a missing array was looked for."""
    collection, *layer, leaf = place
    if isinstance(model, ConvNet):
        return "/".join(place)
    leaves = _NORM_LEAVES if layer[-1] == "batch" else _LAYER_LEAVES
    torch_leaf = next(k for k, v in leaves.items() if v == (collection, leaf))
    if isinstance(model, MobileNetV2):
        names = {place: name for name, place in _mobilenet_layers(model).items()}
        return f"{names[tuple(layer)]}.{torch_leaf}"
    layer = [part for part in layer if part != "batch"]
    renamed = {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
    last = renamed.get(layer[-1], layer[-1].replace("norm", "bn"))
    if layer[0] == "classifier":
        layer, last = [], "fc"
    return ".".join([*(part.replace("_", ".") for part in layer[:-1]), last, torch_leaf])


def _expected_shapes(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> dict[Path_, tuple]:
    """Shapes of the model's variables for an input that fits the state dict."""
    first = next((a for a in arrays.values() if a.ndim > 2), None)
    if first is None:
        # Nothing says how many channels the input has; images have three.
        channels, rank = 3, 2
    else:
        channels, rank = first.shape[1], first.ndim - 2
    size = 64
    if isinstance(model, ConvNet) and model.head == "flatten":
        size = _flattened_size(model, arrays, rank)
    return _shapes_of(model, (*[size] * rank, channels))


def _shapes_of(model: nn.Module, shape: Sequence[int]) -> dict[Path_, tuple]:
    """Shapes of the model's variables for an input of this shape, without the batch."""
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    flat = flax.traverse_util.flatten_dict(variables)
    return {place: leaf.shape for place, leaf in flat.items()}


def _flattened_size(model: ConvNet, arrays: Mapping[str, np.ndarray], rank: int) -> int:
    """The input size at which the flattened map has as many values as the dense layer reads."""
    dense = next((a for a in arrays.values() if a.ndim == 2), None)
    features = model.widths[-1][-1]
    side = 1 if dense is None else round((dense.shape[1] / features) ** (1 / rank))
    stages = len(model.widths) if model.downsamplings is None else model.downsamplings
    return max(side, 1) * model.stem_stride * model.factor**stages


def _to_flax(value: np.ndarray, place: Path_, model: nn.Module) -> np.ndarray:
    """Turns a PyTorch array round: output features last, inputs before, windows first."""
    if place[-1] != "kernel" or value.ndim < 2:
        return value
    if value.ndim > 2:
        return np.moveaxis(value, (0, 1), (-1, -2))
    first_dense = place[-2] == ("dense0" if getattr(model, "dense", ()) else "logits")
    if isinstance(model, ConvNet) and model.head == "flatten" and first_dense:
        # PyTorch flattens maps channels first, this package channels last.
        channels = model.widths[-1][-1]
        if value.shape[1] % channels == 0:
            maps = value.reshape(value.shape[0], channels, -1)
            return maps.transpose(2, 1, 0).reshape(-1, value.shape[0])
    return value.T
