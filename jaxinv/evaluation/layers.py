"""Layer by layer: where a network loses the symmetry, proved and measured."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from jaxinv.evaluation.results import LayerRow
from jaxinv.evaluation.subject import Subject
from jaxinv.metrics.layers import symmetry_of_layers

# The numbers of a row, as `jaxinv.metrics.LayerSymmetry` defines and names them.
MEASURED = ("lattice_error", "integer_error", "half_pixel_error", "cosine", "aliasing")


def layer_rows(
    subject: Subject,
    images: Shaped[np.ndarray, "n h w c"],
    *,
    states: Callable[[Callable, Shaped[np.ndarray, "n h w c"]], Sequence[str]] | None = None,
) -> tuple[LayerRow, ...]:
    """One row for each layer of a network whose layers can be seen.

    The numbers are those of `jaxinv.metrics.LayerSymmetry`, None where a layer has none.

    Args:
      subject: the network.
      images: a few images, pixels 0 to 255.
      states: maps a function with a tuple of outputs, and its argument, to the proved state of
        each; without it the column stays empty.

    Returns:
      The rows, from input to output; none where the network does not say what its layers are.

    Example:
      >>> import flax.linen as nn
      >>> from jaxinv.evaluation.subject import of_module
      >>> conv = nn.Conv(2, (3, 3), padding="CIRCULAR")
      >>> images = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
      >>> net = of_module(conv, conv.init(jax.random.key(0), images), name="conv")
      >>> (row,) = layer_rows(net, images)
      >>> row.layer, row.shape, row.integer_error < 1e-5
      ('Conv', (8, 8, 2), True)
    """
    if subject.layers is None:
        return ()
    layers = subject.layers

    def outputs(x):
        found = layers(x).values()
        return tuple(value for value in found if jnp.issubdtype(value.dtype, jnp.floating))

    measured = symmetry_of_layers(layers, jnp.asarray(images, jnp.float32))
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
    subject: Subject, images: Shaped[Array, "n h w c"] | Shaped[np.ndarray, "n h w c"]
) -> dict[str, tuple[Callable, tuple[int, ...]]]:
    """The layers whose outputs have positions: each as a function of the images, and its stride.

    Args:
      subject: the network.
      images: for their shape.

    Returns:
      From input to output; empty where the network does not say what its layers are.

    Example:
      >>> import flax.linen as nn
      >>> from jaxinv.evaluation.subject import of_module
      >>> conv = nn.Conv(2, (3, 3), strides=2)
      >>> images = np.zeros((1, 8, 8, 1), np.float32)
      >>> net = of_module(conv, conv.init(jax.random.key(0), images), name="conv")
      >>> {name: stride for name, (_, stride) in spatial_layers(net, images).items()}
      {'Conv': (2, 2)}
    """
    if subject.layers is None:
        return {}
    layers = subject.layers
    names: list[str] = []

    def outputs(x):
        found = layers(x)
        names[:] = found  # A dict comes back sorted from JAX; here the order is that of the calls.
        return tuple(found.values())

    shapes = jax.eval_shape(outputs, jax.ShapeDtypeStruct(images.shape, np.float32))
    strides = strides_of(images.shape[1:-1], shapes)
    return {
        name: (functools.partial(_layer, layers, name), stride)
        for name, stride in zip(names, strides, strict=True)
        if stride is not None
    }


def _layer(layers: Callable, name: str, images: Array) -> Array:
    return layers(images)[name]


def strides_of(size: Sequence[int], values: Sequence[Array]) -> list[tuple[int, ...] | None]:
    """Input pixels per position of each feature map in turn; None for outputs without positions.

    Read off the sizes from one map to the next, rounded down: a VALID convolution has a few
    positions less than its input without skipping any.

    Args:
      size: positions of the input along each axis.
      values: the outputs of the layers, from input to output.

    Returns:
      A stride for each axis, or None.

    Example:
      >>> maps = [jnp.zeros((1, n, n, 1)) for n in (28, 24, 12, 8, 4)]
      >>> [stride[0] for stride in strides_of((28, 28), maps)]
      [1, 1, 2, 2, 4]
    """
    stride, before = [1] * len(size), list(size)
    strides: list[tuple[int, ...] | None] = []
    for value in values:
        if value.ndim != len(size) + 2 or min(value.shape[1:-1]) < 2:
            strides.append(None)
            continue
        for axis, positions in enumerate(value.shape[1:-1]):
            finer, coarser = positions // before[axis], before[axis] // positions
            stride[axis] = max(1, stride[axis] * max(1, coarser) // max(1, finer))
            before[axis] = positions
        strides.append(tuple(stride))
    return strides
