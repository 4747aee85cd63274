"""Layer by layer: where a network loses the symmetry, proved and measured."""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Array, Shaped

from jaxinv.devices import data_mesh, spread
from jaxinv.evaluation.results import Estimate, LayerRow
from jaxinv.evaluation.subject import Subject
from jaxinv.metrics.layers import layerwise, window_error
from jaxinv.metrics.strides import proved_strides
from jaxinv.orbit.memory import choose_chunk
from jaxinv.orbit.one_batch import in_one_batch
from jaxinv.shifts import translate

Images = Shaped[np.ndarray, "n h w c"]

# The numbers of a row, as `jaxinv.metrics.LayerSymmetry` defines and names them.
MEASURED = ("lattice_error", "integer_error", "half_pixel_error", "cosine", "aliasing")


def layer_rows(
    subject: Subject,
    images: Images,
    *,
    states: Callable[[Callable, Images], Sequence[str]] | None = None,
) -> tuple[LayerRow, ...]:
    """One row for each layer, from input to output; none for a network that shows no layers.

    The numbers are those of `jaxinv.metrics.LayerSymmetry`, None where a layer has none.

    Args:
      subject: the network.
      images: a few images, pixels 0 to 255.
      states: maps a function with a tuple of outputs, and its argument, to the proved state of
        each; without it the column stays empty.
    """
    if subject.layers is None:
        return ()
    layers = subject.layers
    x = spread(images.astype(np.float32), data_mesh(len(images)))
    measured = layerwise(layers, x)

    def outputs(x):
        found = layers(x)
        return tuple(found[row.name] for row in measured)

    proved = states(outputs, images) if states else [""] * len(measured)
    return tuple(
        LayerRow(
            layer=row.name,
            shape=row.shape[1:],
            state=state,
            **{name: _known(getattr(row, name)) for name in MEASURED},
        )
        for row, state in zip(measured, proved, strict=True)
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def spatial_layers(
    subject: Subject, images: Shaped[Array, "n h w c"] | Images
) -> dict[str, tuple[Callable, tuple[int, ...]]]:
    """The layers whose outputs have positions: each as a function of the images, and its stride.

    Example:
      >>> halved = Subject("net", "net", lambda x: x, lambda x: {"halved": x[:, ::2, ::2]})
      >>> spatial_layers(halved, np.zeros((1, 8, 8, 1)))["halved"][1]
      (2, 2)
    """
    if subject.layers is None:
        return {}
    layers = subject.layers
    shapes: dict[str, tuple[int, ...]] = {}

    def outputs(x):
        # A dict comes back sorted from JAX; here the order is that of the calls.
        shapes.update({name: value.shape for name, value in layers(x).items()})

    seen = jax.ShapeDtypeStruct(images.shape, np.float32)
    jax.eval_shape(outputs, seen)
    size = images.shape[1:-1]
    maps = [name for name, shape in shapes.items() if _has_positions(shape, size)]

    def of_maps(x):
        found = layers(x)
        return tuple(found[name] for name in maps)

    dims = range(1, 1 + len(size))
    proved = proved_strides(of_maps, seen, dims, [True] * len(maps))
    strides = _strides_of(size, {name: shapes[name] for name in maps}, proved)
    return {name: (functools.partial(_layer, layers, name), strides[name]) for name in strides}


def _layer(layers: Callable, name: str, images: Array) -> Array:
    return layers(images)[name]


def _has_positions(shape: Sequence[int], size: Sequence[int]) -> bool:
    return len(shape) == len(size) + 2 and min(shape[1:-1]) > 1


def _strides_of(
    size: Sequence[int],
    maps: Mapping[str, Sequence[int]],
    proved: Sequence[Sequence[int | None]],
) -> dict[str, tuple[int, ...]]:
    """Input pixels per position of each feature map.

    Where they are not proved they are read off the sizes from one map to the next, rounded down: a
    VALID convolution has a few positions less than its input without skipping any.

    Example:
      >>> maps = {str(n): (1, n, n, 1) for n in (28, 24, 12, 8, 4)}
      >>> [stride[0] for stride in _strides_of((28, 28), maps, [(None, None)] * 5).values()]
      [1, 1, 2, 2, 4]
    """
    stride, before = [1] * len(size), list(size)
    strides = {}
    for (name, shape), known in zip(maps.items(), proved, strict=True):
        for axis, positions in enumerate(shape[1:-1]):
            finer, coarser = positions // before[axis], before[axis] // positions
            by_size = max(1, stride[axis] * max(1, coarser) // max(1, finer))
            stride[axis] = known[axis] or by_size
            before[axis] = positions
        strides[name] = tuple(stride)
    return strides


def feature_error(
    subject: Subject, images: Images, *, place: int = -1
) -> tuple[Estimate, tuple[int, ...]] | None:
    """The largest equivariance error of one feature map over all circular shifts.

    Args:
      subject: the network.
      images: a few images.
      place: which of the outputs with positions; by default the last one, before pooling or
        flattening; 0 is the first layer.

    Returns:
      The largest relative error, and the stride whose multiples were tried; None for a network
      that has no such output or shows no layers.
    """
    layers = list(spatial_layers(subject, images).values())
    if not -len(layers) <= place < len(layers):
        return None
    features, stride = layers[place]
    x = spread(images.astype(np.float32), data_mesh(len(images)))
    seen = jax.eval_shape(features, x).shape[1:-1]
    # Of a stride that does not divide the image, nothing that has wrapped around can be compared.
    whole = tuple(
        2 * n if p % s else p // s for n, p, s in zip(seen, x.shape[1:-1], stride, strict=True)
    )
    steps = [np.arange(0, p - s + 1, s) for p, s in zip(x.shape[1:-1], stride, strict=True)]
    shifts = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, len(steps))

    def moved(shift):
        return features(translate(x, tuple(shift)))

    together = choose_chunk(moved, shifts[0], len(shifts))
    several = jax.jit(jax.vmap(in_one_batch(moved, shifts[0])))
    # One program makes all maps, so that they are rounded alike. The first shifts come again where
    # the last are fewer.
    rows = [np.arange(k, k + together) % len(shifts) for k in range(0, len(shifts), together)]
    errors, base = [], None
    for row in rows:
        maps = several(shifts[row])
        base = maps[0] if base is None else base  # the first shift is none
        errors.append(_largest_error(maps, base, shifts[row] // np.array(stride), whole))
    worst = float(np.max(jax.device_get(errors)))  # NaN, where one of them is
    return Estimate(worst, None, None, len(images), "relative"), stride


@functools.partial(jax.jit, static_argnums=3)
def _largest_error(maps, base, positions, whole):
    def error(actual, by):
        return window_error(actual, base, by, whole)

    return jax.vmap(error)(maps, positions).max()
