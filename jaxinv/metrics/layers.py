"""Layer by layer through a Flax model as it is: where the symmetry is lost."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Num, PyTree, Shaped

from jaxinv.metrics.equivariance import cosine_invariance, relative_error
from jaxinv.metrics.spectrum import energy_above_nyquist
from jaxinv.shifts import check_axes, subpixel_translate, translate

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
        is a map; 0 where that is no coarser.
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


def layer_symmetry(
    module: nn.Module,
    variables: PyTree,
    x: Num[Array, "n ..."],
    *,
    axes: Sequence[int] = (1, 2),
    **options: Any,
) -> list[LayerSymmetry]:
    r"""Measures each layer of a Flax model: equivariance, invariance and aliasing.

    .. math::

      \frac{\lVert f_\ell(T_t x) - T_{t / s_\ell} f_\ell(x) \rVert}{\lVert f_\ell(x) \rVert},
      \quad t = s_\ell e_a, \; e_a, \; e_a / 2

    for the layer's output :math:`f_\ell` as a function of the network's input, on the torus,
    averaged over the axes `a`. A map whose positions times a stride are not those of the input
    (VALID convolutions) lives on no torus: its stride is the one that explains it best, what
    wraps around is left out, and errors that need interpolation are NaN.

    Args:
      module: a Flax linen module.
      variables: its variables.
      x: a batch of images.
      axes: their spatial dimensions, the same in all layers of the images' rank.
      **options: further arguments of the module's call, such as `train=False`.

    Returns:
      One row per layer with floating-point output, in the order in which they finish.

    Raises:
      ValueError: if `module` is no Flax linen module or an axis is out of range.

    Example:
      >>> import flax.linen as nn, jax
      >>> net = nn.Sequential([nn.Conv(4, (3, 3), padding="CIRCULAR"),
      ...                      nn.Conv(4, (3, 3), strides=2, padding="CIRCULAR")])
      >>> x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
      >>> for row in layer_symmetry(net, net.init(jax.random.key(1), x), x)[:2]:
      ...     print(row.name, row.stride, row.lattice_error < 1e-5, row.integer_error < 1e-5)
      layers_0 (1, 1) True True
      layers_1 (2, 2) True False

    Reference:
      Lenc and Vedaldi, "Understanding image representations by measuring their equivariance and
      equivalence" (2015), https://arxiv.org/abs/1411.5908; Azulay and Weiss (2019), section 3,
      https://arxiv.org/abs/1805.12177: why strides break equivariance; Biscione and Bowers
      (2021), https://arxiv.org/abs/2110.05861: cosines.
    """
    x = jnp.asarray(x)
    dims = check_axes(axes, x.ndim, "x")
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))

    names: list[str] = []

    @jax.jit
    def capture(variables, image):
        outputs = layer_outputs(module, variables, image, **options)
        kept = {k: v for k, v in outputs.items() if jnp.issubdtype(v.dtype, jnp.floating)}
        names[:] = kept  # compilation would return a dictionary sorted, not in order of calls
        return tuple(kept.values())

    @functools.lru_cache(maxsize=8)  # each entry holds the outputs of all layers
    def after(shift: tuple[float, ...]):
        return capture(variables, _move(x, jnp.array(shift), dims))

    base = capture(variables, x)
    maps = [_is_map(y, x, dims) for y in base]
    rows = []
    for i, (name, y) in enumerate(zip(names, base, strict=True)):

        def at(shifts, i=i):
            return tuple(after(t)[i] for t in shifts)

        stride = _stride(y, x, dims, at) if maps[i] else ()
        following = next((base[j] for j in range(i + 1, len(base)) if maps[j]), y)
        scores = _scores(
            y,
            at(_along_axes(stride)),
            at(_along_axes((1,) * len(dims))),
            at(_along_axes((0.5,) * len(dims))),
            dims,
            stride,
            _fits(y, x, dims, stride),
            tuple(following.shape[d] for d in dims) if maps[i] else (),
        )
        rows.append(LayerSymmetry(name, y.shape, stride, *map(float, scores)))
    return rows


@functools.partial(jax.jit, static_argnums=2)
def _move(x, shift, dims):
    if jnp.issubdtype(shift.dtype, jnp.integer):
        return translate(x, shift, axes=dims)
    return subpixel_translate(x, shift, axes=dims)


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _scores(y, lattice, whole, half, dims, stride, torus, grid):
    """The five numbers of a row, from a layer's outputs before and after shifts."""
    cosine = jnp.mean(jnp.stack([jnp.mean(cosine_invariance(y, moved)) for moved in whole]))
    if not stride:
        unmoved = [jnp.mean(jnp.stack([relative_error(m, y) for m in ms])) for ms in (whole, half)]
        return unmoved[0], *unmoved, cosine, 0.0
    errors = [
        _mean_error(y, moved, dims, steps, stride, torus)
        for moved, steps in (
            (lattice, stride),
            (whole, (1,) * len(dims)),
            (half, (0.5,) * len(dims)),
        )
    ]
    return *errors, cosine, energy_above_nyquist(y, grid, axes=dims)


