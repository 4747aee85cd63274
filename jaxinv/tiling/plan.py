"""The tiles of a call: their size, their halo, and the proof that they make up the whole."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxinv.arguments import per_axis
from jaxinv.symmetry.program import Program
from jaxinv.tiling.call import Call, in_words
from jaxinv.tiling.cuts import Cut, cut_into
from jaxinv.tiling.geometry import (
    Geometry,
    Halo,
    geometry_of,
    maps_at,
    require_alike,
    require_sizes,
    sees_border_everywhere,
    up,
)
from jaxinv.tiling.memory import planned_bytes
from jaxinv.tiling.reach import Map
from jaxinv.tiling.reading import Sized

# One position has no shifts, of which the certificate could speak.
_LEAST = 2
# Of the grid. A network may pad its image to multiples of more than its strides, as to those of a
# window: what a tile has beyond the image is made a multiple of these.
_TIMES = (1, 2, 4, 8)
# Likewise, with how much more than its halo a network may need: a map of two positions, say.
_SMALLEST = ((0, 1), (0, 2), (1, 1), (0, 4), (3, 1), (0, 8), (7, 1))


@dataclass(frozen=True)
class Tiles:
    """The tiles of a call.

    Attributes:
      tile: positions along each axis, as `jaxinv.tiled` takes them.
      halo: what is lost at both ends of each axis.
      cuts: along each axis.
      maps: for each output of a tile how it follows each axis; of an image that is too small to be
        cut, none.
      shapes: of the outputs of the image, with their dtypes.
      out_tree: their structure.
      program: that of a tile.
    """

    tile: tuple[int, ...]
    halo: tuple[Halo, ...]
    cuts: tuple[Cut, ...]
    maps: tuple[tuple[Map, ...], ...]
    shapes: tuple[jax.ShapeDtypeStruct, ...]
    out_tree: Any
    program: Program


def tiles_of(
    call: Call,
    *,
    tile: int | Sequence[int] | None,
    halo: Any,
    exact: bool,
    room: int,
    differentiated: bool,
) -> Tiles:
    """The tiles of a call, proved to make up the whole where they are to be `exact`.

    Args:
      call: the call.
      tile: as `jaxinv.tiled` says.
      halo: likewise.
      exact: likewise.
      room: bytes that the values of a tile may take, where none is asked for.
      differentiated: whether there may be derivatives, which need more of them.

    Raises:
      ValueError: if no halo suffices, or an option is not as `jaxinv.tiled` says.
    """
    image = call.at(call.sizes)
    program, tree = image.traced.program, image.traced.out_tree
    avals = [program.avals[number] for number in program.outputs]
    shapes = tuple(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals)
    asked = call.sizes if tile is None else per_axis(tile, len(call.axes), "tile", least=1)
    if asked == call.sizes and sees_border_everywhere(image, call.axes):
        uncut = tuple(Cut(size, (0,), 0) for size in call.sizes)
        no_halo = ((0, 0),) * len(uncut)
        return Tiles(asked, no_halo, uncut, ((),) * len(shapes), shapes, tree, program)
    whole = geometry_of(image, call.axes)
    halos = _halos(halo, whole, call, exact=exact)
    if tile is None:
        asked = _largest(image, whole, halos, room, differentiated=differentiated)
    _check_tile(asked, call, whole, halos)
    part = _part(call, image, whole, asked, exact=exact)
    sizes = part.traced.sizes
    cuts = tuple(cut_into(*row) for row in zip(call.sizes, sizes, whole.grid, halos, strict=True))
    maps = maps_at(sizes, whole)
    _check_kept(call, cuts, maps, halos, whole)
    return Tiles(asked, halos, cuts, maps, shapes, tree, part.traced.program)


def _check_kept(
    call: Call,
    cuts: Sequence[Cut],
    maps: Sequence[Sequence[Map]],
    halos: Sequence[Halo],
    proven: Geometry,
) -> None:
    """Raises ValueError if of some tile more is to be kept than it makes."""
    for row in maps:
        for axis, cut, along, halo, needed in zip(
            call.axes, cuts, row, halos, proven.halo, strict=True
        ):
            if any(stop > along.size for _, stop in cut.kept(along.scale, along.size)):
                raise ValueError(
                    f"halo {halo} along axis {axis} is smaller than what the function crops of a "
                    f"tile of {cut.size} positions; the proven {needed} suffices"
                )


def _part(
    call: Call, image: Sized, whole: Geometry, asked: tuple[int, ...], *, exact: bool
) -> Sized:
    """The function of a tile of about the size that is asked for.

    Raises:
      ValueError: if no tile up to the largest remainder is made like a part of the image.
    """
    refused = None
    for times in _TIMES:
        sizes = tile_sizes(asked, call.sizes, [times * g for g in whole.grid])
        if sizes == call.sizes:
            if refused is None:
                return image
            break
        try:
            part = call.at(sizes)
            require_sizes(part, image, whole)
            if exact:
                require_alike(call, part, image)
        except ValueError as error:
            refused = refused or error
        else:
            return part
    assert refused is not None
    raise refused


def smallest_tiles(geometry: Geometry, halos: Sequence[Halo]) -> tuple[int, ...]:
    """Along each axis the smallest tile of which something is left within its halo."""
    return tuple(
        up(max(sum(halo) + grid, _LEAST), grid)
        for halo, grid in zip(halos, geometry.grid, strict=True)
    )


def proven_smallest(call: Call, geometry: Geometry, image: Sized) -> tuple[int, ...]:
    """The smallest tile that is proved to be made like a part of an image.

    Where this image is no larger than a tile along an axis, it is one of a larger image.

    Raises:
      ValueError: if none of those is that are tried.
    """
    least = smallest_tiles(geometry, geometry.halo)
    for more, times in _SMALLEST:
        rows = list(zip(least, call.sizes, geometry.grid, strict=True))
        wanted = [_with_remainder(n + more * g, size, times * g) for n, size, g in rows]
        tile = tuple(map(min, wanted, call.sizes))
        steps = [times * g for g in geometry.grid]
        larger = tuple(
            n + step * (n == t) for t, n, step in zip(tile, call.sizes, steps, strict=True)
        )
        try:
            require_alike(
                call,
                image if tile == call.sizes else call.at(tile),
                image if larger == call.sizes else call.at(larger),
            )
            break
        except ValueError as error:
            refused = error
    else:
        raise refused
    return tuple(n - size % g for n, (_, size, g) in zip(wanted, rows, strict=True))


def _halos(halo: Any, proven: Geometry, call: Call, *, exact: bool) -> tuple[Halo, ...]:
    """The halo along each axis, as asked for or as proven."""
    if halo is None:
        return proven.halo
    count = len(call.axes)
    given = halos_given(halo, count)
    if exact:
        for axis, asked, needed in zip(call.axes, given, proven.halo, strict=True):
            if asked[0] < needed[0] or asked[1] < needed[1]:
                raise ValueError(
                    f"halo {asked} along axis {axis} is smaller than the proven {needed}; "
                    "exact=False allows it"
                )
    return given


def halos_given(halo: Any, count: int) -> tuple[Halo, ...]:
    """The halo before and after along each axis, from a number, one per axis, or pairs.

    Raises:
      ValueError: if it is nothing of that.

    Example:
      >>> halos_given(2, 2), halos_given([(3, 0)], 1)
      (((2, 2), (2, 2)), ((3, 0),))
    """
    halo = halo.tolist() if isinstance(halo, np.ndarray) else halo
    several = isinstance(halo, Sequence) and not isinstance(halo, str)
    pairs = several and all(isinstance(ends, Sequence) for ends in halo)
    if not pairs:
        return tuple((n, n) for n in per_axis(halo, count, "halo", least=0))
    if len(halo) != count:
        raise ValueError(f"halo {halo!r} has {len(halo)} entries for {count} axes")
    ends = [per_axis(h, 2, "halo", least=0) for h in halo]
    return tuple((before, after) for before, after in ends)


def tile_sizes(asked: Sequence[int], sizes: Sequence[int], grid: Sequence[int]) -> tuple[int, ...]:
    """Positions of a tile along each axis: what is asked for, and the remainder of the image.

    With it the last tile, too, starts at a multiple of the grid.

    Example:
      >>> tile_sizes((64, 64), (203, 60), (8, 8))
      (67, 60)
    """
    rows = zip(asked, sizes, grid, strict=True)
    return tuple(min(_with_remainder(wish, size, g), size) for wish, size, g in rows)


def _with_remainder(wish: int, size: int, grid: int) -> int:
    """The next size of a tile that lacks a multiple of the grid to the size of the image."""
    return wish + (size - wish) % grid


def _largest(
    image: Sized, geometry: Geometry, halos: Sequence[Halo], room: int, *, differentiated: bool
) -> tuple[int, ...]:
    """The largest tile that fits into the memory: the image, a square, or a square cut by it.

    The smallest, if none fits.
    """
    sizes, grid = geometry.sizes, geometry.grid
    smallest = smallest_tiles(geometry, halos)

    def square(n: int) -> tuple[int, ...]:
        rows = zip(sizes, grid, smallest, strict=True)
        return tuple(min(size, max(up(n, g), least)) for size, g, least in rows)

    def planned(n: int) -> int:
        tile = tile_sizes(square(n), sizes, grid)
        return planned_bytes(image, tile, differentiated=differentiated)

    fitting = bisect.bisect_right(range(1, max(sizes) + 1), room, key=planned)
    return square(max(1, fitting))


def _check_tile(
    asked: Sequence[int], call: Call, geometry: Geometry, halos: Sequence[Halo]
) -> None:
    """Raises ValueError unless an image can be cut into tiles of a size."""
    smallest = smallest_tiles(geometry, halos)
    rows = zip(call.axes, asked, call.sizes, geometry.grid, halos, smallest, strict=True)
    for axis, wish, size, g, halo, least in rows:
        along, allowed = f"along axis {axis}", f"allowed are multiples of {g} from {least}"
        if wish > size:
            raise ValueError(
                f"tile {wish} {along} is larger than the image, {in_words(call.sizes)}; "
                f"{allowed}, and {size}"
            )
        if wish < size and wish % g:
            raise ValueError(f"tile {wish} {along} is no multiple of the grid {g}; {allowed}")
        if wish < min(least, size):
            raise ValueError(
                f"tile {wish} {along} is too small for the halo {halo} and the grid {g}; {allowed}"
            )
