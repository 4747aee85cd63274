"""The tiling of a function: the halo, the grid, the scale, and the layers that they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jaxinv.certificate.wording import columns
from jaxinv.shift_options import whole_axes
from jaxinv.symmetry.state import axes_in_words
from jaxinv.tiling.call import Call, in_words
from jaxinv.tiling.contributions import Contribution, contributions
from jaxinv.tiling.geometry import Halo, geometry_of
from jaxinv.tiling.plan import proven_smallest
from jaxinv.tiling.seams import error_of


@dataclass(frozen=True, repr=False)
class Tiling:
    """How an image has to be cut so that a function of its tiles is the function of the image.

    Attributes:
      axes: the axes of the image along which it is cut.
      sizes: its positions along each of them.
      halo: along each axis the positions of a tile that are lost before and after, where it does
        not end with the image. The second is the look-ahead: 0 for a causal program.
      grid: along each axis the multiples that tiles start at.
      smallest: along each axis the smallest tile.
      scales: for each output and axis the positions of the output for each position of the image.
      shapes: of the outputs.
      paths: of the outputs in their structure; "" for a single array.
      layers: what each layer adds to the halo.
      call: the function and its arguments.
    """

    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    halo: tuple[Halo, ...]
    grid: tuple[int, ...]
    smallest: tuple[int, ...]
    scales: tuple[tuple[Fraction, ...], ...]
    shapes: tuple[tuple[int, ...], ...]
    paths: tuple[str, ...]
    layers: tuple[Contribution, ...]
    call: Call = field(repr=False, compare=False)

    @property
    def scale(self) -> tuple[Fraction, ...]:
        """Along each axis the positions of the only output for each position of the image.

        Raises:
          ValueError: if the function returns several arrays.
        """
        if len(self.scales) != 1:
            raise ValueError(f"the function returns {len(self.scales)} arrays; read tiling.scales")
        return self.scales[0]

    def error(
        self, overlap: int | Sequence[int], *, tile: int | Sequence[int] | None = None
    ) -> float:
        """How wrong tiles are with another overlap, on the arguments of `tiling`: `seam_error`.

        Args:
          overlap: positions lost at each end of a tile: one number, or one per axis.
          tile: positions of a tile; None for the smallest that has something left, or the image.

        Raises:
          ValueError: if `tiling` was called with shapes and not with arrays.
        """
        return error_of(self.call, overlap, tile=tile)

    def to_dict(self) -> dict[str, Any]:
        """The tiling as JSON can hold it; scales as `"1/2"`."""
        return {
            "axes": list(self.axes),
            "sizes": list(self.sizes),
            "halo": [list(ends) for ends in self.halo],
            "grid": list(self.grid),
            "smallest": list(self.smallest),
            "scales": [list(map(str, row)) for row in self.scales],
        }

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in _words(self))

    def __repr__(self) -> str:
        return f"Tiling(halo={self.halo}, grid={self.grid}, smallest={self.smallest})"


def tiling(
    fun: Callable,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    axes: Sequence[int] = (1, 2),
) -> Tiling:
    """States how an image has to be cut so that a function of its tiles is that of the image.

    The interior of an output, on the endless line of `jaxinv.certify`, is what sees no border: what
    lies beside it is the halo. The period is the grid: there tiles may start. That tiles are made
    like parts of the image, whatever its size, is proved equation by equation for the smallest one.
    Only shapes are read.

    Args:
      fun: a function of images; its outputs are maps, at any scale.
      *args: its arguments: arrays, `jax.ShapeDtypeStruct`s, or pytrees of them.
      argnums: which arguments are cut, together.
      axes: their spatial dimensions; sizes in pixels.

    Returns:
      The tiling. `print` shows which layers the halo comes from.

    Raises:
      ValueError: if no halo suffices, with the line that reads the whole map, or if `fun` reads the
        size of its image.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxinv.tiling import tiling
      >>> def difference(x):
      ...     return jnp.pad(x, ((0, 0), (1, 0)))[:, :-1] - x
      >>> stated = tiling(lambda x: difference(x)[:, ::2], jnp.zeros((1, 64)), axes=(1,))
      >>> stated.halo, stated.grid, stated.smallest, stated.scale
      (((2, 0),), (2,), (4,), (Fraction(1, 2),))

    Reference:
      Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks" (2019),
      https://distill.pub/2019/computing-receptive-fields, for the arithmetic of single layers.
    """
    call = Call(fun, args, {}, argnums, whole_axes(axes))
    image = call.at(call.sizes)
    geometry = geometry_of(image, call.axes)
    smallest = proven_smallest(call, geometry, image)
    program = image.traced.program
    return Tiling(
        axes=tuple(call.axes),
        sizes=call.sizes,
        halo=geometry.halo,
        grid=geometry.grid,
        smallest=smallest,
        scales=tuple(tuple(along.scale for along in row) for row in geometry.maps),
        shapes=tuple(program.avals[number].shape for number in program.outputs),
        paths=tuple(image.traced.out_paths),
        layers=tuple(contributions(image)),
        call=call,
    )


_HEAD = ("layer", "at", "output", "scale", "adds", "halo")


def _words(tiling: Tiling) -> list[str]:
    """The tiling as a table of at most 100 columns."""
    lines = [
        f"tiles along {axes_in_words(tiling.axes)}, {in_words(tiling.sizes)} positions",
        "",
        f"halo      {_alike(list(map(_ends, tiling.halo)))}  lost before and after, but at borders",
        f"grid      {_alike(tiling.grid)}  of which tiles start at multiples",
        f"smallest  {_alike(tiling.smallest)}  positions of a tile",
        "",
    ]
    rows = [
        (
            layer.layer,
            layer.where,
            _size(layer.shape),
            _alike(layer.scale),
            _alike(list(map(_ends, layer.adds))),
            _alike(list(map(_ends, layer.halo))),
        )
        for layer in tiling.layers
    ]
    for path, shape, scale in zip(tiling.paths, tiling.shapes, tiling.scales, strict=True):
        rows.append((f"output {path}".rstrip(), "", _size(shape), _alike(scale), "", ""))
    return lines + columns([_HEAD, *rows])


def _size(shape: Sequence[int]) -> str:
    """A shape without the images of the batch."""
    return "x".join(map(str, shape[1:] or shape))


def _ends(halo: Sequence[Any]) -> str:
    return " + ".join(map(str, halo))


def _alike(entries: Sequence[Any]) -> str:
    """What is said of each axis; once, if it is the same."""
    words = list(map(str, entries))
    return words[0] if len(set(words)) == 1 else ", ".join(words)
