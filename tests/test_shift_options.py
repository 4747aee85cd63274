"""The options of a translation: what is taken, and what is refused in one line."""

import numpy as np
import pytest

from jaxinv.arguments import per_axis
from jaxinv.shift_options import check_max_shift, common_sizes


def test_arrays_that_move_together_have_one_size():
    images = {"a": np.ones((1, 8, 6, 2)), "b": np.ones((3, 8, 6))}
    assert common_sizes(images, (1, 2), "x") == (8, 6)
    with pytest.raises(ValueError, match=r"differ in size along axes \(1, 2\): \(7, 6\) and"):
        common_sizes([images, np.ones((1, 7, 6))], (1, 2), "x")
    with pytest.raises(ValueError, match="x holds no arrays"):
        common_sizes([], (1, 2), "x")


def test_reaches_of_random_translations():
    assert check_max_shift(3, mode="constant") == (3, 3)
    assert check_max_shift((0, np.int64(3)), mode="edge") == (0, 3)
    assert check_max_shift(0.5, 1, mode="constant", subpixel=True) == (0.5,)
    assert check_max_shift(None, mode="wrap") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_shift": 0.1}, "max_shift is 0.1; allowed are a whole number or one per axis"),
        ({"max_shift": 2.9}, "max_shift is 2.9; allowed are a whole number"),
        ({"max_shift": 2.0}, "max_shift is 2.0; allowed are a whole number"),
        ({"max_shift": True}, "max_shift is True; allowed are a whole number"),
        ({"max_shift": (0, 0.5)}, r"max_shift is \(0, 0.5\); allowed are a whole number"),
        ({"max_shift": (1, -1)}, r"max_shift is \(1, -1\); allowed are numbers from 0"),
        ({"max_shift": (1, 2, 3)}, "3 entries for 2 axes"),
        ({"max_shift": -1, "name": "padding"}, "padding is -1; allowed are numbers from 0"),
        ({"max_shift": None}, "max_shift None, every circular shift, needs mode 'wrap'"),
        ({"max_shift": 1, "mode": "crop"}, "mode 'crop' needs"),
        (
            {"max_shift": 1, "mode": "edge", "subpixel": True},
            "subpixel shifts need a max_shift and",
        ),
        ({"max_shift": None, "mode": "wrap", "subpixel": True}, "subpixel shifts need a max_shift"),
        ({"max_shift": np.nan, "subpixel": True}, "max_shift is nan; allowed are a finite number"),
        ({"max_shift": np.inf, "subpixel": True}, "max_shift is inf; allowed are a finite number"),
        ({"max_shift": "4", "subpixel": True}, "max_shift is '4'; allowed are a finite number"),
    ],
)
def test_other_reaches_are_refused(options, message):
    with pytest.raises(ValueError, match=message) as raised:
        check_max_shift(**{"mode": "constant", **options})
    assert "\n" not in str(raised.value)


def test_per_axis_takes_a_number_or_one_each():
    assert per_axis(np.int32(2), 3, "size") == (2, 2, 2)
    assert per_axis([1, 2], 2, "size") == (1, 2)
    with pytest.raises(ValueError, match=r"size \(1,\) has 1 entries for 2 axes"):
        per_axis([1], 2, "size")
