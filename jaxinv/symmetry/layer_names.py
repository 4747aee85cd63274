"""Names for the equations of a program, as a person knows its layers."""

import itertools
import re
from collections.abc import Sequence

import numpy as np
from jax.extend.core import primitives

from jaxinv.declarations import MODULE
from jaxinv.symmetry.program import Equation, Program, Source
from jaxinv.symmetry.reasons import Cause, Reason
from jaxinv.symmetry.registry import REGISTERED
from jaxinv.symmetry.walk import Record

_REDUCTIONS = {
    primitives.reduce_sum_p: "sum",
    primitives.reduce_max_p: "maximum",
    primitives.reduce_min_p: "minimum",
    primitives.reduce_prod_p: "product",
}
# Functions of jax that are one thing to their caller, by the name of their `jit`.
LIBRARY = {"_pad": "pad", "_resize": "resize"}
_WHOLE_PATH = re.compile(f"{MODULE}([^/()]*)")
_MIXES = {Cause.DENSE, Cause.POSITIONS_MIXED, Cause.REORDERED, Cause.READ_UNEVENLY}


def operation(equation: Equation) -> str:
    """What an equation does, in the words of a layer."""
    known = REGISTERED.get(equation.primitive)
    return (known and known.layer) or str(equation.primitive)


def layer_names(program: Program, records: Sequence[Record]) -> list[str]:
    """For each record the path of its layer, or "" where no module and no parameter names one."""
    modules = [module_path(record.equation.source.module) for record in records]
    parents = {m[: at.start()] for m in set(modules) for at in re.finditer("[/.]", m)}
    names = []
    for record, module in zip(records, modules, strict=True):
        if module and module not in parents:
            names.append(module)
        else:
            parameter = _parameter(program, record.equation)
            named = _outside(module), _of_whole_path(parameter)
            if MODULE not in record.equation.source.module:
                # linen's parameters lie below "params"; the rest is the module path.
                path = parameter.rpartition("params/")[2]
                named = _root(module), path.rpartition("/")[0] or path
            names.append("/".join(filter(None, named)) if named[1] else "")
    return _without_root(_of_whole_layers(records, names))


def _of_whole_layers(records: Sequence[Record], names: Sequence[str]) -> list[str]:
    """Where one parameter names a part of an equinox layer, its name for all of the layer."""
    found: list[str] = []
    together = itertools.groupby(
        zip(records, names, strict=True),
        lambda pair: (_equinox_layer(pair[0].equation), pair[0].equation.source.line),
    )
    for (layer, _), pairs in together:
        own = [name for _, name in pairs]
        known = {name for name in own if name}
        whole = known.pop() if layer and len(known) == 1 else ""
        found += [whole or name for name in own]
    return found


def layer_or_operation(equation: Equation) -> str:
    """The module that an equation is written in, or what it does."""
    module = module_path(equation.source.module)
    return module or _equinox_layer(equation) or operation(equation)


def _equinox_layer(equation: Equation) -> str:
    """The class of equinox that an equation is written in, or ""."""
    scopes = equation.source.module.split("/")
    return next((s.removeprefix("eqx.nn.") for s in scopes[::-1] if s.startswith("eqx.nn.")), "")


def module_path(module: str) -> str:
    """Module names only: linen writes methods beside them, jax transforms, equinox classes.

    A method that a module calls of its own is no module in it. Below a whole path stand the
    operations of the framework that the module is written in.
    """
    outer, _, _ = module.partition(MODULE)
    parts = (part for part in outer.split("/") if "(" not in part and "eqx." not in part)
    names: list[str] = []
    for name, method, _ in (part.partition(".") for part in parts):
        if not method or names[-1:] != [name]:
            names.append(name)
    return "/".join(filter(None, [*names, *_WHOLE_PATH.findall(module)[-1:]]))


def whole_path(equation: Equation) -> str:
    """The path of the module that an equation stands in, if that writes its whole path; or ""."""
    module = equation.source.module
    return module_path(module) if MODULE in module else ""


def _root(module: str) -> str:
    return module.partition("/")[0]


def _outside(module: str) -> str:
    """What precedes a whole path."""
    return module.rpartition("/")[0]


def _of_whole_path(parameter: str) -> str:
    """The name of a parameter in a state dict, which its module's path begins; "" of the root."""
    name = parameter.rpartition("/")[2]
    return name if "." in name else ""


def is_structural(equation: Equation) -> bool:
    """Whether an equation is a layer of its own where no module and no parameter names it."""
    known = REGISTERED.get(equation.primitive)
    return known is not None and known.layer != ""


def _moves_only(equation: Equation) -> bool:
    """Whether an equation hands its one operand on, a parameter say, with the same numbers."""
    known = REGISTERED.get(equation.primitive)
    return known is not None and known.moves_only and len(equation.ins) == 1


def library_call(equation: Equation) -> Source | None:
    """The call of a function in `LIBRARY` that an equation is a part of."""
    call = equation.source.caller
    while call is not None and call.function not in LIBRARY:
        call = call.caller
    return call


def in_words_of(program: Program, call: Source, reason: Reason) -> Reason:
    """A reason found in the body of a library function, as one that its caller knows."""
    if call.function == "_resize":
        return Cause.RESAMPLING() if reason.cause in _MIXES else reason
    if reason.cause in (Cause.ZERO_PADDING, Cause.CONSTANT_PADDING):
        return reason
    parts = [e for e in program.equations if library_call(e) is call]
    joined = all(_moves_only(e) or e.primitive is primitives.concatenate_p for e in parts)
    if not joined:
        return Cause.OTHER_PADDING()
    reversed_ = any(e.primitive is primitives.rev_p for e in parts)
    return Cause.REFLECT_PADDING() if reversed_ else Cause.EDGE_PADDING()


def pooling(program: Program, equation: Equation) -> str:
    """How an equation puts positions together: a sum that is divided by their number is a mean."""
    name = _REDUCTIONS.get(equation.primitive, operation(equation))
    if equation.primitive is not primitives.reduce_sum_p:
        return name
    count = equation.in_avals[0].size // max(1, equation.out_avals[0].size)
    reached = {equation.outs[0]}
    for other in program.equations:
        if reached.isdisjoint(other.ins[:1]):
            continue
        if _moves_only(other):
            reached.add(other.outs[0])
        elif other.primitive is primitives.div_p:
            divisor = program.known_value(other.ins[1])
            if divisor is not None and np.all(divisor == count):
                return "mean"
    return name


def _parameter(program: Program, equation: Equation) -> str:
    """The name of a parameter of the layer that an equation belongs to, or "".

    A layer may compute with it first, as one does that standardises its kernels.
    """
    for number in equation.ins:
        names = program.parameters.get(number, ())
        if len({name.rpartition("/")[0] for name in names}) == 1:
            return min(names)
    return ""


def _without_root(names: list[str]) -> list[str]:
    """Drops the module that all paths begin with: the network itself."""
    paths = [name.split("/") for name in names if name]
    while paths and all(len(p) > 1 for p in paths) and len({p[0] for p in paths}) == 1:
        paths = [p[1:] for p in paths]
    short = iter("/".join(p) for p in paths)
    return [next(short) if name else "" for name in names]
