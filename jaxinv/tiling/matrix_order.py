"""Products of an image with a matrix along each axis, in one order.

A resize multiplies an image by a matrix for each axis, and `jnp.einsum` takes first what is
cheaper: for a tall image another one than for a wide one. The product is the same but for rounding.
So that the program of a tile is compared with that of its image, both are written in one order.
"""

import collections
import dataclasses
from dataclasses import dataclass
from typing import Any

from jax.extend.core import primitives

from jaxinv.symmetry.program import Equation, Program


@dataclass(frozen=True)
class _Product:
    """A product of a value with a matrix along one of its dimensions.

    Attributes:
      equation: the product.
      side: which of its operands is the value.
      dim: the dimension of the value.
      contracted: that of the matrix.
    """

    equation: Equation
    side: int
    dim: int
    contracted: int

    @property
    def value(self) -> int:
        return self.equation.ins[self.side]

    @property
    def matrix(self) -> int:
        return self.equation.ins[1 - self.side]

    @property
    def options(self) -> dict[str, Any]:
        """The parameters but for the dimensions."""
        return {k: v for k, v in self.equation.params.items() if k != "dimension_numbers"}


def in_one_order(program: Program, moved: set[int]) -> Program:
    """A program whose products with matrices go along the first dimension first.

    Args:
      program: the program.
      moved: the inputs that are no matrices.
    """
    touched = set(moved)
    for equation in program.equations:
        if not touched.isdisjoint(equation.ins):
            touched.update(equation.outs)
    products = {p.equation.outs[0]: p for e in program.equations if (p := _product(e, touched))}
    readers = collections.defaultdict[int, list[Equation | None]](list)
    for number in program.outputs:
        readers[number].append(None)
    for equation in program.equations:
        for number in equation.ins:
            readers[number].append(equation)
    # A product that is the value of another one alone belongs to a chain that ends later.
    inside = {
        p.value for p in products.values() if p.value in products and len(readers[p.value]) == 1
    }
    dropped: set[Equation] = set()
    written: dict[Equation, list[Equation]] = {}
    avals = dict(program.avals)
    for number in products.keys() - inside:
        chain = [products[number]]
        while chain[0].value in inside:
            chain.insert(0, products[chain[0].value])
        end = readers[number][0] if len(readers[number]) == 1 else None
        if end is None or end.primitive is not primitives.transpose_p:
            end = chain[-1].equation
        ordered = _in_order(chain, end, avals)
        if ordered:
            dropped.update(product.equation for product in chain)
            written[end] = ordered
    if not written:
        return program
    equations = [
        new
        for equation in program.equations
        for new in written.get(equation, () if equation in dropped else (equation,))
    ]
    return dataclasses.replace(program, equations=equations, avals=avals)


def _product(equation: Equation, touched: set[int]) -> _Product | None:
    """A product of what moves with a matrix along one dimension, if an equation is one."""
    if equation.primitive is not primitives.dot_general_p or equation.whole is not None:
        return None
    (sides, batch) = equation.params["dimension_numbers"]
    moving = [number in touched for number in equation.ins]
    precision = equation.params["precision"]
    symmetric = not isinstance(precision, tuple) or len(set(precision)) == 1
    if sum(moving) != 1 or any(batch) or len(sides[0]) != 1 or not symmetric:
        return None
    side = moving.index(True)
    if equation.in_avals[1 - side].ndim != 2:
        return None
    return _Product(equation, side, sides[side][0], sides[1 - side][0])


def _in_order(chain: list[_Product], end: Equation, avals: dict[int, Any]) -> list[Equation]:
    """A chain of products along one dimension after the other; none if it is something else.

    Args:
      chain: the products; each but the first has the one before it as its value.
      end: the last of them, or a transpose of its result.
      avals: of all values; those that are made are added.
    """
    dims = list(range(avals[chain[0].value].ndim))
    along: dict[int, _Product] = {}
    for product in chain:
        dim = dims.pop(product.dim)
        # A product has the dimensions of its left operand first.
        dims = [*dims, dim] if product.side == 0 else [dim, *dims]
        if dim in along or product.options != chain[0].options:
            return []
        along[dim] = product
    if len(along) < 2:
        return []
    if end.primitive is primitives.transpose_p:
        dims = [dims[i] for i in end.params["permutation"]]
    found: list[Equation] = []
    number, order = chain[0].value, list(range(len(dims)))
    for dim, product in sorted(along.items()):
        at = order.index(dim)
        # The value is the left operand now: what is made of its dimension comes last.
        order = [*order[:at], *order[at + 1 :], dim]
        ins, out = (number, product.matrix), max(avals) + 1
        shape = list(avals[number].shape)
        del shape[at]
        shape.append(avals[product.matrix].shape[1 - product.contracted])
        avals[out] = product.equation.out_avals[0].update(shape=tuple(shape))
        numbers = (((at,), (product.contracted,)), ((), ()))
        found.append(
            dataclasses.replace(
                product.equation,
                params=product.options | {"dimension_numbers": numbers},
                ins=ins,
                outs=(out,),
                in_avals=tuple(avals[i] for i in ins),
                out_avals=(avals[out],),
            )
        )
        number = out
    turned = dataclasses.replace(
        end,
        primitive=primitives.transpose_p,
        params={"permutation": tuple(order.index(dim) for dim in dims)},
        ins=(number,),
        in_avals=(avals[number],),
    )
    return [*found, turned]
