"""Paths of the arrays that a function is given or carries, for the names of its layers.

Names are decoration: a closure may hold anything, and whatever goes wrong in it costs a name and
nothing more. Plain containers are walked here and not by `jax.tree`, which sorts the keys of
dictionaries and follows a container that holds itself until the stack is full.
"""

import contextlib
import functools
import inspect
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax.tree_util import DictKey, SequenceKey, keystr, tree_flatten_with_path

from jaxinv.symmetry.source_lines import is_installed

# Objects that are looked at: names are for layers, and no network has that many.
_MOST = 20_000
_ARRAYS = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)


def array_names(tree: Any) -> dict[int, str]:
    """The path of every array in a pytree, keyed by the array's `id`."""
    return _names(tree, {})


def closure_names(fun: Callable[..., Any]) -> dict[int, str]:
    """The paths of the arrays that a function carries: its own, bound arguments, its variables."""
    names: dict[int, str] = {}
    # Objects are held while they are looked at, so that no other takes their id.
    looked_at: dict[int, Any] = {}
    entered: dict[int, Any] = {}
    pending: list[Any] = [fun]
    while pending and len(entered) < _MOST:
        item = pending.pop()
        if id(item) not in entered:
            entered[id(item)] = item
            with contextlib.suppress(Exception):
                pending += _carried(item)
            names |= {array: name for array, name in _names(item, looked_at).items() if name}
    return names


def _carried(item: Any) -> list[Any]:
    """What a function is made of. No attribute is read that the object's class may compute."""
    # Not by `isinstance`, which asks the object what class it has.
    if issubclass(type(item), functools.partial):
        return [item.func, *item.args, *item.keywords.values()]
    if type(item) is types.MethodType:
        return [item.__self__, item.__func__]
    carried = []
    if type(item) is types.FunctionType:
        carried += _globals(item)
        for cell in item.__closure__ or ():
            # A cell is empty until its variable is set.
            with contextlib.suppress(ValueError):
                carried.append(cell.cell_contents)
    with contextlib.suppress(Exception):
        carried.append(inspect.getattr_static(item, "__wrapped__"))
    return carried


def _globals(fun: types.FunctionType) -> list[Any]:
    """The variables of its module that a function of the user's, and those inside it, read."""
    if is_installed(fun.__code__.co_filename):
        return []
    codes, read = [fun.__code__], set[str]()
    for code in codes:
        read |= set(code.co_names)
        codes += [inner for inner in code.co_consts if type(inner) is types.CodeType]
    return [fun.__globals__[name] for name in sorted(read & fun.__globals__.keys())]


def _names(tree: Any, looked_at: dict[int, Any]) -> dict[int, str]:
    """The paths of the arrays in a pytree, without what was looked at before."""
    names: dict[int, str] = {}
    pending: list[tuple[tuple, Any]] = [((), tree)]
    while pending and len(looked_at) < _MOST:
        path, item = pending.pop()
        with contextlib.suppress(Exception):
            if isinstance(item, _ARRAYS):
                # nnx wraps each array in a variable; its field is no part of the name.
                names[id(item)] = keystr(path, simple=True, separator="/").removesuffix("/value")
            elif id(item) not in looked_at:
                looked_at[id(item)] = item
                children = [((*path, key), child) for key, child in _children(item)]
                pending += reversed(children)
    return names


def _children(item: Any) -> Iterable[tuple[Any, Any]]:
    """What a node of a pytree holds, each with its key; nothing for a leaf."""
    if type(item) in (dict, OrderedDict, defaultdict):
        return ((DictKey(key), child) for key, child in islice(item.items(), _MOST))
    if type(item) in (list, tuple):
        return ((SequenceKey(i), child) for i, child in enumerate(islice(item, _MOST)))
    leaves, _ = tree_flatten_with_path(item, is_leaf=lambda node: node is not item)
    return ((path[0], child) for path, child in leaves if path)
