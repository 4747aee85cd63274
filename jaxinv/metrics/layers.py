"""Layer by layer through a network as it is: where the symmetry is lost."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Num, PyTree, Shaped

from jaxinv.arguments import as_inexact
from jaxinv.magnitudes import norm, quotient
from jaxinv.metrics.equivariance import cosine_invariance, relative_error
from jaxinv.metrics.spectrum import energy_above_nyquist
from jaxinv.metrics.strides import proved_strides
from jaxinv.orbit.one_batch import in_one_batch
from jaxinv.shift_options import check_axes
from jaxinv.shifts import subpixel_translate, translate

# Strides that networks have, tried where the ratio of sizes does not explain a map.
USUAL_STRIDES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
# A relative equivariance error below which the ratio of sizes is believed.
EXPLAINED = 0.2


class LayerSymmetry(NamedTuple):
    """How one layer's output responds to translations of the network's input.

    Attributes:
      name: the layer's path, with the number of the call where it is called again.
      shape: shape of its output.
      stride: pixels of the input per position of the output, one per axis; empty if the output
        is no map of the image.
      lattice_error: relative equivariance error at shifts by one stride, averaged over the axes:
        0 where the layer commutes with the multiples of its stride.
      integer_error: the same at shifts by one pixel; the output's fraction of a position is
        interpolated (Fourier). For outputs that are no maps, the relative invariance error.
      half_pixel_error: the same at shifts by half a pixel (Fourier).
      cosine: mean cosine between outputs before and after a shift by one pixel.
      aliasing: share of the output's energy above the Nyquist frequency of the next layer that
        is a map; 0 where that is no coarser, NaN for outputs that are no maps.
    """

    name: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    lattice_error: float
    integer_error: float
    half_pixel_error: float
    cosine: float
    aliasing: float


def layer_outputs(
    module: nn.Module, variables: PyTree, x: PyTree, **options: Any
) -> dict[str, Shaped[Array, "..."]]:
    """The output of each layer of a Flax model, in the order in which they finish.

    Args:
      module: a Flax linen module.
      variables: its variables; none is changed.
      x: its input.
      **options: further arguments of its call, such as `train=False`.

    Returns:
      Arrays by path, such as `"Block_0/Conv_1"`. A layer called again has the number of the call
      behind its name, and one with several outputs the path to each. The last is `"output"`, the
      whole model's.

    Raises:
      ValueError: if `module` is no Flax linen module.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> net = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)])
      >>> variables = net.init(jax.random.key(0), jnp.ones((1, 4)))
      >>> {name: y.shape for name, y in layer_outputs(net, variables, jnp.ones((1, 4))).items()}
      {'layers_0': (1, 3), 'layers_2': (1, 2), 'output': (1, 2)}

    Reference:
      https://flax.readthedocs.io/en/latest/guides/model_inspection/extracting_intermediates.html
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"module is {type(module).__name__}; allowed is a Flax linen module")
    finished: list[tuple[str, ...]] = []

    def note(next_fun, args, kwargs, context):
        out = next_fun(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path not in finished:
            finished.append(context.module.path)
        return out

    with nn.intercept_methods(note):
        _, state = module.apply(
            variables, x, capture_intermediates=True, mutable=["intermediates"], **options
        )
    captured = {
        path[:-1]: calls
        for path, calls in flatten_dict(state["intermediates"]).items()
        if path[-1] == "__call__"
    }
    outputs = {}
    # Layers inside lifted transforms are captured, but may be out of the interceptor's sight.
    for path in [*finished, *(p for p in captured if p not in finished)]:
        for times, call in enumerate(captured.get(path, ())):
            name = ("/".join(path) or "output") + (f"[{times}]" if times else "")
            for where, leaf in jax.tree_util.tree_leaves_with_path(call):
                if isinstance(leaf, jax.Array):
                    outputs[name + jax.tree_util.keystr(where)] = leaf
    return outputs


def layerwise(
    layers: Callable[[Array], Mapping[str, Array]],
    x: Num[Array, "n ..."],
    *,
    axes: Sequence[int] = (1, 2),
) -> list[LayerSymmetry]:
    r"""Measures each layer of a network: equivariance, invariance and aliasing.

    .. math::

      \frac{\lVert f_\ell(T_t x) - T_{t / s_\ell} f_\ell(x) \rVert}{\lVert f_\ell(x) \rVert},
      \quad t = s_\ell e_a, \; e_a, \; e_a / 2

    for the layer's output :math:`f_\ell` as a function of the network's input, on the torus,
    averaged over the axes `a`. A map whose positions times a stride are not those of the input
    (VALID convolutions) lives on no torus: its stride is the one that explains it best, what
    wraps around is left out, and errors that need interpolation are NaN.

    Args:
      layers: a function of images that returns the outputs of the layers by name, in their order;
        of a Flax model `functools.partial(layer_outputs, module, variables)`.
      x: a batch of images.
      axes: their spatial dimensions, the same in all layers of the images' rank.

    Returns:
      One row per layer with floating-point output, in order.

    Raises:
      ValueError: if an axis is out of range, there are no images, or `layers` returns no mapping.

    Example:
      >>> import functools, flax.linen as nn, jax
      >>> net = nn.Sequential([nn.Conv(4, (3, 3), padding="CIRCULAR"),
      ...                      nn.Conv(4, (3, 3), strides=2, padding="CIRCULAR")])
      >>> x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
      >>> layers = functools.partial(layer_outputs, net, net.init(jax.random.key(1), x))
      >>> for row in layerwise(layers, x)[:2]:
      ...     print(row.name, row.stride, row.lattice_error < 1e-5, row.integer_error < 1e-5)
      layers_0 (1, 1) True True
      layers_1 (2, 2) True False

    Reference:
      Lenc and Vedaldi, "Understanding image representations by measuring their equivariance and
      equivalence" (2015), https://arxiv.org/abs/1411.5908; Azulay and Weiss (2019), section 3,
      https://arxiv.org/abs/1805.12177: why strides break equivariance; Biscione and Bowers
      (2021), https://arxiv.org/abs/2110.05861: cosines.
    """
    x = as_inexact(x, "x")
    dims = check_axes(axes, x.ndim, "x")
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}; there is nothing to measure")
    names: list[str] = []

    def floating(image):
        outputs = layers(image)
        if not isinstance(outputs, Mapping):
            raise ValueError(
                f"layers returns {type(outputs).__name__}; allowed is a mapping of names to arrays"
            )
        kept = {k: v for k, v in outputs.items() if jnp.issubdtype(v.dtype, jnp.floating)}
        names[:] = kept  # compilation would return a dictionary sorted, not in order of calls
        return tuple(kept.values())

    capture = jax.jit(in_one_batch(floating, x))

    @functools.lru_cache(maxsize=4)  # each entry holds the outputs of all layers
    def after(shift: tuple[float, ...]):
        return capture(_move(x, jnp.array(shift), dims))

    base = capture(x)
    maps = tuple(_is_map(y, x, dims) for y in base)
    strides = _strides(base, x, dims, maps, after, proved_strides(floating, x, dims, maps))
    torus = tuple(_fits(y, x, dims, stride) for y, stride in zip(base, strides, strict=True))
    ones, halves = (1,) * len(dims), (0.5,) * len(dims)
    wanted: dict[tuple[float, ...], list[tuple[Callable, int, int]]] = {}
    for i, stride in enumerate(strides):
        for step in dict.fromkeys((stride or ones, ones, halves)):
            for a, t in enumerate(_along_axes(step)):
                wanted.setdefault(t, []).append((_moved_error, i, a))
        for a, t in enumerate(_along_axes(ones)):
            wanted[t].append((_cosine, i, a))
    scores = {}
    for t, measures in wanted.items():
        moved = after(t)
        for measure, i, a in measures:
            by = _positions(t, strides[i])
            scores[measure, i, a, t[a]] = measure(base[i], moved[i], by, torus[i], dims)
    scores = dict(zip(scores, jax.device_get(list(scores.values())), strict=True))

    def mean(measure, i, step):
        """Over the axes, of a layer's score at shifts by that axis's step."""
        return float(np.mean([scores[measure, i, a, t] for a, t in enumerate(step)]))

    aliased = []
    for i, y in enumerate(base):
        if not maps[i]:
            aliased.append(np.nan)
            continue
        following = next((base[j] for j in range(i + 1, len(base)) if maps[j]), y)
        aliased.append(_aliased(y, tuple(following.shape[d] for d in dims), axes=dims))
    aliased = jax.device_get(aliased)
    rows = []
    for i, (name, y) in enumerate(zip(names, base, strict=True)):
        rows.append(
            LayerSymmetry(
                name,
                y.shape,
                strides[i],
                lattice_error=mean(_moved_error, i, strides[i] or ones),
                integer_error=mean(_moved_error, i, ones),
                half_pixel_error=mean(_moved_error, i, halves),
                cosine=mean(_cosine, i, ones),
                aliasing=float(aliased[i]),
            )
        )
    return rows


