from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.layers import (
    affine_warp,
    identity_grid,
    read_at,
    thin_plate_spline_warp,
    translation_warp,
)
from jaxinv.layers.warps import control_points


def test_the_grid_holds_the_centres_of_positions():
    grid = identity_grid((2, 4))
    np.testing.assert_allclose(grid[:, 0, 0], [-0.5, 0.5])
    np.testing.assert_allclose(grid[0, :, 1], [-0.75, -0.25, 0.25, 0.75])


@pytest.mark.parametrize("border", ["SAME", "CIRCULAR", "EDGE", "REFLECT"])
@pytest.mark.parametrize("sizes", [(5,), (4, 6), (2, 3, 4)])
def test_reading_at_the_grid_changes_nothing(signal, border, sizes):
    x = signal(2, *sizes, 3)
    where = jnp.broadcast_to(identity_grid(sizes), (2, *sizes, len(sizes)))
    read = jax.jit(partial(read_at, border=border))
    np.testing.assert_allclose(read(x, where), x, atol=1e-5)


def test_a_translation_by_whole_positions_is_a_roll(signal):
    x = signal(1, 4, 8, 2)
    # Reading at u + theta brings content from theta: one position is 2 / size.
    theta = jnp.array([[-2 / 4, -3 * 2 / 8]])
    y = read_at(x, translation_warp(theta, identity_grid((4, 8))), border="CIRCULAR")
    np.testing.assert_allclose(y, jnp.roll(x, (1, 3), (1, 2)), atol=1e-5)


def test_outside_is_what_the_border_says():
    x = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    beyond = jnp.array([[[4 / 3], [2 + 0.0]]])  # one and two positions beyond the last
    expected = {"SAME": [0, 0], "EDGE": [3, 3], "REFLECT": [2, 1], "CIRCULAR": [1, 2]}
    for border, values in expected.items():
        np.testing.assert_allclose(read_at(x, beyond, border=border).ravel(), values, atol=1e-5)


def test_an_affine_warp_by_hand():
    grid = identity_grid((2, 2))
    turned = affine_warp(jnp.array([[0.0, -1.0, 0.5, 1.0, 0.0, 0.0]]), grid)
    np.testing.assert_allclose(turned[0, 0, 1], [-0.5 + 0.5, -0.5])  # from (-0.5, 0.5)


class TestThinPlateSpline:
    def test_each_control_point_goes_where_it_is_told(self):
        points = control_points(3)
        targets = points + np.random.default_rng(0).normal(scale=0.2, size=points.shape)
        at_points = jnp.asarray(points, jnp.float32).reshape(3, 3, 2)
        theta = jnp.asarray(targets, jnp.float32).reshape(1, -1)
        moved = thin_plate_spline_warp(theta, at_points)
        np.testing.assert_allclose(moved[0].reshape(9, 2), targets, atol=1e-4)

    def test_affine_targets_are_met_everywhere(self):
        points = control_points(3)
        matrix, offset = np.array([[0.8, 0.3], [-0.2, 1.1]]), np.array([0.1, -0.4])
        theta = jnp.asarray(points @ matrix.T + offset, jnp.float32).reshape(1, -1)
        grid = identity_grid((4, 5))
        expected = grid @ matrix.T.astype(np.float32) + offset.astype(np.float32)
        np.testing.assert_allclose(thin_plate_spline_warp(theta, grid)[0], expected, atol=1e-4)


def test_wrong_use(signal):
    x = signal(1, 4, 4, 1)
    where = identity_grid((4, 4))[None]
    with pytest.raises(ValueError, match="border is 'wrap'; allowed are SAME, EDGE"):
        read_at(x, where, border="wrap")
    with pytest.raises(ValueError, match="coordinates have 1 axes, the map has 2"):
        read_at(x, where[..., :1])
    with pytest.raises(ValueError, match="thin-plate splines need 2 spatial axes"):
        thin_plate_spline_warp(jnp.zeros((1, 8)), identity_grid((4,)))
    with pytest.raises(ValueError, match="theta has 10 entries"):
        thin_plate_spline_warp(jnp.zeros((1, 10)), identity_grid((4, 4)))
    with pytest.raises(ValueError, match="points is 1; allowed are whole numbers from 2"):
        control_points(1)
