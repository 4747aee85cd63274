"""What each layer adds to the halo."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from jaxinv.symmetry.values import Value
from jaxinv.tiling.reach import furthest, map_of
from jaxinv.tiling.reading import Sized

Reach = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Contribution:
    """What a layer adds to the halo, in positions of the image.

    Attributes:
      layer: the path of the layer, or the operation where nothing names one.
      where: `file.py:12`.
      shape: of its result.
      scale: along each axis the positions of its result for each position of the image.
      adds: along each axis what it adds, before and after.
      halo: along each axis the halo from there on.
    """

    layer: str
    where: str
    shape: tuple[int, ...]
    scale: tuple[Fraction, ...]
    adds: tuple[Reach, ...]
    halo: tuple[Reach, ...]


def contributions(image: Sized) -> Iterator[Contribution]:
    """What each layer adds to the halo; layers that add nothing and keep the scale are left out."""
    records = [r for r in image.walked.records if any(v.touched for v in r.results)]
    axes = range(len(image.traced.sizes))
    for _, group in itertools.groupby(records, key=lambda r: image.layer(r.equation)):
        rows = list(group)
        inside = {out for record in rows for out in record.equation.outs}
        given = [
            value
            for record in rows
            for number, value in zip(record.equation.ins, record.operands, strict=True)
            if number not in inside
        ]
        made = rows[-1].results[0]
        reaches = [_reaches(image, given, made, axis) for axis in axes]
        if None in reaches:
            continue
        scales, halo, adds, changes = zip(*filter(None, reaches), strict=True)
        if not any(map(any, adds)) and not any(changes):
            continue
        head = rows[0].equation
        yield Contribution(image.name(head), head.source.line, made.shape, scales, adds, halo)


def _reaches(
    image: Sized, given: Sequence[Value], made: Value, axis: int
) -> tuple[Fraction, Reach, Reach, bool] | None:
    """Along an axis: scale and halo of a result, what it adds, and whether the scale changes."""
    size, along = image.traced.sizes[axis], map_of(made, axis)
    old, new = furthest(given, axis, size), furthest([made], axis, size)
    if along is None or old is None or new is None:
        return None
    adds = max(new[0] - old[0], Fraction(0)), max(new[1] - old[1], Fraction(0))
    before = {found.scale for value in given if (found := map_of(value, axis)) is not None}
    return along.scale, new, adds, along.scale not in before
