"""PyTorch modules as functions of JAX, by torchax."""

import contextlib
import copy
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from jaxinv.command_line import first_line
from jaxinv.declarations import in_module
from jaxinv.tolerances import tolerance

# Two libraries order their sums differently, and so do not round alike where one library does.
_SLACK = 10
Params = dict[str, Shaped[Array, "..."]]


def from_pytorch(module: Any, *, example: Any = None) -> tuple[Params, Callable[..., Any]]:
    """The parameters of a PyTorch module, and the function of JAX that it computes.

    The function is the module in evaluation mode, with images as PyTorch has them, channels first:
    `certify(apply, params, images, argnums=1, axes=(2, 3))`. It can be differentiated, and works
    under `jit`, `vmap` and `orbit`. What becomes of the module later does not change it.

    Args:
      module: a `torch.nn.Module` in evaluation mode, on any device.
      example: an input, such as random images, or a tuple of several, on which PyTorch and the
        function are compared: torchax may run an operation otherwise. None compares nothing.

    Returns:
      `(params, apply)`. `params` holds the floating parameters and buffers by their names in the
      state dict. `apply(params, *inputs, **options)` returns what the module does, its arrays
      those of JAX; a dataclass becomes a dict.

    Raises:
      ValueError: if torchax cannot be imported, if `module` is no module that can be converted, or
        if a part of it is in training mode and computes something else there, or if PyTorch and
        the function differ on the example. `apply` raises one that names the submodule which JAX
        cannot run.

    Example:
      >>> import torch, torchvision, jaxinv  # doctest: +SKIP
      >>> module = torchvision.models.resnet18(weights="DEFAULT").eval()  # doctest: +SKIP
      >>> params, apply = jaxinv.from_pytorch(module)  # doctest: +SKIP
      >>> images = jax.ShapeDtypeStruct((1, 3, 224, 224), "float32")  # doctest: +SKIP
      >>> print(jaxinv.certify(apply, params, images, argnums=1, axes=(2, 3)))  # doctest: +SKIP
    """
    try:
        import torch

        from jaxinv.interop.operations import environment, in_environment, without_writes

        env = environment()
    except Exception as error:  # torchax fails in its own way with each torch that it does not know
        raise ValueError(
            "from_pytorch needs torchax, and a torch that it works with: pip install "
            f"'jaxinv[torch]' ({first_line(error)})"
        ) from error
    if not isinstance(module, torch.nn.Module) or isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"module is a {type(module).__name__}; allowed is a torch.nn.Module, not compiled"
        )
    _check_evaluates(module)
    held = dict(module.named_parameters()) | dict(module.named_buffers())
    tensors = _tensors_beside(module) | held
    module = _copy(module, tensors)
    states = env.t2j_copy(tensors)
    params = {n: v for n, v in states.items() if n in held and jnp.issubdtype(v.dtype, jnp.inexact)}
    key = jax.random.key(0)
    # Indices and counters have no derivative; as constants they can be reasoned about.
    fixed = {name: value for name, value in states.items() if name not in params}

    def apply(params: Params, *inputs: Any, **options: Any) -> Any:
        part = _copy(module, tensors)  # its code may keep what it has computed
        arrays = jax.tree.map(jnp.asarray, (fixed | params, inputs))
        writes = _writes_into_views(module, tensors, arrays[1], options)
        run = without_writes if writes else in_environment
        with _named(part), _apart(env, key):
            call = functools.partial(torch.func.functional_call, part, kwargs=options)
            return _plain(run(env, call, *env.j2t_iso(arrays)), env.t2j_iso)

    if example is not None:
        inputs = jax.tree.map(np.asarray, example if isinstance(example, tuple) else (example,))
        _check_parity(_copy(module, tensors), inputs, apply(params, *inputs))
    return params, apply


def _writes_into_views(module: Any, tensors: dict[str, Any], inputs: Any, options: Any) -> bool:
    from jaxinv.interop.aliases import writes_into_views

    shapes = {id(tensor): tensor.detach().to("meta") for tensor in tensors.values()}
    part = copy.deepcopy(module, shapes)
    try:
        return writes_into_views(part, *jax.tree.map(_without_numbers, inputs), **options)
    except Exception:  # what fails there is told by JAX
        return False


