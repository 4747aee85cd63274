"""How a function's outputs follow its image: the halo, the grid, and why there is none."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from jaxinv.symmetry.program import Equation
from jaxinv.tiling.call import Call, in_words
from jaxinv.tiling.comparison import Differs, require_same
from jaxinv.tiling.reach import Map, end_of_interior, furthest, map_of
from jaxinv.tiling.reading import Sized, reading

Halo = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """How a function's outputs follow its image at one size.

    Attributes:
      sizes: positions of the image along each axis.
      maps: for each output how it follows each axis.
      grid: along each axis the multiples that tiles start at.
      halo: along each axis the positions that are lost at the first and at the last end of a tile.
    """

    sizes: tuple[int, ...]
    maps: tuple[tuple[Map, ...], ...]
    grid: tuple[int, ...]
    halo: tuple[Halo, ...]


def up(number: int | Fraction, grid: int) -> int:
    """The next multiple of the grid that is not smaller."""
    return grid * math.ceil(Fraction(number) / grid)


def geometry_of(sized: Sized, axes: Sequence[int]) -> Geometry:
    """How the outputs of a function follow its image.

    Raises:
      ValueError: if there are none, or one of them does not follow it, with the line that ends it.
    """
    numbers, values = sized.traced.program.outputs, sized.walked.values
    if not numbers:
        raise ValueError("the function returns no arrays; tiles need an output that is a map")
    maps = []
    for at, number in enumerate(numbers):
        row = [map_of(values[number], axis) for axis in range(len(axes))]
        lost = next((axis for axis, found in enumerate(row) if found is None), None)
        if lost is not None:
            raise ValueError(_no_halo(sized, at, lost, axes[lost]))
        maps.append(tuple(found for found in row if found is not None))
    sizes, grid, halo = sized.traced.sizes, [], []
    for axis, size in enumerate(sizes):
        grid.append(math.lcm(*(values[number].period[axis] for number in numbers)))
        ends = [row[axis].halo(size) for row in maps]
        halo.append((math.ceil(max(b for b, _ in ends)), math.ceil(max(a for _, a in ends))))
    return Geometry(sizes, tuple(maps), tuple(grid), tuple(halo))


def sees_border_everywhere(sized: Sized, axes: Sequence[int]) -> bool:
    """Whether outputs follow the image along an axis at no position, and a larger one they may."""
    lost = [
        (number, axis)
        for number in sized.traced.program.outputs
        for axis in range(len(axes))
        if map_of(sized.walked.values[number], axis) is None
    ]
    return bool(lost) and all(
        sized.walked.values[number].touched and end_of_interior(sized.walked, number, axis).small
        for number, axis in lost
    )


def _no_halo(sized: Sized, at: int, axis: int, dim: int) -> str:
    """Why an output does not follow the image along an axis."""
    program = sized.traced.program
    number = program.outputs[at]
    path = sized.traced.out_paths[at]
    output = f"output {path}" if path else "the output"
    output += f" of shape {program.avals[number].shape}"
    value = sized.walked.values[number]
    if not value.touched:
        return f"{output} does not depend on the image; tiles need a map"
    if value.moves_along(axis) and furthest([value], axis, 0) is not None:
        return (
            f"{output} follows axis {dim} in a part of a dimension, along several, backwards, or "
            "at a phase that the data choose; tiles need one that follows it"
        )
    end = end_of_interior(sized.walked, number, axis)
    because = f": {end.why}" if end.why else ""
    equation = end.record.equation
    of_batch = 0 in equation.params.get("axes", ()) and equation.out_avals[0].ndim > 0
    if (of_batch and not end.small) or _draws(sized, equation):
        because += f" ({_EVALUATION})"
    return (
        f"no halo suffices along axis {dim} of {sized.traced.sizes[axis]} positions for {output}, "
        f"because of {place(sized, equation)}{because}"
    )


# Statistics of a batch and dropout.
_EVALUATION = "if that is a network in training, use it in evaluation mode"


def _draws(sized: Sized, equation: Equation) -> bool:
    """Whether an equation draws random numbers, or belongs to a layer that does."""
    return "random" in equation.primitive.name or "dropout" in sized.name(equation).lower()


def place(sized: Sized, equation: Equation) -> str:
    """An equation by its layer, or its operation, and its line."""
    return f"{sized.name(equation)} ({equation.source.line})"


def maps_at(sizes: Sequence[int], whole: Geometry) -> tuple[tuple[Map, ...], ...]:
    """How the outputs of a tile follow it, if they are those of the image but for their length."""
    shorter = [size - tile for tile, size in zip(sizes, whole.sizes, strict=True)]
    return tuple(
        tuple(
            dataclasses.replace(
                along,
                size=along.size - int(by * along.scale),
                stop=along.stop - int(by * along.scale),
            )
            for along, by in zip(row, shorter, strict=True)
        )
        for row in whole.maps
    )


def require_sizes(tile: Sized, image: Sized, whole: Geometry) -> None:
    """Raises ValueError unless the outputs of a tile are shorter by as much as the tile is."""
    numbers = zip(tile.traced.program.outputs, image.traced.program.outputs, strict=True)
    for (one, two), row in zip(numbers, maps_at(tile.traced.sizes, whole), strict=True):
        shape = list(image.traced.program.avals[two].shape)
        for along in row:
            shape[along.dim] = along.size
        found = tile.traced.program.avals[one].shape
        if found != tuple(shape):
            raise ValueError(
                f"the output for {in_words(tile.traced.sizes)} positions has shape {found} in "
                f"place of {tuple(shape)}; tiles need a function that does not read the size of "
                "its image"
            )


def require_alike(call: Call, tile: Sized, image: Sized) -> None:
    """Raises ValueError unless a tile is made like the part of the image that it is cut from."""
    axes = call.axes
    two = geometry_of(image, axes)
    require_sizes(tile, image, two)
    one = geometry_of(tile, axes)
    words = f"{in_words(one.sizes)} and {in_words(two.sizes)} positions"
    if (one.grid, one.maps) != (two.grid, maps_at(one.sizes, two)):
        raise ValueError(
            f"the outputs for {words} see the border up to different positions; tiles need a "
            "function that does not read the size of its image"
        )
    cut = [axis for axis, (a, b) in enumerate(zip(one.sizes, two.sizes, strict=True)) if a != b]
    try:
        for ends in itertools.product((False, True), repeat=len(cut)):
            at_end = dict(zip(cut, ends, strict=True))
            mine, its = zip(*_corner(one, two, at_end, tile), strict=True)
            apart = [
                (size - tile_size) * at_end.get(axis, False)
                for axis, (tile_size, size) in enumerate(zip(one.sizes, two.sizes, strict=True))
            ]
            require_same(reading(tile, mine), reading(image, its), apart)
    except Differs as difference:
        where = "its input"
        if difference.number is not None:
            equation = image.equations[difference.number]
            where = place(image, equation)
            where += f" ({_EVALUATION})" if _draws(image, equation) else ""
        raise ValueError(
            f"the function does not do the same to {words} at {where}; tiles need one that reads "
            "neither the size of its image nor what lies far apart in it"
        ) from None


def _corner(one: Geometry, two: Geometry, at_end: dict[int, bool], tile: Sized):
    """The positions of a tile's outputs that a corner of the image has, in both."""
    boxes = []
    for mine, its, number in zip(one.maps, two.maps, tile.traced.program.outputs, strict=True):
        box = [(0, n) for n in tile.traced.program.avals[number].shape]
        moved = list(box)
        for axis, last in at_end.items():
            a, b = mine[axis], its[axis]
            lo, hi = (a.start, a.size) if last else (0, a.stop)
            by = b.size - a.size if last else 0
            box[a.dim], moved[a.dim] = (lo, hi), (lo + by, hi + by)
        boxes.append((tuple(box), tuple(moved)))
    return boxes
