"""What is known of a primitive, registered beside the function that knows it.

A rule is `rule(ctx, equation, *operands) -> results`, on values with arrays and without. A
primitive without one runs at each shift. `docs/method.md` says how to write a rule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jax import lax
from jax.extend.core import primitives

Rule = Callable[..., list[Any]]


@dataclass(frozen=True)
class Registered:
    """What is known of one primitive.

    Attributes:
      rule: how it carries the symmetry of its operands to its results.
      layer: its name in the table of layers, if it is a layer of its own where no module and no
        parameter names one; else "".
      moves_only: whether it computes nothing: numbers are put elsewhere, or written otherwise.
      flops: from an equation to its operations for one shift; None for one an element.
    """

    rule: Rule
    layer: str = ""
    moves_only: bool = False
    flops: Callable[[Any], int] | None = None


REGISTERED: dict[Any, Registered] = {}


def rule_of(primitive: Any) -> Rule | None:
    """The rule of a primitive, or None if it has none."""
    known = REGISTERED.get(primitive)
    return None if known is None else known.rule


def register_rule(
    primitive: Any,
    rule: Rule,
    *,
    layer: str = "",
    moves_only: bool = False,
    flops: Callable[[Any], int] | None = None,
) -> None:
    """Registers the rule of a primitive: yours, or another in place of jaxinv's.

    A rule is trusted. A wrong one makes wrong certificates and wrong orbits.

    Args:
      primitive: a primitive of JAX, as `jax.extend.core.Primitive` makes them.
      rule: `rule(ctx, equation, *operands)`, from values to the list of results.
      layer: its name in the table of layers, if it is a layer of its own.
      moves_only: whether it computes nothing and only puts numbers elsewhere.
      flops: from an equation to its operations for one shift; None for one an element.

    Raises:
      TypeError: if `primitive` is not a primitive, or `rule` is not callable.

    Example:
      >>> import jax, jax.numpy as jnp, jaxinv
      >>> from jaxinv.symmetry.rules.pointwise import pointwise
      >>> jaxinv.register_rule(jax.lax.sin_p, pointwise)
      >>> jaxinv.certify(jnp.sin, jnp.ones((1, 4, 4, 1))).kind
      'equivariant'

    See docs/method.md, "Adding a rule".
    """
    if not callable(getattr(primitive, "bind", None)):
        raise TypeError(f"primitive is a {type(primitive).__name__}; allowed are JAX's primitives")
    if not callable(rule):
        raise TypeError(f"rule is a {type(rule).__name__}; allowed are functions")
    REGISTERED[primitive] = Registered(rule, layer, moves_only, flops)


def rule(
    names: str,
    *,
    layer: str = "",
    moves_only: bool = False,
    flops: Callable[[Any], int] | None = None,
) -> Callable[[Rule], Rule]:
    """Registers a rule for all of the named primitives that this jax release has."""

    def register(function: Rule) -> Rule:
        for name in names.split():
            candidates = (getattr(module, f"{name}_p", None) for module in (primitives, lax))
            primitive = next((p for p in candidates if p is not None), None)
            if primitive is not None:
                register_rule(primitive, function, layer=layer, moves_only=moves_only, flops=flops)
        return function

    return register
