"""docs/layers.md: its tables are whole, and row by row those of the program that writes them."""

import pytest

from benchmarks.layers_table import AUDITS, NETWORKS, PAGE, label, replace, standing
from jaxinv import layers, models


def rows(name):
    lines = [line for line in standing(PAGE.read_text(), name) if line.strip()]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_every_network_has_its_rows_with_no_cell_empty():
    found = rows("networks")
    assert [cells[0] for cells in found] == [label(name, options) for name, options, *_ in NETWORKS]
    assert {name for name, *_ in NETWORKS} == set(models.names())
    assert all(len(cells) == 8 and all(cells) for cells in found)


def test_every_padding_head_norm_and_activation_has_a_row():
    shown = " ".join(cells[0] for cells in rows("layers"))
    for name in (*layers.PADDINGS, *layers.HEADS, *layers.WARPS):
        assert repr(name) in shown
    for name in (*layers.ACTIVATIONS, *layers.NORMS):
        assert repr(name) in shown or name in ("identity", "none")


def test_the_audits_are_those_of_the_program():
    assert len(rows("trained")) == len(AUDITS)


@pytest.mark.parametrize("kind", ["aps", "lps", "none"])
def test_what_is_proved_invariant_to_every_shift_was_measured_to_be(kind):
    (cells,) = (
        c for c in rows("networks") if c[0].endswith(f"downsample={kind}") and "resnet20" in c[0]
    )
    assert cells[2] == "invariant, every shift"
    assert float(cells[4]) < 1e-6


def test_a_table_is_replaced_and_the_rest_stays():
    page = "a\n<!-- begin t -->\nold\n<!-- end t -->\nb"
    assert replace(page, "t", "new") == "a\n<!-- begin t -->\nnew\n<!-- end t -->\nb"
    assert standing(page, "t") == ["", "old"]
