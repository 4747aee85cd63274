"""A network to be audited: a checkpoint of train.py, a Flax module, or any apply function."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxinv.certificate.layers import layers_of
from jaxinv.certificate.networks import evaluating, in_evaluation
from jaxinv.command_line import printable
from jaxinv.data.dataset import check_scale
from jaxinv.evaluation.parameters import LIMIT, check_not_nan, read_parameters
from jaxinv.evaluation.preprocessing import Preprocessing, scaled
from jaxinv.evaluation.results import NetworkResult
from jaxinv.interop import from_pytorch
from jaxinv.interop.named import load_weights, module_named
from jaxinv.metrics import layer_outputs
from jaxinv.user_code import imported, said

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
      variables: all its arrays, for counting parameters; None if unknown.
      origin: where the weights came from, for the report.
      run: the training, where that trained several networks which differ in their seed.
      repeats: the same network with another seed: only its figures are wanted.
      by_proof: its certificate stands for most shifts, see `jaxinv.evaluation.sweep.few_shifts`:
        for networks that take as long to evaluate once as a sweep does.
    """

    name: str
    title: str
    apply: Callable[[Images], Float[Array, "n classes"]]
    layers: Callable[[Images], dict[str, Array]] | None = None
    variables: Any = None
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: str = ""
    repeats: bool = False
    by_proof: bool = False

    @property
    def parameters(self) -> int | None:
        """Number of weights, of a Flax network without its running averages; None if unknown."""
        weights = self.variables
        if weights is None:
            return None
        if isinstance(weights, Mapping) and "params" in weights:
            weights = weights["params"]
        return sum(np.size(leaf) for leaf in jax.tree.leaves(weights))

    def result(self, **found: Any) -> NetworkResult:
        """What was found of the network, beside what it is."""
        origin, parameters = dict(self.origin), self.parameters
        return NetworkResult(
            self.name, self.title, origin=origin, parameters=parameters, run=self.run, **found
        )

    @contextlib.contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Begins what is said of wrong values in the block with the network's name."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error


def distinct(subjects: Iterable[Subject]) -> list[Subject]:
    """The networks in a list; raises ValueError unless each has a name of its own."""
    listed = list(subjects)
    names = [subject.name for subject in listed]
    for name in names:
        if not name.strip() or names.count(name) > 1:
            what = f"two networks are called {name}" if name.strip() else "a network has no name"
            raise ValueError(f"{what}; allowed is one name for each")
    return listed


def of_module(
    module: nn.Module,
    variables: Mapping[str, Any],
    *,
    name: str,
    title: str = "",
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    origin: Mapping[str, Any] | None = None,
    run: str = "",
) -> Subject:
    """A linen module as a subject, in evaluation mode.

    Args:
      module: the network; its `train` argument, where it has one, is False.
      variables: what `module.init` returned, or a checkpoint.
      name: short name.
      title: a few words.
      mean: of the data the network was trained on, one number per channel or one for all, see
        `jaxinv.data`.
      std: of that data, in the same form.
      origin: where the weights came from.
      run: see `Subject`.

    Raises:
      ValueError: if a variable is NaN, or mean or std are no scale of images.

    Example:
      >>> import jax.numpy as jnp
      >>> module = nn.Conv(4, (3, 3))
      >>> images = jnp.zeros((1, 8, 8, 1))
      >>> net = of_module(module, module.init(jax.random.key(0), images), name="conv")
      >>> net.parameters, sorted(net.layers(images))
      (40, ['Conv'])
    """
    check_scale(mean, std, channels=len(mean))
    check_not_nan(variables, what=name)

    options = evaluating(type(module).__call__)
    return dataclasses.replace(
        _linen(module, variables, options, functools.partial(scaled, mean=mean, std=std)),
        name=printable(name),
        title=printable(title or name),
        origin=origin or {},
        run=printable(run),
    )


def _linen(
    module: nn.Module,
    variables: Mapping[str, Any],
    options: Mapping[str, Any],
    prepare: Callable[[Array], Array],
) -> Subject:
    """A linen module that sees prepared images."""

    def apply(images: Array) -> Array:
        outputs: Any = module.apply(variables, prepare(images), **options)
        return outputs

    def layers(images: Array) -> dict[str, Array]:
        outputs = layer_outputs(module, variables, prepare(images), **options)
        return _distinct(outputs, whole=type(module).__name__)

    return Subject("", "", apply, layers, variables)


def of_network(network: Any, *, name: str) -> Subject:
    """A network of a Python program, called with images as they are, in float32.

    Args:
      network: a function of images (n, H, W, C); a Flax nnx, Equinox or Keras module, which is put
        in evaluation mode; a linen module that is bound to its variables, or
        `functools.partial(module.apply, variables)`.
      name: its name.

    Raises:
      ValueError: if it cannot be called, or is a linen module without variables.

    Example:
      >>> import jax.numpy as jnp
      >>> module = nn.Conv(4, (3, 3))
      >>> images = jnp.zeros((1, 8, 8, 1))
      >>> variables = module.init(jax.random.key(0), images)
      >>> subject = of_network(module.bind(variables), name="conv")
      >>> subject.parameters, subject.layers(images)["Conv"].shape
      (40, (1, 8, 8, 4))
      >>> of_network(lambda x: x.mean((1, 2)), name="mean").apply(images).shape
      (1, 1)
    """
    if isinstance(network, nn.Module):
        if network.scope is None:
            raise ValueError(
                f"{name} is a Flax module without variables; give module.bind(variables), or "
                "functools.partial(module.apply, variables)"
            )
        module, variables = network.unbind()
        options: Mapping[str, Any] = evaluating(type(module).__call__)
        subject = _linen(module, variables, options, _float32)
    elif (applied := _applied_module(network)) is not None:
        module, options = applied, network.keywords
        subject = _linen(module, network.args[0], options, _float32)
    elif callable(network):
        fun = in_evaluation(network)
        subject = _traced(lambda images: fun(_float32(images)))
    else:
        raise ValueError(
            f"{name} cannot be called: its type is {type(network).__name__}; allowed are "
            "functions of images and modules that hold their weights"
        )
    return dataclasses.replace(subject, name=printable(name), title=printable(name))


