"""Warps of a map: where each output position reads, and reading there.

Coordinates are normalised: the centres of `P` positions lie at `(2 i + 1) / P - 1`, from just above
-1 to just below 1, so that a warp means the same at every size.
"""

from collections.abc import Sequence
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from jaxinv.layers.spatial import per_axis, spatial_rank, summed_in_float32

BORDERS: dict[str, str] = {
    "SAME": "constant",
    "EDGE": "nearest",
    "REFLECT": "mirror",
    "CIRCULAR": "wrap",
}


def identity_grid(sizes: Sequence[int]) -> Float[Array, "*s r"]:
    """The normalised coordinates of every position of a map.

    Args:
      sizes: positions along each axis.

    Returns:
      `(*sizes, axes)`.

    Example:
      >>> identity_grid((4,)).ravel()
      Array([-0.75, -0.25,  0.25,  0.75], dtype=float32)
    """
    centres = [(2 * jnp.arange(size) + 1) / size - 1 for size in sizes]
    return jnp.stack(jnp.meshgrid(*centres, indexing="ij"), axis=-1)


def translation_warp(
    theta: Float[Array, "n r"], grid: Float[Array, "*s r"]
) -> Float[Array, "n *s r"]:
    """Reads at `u + theta`: 2 is the whole width of the map.

    Args:
      theta: `(n, axes)`.
      grid: coordinates `(*spatial, axes)`.

    Returns:
      Where to read, `(n, *spatial, axes)`.

    Raises:
      ValueError: if theta does not have one entry an axis.

    Example:
      >>> import jax.numpy as jnp
      >>> translation_warp(jnp.array([[0.5]]), identity_grid((4,))).ravel()
      Array([-0.25,  0.25,  0.75,  1.25], dtype=float32)

    Reference:
      Jaderberg et al., "Spatial transformer networks" (2015), https://arxiv.org/abs/1506.02025
    """
    _check_theta(theta, grid.shape[-1])
    return grid + theta.reshape(theta.shape[0], *[1] * (grid.ndim - 1), -1)


def affine_warp(theta: Float[Array, "n d"], grid: Float[Array, "*s r"]) -> Float[Array, "n *s r"]:
    """Reads at `A u + b`, with `theta` the rows of `[A b]`.

    Args:
      theta: `(n, axes * (axes + 1))`.
      grid: coordinates `(*spatial, axes)`.

    Returns:
      Where to read, `(n, *spatial, axes)`.

    Raises:
      ValueError: if theta does not have `axes * (axes + 1)` entries.

    Example:
      >>> import jax.numpy as jnp
      >>> affine_warp(jnp.array([[-1.0, 0.0]]), identity_grid((4,))).ravel()  # mirrored
      Array([ 0.75,  0.25, -0.25, -0.75], dtype=float32)

    Reference:
      Jaderberg et al., "Spatial transformer networks" (2015), https://arxiv.org/abs/1506.02025
    """
    rank = grid.shape[-1]
    _check_theta(theta, rank * (rank + 1))
    matrix = theta.reshape(-1, rank, rank + 1)
    return jnp.einsum("...j,nij->n...i", grid, matrix[..., :rank]) + matrix[..., rank].reshape(
        -1, *[1] * (grid.ndim - 1), rank
    )


def _check_theta(theta, entries):
    if theta.ndim != 2 or theta.shape[-1] != entries:
        raise ValueError(f"theta has shape {theta.shape}; allowed is (n, {entries})")


def control_points(points: int) -> Float[np.ndarray, "k 2"]:
    """A square lattice of at least 2 x 2 points over `[-1, 1] x [-1, 1]`, in row-major order."""
    (points,) = per_axis(points, 1, "points", least=2)
    return np.array(list(product(np.linspace(-1, 1, points), repeat=2)))


def _radial(squared):
    """Thin-plate basis `r^2 log r^2`, with its limit 0 at the origin."""
    return squared * jnp.log(jnp.where(squared > 0, squared, 1.0))


