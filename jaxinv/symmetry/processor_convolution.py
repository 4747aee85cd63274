"""A convolution in the way that is quick on a processor.

XLA has a library for convolutions whose channels are last. It writes others that way, but not those
in the body of a loop or a branch. There it takes ten to fifty times as long for the gradients of
every convolution, and for one whose channels are first, as PyTorch has them. Here they are written
that way before XLA sees them.

Some are quicker as matrix products or as a sum over taps (`jaxinv.symmetry.rules.matrix_products`).
Merged cosets make large batches of small maps, on which the library reaches less than half of the
speed of matrix products. Its depthwise convolutions take ten times as long as the sum over the
taps. Where the kernel is larger than the map, as in the last stage of a ResNet on small images and
at corners cut from a map, XLA exchanges the two, and may take a hundred times as long.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive, primitives
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from jaxinv.symmetry.program import ORIGINAL_OF
from jaxinv.symmetry.rules.matrix_products import MatrixProduct
from jaxinv.symmetry.substitution import substituted

# With fewer products to an output along the last axis of a kernel, gathering the operands of a
# matrix product costs more than it saves.
LEAST_PRODUCTS = 64
# Below this many multiplications neither way takes time worth a longer program.
LEAST_WORK = 2**22
# A depthwise convolution pays off that many times sooner, and one whose kernel is the larger.
SOONER = 16
# More places of a kernel make a long program.
MOST_TAPS = 128

_CONVOLUTION = primitives.conv_general_dilated_p
# `conv_general_dilated` with its operands and parameters, computed as is said above.
convolution_p = Primitive("processor_convolution")
ORIGINAL_OF[convolution_p] = _CONVOLUTION


def convolve(x: Array, kernel: Array, **params: Any) -> Array:
    """A convolution in the way that is quick here.

    Args:
      x: the images.
      kernel: the kernel.
      **params: the parameters of the primitive `conv_general_dilated`.

    Returns:
      The convolution. It may differ from that of `lax` in rounding, as its gradients may.
    """
    primitive = convolution_p if _is_rewritten(params) else _CONVOLUTION
    return primitive.bind(x, kernel, **params)


def for_processors(equation: Any) -> Primitive | None:
    """The primitive in place of that of an equation, for `substituted`."""
    changed = equation.primitive is _CONVOLUTION and _is_rewritten(equation.params)
    return convolution_p if changed else None


def quick_in_loops(fun: Callable) -> Callable:
    """The same function for the body of a loop, its convolutions quick on a processor.

    Args:
      fun: any function of arrays.

    Returns:
      The function. Its results and gradients may differ in rounding.

    Example:
      >>> import jax.numpy as jnp
      >>> images = jnp.ones((3, 1, 1, 4, 4))
      >>> def blurred(x):
      ...     return lax.conv(x, jnp.ones((1, 1, 3, 3)), (1, 1), "VALID")
      >>> print(lax.map(quick_in_loops(blurred), images).shape)
      (3, 1, 1, 2, 2)
    """
    if jax.default_backend() != "cpu":
        return fun

    @functools.wraps(fun, updated=())
    def quick(*args):
        return substituted(fun, for_processors, *args)(*args)

    return quick


def _is_rewritten(params: dict[str, Any]) -> bool:
    """Whether a convolution is computed in one of the ways of this module."""
    return (
        jax.default_backend() == "cpu"
        and len(params["window_strides"]) > 0
        and params["batch_group_count"] == 1
        and params["out_sharding"] is None
    )


def _evaluate(x: Array, kernel: Array, **params: Any) -> Array:
    if not _is_rewritten(params):
        return _CONVOLUTION.bind(x, kernel, **params)
    if way := _way_of_products(x, kernel, params):
        return way(x, kernel)
    numbers = params["dimension_numbers"]
    last = x.ndim - 1
    images = (0, last, *range(1, last))  # batch, channels, positions
    settings = {
        **params,
        "dimension_numbers": lax.ConvDimensionNumbers(
            images, (last, last - 1, *range(last - 1)), images
        ),
    }
    if _extent(kernel, numbers) > _positions(x, numbers) and not any(
        n < 0 for pads in params["padding"] for n in pads
    ):
        # Otherwise XLA exchanges the two, with the kernel reversed, which the library has not.
        x = lax.optimization_barrier(_padded(x, params))
        settings["padding"] = ((0, 0),) * (last - 1)
        settings["lhs_dilation"] = (1,) * (last - 1)
    return _channels_last(functools.partial(_CONVOLUTION.bind, **settings), x, kernel, numbers)


def _extent(kernel: Any, numbers: Any) -> int:
    """Positions that a kernel sees."""
    return math.prod(kernel.shape[dim] for dim in numbers.rhs_spec[2:])


def _positions(x: Any, numbers: Any) -> int:
    """Positions of an image."""
    return math.prod(x.shape[dim] for dim in numbers.lhs_spec[2:])


def _padded(x: Array, params: dict[str, Any]) -> Array:
    """The images with their padding, and with zeros between positions where they are dilated."""
    pads = [(0, 0, 0)] * x.ndim
    dims = params["dimension_numbers"].lhs_spec[2:]
    for dim, (low, high), step in zip(dims, params["padding"], params["lhs_dilation"], strict=True):
        pads[dim] = (low, high, step - 1)
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


def _channels_last(convolve: Callable, x: Array, kernel: Array, numbers: Any) -> Array:
    """A convolution of images (n, *sizes, c) and kernels (*extents, c, k), for any order."""
    lhs_spec, rhs_spec, out_spec = numbers
    images = jnp.transpose(x, (lhs_spec[0], *lhs_spec[2:], lhs_spec[1]))
    y = convolve(images, jnp.transpose(kernel, _kernel_order(rhs_spec)))
    order = (out_spec[0], *out_spec[2:], out_spec[1])
    return jnp.transpose(y, sorted(range(len(order)), key=order.__getitem__))


def _kernel_order(rhs_spec: Sequence[int]) -> tuple[int, ...]:
    return (*rhs_spec[2:], rhs_spec[1], rhs_spec[0])


def _way_of_products(x: Any, kernel: Any, params: dict[str, Any]) -> Callable | None:
    """How matrix products or a sum over taps make a convolution; None where `lax` is quicker."""
    if not _sums_in_its_dtype(x, kernel, params) or any(n != 1 for n in params["lhs_dilation"]):
        return None
    numbers = params["dimension_numbers"]
    lhs_spec, rhs_spec, _ = numbers
    images, channels = x.shape[lhs_spec[0]], x.shape[lhs_spec[1]]
    groups, features = params["feature_group_count"], kernel.shape[rhs_spec[0]]
    product = MatrixProduct(
        tuple(
            x.shape[dim] + low + high
            for dim, (low, high) in zip(lhs_spec[2:], params["padding"], strict=True)
        ),
        tuple(kernel.shape[dim] for dim in _kernel_order(rhs_spec)),
        params["window_strides"],
        params["rhs_dilation"],
        params["precision"],
    )
    work = product.work(images)
    if groups == channels == features > 1:
        way, enough = product.by_taps, work >= LEAST_WORK // SOONER
    elif groups == 1 and _extent(kernel, numbers) > _positions(x, numbers):
        way, enough = product.in_parts, work >= LEAST_WORK // SOONER
    else:
        way = product.in_parts
        enough = (
            groups == 1
            and work >= LEAST_WORK
            and math.prod(product.kernel_shape[-3:-1]) >= LEAST_PRODUCTS
            and all(n == 1 for n in params["window_strides"])
            and all(tuple(pads) == (0, 0) for pads in params["padding"])
        )
    if not enough or work == 0 or _extent(kernel, numbers) > MOST_TAPS:
        return None

    return lambda x, kernel: _channels_last(way, _padded(x, params), kernel, numbers)


def _sums_in_its_dtype(x: Any, kernel: Any, params: dict[str, Any]) -> bool:
    # In half precision partial sums would be rounded on their way.
    return (
        x.dtype == kernel.dtype
        and x.dtype in (jnp.float32, jnp.float64)
        and params["preferred_element_type"] in (None, x.dtype)
    )


def _transpose_images(cotangent, x, kernel, **params):
    way = _for_gradients(x.aval, kernel, params)
    of_images = jax.linear_transpose(lambda x: way(x, kernel), x.aval)
    return quick_in_loops(of_images)(cotangent)[0]


def _transpose_kernel(cotangent, x, kernel, **params):
    way = _for_gradients(x, kernel.aval, params)
    of_kernel = jax.linear_transpose(lambda kernel: way(x, kernel), kernel.aval)
    return quick_in_loops(of_kernel)(cotangent)[0]


def _for_gradients(x: Any, kernel: Any, params: dict[str, Any]) -> Callable:
    """The convolution as a function that JAX transposes."""
    way = _way_of_products(x, kernel, params) if _is_rewritten(params) else None
    return way or functools.partial(_CONVOLUTION.bind, **params)


def _batch(operands, batch_dims, **params):
    """The rule for `jax.vmap`: with one kernel for all, a convolution of as many images more.

    `lax` puts what is mapped in front. Where each of several devices holds a part of the images,
    that brings all of them to every device; with the images in front each device keeps its own.
    """
    (x, kernel), (at, of_kernels) = operands, batch_dims
    if at is None or of_kernels is not None or params["batch_group_count"] > 1:
        several = jax.vmap(functools.partial(_CONVOLUTION.bind, **params), in_axes=batch_dims)
        return quick_in_loops(several)(x, kernel), 0
    numbers = params["dimension_numbers"]
    images, results = numbers.lhs_spec[0], numbers.out_spec[0]
    images_first = jax.device_count() > 1
    x = jnp.moveaxis(x, at, images + images_first)  # (..., images, mapped, ...)
    y = convolve(merged(x, images), kernel, **params)
    return split(y, results, x.shape[images:][:2]), results + images_first


def merged(x: Array, dim: int) -> Array:
    """A dimension and the next as one: (..., a, b, ...) -> (..., a * b, ...)."""
    return jnp.reshape(x, (*x.shape[:dim], x.shape[dim] * x.shape[dim + 1], *x.shape[dim + 2 :]))


def split(x: Array, dim: int, sizes: Sequence[int]) -> Array:
    """The reverse: (..., a * b, ...) -> (..., a, b, ...)."""
    return jnp.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def _abstract_eval(*operands, **params):
    (result,) = jax.make_jaxpr(functools.partial(_CONVOLUTION.bind, **params))(*operands).out_avals
    return result


convolution_p.def_impl(_evaluate)
convolution_p.def_abstract_eval(_abstract_eval)
ad.defbilinear(convolution_p, _transpose_images, _transpose_kernel)
batching.primitive_batchers[convolution_p] = _batch
mlir.register_lowering(convolution_p, mlir.lower_fun(_evaluate, multiple_results=False))