def _traced(apply: Callable[[Array], Array]) -> Subject:
    """A network whose layers are read off its program."""
    return Subject("", "", apply, layers_of(apply))


def _applied_module(network: Any) -> nn.Module | None:
    """The module whose `apply` a partial calls with variables alone."""
    if not isinstance(network, functools.partial) or len(network.args) != 1:
        return None
    module = getattr(network.func, "__self__", None)
    applies = isinstance(module, nn.Module) and network.func == module.apply
    return module if applies and "method" not in network.keywords else None


def _float32(images: Array) -> Array:
    return images.astype(jnp.float32)


def _distinct(outputs: Mapping[str, Array], *, whole: str) -> dict[str, Array]:
    """The activations among the outputs of layers, each once.

    Left out: numbers that are no activations (the phase that an adaptive sampler chose), and a
    module that only hands on what another one returned: the one inside it or the one before.
    """
    found: dict[str, Array] = {}
    for name, output in outputs.items():
        if not jnp.issubdtype(output.dtype, jnp.floating):
            continue
        label = whole if name == "output" else name.removesuffix("[0]")
        same = next((other for other, value in found.items() if value is output), None)
        if same is None:
            found[label] = output
        elif same.startswith(f"{label}/"):  # the module around the one that computed it
            found.pop(same)
            found[label] = output
    return found


def of_pytorch(
    path: str,
    weights: Path | None,
    *,
    preprocessing: Preprocessing | None = None,
    limit: float = LIMIT,
) -> Subject:
    """The user's own PyTorch module, `package.module:name`, or what makes one.

    It is called with images (n, C, H, W).

    Args:
      path: where to import it from.
      weights: file of its state dict, see `load_weights`; None for the weights that it has.
      preprocessing: scales its images; by default to values from 0 to 1.
      limit: gigabytes that they may take.

    Raises:
      ValueError: if it cannot be imported or converted, or the weights cannot be read or do not
        fit.
    """
    module = module_named(path)
    if weights is not None:
        load_weights(module, weights, limit=limit)
    params, network = from_pytorch(module)
    check_not_nan(params, what=path)
    seen = preprocessing or Preprocessing()

    def apply(images):
        return network(params, jnp.moveaxis(seen.scaled(images), -1, 1))

    weights_of = {name: params[name] for name, _ in module.named_parameters() if name in params}
    return dataclasses.replace(
        _traced(apply),
        name=printable(path),
        title=printable(path),
        variables={"params": weights_of},
        origin={"torch": path} | _origin(weights, seen),
    )


def of_function(
    path: str,
    parameters: Path | None,
    *,
    preprocessing: Preprocessing | None = None,
    limit: float = LIMIT,
) -> Subject:
    """The user's own network: `package.module:name`, a function or a module.

    A function is called as `function(params, images)`, or as `function(images)` without a file of
    parameters; images are float32 (n, H, W, C). A linen module is applied to the same images, and
    an nnx, Equinox or Keras module is called with them in evaluation mode. Names are found in the
    current folder too.

    Args:
      path: where to import it from.
      parameters: file or folder of its parameters, see `read_parameters`.
      preprocessing: scales its images; by default to values from 0 to 1.
      limit: gigabytes that they may take.

    Raises:
      ValueError: if it cannot be imported or called, or the parameters cannot be read.
    """
    value = imported(path)
    variables = read_parameters(parameters, limit=limit) if parameters else None
    seen = preprocessing or Preprocessing()
    origin = {"apply": path} | _origin(parameters, seen)
    if isinstance(value, nn.Module):
        if variables is None:
            raise ValueError(f"{path} is a module; params must name the file of its variables")
        scale: dict[str, Any] = {} if seen.mean is None else {"mean": seen.mean, "std": seen.std}
        return of_module(value, variables, name=path, origin=origin, **scale)
    if not callable(value):
        raise ValueError(f"{path} is a {type(value).__name__}, which cannot be called")
    fun = in_evaluation(value) if variables is None else functools.partial(value, variables)

    def apply(images):
        try:
            return fun(seen.scaled(images))
        except (Exception, SystemExit) as error:  # the function is the user's own
            raise ValueError(said(error)) from error

    return dataclasses.replace(
        _traced(apply),
        name=printable(path),
        title=printable(path),
        variables=variables,
        origin=origin,
    )


def _origin(parameters: Path | None, preprocessing: Preprocessing) -> dict[str, Any]:
    """Where parameters came from, and the scale of images where one was given."""
    scale = {"mean": preprocessing.mean, "std": preprocessing.std}
    stored = {"params": str(parameters) if parameters else None}
    return stored | {name: list(numbers) for name, numbers in scale.items() if numbers is not None}
