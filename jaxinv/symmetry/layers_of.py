"""Names for the equations of a program, as a person knows its layers."""

from collections.abc import Sequence

from jax import lax
from jax.extend.core import primitives

from jaxinv.declarations import declare_p
from jaxinv.symmetry.analysis import Record
from jaxinv.symmetry.program import Equation, Program

_POOL_NAMES = {
    primitives.reduce_window_max_p: "max_pool",
    primitives.reduce_window_min_p: "min_pool",
    primitives.reduce_window_sum_p: "avg_pool",
    declare_p: "declared",
}
# What carries a parameter unchanged to the equation that uses it.
_CARRIERS = {
    primitives.reshape_p,
    primitives.broadcast_in_dim_p,
    primitives.transpose_p,
    primitives.convert_element_type_p,
    primitives.squeeze_p,
    primitives.slice_p,
    primitives.copy_p,
    primitives.rev_p,
    lax.split_p,
}
_STRUCTURAL = {
    primitives.conv_general_dilated_p,
    primitives.dot_general_p,
    primitives.reduce_sum_p,
    primitives.reduce_max_p,
    declare_p,
    *_POOL_NAMES,
}


def operation(equation: Equation) -> str:
    """What an equation does, in the words of a layer."""
    return _POOL_NAMES.get(equation.primitive, str(equation.primitive))


def layer_names(program: Program, records: Sequence[Record]) -> list[str]:
    """For each record the path of its layer, or "" where no module and no parameter names one."""
    modules = [_without_methods(record.equation.source.module) for record in records]
    parents = {m.rsplit("/", 1)[0] for m in set(modules) if "/" in m}
    names = []
    for record, module in zip(records, modules, strict=True):
        if module and module not in parents:
            names.append(module)
        else:
            parameter = _parameter(program, record.equation)
            # linen's parameters lie below "params"; the rest is the module path.
            path = parameter.rpartition("params/")[2]
            name = path.rpartition("/")[0] or path
            names.append("/".join(filter(None, [_root(module), name])) if name else "")
    return _without_root(names)


def _without_methods(module: str) -> str:
    """Module names only: linen writes methods beside them, jax transforms, equinox classes."""
    parts = (part for part in module.split("/") if "(" not in part and "eqx." not in part)
    return "/".join(part.partition(".")[0] for part in parts)


def _root(module: str) -> str:
    return module.partition("/")[0]


def is_row(record: Record, name: str) -> bool:
    """Whether an equation without a layer of its own is worth a row."""
    return bool(record.notes) or (not name and record.equation.primitive in _STRUCTURAL)


def _parameter(program: Program, equation: Equation) -> str:
    for number in equation.ins:
        while number not in program.names:
            producer = program.producers.get(number)
            if producer is None or producer.primitive not in _CARRIERS:
                break
            number = producer.ins[0]
        if number in program.names:
            return program.names[number]
    return ""


def _without_root(names: list[str]) -> list[str]:
    """Drops the module that all paths begin with: the network itself."""
    paths = [name.split("/") for name in names if name]
    while paths and all(len(p) > 1 for p in paths) and len({p[0] for p in paths}) == 1:
        paths = [p[1:] for p in paths]
    short = iter("/".join(p) for p in paths)
    return [next(short) if name else "" for name in names]
