"""Layer by layer: where a network loses the symmetry, proved and measured."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxinv import metrics
from jaxinv.evaluation.results import LayerRow
from jaxinv.evaluation.subject import Subject
from jaxinv.shifts import subpixel_translate, translate


def layer_rows(
    subject: Subject,
    images: Shaped[np.ndarray, "n h w c"],
    *,
    states: Callable[[Callable, Shaped[np.ndarray, "n h w c"]], Sequence[str]] | None = None,
) -> tuple[LayerRow, ...]:
    """One row for each layer of a network whose layers can be seen.

    Whole-pixel errors are the largest over shifts by one output position down, right and both;
    half-pixel ones are at a shift of the input by half a pixel both ways, through the Fourier
    interpolation of input and output; None for a map that shows only a part of its torus, as after
    a VALID convolution. Outputs without positions have nothing to move: their rows say how much
    they change. Cosine similarity is at shifts of one pixel.

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
    names: list[str] = []

    outputs_of = subject.layers

    def outputs(x):
        found = outputs_of(x)
        names[:] = found  # A jitted dict comes back sorted; here the order is that of the calls.
        return tuple(found.values())

    @jax.jit
    def run(x, shift):
        return outputs(translate(x, tuple(shift)))

    x = jnp.asarray(images, jnp.float32)
    size = x.shape[1:3]
    base = run(x, jnp.array((0, 0)))
    strides = tuple(strides_of(size, base))
    steps = sorted({s for stride in strides if stride for s in stride} | {1})
    measured = []
    for t in [(s * a, s * b) for s in steps for a, b in ((1, 0), (0, 1), (1, 1))]:
        scores = _at_whole_pixels(base, run(x, jnp.array(t)), jnp.array(t), strides, size)
        measured.append((t, *jax.device_get(scores)))
    halves = _at_half_a_pixel(base, run(_by_half_a_pixel(x), jnp.array((0, 0))), strides, size)
    proved = states(outputs, images) if states else [""] * len(base)
    rows = []
    for number, (name, value, stride) in enumerate(zip(names, base, strides, strict=True)):
        later = zip(base[number + 1 :], strides[number + 1 :], strict=True)
        following = next((after for after, spacing in later if spacing), None)
        whole = [errors[number] for t, errors, _ in measured if _is_multiple(t, stride)]
        cosines = [found[number] for t, _, found in measured if t in ((1, 0), (0, 1))]
        rows.append(
            LayerRow(
                layer=name,
                shape=tuple(value.shape[1:]),
                state=proved[number],
                integer_error=float(max(whole)),
                half_pixel_error=None if halves[number] is None else float(halves[number]),
                cosine=float(np.mean(cosines)),
                aliasing=None
                if stride is None or following is None
                else aliased_share(value, following.shape[1:3]),
            )
        )
    return tuple(rows)


def aliased_share(values: Float[Array, "n h w c"], positions: Sequence[int]) -> float:
    r"""Share of a map's energy that a coarser grid cannot hold.

    .. math::

      \frac{\sum_{k : |k_1| \ge m_1 / 2 \text{ or } |k_2| \ge m_2 / 2} |\hat v(k)|^2}
           {\sum_k |\hat v(k)|^2}

    with `k` in cycles per image and the next layer's `m1 x m2` positions. An axis that stays as
    fine as it is loses nothing.

    Args:
      values: feature maps.
      positions: number of positions of the next layer along each axis.

    Returns:
      Between 0 and 1; 0 for an empty map.

    Example:
      >>> checkerboard = jnp.indices((4, 4)).sum(0).reshape(1, 4, 4, 1) % 2 * 2.0 - 1
      >>> aliased_share(checkerboard, (2, 2)), aliased_share(checkerboard, (4, 4))
      (1.0, 0.0)

    Reference:
      Zhang, "Making convolutional networks shift-invariant again" (2019),
      https://arxiv.org/abs/1904.11486: subsampling without a filter aliases.
    """
    energy = np.abs(np.fft.fft2(np.asarray(values, np.float64), axes=(1, 2))) ** 2
    energy = energy.sum(axis=(0, 3))
    lost = np.zeros(energy.shape, bool)
    for axis, (size, kept) in enumerate(zip(energy.shape, positions, strict=True)):
        cycles = np.abs(np.fft.fftfreq(size, 1 / size))
        along = (cycles >= kept / 2) & (kept < size)
        lost |= np.expand_dims(along, 1 - axis)
    total = energy.sum()
    return float(energy[lost].sum() / total) if total else 0.0


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


