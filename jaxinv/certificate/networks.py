"""Networks of several frameworks as functions of one array, in evaluation mode, by shapes alone."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from flax import nnx

from jaxinv.interop import from_pytorch


class Call(NamedTuple):
    """A function to certify.

    Attributes:
      fun: the function.
      args: its arguments.
      argnums: which of them is the image.
    """

    fun: Callable
    args: tuple[Any, ...]
    argnums: int


def called(network: Any, image: jax.ShapeDtypeStruct, options: Mapping[str, Any]) -> Call:
    """A network applied to an image.

    Args:
      network: a function of an image; a Flax (linen or nnx), Equinox, Keras or PyTorch module, in
        training mode or not; or a class or function that makes one of these with its defaults.
      image: the shape and dtype of the image.
      options: keyword arguments of the call. `train=False` and its like are added where the
        network has such a parameter.

    Example:
      >>> import jax.numpy as jnp
      >>> image = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
      >>> fun, args, argnums = called(nn.Conv(4, (3, 3)), image, {})
      >>> jax.eval_shape(fun, *args).shape, argnums
      ((1, 8, 8, 4), 1)

    Raises:
      ValueError: if what is made is no network.
    """
    if isinstance(network, type) or _makes_one(network):
        network = network()
        if not callable(network) and not isinstance(network, nn.Module):
            raise ValueError(f"called without arguments it gives {type(network).__name__}")
    if isinstance(network, nn.Module):
        options = evaluating(type(network).__call__) | dict(options)
        # Parameters are shapes: no array of the network is computed.
        init = functools.partial(network.init, **options)
        variables = jax.eval_shape(init, jax.random.key(0), image)
        return Call(functools.partial(network.apply, **options), (variables, image), 1)
    if (torch := sys.modules.get("torch")) and isinstance(network, torch.nn.Module):
        params, apply = from_pytorch(network.eval())
        return Call(functools.partial(apply, **options), (params, image), 1)
    return Call(in_evaluation(network, **options), (image,), 0)


def in_evaluation(network: Callable, **options: Any) -> Callable:
    """A function, or a module that holds its weights, as it is when nobody trains it.

    Args:
      network: a function of an image, or a Flax (nnx), Equinox or Keras module; nothing is done
        to the module itself.
      **options: as in `called`.

    Example:
      >>> in_evaluation(lambda x, training: (x, training))(3)
      (3, False)
    """
    if isinstance(network, nnx.Module):
        network = nnx.merge(*nnx.split(network))
        network.eval()
    elif (equinox := sys.modules.get("equinox")) and isinstance(network, equinox.Module):
        network = equinox.nn.inference_mode(network)
    inner = getattr(network, "call", network) if _is_keras(network) else network
    return functools.partial(network, **(evaluating(inner) | options))


def _is_keras(network: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(network, keras.Layer)


def _parameters(fun: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(fun).parameters
    except (TypeError, ValueError):  # of compiled code, say
        return {"image": inspect.Parameter("image", inspect.Parameter.POSITIONAL_ONLY)}


def _makes_one(network: Any) -> bool:
    """Whether it is a function that needs no image."""
    return inspect.isfunction(network) and all(
        parameter.default is not parameter.empty
        or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
        for parameter in _parameters(network).values()
    )


# What frameworks and people call the argument that says whether a network is being trained.
_MODES = {"train": False, "training": False, "is_training": False, "deterministic": True}


def evaluating(fun: Any) -> dict[str, bool]:
    """The keyword arguments that say of a function that nobody trains.

    Example:
      >>> evaluating(lambda x, train: x)
      {'train': False}
    """
    known = _parameters(fun)
    return {name: value for name, value in _MODES.items() if name in known}
