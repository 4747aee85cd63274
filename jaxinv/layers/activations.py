"""Activations by name: pointwise ones, polynomials, and both on a finer grid without aliasing."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxinv.layers.lowpass import filtered_nonlinearity
from jaxinv.layers.options import check_options
from jaxinv.layers.spatial import in_one_float, naming

POINTWISE: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}
ACTIVATIONS: tuple[str, ...] = (
    *POINTWISE,
    "polynomial",
    "scaled_polynomial",
    "filtered_polynomial",
    "filtered_scaled_polynomial",
    "filtered_relu",
    "filtered_gelu",
)

# Least-squares fit of GELU for standard normal inputs. With Phi the normal distribution function,
# z Phi(z) has the Hermite coefficients E[z Phi] = 1 / (2 sqrt pi), E[z^2 Phi] = 1 / 2 and
# E[z (z^2 - 1) Phi] / 2 = 3 / (8 sqrt pi).
_QUADRATIC = 3 / (8 * math.sqrt(math.pi))
GELU_POLYNOMIAL: tuple[float, ...] = (1 / (2 * math.sqrt(math.pi)) - _QUADRATIC, 0.5, _QUADRATIC)

# Where the polynomials of Michaeli et al. start, in their published code.
MICHAELI_POLYNOMIAL: tuple[float, ...] = (0.0169394634313126, 0.5, 0.3078363963999393)
MICHAELI_SCALE = 7.0


def polynomial(
    x: Float[Array, "... c"], coefficients: Float[Array, "d c"]
) -> Float[Array, "... c"]:
    """A polynomial for each channel, `y = sum_d a[d, c] x^d`, by Horner's rule.

    A polynomial of degree d widens the band of a signal d times and no more, which makes it the
    one nonlinearity whose aliasing can be removed entirely.

    Args:
      x: values `(..., c)`.
      coefficients: `(degree + 1, c)`, the constant first.

    Returns:
      `(..., c)`.

    Raises:
      ValueError: if the channels differ.

    Example:
      >>> import jax.numpy as jnp
      >>> polynomial(jnp.array([[2.0]]), jnp.array([[1.0], [0.0], [3.0]]))  # 1 + 3 * 2^2
      Array([[13.]], dtype=float32)

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085
    """
    if coefficients.ndim != 2 or len(coefficients) < 1 or coefficients.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"coefficients have shape {coefficients.shape}; needed is (degree + 1, {x.shape[-1]})"
        )
    x, coefficients = in_one_float(x, coefficients)
    y = jnp.broadcast_to(coefficients[-1], x.shape)
    for a in coefficients[-2::-1]:
        y = y * x + a
    return y


class Polynomial(nn.Module):
    """`polynomial` with learned coefficients, at first the quadratic closest to GELU.

    Commutes with every whole shift. On its own it folds frequencies, so it does not commute with
    fractional shifts; inside `filtered_nonlinearity` it does.

    Attributes:
      init_coefficients: the coefficients at the start, the constant first.
      init_scale: where two learned factors start, of all that goes in and of all that comes out;
        None for no factors.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.zeros((1, 4, 2))
      >>> y, variables = Polynomial((0.0, 1.0)).init_with_output(jax.random.key(0), x)
      >>> variables["params"]["coefficients"].shape
      (2, 2)

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085
    """

    init_coefficients: Sequence[float] = GELU_POLYNOMIAL
    init_scale: float | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        """Applies the polynomial to values `(..., c)`."""
        check_options(self)
        first = jnp.asarray(self.init_coefficients)[:, None]
        shape = (len(self.init_coefficients), x.shape[-1])
        coefficients = self.param("coefficients", lambda _: jnp.broadcast_to(first, shape))
        if self.init_scale is None:
            return polynomial(x, coefficients)
        start = nn.initializers.constant(self.init_scale)
        before, after = (self.param(name, start, ()) for name in ("in_scale", "out_scale"))
        return polynomial(x * before, coefficients) * after


class Activation(nn.Module):
    """An activation by name.

    All commute with every whole shift. `"filtered_polynomial"` commutes with fractional shifts as
    well, exactly; `"filtered_relu"` and `"filtered_gelu"` nearly. `"gelu"` is `x Phi(x)` itself,
    `"gelu_tanh"` its approximation by a hyperbolic tangent. `"scaled_polynomial"` starts where
    Michaeli et al. start theirs, with a learned factor before and after it.

    Attributes:
      kind: one of `ACTIVATIONS`, or any pointwise function of an array. The filtered ones work on
        a grid `factor` times finer and filter back; on vectors `(n, d)`, which have no grid, they
        are their pointwise selves.
      factor: how many times finer the grid of the filtered ones is.

    Example:
      >>> import jax.numpy as jnp
      >>> Activation("relu").apply({}, jnp.array([-1.0, 2.0]))
      Array([0., 2.], dtype=float32)

    Reference:
      Michaeli, Michaeli and Soudry, "Alias-free convnets" (2023), https://arxiv.org/abs/2303.08085;
      Hendrycks and Gimpel, "Gaussian error linear units" (2016), https://arxiv.org/abs/1606.08415
    """

    kind: str | Callable[[Array], Array] = "relu"
    factor: int = 2

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies the activation to any array; the filtered ones take `(n, *spatial, c)`."""
        check_options(self)
        if callable(self.kind):
            return self.kind(x)
        with naming(self):
            if self.kind not in ACTIVATIONS:
                raise ValueError(
                    f"activation is {self.kind!r}; allowed are {', '.join(ACTIVATIONS)}"
                )
            kind = self.kind.removeprefix("filtered_")
            function = POINTWISE.get(kind) or Polynomial(
                *((MICHAELI_POLYNOMIAL, MICHAELI_SCALE) if kind == "scaled_polynomial" else ()),
                name="polynomial",
            )
            if kind == self.kind or x.ndim < 3:
                return function(x)
            return filtered_nonlinearity(x, function, factor=self.factor)
