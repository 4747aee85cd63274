"""Local equivariance error, the Lie derivative of a network, per layer.

Gruver et al., "The Lie derivative for measuring learned equivariance" (2023).
"""

import collections
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PyTree

from jaxinv.arguments import as_array, as_inexact
from jaxinv.magnitudes import norm
from jaxinv.shift_options import check_axes
from jaxinv.shifts import subpixel_translate

Generator = Literal["fourier", "bilinear"]


def translation_generator(
    x: Num[Array, "..."], *, axis: int = 1, method: Generator = "fourier"
) -> Float[Array, "..."]:
    r"""The rate at which an image changes when its content moves down (or right).

    .. math::

      G x = \left. \frac{d}{dt} T_t x \right|_{t = 0} = - \frac{\partial x}{\partial i}

    `"fourier"` differentiates the trigonometric polynomial through the pixels, which exists at
    every point (the Nyquist bin of an even size has slope zero at the pixels). `"bilinear"` is
    what the published code computes: linear interpolation has a kink at each pixel, so its
    derivative there depends on the side; the published one is the forward difference
    :math:`x[i] - x[i + 1]`. The image continues as its mirror image about the last pixel, so that
    the last difference is :math:`x[n - 1] - x[n - 2]`. Where the published code rounds the place
    of a pixel down to the one before (none of 32 pixels, 36 of 224), it takes the backward
    difference instead; this function does not.

    Args:
      x: an image, or any array with that axis; whole numbers are taken as float.
      axis: the spatial axis.
      method: `"fourier"` (on the torus) or `"bilinear"`.

    Returns:
      The derivative, per pixel of shift; the same shape.

    Raises:
      ValueError: if the axis is out of range or the method unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([0.0, 1.0, 3.0])
      >>> print(translation_generator(x, axis=0, method="bilinear"))
      [-1. -2.  2.]

    Reference:
      Gruver et al. (2023), https://arxiv.org/abs/2210.02984, section 4;
      https://github.com/ngruver/lie-deriv.
    """
    x = _as_images(x)
    (dim,) = check_axes((axis,), x.ndim)
    if method == "bilinear":
        size = x.shape[dim]
        following = [*range(1, size), max(0, size - 2)]
        return x - jnp.take(x, jnp.array(following), axis=dim)
    if method != "fourier":
        raise ValueError(f"method is {method!r}; allowed are 'fourier', 'bilinear'")
    return jax.jvp(lambda t: subpixel_translate(x, (t,), axes=(dim,)), (0.0,), (1.0,))[1]


def lie_derivative(
    fun: Callable,
    x: Num[Array, "n h w c"],
    *,
    axis: int = 1,
    method: Generator = "fourier",
) -> PyTree[Float[Array, "..."]]:
    r"""Derivative of a function with respect to moving its input and moving its output back.

    .. math::

      L f(x) = \left. \frac{d}{dt} T_{-t} f(T_t x) \right|_{t = 0} = J_f(x) \, G x - G f(x)

    Zero for every input where the function is equivariant; for outputs that are no images (of
    another rank, or one position along `axis`), the second term is absent and zero means
    invariance. One pixel of the input is `n_out / n_in` pixels of a smaller output.

    Args:
      fun: a differentiable function of a batch of images.
      x: the images.
      axis: the spatial axis along which they move, the same in outputs that are images.
      method: the generator, see `translation_generator`.

    Returns:
      The derivative, per pixel of shift of the input; the outputs' structure and shapes.

    Raises:
      ValueError: if the axis is out of range, the method unknown, or an output of whole numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(5.0)
      >>> print(lie_derivative(lambda x: 3 * x, x, axis=0, method="bilinear"))
      [0. 0. 0. 0. 0.]
      >>> print(lie_derivative(lambda x: x[0], x, axis=0, method="bilinear"))
      -1.0

    Reference:
      Gruver et al. (2023), equation 2, https://arxiv.org/abs/2210.02984.
    """
    x = _as_images(x)
    (dim,) = check_axes((axis,), x.ndim)
    back = functools.partial(_generate, like=x.shape, axis=dim, method=method)

    @jax.jit
    def derivative(x):
        moving = translation_generator(x, axis=dim, method=method)
        outputs, tangents = jax.jvp(fun, (x,), (moving,))
        for output in jax.tree.leaves(outputs):
            if not jnp.issubdtype(output.dtype, jnp.inexact):
                raise ValueError(f"an output has dtype {output.dtype}, which has no derivative")
        return jax.tree.map(lambda y, v: v - back(y), outputs, tangents)

    return derivative(x)


