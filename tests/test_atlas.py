"""docs/atlas.md: what atlas.json gives, its claims measured, and rows that come out again."""

import copy
import json

import pytest

from benchmarks import atlas_page
from benchmarks.atlas_networks import NETWORKS, named

DATA = json.loads(atlas_page.DATA.read_text())
ROWS, FAILED = atlas_page.apart(DATA["rows"])


def test_the_page_is_what_the_data_give():
    assert atlas_page.PAGE.read_text() == atlas_page.page(DATA)


def test_every_network_has_a_name_of_its_own_and_each_row_is_of_one():
    keys = [network.key for network in NETWORKS]
    assert len(keys) == len(set(keys))
    assert {row["network"] for row in DATA["rows"]} <= set(keys)
    with pytest.raises(ValueError, match="no network is called 'resnet17'"):
        named(["resnet17"])


def test_what_is_claimed_was_measured():
    for row in ROWS:
        assert row["measured"][0]["claim"] == "as published"
        for found in row["measured"]:
            if not found.get("broken") and found["difference"] is not None:
                assert found["difference"] <= atlas_page.SAME, row["network"]


def test_outputs_are_told_one_by_one():
    verdict = "equivariant to multiples of (32, 32); broken: commutes with no shift but 0"
    assert atlas_page._is_broken(verdict)
    assert atlas_page._short(verdict) == "equivariant to (32, 32); no shift"
    maps = [row for row in ROWS if row["task"] != "classification"]
    assert len(maps) >= 8
    inside = [atlas_page._found(row, atlas_page.INSIDE) for row in maps]
    assert any(found and found["difference"] is not None for found in inside)


def test_a_row_that_differs_from_its_framework_or_fails_is_told_apart():
    data = copy.deepcopy(DATA)
    data["rows"][0]["parity"] = 1e-2
    data["rows"][1] = {"network": "x", "family": "y", "task": "z", "error": "ValueError: no | way"}
    _, failed = atlas_page.apart(data["rows"])
    assert len(failed) == len(FAILED) + 2
    page = atlas_page.page(data)
    assert "differs from its own framework by 1e-02" in page
    assert "ValueError: no \\| way" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision/squeezenet1_1", "jaxinv/lenet", "jaxinv/resnet20"])
def test_rows_come_out_again(name):
    if not name.startswith("jaxinv"):
        pytest.importorskip("torchax")
        pytest.importorskip("torchvision")
    from benchmarks.atlas import row_of

    (network,) = named([name])
    (before,) = (row for row in ROWS if row["network"] == name)
    again = row_of(network)
    changing = {"seconds", "parity", "measured"}
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    for one, two in zip(again["measured"], before["measured"], strict=True):
        assert one["claim"] == two["claim"]
        assert (one["difference"] <= atlas_page.SAME) == (two["difference"] <= atlas_page.SAME)