def window_error(
    actual: Array, base: Array, shift: Sequence[int] | Array, whole: Sequence[int]
) -> Array:
    """Relative error of a moved map where both maps show the same content.

    A map that is shorter than the torus (after a VALID convolution) is a window of it: at a shift
    content enters at its border, and only what both windows show can be compared.

    Args:
      actual: the map of the translated image.
      base: that of the image.
      shift: by how many positions it should have moved; may be traced.
      whole: positions of the torus along each axis.

    Returns:
      The relative error; 0 if the windows show nothing in common.

    Example:
      >>> ramp = jnp.arange(1.0, 7.0).reshape(1, 6, 1, 1)
      >>> float(window_error(ramp[:, 1:5], ramp[:, 2:6], (1, 0), (6, 1)))
      0.0
    """
    pads = [max(0, m - n) for m, n in zip(whole, base.shape[1:3], strict=True)]
    widths = ((0, 0), *((0, pad) for pad in pads), (0, 0))

    def moved(values):
        wide = translate(jnp.pad(values, widths), tuple(shift))
        return wide[:, : base.shape[1], : base.shape[2]]

    seen = moved(jnp.ones_like(base))
    return metrics.relative_error(actual * seen, moved(base))


def _is_multiple(shift, stride) -> bool:
    return stride is None or all(t % s == 0 for t, s in zip(shift, stride, strict=True))


def _torus(size, stride) -> tuple[int, ...]:
    """Positions of the whole torus that a map with this stride is a window of."""
    return tuple(p // s for p, s in zip(size, stride, strict=True))


# One program for all layers: operations dispatched one by one are compiled one by one. It runs a
# few times, so that optimising it would take longer than it saves.
_COMPILER = {"xla_backend_optimization_level": 0}


@functools.partial(jax.jit, static_argnums=(3, 4), compiler_options=_COMPILER)
def _at_whole_pixels(base, moved, shift, strides, size):
    """Errors, which hold where the shift is a multiple of the stride, and cosines, by layer."""
    errors = []
    for value, other, stride in zip(base, moved, strides, strict=True):
        if stride is None:
            errors.append(metrics.relative_error(other, value))
        else:
            by = [shift[axis] // s for axis, s in enumerate(stride)]
            errors.append(window_error(other, value, by, _torus(size, stride)))
    pairs = zip(base, moved, strict=True)
    return errors, [metrics.cosine_invariance(value, other).mean() for value, other in pairs]


@jax.jit
def _by_half_a_pixel(x):
    return subpixel_translate(x, (0.5, 0.5))


@functools.partial(jax.jit, static_argnums=(2, 3), compiler_options=_COMPILER)
def _at_half_a_pixel(base, moved, strides, size):
    """Errors by layer; None for a map that shows a part of its torus.

    The values between its positions depend on the rest, which is not known.
    """
    errors: list[Array | None] = []
    for value, other, stride in zip(base, moved, strides, strict=True):
        if stride is None:
            errors.append(metrics.relative_error(other, value))
        elif value.shape[1:3] != _torus(size, stride):
            errors.append(None)
        else:
            expected = subpixel_translate(value, tuple(0.5 / s for s in stride))
            errors.append(metrics.relative_error(other, expected))
    return errors
