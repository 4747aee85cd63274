"""The set of shifts: its order, its shape, and the windows it needs."""

import numpy as np
import pytest

from jaxinv.orbit.shift_set import shift_set


def test_wrap_holds_every_shift_of_the_torus():
    grid = shift_set((2, 3))
    assert grid.shape == (2, 3)
    assert grid.count == 6
    assert grid.table().tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


@pytest.mark.parametrize("mode", ["wrap", "constant", "edge", "reflect"])
def test_index_k_means_k_minus_max_shift(mode):
    grid = shift_set((9, 9), mode=mode, max_shift=(2, 1))
    assert grid.shape == (5, 3)
    for index in np.ndindex(*grid.shape):
        shift = grid.shift(index)
        assert shift == (index[0] - 2, index[1] - 1)
        assert grid.index(shift) == index
        flat = np.ravel_multi_index(index, grid.shape)
        assert tuple(grid.table()[flat]) == shift
    # On the torus of 9 positions, a shift of -1 is one of 8.
    assert grid.margins() == (((8, 0), (8, 0)) if mode == "wrap" else ((2, 2), (1, 1)))


def test_a_list_keeps_its_order_and_has_one_leading_axis():
    listed = shift_set((9, 9), mode="edge", shifts=[(3, -1), (0, -2), (3, -2)])
    assert listed.shape == (3,)
    assert listed.rows == ((0, 3), (-2, -1))
    assert listed.table().tolist() == [[3, -1], [0, -2], [3, -2]]
    assert listed.index((0, -2)) == (1,)
    assert listed.shift((2,)) == (3, -2)
    assert listed.margins() == ((3, 0), (0, 2))


def test_crop_leaves_the_window():
    assert shift_set((9, 8), mode="crop", max_shift=(2, 1)).sizes == (5, 6)
    assert shift_set((9,), mode="crop", max_shift=4).shape == (9,)
    inside = shift_set((9, 8), mode="crop", max_shift=(2, 1), shifts=[(0, 0)])
    assert (inside.lengths, inside.margins()) == ((9, 8), ((2, 2), (1, 1)))


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((8, 8), {"mode": "mirror"}, "allowed are 'wrap', 'constant', 'edge', 'reflect', 'crop'"),
        ((8, 8), {"mode": "edge"}, "needs max_shift or shifts"),
        ((8, 8), {"mode": "crop"}, "'crop' needs max_shift"),
        ((8, 8), {"mode": "crop", "max_shift": 4}, r"at most \(3, 3\)"),
        ((8, 5), {"mode": "reflect", "max_shift": 5}, r"at most \(7, 4\)"),
        ((8, 5), {"mode": "reflect", "shifts": [(0, -5)]}, r"at most \(7, 4\)"),
        ((8, 8), {"max_shift": -1}, "allowed are numbers from 0"),
        ((8, 8), {"max_shift": 1.5}, "max_shift is 1.5"),
        ((8, 8), {"max_shift": (1, 2, 3)}, "3 entries for 2 axes"),
        ((8, 8), {"shifts": [(1,)]}, "1 entries for 2 axes"),
        ((8, 8), {"shifts": []}, "shifts is empty"),
        ((8, 8), {"shifts": 3}, "shifts is 3"),
        ((8, 8), {"shifts": [1, 2]}, r"shifts is \[1, 2\]"),
        ((8, 8), {"shifts": [(1, 1)], "max_shift": 2}, "either max_shift or shifts"),
        ((8, 8), {"mode": "crop", "max_shift": 1, "shifts": [(0, 2)]}, r"reach \(0, 2\)"),
        ((8, 0), {}, "nothing to translate"),
    ],
)
def test_wrong_use_is_a_value_error(sizes, options, message):
    with pytest.raises(ValueError, match=message) as raised:
        shift_set(sizes, **options)
    assert "\n" not in str(raised.value)


def test_a_shift_outside_the_set_is_a_value_error():
    with pytest.raises(ValueError, match=r"shift \(3, 0\) is not in the set of 9 shifts"):
        shift_set((8, 8), max_shift=1).index((3, 0))
