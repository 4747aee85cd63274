"""PyTorch modules as functions of JAX, by torchax."""

import contextlib
import copy
import dataclasses
import functools
import random
import types
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
    _check_holds_numbers(module)
    held = dict(module.named_parameters()) | dict(module.named_buffers())
    tensors = _tensors_beside(module) | held
    shared = {id(tensor): tensor for tensor in tensors.values()}
    try:
        module = _copy(module, shared)
    except Exception as error:  # the code is the user's own
        kind = type(module).__name__
        raise ValueError(
            f"{kind} cannot be copied by copy.deepcopy: {first_line(error)}"
        ) from error
    states = env.t2j_copy(tensors)
    params = {n: v for n, v in states.items() if n in held and jnp.issubdtype(v.dtype, jnp.inexact)}
    key = jax.random.key(0)
    # Indices and counters have no derivative; as constants they can be reasoned about.
    fixed = {name: value for name, value in states.items() if name not in params}

    def apply(params: Params, *inputs: Any, **options: Any) -> Any:
        part = _copy(module, shared)  # its code may keep what it has computed
        arrays = jax.tree.map(jnp.asarray, (fixed | params, inputs))
        options = jax.tree.map(_as_jax, options)
        with _seeded():
            copies = _writes_into_views(module, tensors, arrays[1], options)
        run = in_environment if copies is None else functools.partial(without_writes, copies)
        with _named(part), _seeded(), _apart(env, key):
            call = functools.partial(torch.func.functional_call, part)
            return _plain(run(env, call, *env.j2t_iso((*arrays, options))), env.t2j_iso)

    if example is not None:
        inputs = jax.tree.map(np.asarray, example if isinstance(example, tuple) else (example,))
        _check_parity(_copy(module, shared), inputs, apply(params, *inputs))
    return params, apply


def _writes_into_views(
    module: Any, tensors: dict[str, Any], inputs: Any, options: Any
) -> list[bool] | None:
    from jaxinv.interop.aliases import writes_into_views

    # Not all code runs without numbers; where they are traced, it does not depend on them.
    for device, convert in (("meta", _without_numbers), ("cpu", _with_numbers)):
        known = {id(tensor): tensor.detach().to(device, copy=True) for tensor in tensors.values()}
        try:
            args, kwargs = jax.tree.map(convert, (inputs, options))
            return writes_into_views(_copy(module, known), *args, device=device, **kwargs)
        except (Exception, SystemExit):  # what fails there is told by JAX
            continue
    return None


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


def _as_jax(value: Any) -> Any:
    return jnp.asarray(value) if isinstance(value, np.ndarray) else value


def _without_numbers(array: Any) -> Any:
    import torch

    if not isinstance(array, jax.Array):
        return array
    dtype = getattr(torch, str(array.dtype).removesuffix("_"))
    return torch.empty(array.shape, dtype=dtype, device="meta")


def _with_numbers(array: Any) -> Any:
    import torch
    from torchax.ops.mappings import j2t

    if isinstance(array, jax.core.Tracer):
        return torch.zeros_like(_without_numbers(array), device="cpu")
    with warnings.catch_warnings(action="ignore"):  # of a memory that is not to be written
        return j2t(array).clone() if isinstance(array, jax.Array) else array


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


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Random numbers of Python, NumPy and PyTorch are the same in each call, and undisturbed."""
    import torch

    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            torch.default_generator.manual_seed(0)  # the processor's alone
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _copy(module: Any, memo: dict[int, Any]) -> Any:
    """A copy of a module, in which what has a number in `memo` is what that says.

    Functions that it holds, such as hooks, and that refer to a part of it, refer to the copy's.
    """
    memo = dict(memo)
    parts = set(map(id, module.modules()))
    cells: list[tuple[Any, Any]] = []
    for part in module.modules():
        held = list(vars(part).values())
        held += [hook for hooks in held if isinstance(hooks, Mapping) for hook in hooks.values()]
        for fun in held:
            seen = (fun.__closure__ or ()) if isinstance(fun, types.FunctionType) else ()
            if id(fun) not in memo and any(id(_content(cell)) in parts for cell in seen):
                new = tuple(types.CellType() for _ in seen)
                cells += zip(seen, new, strict=True)
                memo[id(fun)] = _with_closure(fun, new)
    copied = copy.deepcopy(module, memo)
    for old, new in cells:
        try:
            new.cell_contents = copy.deepcopy(_content(old), memo)
        except Exception:  # what cannot be copied, such as a file, is shared
            new.cell_contents = _content(old)
    return copied


def _content(cell: Any) -> Any:
    """What a function refers to; None where that is not there yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _with_closure(fun: Any, closure: tuple[Any, ...]) -> Any:
    new = types.FunctionType(fun.__code__, fun.__globals__, fun.__name__, None, closure)
    new.__defaults__, new.__kwdefaults__ = fun.__defaults__, fun.__kwdefaults__
    return new


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


def _check_holds_numbers(module: Any) -> None:
    """Raises unless the parts are PyTorch's own and all of their tensors hold plain numbers."""
    import torch

    for path, part in module.named_modules():
        where = f"{path or 'the module'} ({type(part).__name__})"
        if isinstance(part, torch.jit.ScriptModule):
            raise ValueError(f"{where} is compiled; allowed are modules before torch.jit")
        if "quantized" in type(part).__module__:
            raise ValueError(f"{where} is quantised; allowed are modules before quantisation")
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
                raise ValueError(f"{where}: {name} has no shape yet; call the module once before")
            if tensor is not None and tensor.is_meta:
                raise ValueError(f"{where}: {name} is on the meta device; load its numbers before")


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
    except (Exception, SystemExit) as error:
        part = running[-1][0] if running else module
        kind = type(part).__name__
        where = f"{paths[part]} ({kind})" if paths[part] else kind
        raise ValueError(f"{where} cannot be run in JAX: {_reason(error)}") from error
    finally:
        while running:
            running.pop()[1].__exit__(None, None, None)


def _reason(error: BaseException) -> str:
    """What went wrong; of what libraries say in words of their own, what would work."""
    if isinstance(
        error,
        jax.errors.ConcretizationTypeError
        | jax.errors.NonConcreteBooleanIndexError
        | jax.errors.TracerArrayConversionError,
    ):
        return (
            "its code asks for values (a branch, a mask as index, int(x), x.item()) where they are "
            f"traced; torch.where and shapes are no values ({first_line(error)})"
        )
    if isinstance(error, AssertionError) and "mixed math" in str(error):
        return (
            "it uses a tensor of PyTorch that no module holds, or one on another device; "
            "register_buffer, or make it with device=x.device (mixed math)"
        )
    return first_line(error)
