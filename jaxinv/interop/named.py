"""PyTorch modules by their names, and their weights by files, as the commands take them."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxinv.command_line import first_line, some_of
from jaxinv.user_code import imported, said

# What torch.save writes, by the endings that people give it.
_SAVED = (".pt", ".pth", ".bin")


def module_named(path: str) -> Any:
    """The PyTorch module that `package.module:name` names, in evaluation mode.

    Args:
      path: the name of a module, or of a class or function that makes one with its defaults.

    Raises:
      ValueError: if there is no such object, or it makes no module.
    """
    value = imported(path, option="torch")
    try:
        import torch
    except ImportError as error:
        raise ValueError(f"{path} needs PyTorch: pip install 'jaxinv[torch]'") from error
    if callable(value) and not isinstance(value, torch.nn.Module):
        try:
            value = value()
        except (Exception, SystemExit) as error:  # the code is the user's own
            raise ValueError(f"{path} cannot be called without arguments: {said(error)}") from error
    if not isinstance(value, torch.nn.Module):
        kind = type(value).__name__
        raise ValueError(f"{path} gives {kind}; needed is a torch.nn.Module or what makes one")
    return value.eval()


def load_weights(module: Any, path: Path, *, limit: float) -> None:
    """Puts the state dict of a file into a module: all of its tensors, and no others.

    Args:
      module: the module.
      path: a `.safetensors` file, or a `.pt`, `.pth` or `.bin` file of `torch.save`, which may hold
        the state dict below the key `state_dict`. Nothing in it is run.
      limit: gigabytes that the file may have.

    Raises:
      ValueError: if the file is missing, too large, damaged, of another kind or holds more than
        tensors, or if names or shapes do not fit; the message says which.
    """
    state = {name.removeprefix("module."): value for name, value in _read(path, limit).items()}
    own = module.state_dict()
    wrong = [
        f"{name} has shape {tuple(state[name].shape)} and not {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = {
        "it lacks": [name for name in own if name not in state],
        "the module has no": [name for name in state if name not in own],
        "": wrong,
    }
    told = [f"{what} {some_of(names)}".strip() for what, names in problems.items() if names]
    if told:
        raise ValueError(f"params {path} does not fit {type(module).__name__}: {'; '.join(told)}")
    module.load_state_dict(state, assign=any(value.is_meta for value in own.values()))


def _read(path: Path, limit: float) -> Mapping[str, Any]:
    import torch

    if not path.is_file():
        raise ValueError(f"params {path} is no file")
    if path.suffix not in (*_SAVED, ".safetensors"):
        kinds = ", ".join((*_SAVED, ".safetensors"))
        raise ValueError(f"params {path} is of an unknown kind; allowed with torch are {kinds}")
    if (size := path.stat().st_size / 1e9) > limit:
        raise ValueError(f"params {path} has {size:.3g} GB; params_limit is {limit:g}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # of pickles of another protocol
                state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ValueError(f"reading {path} needs {error.name}: pip install {error.name}") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"params {path} is damaged, or holds more than tensors, such as code, which is not "
            "run; allowed is what torch.save(module.state_dict(), path) writes"
        ) from error
    except Exception as error:  # each format's library has errors of its own for a damaged file
        raise ValueError(f"params {path} cannot be read: {first_line(error)}") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"params {path} holds a {type(state).__name__} that is no state dict")
    return state