def window_error(
    actual: Array,
    base: Array,
    shift: Sequence[int] | Array,
    whole: Sequence[int],
    *,
    axes: Sequence[int] = (1, 2),
) -> Array:
    """Relative error of a moved map where both maps show the same content.

    A map that is shorter than the torus (after a VALID convolution) is a window of it: at a shift
    content enters at its border, and only what both windows show can be compared.

    Args:
      actual: the map of the translated image.
      base: that of the image.
      shift: by how many positions it should have moved; may be traced.
      whole: positions of the torus along each axis.
      axes: the spatial dimensions.

    Returns:
      The relative error; 0 if the windows show nothing in common.
    """
    actual, base = as_inexact(actual), as_inexact(base)
    dims = check_axes(axes, base.ndim)
    widths = [(0, 0)] * base.ndim
    for dim, m in zip(dims, whole, strict=True):
        widths[dim] = (0, max(0, m - base.shape[dim]))

    def moved(values):
        wide = translate(jnp.pad(values, widths), tuple(shift), axes=dims)
        return wide[tuple(slice(n) for n in base.shape)]

    if all(low == high == 0 for low, high in widths):
        # A translation keeps the norm; the map itself need not be made for it.
        return quotient(norm(actual - moved(base)), norm(base))
    seen = moved(jnp.ones(base.shape))
    return relative_error(actual * seen, moved(base))


