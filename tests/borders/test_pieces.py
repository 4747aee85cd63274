"""Arrays in pieces: where they are cut, and what is read across cuts and factors."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.borders.pieces import Layout, NotABox, Pieces, as_factors, in_one_piece, layout_of
from jaxinv.symmetry.values import Plain, Uniform, Value, Window

TABLE = np.arange(24.0).reshape(4, 6)
CUT = Layout((((0, 1, 3, 4),), ((0, 2, 6),)))


def pieces():
    parts = {index: TABLE[tuple(slice(*r) for r in box)] for index, box in CUT.boxes()}
    return Pieces(CUT, {index: jnp.asarray(part) for index, part in parts.items()})


def test_the_grid_of_pieces():
    assert [index for index, _ in CUT.boxes()] == [(i, j) for i in range(3) for j in range(2)]
    assert CUT.shape == CUT.sizes == (4, 6)
    assert CUT.is_cut
    assert not in_one_piece(TABLE).layout.is_cut


@pytest.mark.parametrize(
    "box", [((0, 4), (0, 6)), ((1, 3), (2, 6)), ((0, 2), (1, 5)), ((3, 4), (0, 1))]
)
def test_boxes_are_gathered_from_the_pieces_that_they_lie_in(box):
    found = pieces().read((4, 6), box)
    np.testing.assert_array_equal(found, TABLE[tuple(slice(*r) for r in box)])


def test_other_factors():
    np.testing.assert_array_equal(pieces().whole(), TABLE)
    np.testing.assert_array_equal(pieces().read((24,), ((6, 18),)), TABLE[1:3].ravel())
    np.testing.assert_array_equal(
        pieces().read((4, 3, 2), ((0, 2), (1, 3), (0, 2)))[1].ravel(), TABLE[1, 2:]
    )
    np.testing.assert_array_equal(
        pieces().read((1, 4, 1, 6), ((0, 1), (2, 3), (0, 1), (0, 6))).ravel(), TABLE[2]
    )
    with pytest.raises(NotABox):
        pieces().read((24,), ((5, 18),))
    with pytest.raises(NotABox):
        pieces().read((3, 8), ((0, 1), (0, 8)))
    # An array in one piece can be seen with any factors.
    whole = in_one_piece(TABLE).read((3, 8), ((1, 2), (2, 4)))
    np.testing.assert_array_equal(whole, TABLE.reshape(3, 8)[1:2, 2:4])


@pytest.mark.parametrize(
    ("sizes", "box", "to", "expected"),
    [
        ((6,), ((2, 4),), (3, 2), ((1, 2), (0, 2))),
        ((6,), ((3, 4),), (3, 2), ((1, 2), (1, 2))),
        ((3, 2), ((0, 2), (0, 2)), (6,), ((0, 4),)),
        ((2, 3, 4), ((1, 2), (0, 3), (0, 4)), (6, 4), ((3, 6), (0, 4))),
        ((4, 6), ((0, 4), (0, 6)), (8, 3), ((0, 8), (0, 3))),
    ],
)
def test_one_box_by_other_factors(sizes, box, to, expected):
    assert as_factors(sizes, box, to) == expected


def test_cuts_are_the_ends_of_the_interior():
    rows, columns = Window(0, 0, 8, valid=(2, 7)), Window(1, 0, 6, valid=(0, 5))
    value = Value((1, 1), ((rows, columns, Plain(3)), (Uniform(2),), ()), None, None, (None, None))
    assert layout_of(value).dims == (((0, 2, 7, 8), (0, 15, 18)), ((0, 2),), ((0, 1),))
    none_left = Window(0, 0, 8, valid=(5, 5))
    value = Value((1,), ((none_left,),), None, None, (None,))
    assert layout_of(value).dims == (((0, 8),),)