def thin_plate_spline_warp(
    theta: Float[Array, "n d"], grid: Float[Array, "h w 2"]
) -> Float[Array, "n h w 2"]:
    """The smoothest map of the plane that takes each control point to where `theta` puts it.

    `f(u) = a + B u + sum_k w_k U(|u - c_k|)` with `U(r) = r^2 log r^2`, `f(c_k) = theta_k` and no
    affine part in the weights `w`: of all interpolants the one of least bending energy.

    Args:
      theta: `(n, 2 k)`, the images of the k = p^2 control points in row-major order.
      grid: coordinates `(h, w, 2)`.

    Returns:
      Where to read, `(n, h, w, 2)`.

    Raises:
      ValueError: if the map does not have two spatial axes or k is not the square of an integer.

    Example:
      >>> import jax.numpy as jnp
      >>> grid = identity_grid((3, 3))
      >>> at_rest = jnp.asarray(control_points(3), jnp.float32).reshape(1, -1)
      >>> bool(jnp.allclose(thin_plate_spline_warp(at_rest, grid)[0], grid, atol=1e-5))
      True

    Reference:
      Bookstein, "Principal warps: thin-plate splines and the decomposition of deformations"
      (1989), doi:10.1109/34.24792
    """
    if grid.shape[-1] != 2:
        raise ValueError(f"thin-plate splines need 2 spatial axes; the map has {grid.shape[-1]}")
    count = theta.shape[-1] // 2
    points = round(count**0.5)
    if points * points * 2 != theta.shape[-1]:
        raise ValueError(f"theta has {theta.shape[-1]} entries; allowed are 2 p^2 for integers p")
    centres = control_points(points)
    squared = ((centres[:, None] - centres[None]) ** 2).sum(-1)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = squared * np.log(np.where(squared > 0, squared, 1.0))
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :] = centres
    system[count + 1 :, :count] = centres.T
    solve = jnp.asarray(np.linalg.inv(system)[:, :count], theta.dtype)
    weights = jnp.einsum("jk,nkr->njr", solve, theta.reshape(-1, count, 2))
    apart = jnp.sum((grid[..., None, :] - jnp.asarray(centres, grid.dtype)) ** 2, axis=-1)
    ones = jnp.ones_like(grid[..., :1])
    basis = jnp.concatenate([_radial(apart), ones, grid], axis=-1)
    return jnp.einsum("hwj,njr->nhwr", basis, weights)


@summed_in_float32
def read_at(
    x: Float[Array, "n *s c"], where: Float[Array, "n *t r"], *, border: str = "SAME"
) -> Float[Array, "n *t c"]:
    """Linear interpolation of each map at normalised coordinates.

    Args:
      x: maps `(n, *spatial, c)`.
      where: coordinates `(n, *out, axes)`.
      border: what lies outside, one of `BORDERS`: SAME is zero.

    Returns:
      `(n, *out, c)`.

    Raises:
      ValueError: if the border is unknown, or `where` has another number of maps or axes.

    Example:
      >>> import jax.numpy as jnp
      >>> read_at(jnp.array([1.0, 3.0]).reshape(1, 2, 1), jnp.zeros((1, 1, 1))).ravel()
      Array([2.], dtype=float32)

    Reference:
      Jaderberg et al., "Spatial transformer networks" (2015), https://arxiv.org/abs/1506.02025
    """
    rank = spatial_rank(x)
    if border not in BORDERS:
        raise ValueError(f"border is {border!r}; allowed are {', '.join(BORDERS)}")
    if len(where) != len(x):
        raise ValueError(f"there are {len(x)} maps and coordinates for {len(where)}")
    if where.shape[-1] != rank:
        raise ValueError(f"coordinates have {where.shape[-1]} axes, the map has {rank}")
    sizes = jnp.asarray(x.shape[1:-1], where.dtype)
    indices = ((where + 1) * sizes - 1) / 2

    def read(channel, index):
        return map_coordinates(channel, list(jnp.moveaxis(index, -1, 0)), 1, BORDERS[border])

    every_channel = jax.vmap(read, in_axes=(-1, None), out_axes=-1)
    return jax.vmap(every_channel)(x, indices)
