"""A network to be audited: a checkpoint of train.py, a Flax module, or any apply function."""

import dataclasses
import functools
import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxinv.data import normalise

Images = Float[Array, "n h w c"]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network with its weights.

    Attributes:
      name: short and unique among those compared.
      title: what it is, in a few words.
      apply: from images (n, H, W, C), pixels 0 to 255, to outputs (n, classes).
      layers: from images to the output of every layer by its path; None where the network does not
        say what its layers are.
      variables: all its arrays, for counting parameters and telling weights apart.
      origin: where the weights came from, for the report.
      by_proof: its certificate stands for most shifts, see `jaxinv.evaluation.sweep.few_shifts`:
        for networks of which one evaluation costs as much as a sweep.
    """

    name: str
    title: str
    apply: Callable[[Images], Float[Array, "n classes"]]
    layers: Callable[[Images], dict[str, Array]] | None = None
    variables: Any = ()
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_proof: bool = False

    @property
    def parameters(self) -> int:
        """Number of weights; of a Flax network without its running averages."""
        weights = self.variables
        if isinstance(weights, Mapping) and "params" in weights:
            weights = weights["params"]
        return sum(np.size(leaf) for leaf in jax.tree.leaves(weights))

    @property
    def identity(self) -> str:
        """A hash of name, origin and weights."""
        digest = hashlib.sha256(repr(sorted(self.origin.items())).encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.variables):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()


def of_module(
    module: nn.Module,
    variables: Mapping[str, Any],
    *,
    name: str,
    title: str = "",
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    origin: Mapping[str, Any] | None = None,
) -> Subject:
    """A linen module as a subject, in evaluation mode.

    Args:
      module: the network; its `train` argument, where it has one, is False.
      variables: what `module.init` returned, or a checkpoint.
      name: short name.
      title: a few words.
      mean: of the data the network was trained on, a number a channel, see `jaxinv.data`.
      std: likewise.
      origin: where the weights came from.

    Returns:
      The subject.

    Example:
      >>> import jax.numpy as jnp
      >>> module = nn.Conv(4, (3, 3))
      >>> images = jnp.zeros((1, 8, 8, 1))
      >>> net = of_module(module, module.init(jax.random.key(0), images), name="conv")
      >>> net.parameters, sorted(net.layers(images))
      (40, ['Conv'])
    """
    takes_train = "train" in inspect.signature(type(module).__call__).parameters
    options: dict[str, Any] = {"train": False} if takes_train else {}
    prepare: Callable[[Array], Array] = functools.partial(normalise, mean=mean, std=std)  # type: ignore[assignment]

    def apply(images: Array) -> Array:
        outputs: Any = module.apply(variables, prepare(images), **options)
        return outputs

    def layers(images: Array) -> dict[str, Array]:
        capture: dict[str, Any] = {"capture_intermediates": True, "mutable": ["intermediates"]}
        _, state = module.apply(variables, prepare(images), **capture, **options)
        return _named(state["intermediates"], type(module).__name__)

    return Subject(
        name=name,
        title=title or name,
        apply=apply,
        layers=layers,
        variables=variables,
        origin=origin or {},
    )


def _named(intermediates: Mapping[str, Any], whole: str) -> dict[str, Array]:
    """Captured outputs by module path, in the order in which the modules finished.

    Left out: numbers that are no activations (the phase an adaptive sampler chose), and a module
    that only hands on what another returned, be it the one inside it or the one before.
    """
    found: dict[str, Array] = {}

    def collect(node: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key, value in node.items():
            if isinstance(value, Mapping):
                collect(value, (*path, key))
            if key != "__call__":  # what a module itself has sown is no output
                continue
            # Called more than once, or more than one array returned: numbered.
            for number, output in enumerate(jax.tree.leaves(value)):
                if not jnp.issubdtype(jnp.result_type(output), jnp.floating):
                    continue
                label = ("/".join(path) or whole) + (f"[{number}]" if number else "")
                same = next((name for name, other in found.items() if other is output), None)
                if same is None:
                    found[label] = output
                elif same.startswith(f"{label}/"):  # the module around the one that computed it
                    found.pop(same)
                    found[label] = output

    collect(intermediates, ())
    return found


def of_function(path: str, parameters: Path | None) -> Subject:
    """The user's own network: `package.module:name`, a function or a linen module.

    A function is called as `function(params, images)`, or as `function(images)` without a file of
    parameters; images are float32 (n, H, W, C) with values from 0 to 1. A linen module is applied
    to the same images.

    Args:
      path: where to import it from.
      parameters: file or folder of its parameters, see `read_parameters`.

    Returns:
      The subject.

    Raises:
      ValueError: if it cannot be imported or called, or the parameters cannot be read.

    Example:
      >>> of_function("jax.numpy:mean", None).name
      'jax.numpy:mean'
    """
    module_name, colon, name = path.partition(":")
    if not colon or not name:
        raise ValueError(f"apply is {path!r}; it has the form package.module:function")
    try:
        value: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot import {module_name}: {error}") from error
    for part in name.split("."):
        if not hasattr(value, part):
            raise ValueError(f"{module_name} has no {name}")
        value = getattr(value, part)
    variables = read_parameters(parameters) if parameters else None
    origin = {"apply": path, "params": str(parameters) if parameters else None}
    if isinstance(value, nn.Module):
        if variables is None:
            raise ValueError(f"{path} is a module; params must name the file of its variables")
        return of_module(value, variables, name=path, mean=(0.0,), std=(1.0,), origin=origin)
    if not callable(value):
        raise ValueError(f"{path} is a {type(value).__name__}, which cannot be called")

    def apply(images):
        scaled = images.astype(np.float32) / 255
        return value(scaled) if variables is None else value(variables, scaled)

    return Subject(
        name=path,
        title=path,
        apply=apply,
        variables=() if variables is None else variables,
        origin=origin,
    )


def read_parameters(path: Path) -> Any:
    """Reads a tree of parameters: .npz, .safetensors, .msgpack (Flax) or an orbax folder.

    Names in .npz and .safetensors become a tree at "/" (`params/Conv_0/kernel`); names with dots
    stay as they are.

    Args:
      path: the file or folder.

    Returns:
      The tree.

    Raises:
      ValueError: if it is missing, damaged or of an unknown kind.

    Example:
      >>> import tempfile
      >>> file = Path(tempfile.mkdtemp()) / "weights.npz"
      >>> np.savez(file, **{"params/dense/bias": np.zeros(3)})
      >>> read_parameters(file)
      {'params': {'dense': {'bias': array([0., 0., 0.])}}}
    """
    readers = {".npz": _npz, ".safetensors": _safetensors, ".msgpack": _msgpack}
    if not path.exists():
        raise ValueError(f"params {path} does not exist")
    if path.is_dir():
        reader = _orbax
    elif path.suffix in readers:
        reader = readers[path.suffix]
    else:
        raise ValueError(
            f"params {path} is of an unknown kind; allowed are {', '.join(readers)} and folders "
            "that orbax wrote"
        )
    try:
        return reader(path)
    except ImportError as error:
        raise ValueError(f"reading {path} needs {error.name}: pip install {error.name}") from error
    except Exception as error:  # each format's library has errors of its own for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"params {path} cannot be read: {reason}") from error


def _npz(path: Path) -> Any:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return _tree({name: file[name] for name in file.files})


def _safetensors(path: Path) -> Any:
    from safetensors.numpy import load_file

    return _tree(load_file(path))


def _msgpack(path: Path) -> Any:
    from flax import serialization

    return serialization.msgpack_restore(path.read_bytes())


def _orbax(path: Path) -> Any:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as reader:
        return reader.restore(path.resolve())


def _tree(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, leaf = name.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[leaf] = value
    return tree