@functools.partial(jax.jit, static_argnums=2)
def _move(x, shift, dims):
    if jnp.issubdtype(shift.dtype, jnp.integer):
        return translate(x, tuple(shift), axes=dims)
    return subpixel_translate(x, tuple(shift), axes=dims)


# Entries of a map from which a program that runs a few times is worth optimising.
LARGE = 1 << 18


def _compiled(fun, **options):
    """A program for each kind of layer, which networks share."""
    optimised = jax.jit(fun, **options)
    # Operations dispatched one by one would be compiled one by one.
    quickly = jax.jit(fun, compiler_options={"xla_backend_optimization_level": 0}, **options)

    @functools.wraps(fun)
    def run(y, *args, **kwargs):
        return (optimised if y.size >= LARGE else quickly)(y, *args, **kwargs)

    return run


@functools.partial(_compiled, static_argnums=(3, 4))
def _moved_error(y, moved, by, fits, dims):
    """Relative error of a layer that should have moved by so many positions; None: not moved."""
    if by is None:
        return relative_error(moved, y)
    if jnp.issubdtype(by.dtype, jnp.integer):
        return window_error(moved, y, by, _room(y, dims, fits), axes=dims)
    if not fits:
        return jnp.array(jnp.nan)
    return relative_error(moved, subpixel_translate(as_inexact(y), tuple(by), axes=dims))


@functools.partial(_compiled, static_argnums=(3, 4))
def _cosine(y, moved, by, fits, dims):
    del by, fits, dims  # the same for all layers
    return jnp.mean(cosine_invariance(y, moved))


_aliased = _compiled(energy_above_nyquist, static_argnums=1, static_argnames="axes")


def _positions(shift, stride):
    """By how many positions a shift moves a map: whole numbers where they are; None: no map."""
    if not stride:
        return None
    whole = all(t % s == 0 for t, s in zip(shift, stride, strict=True))
    by = np.divide(shift, stride)
    return jnp.array(by, int) if whole else jnp.array(by, float)


def _room(y, dims, fits):
    """A torus for a map: its own, or one with room for what enters at a shift."""
    return tuple(y.shape[d] * (1 if fits else 2) for d in dims)


def _is_map(y, x, dims):
    return y.ndim == x.ndim and all(1 < y.shape[d] <= x.shape[d] for d in dims)


def _along_axes(steps):
    """One shift per axis, by that axis's step."""
    zero = (0,) * len(steps)
    return [(*zero[:a], step, *zero[a + 1 :]) for a, step in enumerate(steps)]


def _fits(y, x, dims, stride):
    """Whether a map's positions times its stride are those of the input: it lives on a torus."""
    return all(y.shape[d] * s == x.shape[d] for d, s in zip(dims, stride, strict=False))


def _strides(base, x, dims, maps, after, proved):
    """Pixels per position of each map.

    They are proved, or the ratio of sizes, unless another stride explains the map better.
    """
    strides = [
        [s or x.shape[d] // y.shape[d] for s, d in zip(row, dims, strict=True)] if m else []
        for y, m, row in zip(base, maps, proved, strict=True)
    ]
    for a, dim in enumerate(dims):
        unit = _along_axes((1,) * len(dims))[a]

        def errors(asked: dict[int, int], unit=unit):
            """Of some layers, each at a stride; the layers of one stride after one another."""
            found = {}
            for i, stride in sorted(asked.items(), key=lambda pair: pair[1]):
                moved = after(tuple(stride * step for step in unit))
                found[i] = _moved_error(base[i], moved[i], jnp.array(unit), False, dims)
            return jax.device_get(found)

        ratios = {
            i: strides[i][a]
            for i, (found, row) in enumerate(zip(maps, proved, strict=True))
            if found and row[a] is None
        }
        # VALID convolutions shorten a map, so that its ratio of sizes is at least the stride.
        finer = {i: [s for s in USUAL_STRIDES if s < ratio] for i, ratio in ratios.items()}
        at_ratio = errors({i: ratio for i, ratio in ratios.items() if finer[i]})
        tried: dict[int, dict[int, float]] = {
            i: {}
            for i, error in at_ratio.items()
            if x.shape[dim] % base[i].shape[dim] or error > EXPLAINED
        }
        for stride in USUAL_STRIDES:
            some = {i: stride for i in tried if stride in finer[i]}
            for i, error in errors(some).items():
                tried[i][stride] = error
        for i, found in tried.items():
            nearest = min(found, key=found.__getitem__)
            if found[nearest] < 0.5 * at_ratio[i]:
                strides[i][a] = nearest
    return tuple(map(tuple, strides))
