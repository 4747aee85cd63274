"""Spatial transformer: a network that looks where to look, then moves the map there."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxinv.layers.options import check_options
from jaxinv.layers.spatial import naming, spatial_rank
from jaxinv.layers.warps import (
    affine_warp,
    control_points,
    identity_grid,
    read_at,
    thin_plate_spline_warp,
    translation_warp,
)

WARPS: tuple[str, ...] = ("translation", "affine", "thin_plate_spline")


def named_warp(
    name: str, rank: int, *, points: int = 4
) -> tuple[Callable[[Array, Array], Array], Float[np.ndarray, "d"]]:
    """A warp `(theta, grid) -> coordinates` by name, and the parameters that move nothing."""
    if name == "translation":
        return translation_warp, np.zeros(rank)
    if name == "affine":
        return affine_warp, np.eye(rank, rank + 1).ravel()
    if name == "thin_plate_spline":
        return thin_plate_spline_warp, control_points(points).ravel()
    raise ValueError(f"warp is {name!r}; allowed are {', '.join(WARPS)}, or a function")


class SpatialTransformer(nn.Module):
    """Moves each map as a small localisation network asks for, at first not at all.

    `y = read(x, warp(theta, grid))` with `theta = W localisation(x) + identity`. It can learn to
    undo translations; nothing guarantees that it does, and interpolation at a border is no
    symmetry: `jaxinv.certify` reports it as the break that it is.

    Attributes:
      localisation: a module from `(n, *spatial, c)` to features `(n, d)`.
      warp: one of `WARPS`, or any pure function `(theta, grid) -> coordinates`.
      identity: for a function, the parameters at which it moves nothing.
      border: what lies outside of the map, a key of `BORDERS`: SAME is zero.
      points: control points of the spline along each axis.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxinv.layers import Head
      >>> x = jnp.arange(32.0).reshape(1, 4, 4, 2)
      >>> y, _ = SpatialTransformer(Head("gap")).init_with_output(jax.random.key(0), x)
      >>> bool(jnp.allclose(x, y, atol=1e-5))
      True

    Reference:
      Jaderberg et al., "Spatial transformer networks" (2015), https://arxiv.org/abs/1506.02025
    """

    localisation: nn.Module
    warp: str | Callable[[Array, Array], Array] = "affine"
    identity: Sequence[float] = ()
    border: str = "SAME"
    points: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *s c"]:
        """Moves the maps `(n, *spatial, c)`."""
        check_options(self)
        with naming(self):
            if callable(self.warp):
                if not len(self.identity):
                    raise ValueError("a warp of your own needs identity=: where it moves nothing")
                warp, identity = self.warp, np.asarray(self.identity)
            else:
                warp, identity = named_warp(self.warp, spatial_rank(x), points=self.points)
            theta = nn.Dense(
                len(identity),
                kernel_init=nn.initializers.zeros,
                bias_init=lambda key, shape, dtype: jnp.asarray(identity, dtype),
                name="theta",
            )(self.localisation(x))
            grid = identity_grid(x.shape[1:-1]).astype(theta.dtype)
            return read_at(x, warp(theta, grid), border=self.border)