def _is_map(y, x, dims):
    return y.ndim == x.ndim and all(1 < y.shape[d] <= x.shape[d] for d in dims)


def _along_axes(steps):
    """One shift per axis, by that axis's step."""
    zero = (0,) * len(steps)
    return [(*zero[:a], step, *zero[a + 1 :]) for a, step in enumerate(steps)]


def _fits(y, x, dims, stride):
    """Whether a map's positions times its stride are those of the input: it lives on a torus."""
    return all(y.shape[d] * s == x.shape[d] for d, s in zip(dims, stride, strict=False))


def _stride(y, x, dims, at):
    """Pixels per position along each axis: the ratio of sizes, unless another explains more."""
    found = []
    for a, dim in enumerate(dims):
        ratio = x.shape[dim] // y.shape[dim]
        unit = tuple(int(b == a) for b in range(len(dims)))

        def error(stride, unit=unit):
            (moved,) = at([tuple(stride * step for step in unit)])
            return float(_whole_error(y, moved, jnp.array(unit), dims, False))

        # VALID convolutions shorten a map, so that its ratio of sizes is at least the stride.
        others = [s for s in USUAL_STRIDES if s < ratio]
        best = ratio
        if others and (x.shape[dim] % y.shape[dim] or error(ratio) > EXPLAINED):
            errors = {s: error(s) for s in [*others, ratio]}
            nearest = min(errors, key=errors.__getitem__)
            best = nearest if errors[nearest] < 0.5 * errors[ratio] else ratio
        found.append(best)
    return tuple(found)


def _mean_error(y, moved, dims, steps, stride, torus):
    """Mean over the axes of the error at that axis's step, in pixels of the input."""
    errors = []
    for one, t in zip(moved, _along_axes(steps), strict=True):
        inner = [step / s for step, s in zip(t, stride, strict=True)]
        if all(step % 1 == 0 for step in inner):
            errors.append(_whole_error(y, one, [int(step) for step in inner], dims, torus))
        elif torus:
            errors.append(relative_error(one, subpixel_translate(y, inner, axes=dims)))
        else:
            errors.append(jnp.nan)
    return jnp.mean(jnp.array(errors))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _whole_error(y, moved, shift, dims, torus):
    """Relative error of `moved` against `y` shifted by whole positions of its own."""
    expected = translate(y, shift, axes=dims)
    if not torus:
        # Windows that begin before the shift see what wrapped around.
        for i, dim in enumerate(dims):
            inside = jnp.arange(y.shape[dim]) >= shift[i]
            inside = inside.reshape([-1 if d == dim else 1 for d in range(y.ndim)])
            moved, expected = jnp.where(inside, moved, 0), jnp.where(inside, expected, 0)
    return relative_error(moved, expected)
