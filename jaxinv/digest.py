"""A name for what a program computes; another program, constant or version, another name.

The name is the same in every process: variables are numbered, constants enter by their bytes, and
nothing by its address. What cannot be named so, such as a call back into Python, has no name.
"""

import enum
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, primitives

from jaxinv.versions import own_source

# Parameters that say how to differentiate, or where memory is saved: values do not depend on them.
_RULES = {
    primitives.custom_jvp_call_p: {"jvp_jaxpr_fun", "jvp_jaxpr_thunk"},
    primitives.custom_vjp_call_p: {"fwd_jaxpr_thunk", "bwd", "out_trees"},
    primitives.remat_p: {"policy"},
}
# Settings of JAX that decide how precisely, and with which generator, a program is computed.
_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl")
# Modules of objects that are fully described by their `repr`.
_TELLING = re.compile(r"(jax|jaxlib|numpy|ml_dtypes|jaxinv)\b")
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


def program_digest(fun: Callable, *args: Any) -> str | None:
    """Names what a function that JAX can trace computes of arguments, or of their shapes.

    Returns:
      SHA-256 of the program, its constants and all that decides how it is computed, in hex; None
      where the program calls something whose content cannot be seen.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jax.ShapeDtypeStruct((2,), jnp.float32)
      >>> one = program_digest(lambda x: x + 1, x)
      >>> one == program_digest(lambda y: y + 1, x), one == program_digest(lambda x: x + 2, x)
      (True, False)
      >>> program_digest(lambda x: jax.pure_callback(np.sin, x, x), x) is None
      True
    """
    program = jax.make_jaxpr(fun)(*args)
    digest = _Digest()
    try:
        digest.add(program)
        digest.add(_circumstances())
    except _HiddenError:
        return None
    return digest.hex()


def content_digest(*values: Any) -> str:
    """SHA-256 of arrays, with shape and dtype, and of plain values, in hex.

    Example:
      >>> content_digest(np.zeros(2), "a") == content_digest(np.zeros((1, 2)), "a")
      False
    """
    digest = _Digest()
    digest.add(values)
    return digest.hex()


def _circumstances() -> tuple:
    """What results depend on beside the program."""
    return (
        jax.__version__,
        jaxlib.__version__,
        own_source(),
        jax.default_backend(),
        jax.devices()[0].device_kind,
        [str(getattr(jax.config, name)) for name in _SETTINGS],
    )


class _HiddenError(Exception):
    """Something whose content cannot be seen."""


class _Digest:
    """A hash of nested values, where every value says its kind and its length."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        # Bodies and constants are shared; each is read once. The objects are kept, so that no
        # other one gets their id.
        self._known: dict[int, tuple[Any, str]] = {}

    def hex(self) -> str:
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        if isinstance(value, ClosedJaxpr | Jaxpr):
            self._once(value, _Digest._add_program)
        elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, np.dtype | type):
            self._say("type", str(np.dtype(value) if isinstance(value, np.dtype) else value))
        elif isinstance(value, enum.Enum):
            self._say("enum", str(value))
        elif hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "__array__"):
            self._once(value, _Digest._add_array)
        elif type(value).__name__ == "PRNGImpl":  # a tuple of functions of JAX
            self._say("generator", value.name)
        elif isinstance(value, Mapping):
            self.add([(key, value[key]) for key in sorted(value, key=str)])
        elif isinstance(value, set | frozenset):
            self.add(sorted(map(repr, value)))
        elif isinstance(value, list | tuple):
            self._say(type(value).__name__, str(len(value)))
            for inner in value:
                self.add(inner)
        else:
            self._add_other(value)

    def _say(self, *words: str) -> None:
        for word in words:
            data = word.encode()
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def _once(self, value: Any, add: Callable[["_Digest", Any], None]) -> None:
        if id(value) not in self._known:
            inner = _Digest()
            inner._known = self._known
            add(inner, value)
            self._known[id(value)] = value, inner.hex()
        self._say(self._known[id(value)][1])

    def _add_array(self, value: Any) -> None:
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            self._say("key", str(value.dtype))
            value = jax.random.key_data(value)
        array = np.ascontiguousarray(value)
        self._say("array", str(array.dtype), str(np.shape(value)))
        self._hash.update(array.data if array.dtype.kind in "biufc" else array.tobytes())

    def _add_program(self, program: Any) -> None:
        # Before jax 0.11 the constants are beside the jaxpr; from then on they belong to it.
        inner = program.jaxpr if type(program).__name__ == "ClosedJaxpr" else program
        numbers: dict[Any, int] = {}

        def name(atom: Any) -> None:
            if isinstance(atom, Literal):
                self.add(("literal", atom.val, _type_of(atom)))
            else:
                self.add((numbers.setdefault(atom, len(numbers)), _type_of(atom)))

        self.add(list(getattr(program, "consts", ())))
        for atom in (*inner.constvars, *inner.invars):
            name(atom)
        for equation in inner.eqns:
            if "callback" in equation.primitive.name:  # Python may answer otherwise the next time
                raise _HiddenError
            ignored = _RULES.get(equation.primitive, set())
            self.add(equation.primitive.name)
            self.add({k: v for k, v in equation.params.items() if k not in ignored})
            for atom in (*equation.invars, *equation.outvars):
                name(atom)
        self._say("returns")
        for atom in inner.outvars:
            name(atom)

    def _add_other(self, value: Any) -> None:
        said = repr(value)
        telling = _TELLING.match(type(value).__module__) and not hasattr(value, "call_wrapped")
        if not telling or _ADDRESS.search(said):
            raise _HiddenError
        self._say(type(value).__name__, said)


def _type_of(atom: Any) -> str:
    aval = atom.aval
    return f"{aval.str_short()} {getattr(aval, 'weak_type', False)}"