def _plain(outputs: Any, convert: Callable[[Any], Any]) -> Any:
    """The outputs of a module in containers of JAX.

    Raises:
      TypeError: if something else is among them.
    """
    import torch

    def leaf(value):
        if isinstance(value, torch.Tensor):
            return convert(value)
        if isinstance(value, Mapping):
            return jax.tree.map(leaf, dict(value))
        if isinstance(value, tuple):
            return jax.tree.map(leaf, tuple(value))
        if dataclasses.is_dataclass(value):
            return jax.tree.map(
                leaf, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            )
        if isinstance(value, int | float | complex):
            return value
        raise TypeError(
            f"it returns a {type(value).__name__}; allowed are tensors, numbers, and tuples, "
            "lists, dicts and dataclasses of them"
        )

    return jax.tree.map(leaf, outputs)


def _without_numbers(array: Array) -> Any:
    import torch

    dtype = getattr(torch, str(array.dtype).removesuffix("_"))
    return torch.empty(array.shape, dtype=dtype, device="meta")


def _check_parity(module: Any, inputs: tuple[Any, ...], outputs: Any) -> None:
    """Raises unless a module returns some arrays, up to rounding."""
    import torch

    device = next((tensor.device for tensor in module.parameters()), None)
    with torch.no_grad():
        theirs = module(*(torch.as_tensor(array, device=device) for array in inputs))
    theirs = _plain(theirs, lambda tensor: tensor.cpu().double().numpy())
    for mine, expected in zip(jax.tree.leaves(outputs), jax.tree.leaves(theirs), strict=True):
        scale = float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
        relative, _ = tolerance(mine.dtype, depth=len(list(module.modules())))
        found, allowed = np.asarray(mine, float), _SLACK * relative * scale
        if not np.allclose(found, expected, rtol=0, atol=allowed, equal_nan=True):
            far = np.nanmax(np.abs(found - expected))
            raise ValueError(
                f"{type(module).__name__} does not compute in JAX what it does in PyTorch: outputs "
                f"up to {scale:.3g} differ by {far:.3g}; torchax runs an operation otherwise"
            )


@contextlib.contextmanager
def _apart(env: Any, key: Any) -> Iterator[None]:
    """What a module makes is JAX's; its random numbers are the same in each call."""
    import torch

    with (
        warnings.catch_warnings(),
        env.override_property(prng=key),
        torch.device("jax:0"),
    ):
        # PyTorch's indices have 64 bits.
        warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
        yield


def _copy(module: Any, tensors: dict[str, Any]) -> Any:
    """A copy of a module which shares its tensors."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors.values()})


def _tensors_beside(module: Any) -> dict[str, Any]:
    """The tensors that submodules hold as plain attributes, by their paths."""
    import torch

    return {
        f"{path}.{name}".removeprefix("."): value
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, torch.Tensor)
    }


def _check_evaluates(module: Any) -> None:
    """Raises unless each part that asks whether it is trained is told that it is not."""
    for path, part in module.named_modules():
        if part.training and _asks_for_training(type(part)):
            raise ValueError(
                f"{path or 'the module'} ({type(part).__name__}) is in training mode, in which it "
                "computes something else; call module.eval() before"
            )


def _asks_for_training(kind: type) -> bool:
    """Whether a method of a class of modules reads `self.training`."""
    import torch

    own = kind.__mro__[: kind.__mro__.index(torch.nn.Module)]
    methods = (getattr(value, "__code__", None) for base in own for value in vars(base).values())
    return any(code is not None and "training" in code.co_names for code in methods)


@contextlib.contextmanager
def _named(module: Any) -> Iterator[None]:
    """Writes the path of each submodule beside what it computes, and into its error."""
    paths = {part: path for path, part in module.named_modules()}
    running: list[tuple[Any, Any]] = []

    def enter(part, _):
        scope = in_module(paths[part])
        scope.__enter__()
        running.append((part, scope))

    def leave(part, *_):
        last = None
        while running and last is not part:  # more than one where an error inside was caught
            last, scope = running.pop()
            scope.__exit__(None, None, None)

    for part in paths:
        part.register_forward_pre_hook(enter, prepend=True)
        part.register_forward_hook(leave)
    try:
        yield
    except Exception as error:
        part = running[-1][0] if running else module
        kind = type(part).__name__
        where = f"{paths[part]} ({kind})" if paths[part] else kind
        raise ValueError(f"{where} cannot be run in JAX: {first_line(error)}") from error
    finally:
        while running:
            running.pop()[1].__exit__(None, None, None)
