"""The derivative of circular padding: a map whose ends are added to its other side.

What a convolution sends back to a circularly padded map is longer than the map: zeros were around
what it read. Its ends are cut off, padded with zeros to the size of the map, and added. The sum is
the convolution of what is circularly padded itself. That is how it is written here, for then the
rules see what moves. The zeros are gone by that, and with them the NaN of a zero times infinity: a
kernel that the image decides, which may hold one, is left to slide over them.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import primitives

from jaxinv.symmetry.kernels import Geometry, geometries_of_convolution, geometries_of_pool

_SUMS = {primitives.add_p, primitives.add_jaxvals_p}
_SCALED = {primitives.mul_p, primitives.div_p}


@dataclass(frozen=True)
class Piece:
    """Positions `start .. stop - 1` of a value along a dimension, at `at` of the sum."""

    source: int
    dim: int
    start: int
    stop: int
    at: int


def with_folds(program, moving: Iterable[int]) -> list[Any]:
    """A program's equations, with sums of overlapping ends as what is circularly padded instead.

    The values that this makes are added to the program's `avals`.

    Args:
      program: the program.
      moving: those of its inputs that an image may go into.
    """
    return _Folder(program, moving).run()


class _Folder:
    """The program while it is rewritten."""

    def __init__(self, program, moving: Iterable[int]):
        self.program = program
        self.moving = set(moving)
        self.equations: list[Any] = []
        self.producers: dict[int, Any] = {}
        self.uses = collections.Counter(program.outputs)
        for equation in program.equations:
            self.uses.update(equation.ins)
        self.fresh = max(program.avals, default=0) + 1

    def run(self) -> list[Any]:
        """The equations as they are written now."""
        program = self.program
        inner = {
            i for e in program.equations if e.primitive in _SUMS for i in e.ins if self.uses[i] == 1
        }
        for equation in program.equations:
            root = equation.primitive in _SUMS and not inner.issuperset(equation.outs)
            if not (root and self._folded(equation)):
                self._append(equation)
        return without_dead(self.equations, program.outputs)

    def _append(self, equation) -> None:
        self.equations.append(equation)
        self.producers.update((out, equation) for out in equation.outs)
        if not self.moving.isdisjoint(equation.ins):
            self.moving.update(equation.outs)

    def _folded(self, equation) -> bool:
        """Writes a sum anew, if ends of some value are all added in it."""
        leaves = self._leaves(equation)
        groups: dict[tuple[int, int], list[tuple[int, Piece]]] = {}
        for leaf in leaves:
            piece = self._piece(leaf)
            if piece is not None and self._shape(leaf) == equation.out_avals[0].shape:
                groups.setdefault((piece.source, piece.dim), []).append((leaf, piece))
        written = []
        for group in groups.values():
            size = equation.out_avals[0].shape[group[0][1].dim]
            shift = _shift([piece for _, piece in group], size, self.program.avals)
            if shift is None:
                continue
            mark = len(self.equations), self.fresh
            source, dim = group[0][1].source, group[0][1].dim
            whole = self._fold(source, dim, size, shift, equation.source)
            if whole is None:
                del self.equations[mark[0] :]
                continue
            written.append((whole, {leaf for leaf, _ in group}))
        if not written:
            return False
        gone = set().union(*(leaves_of for _, leaves_of in written))
        terms = [whole for whole, _ in written] + [n for n in leaves if n not in gone]
        while len(terms) > 2:
            terms = [self._add(equation, terms[0], terms[1]), *terms[2:]]
        if len(terms) == 2:
            avals = tuple(self.program.avals[i] for i in terms)
            self._append(dataclasses.replace(equation, ins=tuple(terms), in_avals=avals))
        else:
            last = self._like(terms[0], primitives.copy_p, {})
            avals = (self.program.avals[terms[0]],)
            self._append(
                dataclasses.replace(
                    last,
                    ins=(terms[0],),
                    in_avals=avals,
                    outs=equation.outs,
                    source=equation.source,
                )
            )
        return True

    def _add(self, equation, a: int, b: int) -> int:
        return self._new(equation, (a, b), equation.out_avals[0].shape, equation.source)

    def _leaves(self, equation) -> list[int]:
        leaves: list[int] = []
        for number in equation.ins:
            producer = self.producers.get(number)
            if producer is not None and producer.primitive in _SUMS and self.uses[number] == 1:
                leaves += self._leaves(producer)
            else:
                leaves.append(number)
        return leaves

    def _piece(self, number: int) -> Piece | None:
        """The value as a piece of another between zeros, if it is one."""
        producer: Any = self.producers.get(number)
        at, dim = 0, None
        if producer is not None and producer.primitive is primitives.pad_p:
            config = [tuple(map(int, row)) for row in producer.params["padding_config"]]
            padded = [d for d, row in enumerate(config) if any(row)]
            fill = self.program.known_value(producer.ins[1])
            if len(padded) != 1 or fill is None or fill != 0:
                return None
            dim = padded[0]
            at, high, interior = config[dim]
            if at < 0 or high < 0 or interior:
                return None
            producer, number = self.producers.get(producer.ins[0]), producer.ins[0]
        if producer is None:
            return None
        cut = _cut(producer, number)
        if cut is None or dim not in (None, cut[0]):
            return None
        return Piece(producer.ins[0], cut[0], cut[1], cut[2], at)

    def _fold(self, number: int, dim: int, size: int, shift: int, where) -> int | None:
        """The value folded to `size` positions: its position `j` is added to `j + shift`."""
        if self._shape(number)[dim] == size:
            return self._wrapped(number, dim, -shift, size, where)
        producer: Any = self.producers.get(number)
        if producer is None or len(producer.outs) > 1:
            return None
        if producer.primitive is primitives.copy_p:
            return self._fold(producer.ins[0], dim, size, shift, where)
        shape = list(self._shape(number))
        if producer.primitive in _SUMS and any(
            self._shape(i) != tuple(shape) for i in producer.ins
        ):
            return None
        shape[dim] = size
        if producer.primitive in _SUMS:
            folded = [self._fold(i, dim, size, shift, where) for i in producer.ins]
            terms = [i for i in folded if i is not None]
            if len(terms) < len(folded):
                return None
            return self._new(producer, terms, shape, where)
        if producer.primitive in _SCALED and producer.in_avals[1].shape == ():
            term = self._fold(producer.ins[0], dim, size, shift, where)
            if term is None:
                return None
            return self._new(producer, (term, producer.ins[1]), shape, where)
        at, slide = self._slide(producer, dim)
        if slide is None or not self.moving.isdisjoint(producer.ins[1:]):
            return None
        source = producer.ins[0]
        padding: Any = self.producers.get(source)
        apart = slide.base_dilation
        inner = self._padded(padding, at) if apart == 1 else None
        if inner is not None:
            # The pad belongs to it: what slides over zeros is padded with them.
            low, high = slide.low + inner.low, slide.high + inner.high
            slide = dataclasses.replace(slide, low=low, high=high)
            source, apart = padding.ins[0], inner.base_dilation
        if size != self._shape(source)[at] * apart or min(slide.low, slide.high) < slide.span - 1:
            return None
        # Output 0 of the sum reads from here on, on a torus of `size` dilated positions.
        start = -(shift + slide.low)
        first, skipped = start // apart, start % apart
        last = (start + size + slide.span - 2) // apart
        value = self._wrapped(source, at, first, last - first + 1, where)
        reach = (last - first) * apart + 1
        ends = (-skipped, skipped + size + slide.span - 1 - reach)
        if inner is not None:
            padded = dataclasses.replace(padding, params=_with_ends(padding, at, ends))
            wide = list(self._shape(producer.ins[0]))
            wide[at] = size + slide.span - 1
            value, ends = self._new(padded, (value, padding.ins[1]), wide, where), (0, 0)
        like = dataclasses.replace(producer, params=_with_ends(producer, dim, ends))
        return self._new(like, (value, *producer.ins[1:]), shape, where)

    def _shape(self, number: int) -> tuple[int, ...]:
        return tuple(self.program.avals[number].shape)

    def _slide(self, made, dim: int) -> tuple[int, Geometry | None]:
        """How an equation slides for a dimension of its result, and along which of its operand.

        None if it is not linear, has a stride or slides along none.
        """
        params, padded = made.params, self._padded(made, dim)
        at, slide = dim, None
        if padded is not None:
            return dim, padded
        if made.primitive is primitives.reduce_window_sum_p:
            slide = geometries_of_pool(params)[dim]
        if made.primitive is primitives.conv_general_dilated_p:
            numbers = params["dimension_numbers"]
            if dim in numbers.out_spec[2:]:
                i = numbers.out_spec.index(dim) - 2
                at = numbers.lhs_spec[2 + i]
                slide = geometries_of_convolution(params, made.in_avals[1].shape)[i]
        return at, slide if slide is not None and slide.stride == 1 else None

    def _padded(self, made, dim: int) -> Geometry | None:
        """How padding by zeros slides along a dimension: a kernel of one position."""
        if made is None or made.primitive is not primitives.pad_p:
            return None
        fill = self.program.known_value(made.ins[1])
        low, high, interior = map(int, made.params["padding_config"][dim])
        zeros = fill is not None and fill == 0 and min(low, high) >= 0
        return Geometry(1, 1, low, high, 1, interior + 1) if zeros else None

    def _wrapped(self, number: int, dim: int, first: int, count: int, where) -> int:
        """Positions `first .. first + count - 1` of a value around its torus."""
        shape = self._shape(number)
        pieces, start = [], first % shape[dim]
        while count > 0:
            stop = min(shape[dim], start + count)
            pieces.append(self._slice(number, dim, start, stop, where))
            count -= stop - start
            start = 0
        if len(pieces) == 1:
            return pieces[0]
        total = sum(self._shape(i)[dim] for i in pieces)
        wide = [total if d == dim else n for d, n in enumerate(shape)]
        like = self._like(number, primitives.concatenate_p, {"dimension": dim})
        return self._new(like, pieces, wide, where)

    def _slice(self, number: int, dim: int, start: int, stop: int, where) -> int:
        shape = self._shape(number)
        if (start, stop) == (0, shape[dim]):
            return number
        params = {
            "start_indices": tuple(start if d == dim else 0 for d in range(len(shape))),
            "limit_indices": tuple(stop if d == dim else n for d, n in enumerate(shape)),
            "strides": None,
        }
        cut = [stop - start if d == dim else n for d, n in enumerate(shape)]
        return self._new(self._like(number, primitives.slice_p, params), (number,), cut, where)

    def _like(self, number: int, primitive, params: dict[str, Any]):
        """An equation whose result has the type of a value."""
        return dataclasses.replace(
            self.program.equations[0],
            primitive=primitive,
            params=params,
            out_avals=(self.program.avals[number],),
            whole=None,
        )

    def _new(self, like, ins: Sequence[int], shape: Sequence[int], where) -> int:
        """The result of a new equation like another, on other operands and of another shape."""
        number, self.fresh = self.fresh, self.fresh + 1
        aval = jax.ShapeDtypeStruct(tuple(shape), like.out_avals[0].dtype)
        self.program.avals[number] = aval
        self._append(
            dataclasses.replace(
                like,
                ins=tuple(ins),
                outs=(number,),
                in_avals=tuple(self.program.avals[i] for i in ins),
                out_avals=(aval,),
                source=where,
            )
        )
        return number


def _cut(made, number: int) -> tuple[int, int, int] | None:
    """The one dimension that a slice or split cuts, and from where to where."""
    if made.primitive is jax.lax.split_p:
        dim, sizes = int(made.params["axis"]), list(map(int, made.params["sizes"]))
        at = made.outs.index(number)
        return dim, sum(sizes[:at]), sum(sizes[: at + 1])
    if made.primitive is not primitives.slice_p:
        return None
    params, shape = made.params, made.in_avals[0].shape
    if params["strides"] is not None and set(params["strides"]) != {1}:
        return None
    rows = list(zip(params["start_indices"], params["limit_indices"], shape, strict=True))
    cut = [d for d, (start, stop, n) in enumerate(rows) if (start, stop) != (0, n)]
    return (cut[0], int(rows[cut[0]][0]), int(rows[cut[0]][1])) if len(cut) == 1 else None


def _shift(pieces: Sequence[Piece], size: int, avals) -> int | None:
    """How far all pieces are moved around, if they are all of their source, once."""
    if size == 0:
        return None
    length = avals[pieces[0].source].shape[pieces[0].dim]
    rows = sorted((p.start, p.stop) for p in pieces)
    bounds = [0, *(stop for _, stop in rows)]
    shifts = {(p.at - p.start) % size for p in pieces}
    inside = all(p.at + p.stop - p.start <= size for p in pieces)
    partition = [start for start, _ in rows] == bounds[:-1] and bounds[-1] == length
    return shifts.pop() if inside and partition and len(shifts) == 1 else None


def _with_ends(made, dim: int, ends: tuple[int, int]) -> dict[str, Any]:
    """The parameters with other padding at the ends of a dimension of the result."""
    if made.primitive is primitives.pad_p:
        config = list(made.params["padding_config"])
        config[dim] = (*ends, config[dim][2])
        return made.params | {"padding_config": tuple(config)}
    at = dim
    if made.primitive is primitives.conv_general_dilated_p:
        at = made.params["dimension_numbers"].out_spec.index(dim) - 2
    rows = list(made.params["padding"])
    rows[at] = ends
    return made.params | {"padding": tuple(rows)}


def without_dead(equations: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
    """The equations without those that a rewriting left to no one."""
    needed, kept = set(outputs), []
    for equation in reversed(equations):
        if equation.primitive in _PURE and needed.isdisjoint(equation.outs):
            continue
        needed.update(equation.ins)
        kept.append(equation)
    return kept[::-1]


_PURE = {
    *_SUMS,
    *_SCALED,
    jax.lax.split_p,
    primitives.conv_general_dilated_p,
    primitives.convert_element_type_p,
    primitives.copy_p,
    primitives.fft_p,
    primitives.neg_p,
    primitives.pad_p,
    primitives.reduce_window_sum_p,
    primitives.slice_p,
    primitives.transpose_p,
}