class LocalError(NamedTuple):
    """Local equivariance error of a layer, or of a whole network.

    Attributes:
      squared: mean over images of the squared norm, divided by the number of output features.
      absolute: mean over images of the norm, divided by the square root of that number.
    """

    squared: Float[Array, ""]
    absolute: Float[Array, ""]


def local_equivariance_error(
    fun: Callable,
    x: Num[Array, "n h w c"],
    *,
    axis: int = 1,
    method: Generator = "fourier",
) -> PyTree[LocalError]:
    r"""Expected squared (and absolute) Lie derivative, per feature of the output.

    .. math::

      \mathrm{LEE}(f) = \mathbb{E}_x \frac{\lVert L f(x) \rVert^2}{\dim f(x)}

    In the published code a shift of one is half the image, `(n - 1) / 2` pixels: multiply the
    squared error by the square of that to compare.

    Args:
      fun: a differentiable function of a batch of images; its outputs have a leading axis of
        images.
      x: the images.
      axis: the spatial axis along which they move.
      method: the generator, see `translation_generator`.

    Returns:
      The error of each output, in the outputs' structure; per pixel of shift of the input.

    Raises:
      ValueError: if the axis is out of range or the method unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[0.0, 1.0, 3.0]])
      >>> error = local_equivariance_error(lambda x: x[:, :1], x, axis=1, method="bilinear")
      >>> print(error.squared, error.absolute)
      1.0 1.0

    Reference:
      Gruver et al. (2023), equation 3, https://arxiv.org/abs/2210.02984.
    """
    derivative = lie_derivative(fun, x, axis=axis, method=method)
    return jax.tree.map(_local_error, derivative)


class LayerContributions(NamedTuple):
    """Where in a network the Lie derivative of its output arises.

    Attributes:
      layers: error that each layer adds to the output, by the layer's path, in order of calls.
      between: that of everything between the layers: activations, pooling, sums written as
        plain functions.
      total: the error of the network.
    """

    layers: dict[str, LocalError]
    between: LocalError
    total: LocalError


def layer_contributions(
    module: nn.Module,
    variables: PyTree,
    x: Num[Array, "n h w c"],
    *,
    axis: int = 1,
    method: Generator = "fourier",
    **options: Any,
) -> LayerContributions:
    r"""Splits the Lie derivative of a Flax network into what each layer adds, exactly.

    .. math::

      L f(x) = \sum_\ell J_{>\ell} \left[ J_\ell G x_\ell - G f_\ell(x_\ell) \right]

    where :math:`x_\ell` is the layer's input and :math:`J_{>\ell}` carries its error to the
    network's output. Each term is one forward derivative, with the layer's input and output
    disturbed on the way; no random probes. Layers are the modules without submodules of their
    own. By the triangle inequality the absolute errors of all terms bound the total.

    Args:
      module: a Flax linen module whose output is one array `(n, ...)`.
      variables: its variables.
      x: the images.
      axis: the spatial axis along which they move.
      method: the generator, see `translation_generator`.
      **options: further arguments of the module's call, such as `train=False`.

    Returns:
      The errors, in features of the network's output.

    Raises:
      ValueError: if `module` is no Flax linen module, the axis is out of range, or the method
        unknown.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> net = nn.Sequential([nn.Conv(2, (3, 3), padding="CIRCULAR"), nn.Conv(1, (3, 3))])
      >>> x = jax.random.normal(jax.random.key(0), (1, 5, 5, 1))
      >>> found = layer_contributions(net, net.init(jax.random.key(1), x), x)
      >>> {name: bool(error.absolute > 1e-4) for name, error in found.layers.items()}
      {'layers_0': False, 'layers_1': True}

    Reference:
      Gruver et al. (2023), section 5,
      https://arxiv.org/abs/2210.02984: layerwise decomposition by the chain rule.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"module is {type(module).__name__}; allowed is a Flax linen module")
    x = _as_images(x)
    (dim,) = check_axes((axis,), x.ndim)
    generate = functools.partial(_generate, like=x.shape, axis=dim, method=method)
    calls = _leaf_calls(module, variables, x, options)

    def disturbed(steps, variables, x):
        """The network, with the input and output of each layer moved by a step of its own."""
        calls_so_far: collections.Counter[tuple[str, ...]] = collections.Counter()

        def intercept(next_fun, args, kwargs, context):
            call = (context.module.path, calls_so_far[context.module.path])
            if context.method_name != "__call__" or call not in calls:
                return next_fun(*args, **kwargs)
            calls_so_far[context.module.path] += 1
            step = steps[calls.index(call)]
            moved = jax.tree.map(
                lambda v: (v + step * generate(v)).astype(v.dtype) if _is_float(v) else v, args
            )
            out = next_fun(*moved, **kwargs)
            return jax.tree.map(lambda v: (v - step * generate(v)).astype(v.dtype), out)

        with nn.intercept_methods(intercept):
            return module.apply(variables, x, **options)

    @jax.jit  # one program for all layers
    def term(which, variables, x):
        run = functools.partial(disturbed, variables=variables, x=x)
        return jax.jvp(run, (jnp.zeros(len(calls)),), (which,))[1]

    layers, sum_of_terms = {}, 0.0
    for (path, times), which in zip(calls, np.eye(len(calls), dtype=np.float32), strict=True):
        name = "/".join(path) + (f"[{times}]" if times else "")
        contribution = term(which, variables, x)
        layers[name] = _local_error(contribution)
        sum_of_terms = sum_of_terms + contribution
    total = lie_derivative(
        lambda v: module.apply(variables, v, **options), x, axis=dim, method=method
    )
    return LayerContributions(layers, _local_error(total - sum_of_terms), _local_error(total))


def _leaf_calls(module, variables, x, options):
    """Path and number of each call of a module without submodules, in order."""
    calls: list[tuple[tuple[str, ...], int]] = []

    def intercept(next_fun, args, kwargs, context):
        if context.method_name == "__call__":
            path = context.module.path
            calls.append((path, sum(p == path for p, _ in calls)))
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(intercept):
        jax.eval_shape(lambda v: module.apply(variables, v, **options), x)
    paths = {path for path, _ in calls}
    parents = {path[:i] for path in paths for i in range(len(path))}
    return [(path, times) for path, times in calls if path not in parents or len(paths) == 1]


def _generate(y, like, axis, method):
    if not _is_float(y) or y.ndim != len(like) or y.shape[axis] == 1:
        return jnp.zeros_like(y)
    # A pixel of the input is this many of the output: of the torus, or between its corners.
    ends = 0 if method == "fourier" else 1
    speed = (y.shape[axis] - ends) / max(1, like[axis] - ends)
    return (speed * translation_generator(y, axis=axis, method=method)).astype(y.dtype)


def _as_images(x):
    """The array, floating point: in half precision as it is, for the network to compute in it."""
    x = as_array(x, "x", "images")
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}; there is nothing to move")
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else as_inexact(x, "x")


def _is_float(value):
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)


def _local_error(derivative):
    if jnp.ndim(derivative) == 0:
        raise ValueError("an output is a single number; allowed are outputs with an axis of images")
    flat = as_inexact(derivative).reshape(derivative.shape[0], -1)
    lengths = norm(flat, axis=-1) / flat.shape[1] ** 0.5
    return LocalError(jnp.mean(lengths**2), jnp.mean(lengths))
