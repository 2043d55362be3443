"""Table 1 as data: channels, variants, and tables of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from googlenet.models import table
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import UsageError

MODULE_OUTPUTS = {
    "3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512,
    "4d": 528, "4e": 832, "5a": 832, "5b": 1024,
}  # fmt: skip


def test_module_outputs_are_those_of_the_paper() -> None:
    channels = 192
    for row, widths in table.TABLE_1.items():
        channels = table.PAPER.module_channels(widths, channels)
        assert channels == MODULE_OUTPUTS[row], row


def test_released_widths_differ_in_two_places() -> None:
    differing = {
        (row, column): (old, new)
        for row in table.TABLE_1
        for column, old, new in zip(
            table.Widths._fields, table.TABLE_1[row], table.GOOGLE_2014[row], strict=True
        )
        if old != new
    }
    assert differing == {("4a", "c3"): (208, 204), ("5a", "r5"): (32, 48)}


@pytest.mark.parametrize("width", [0, -1, 16.5, float("nan"), float("inf")])
def test_width_outside_its_range(width: float) -> None:
    with pytest.raises(UsageError, match=r"width must be above 0 and at most 16, got"):
        table.PAPER.scaled(width)


def test_width_multiplies_every_filter() -> None:
    half = table.PAPER.scaled(0.5)
    assert half.modules["3a"] == (32, 48, 64, 8, 16, 16)
    assert half.stem_filters == (32, 32, 96)
    assert (half.head_filters, half.head_units, half.classes) == (64, 512, 1000)
    assert min(min(widths) for widths in table.PAPER.scaled(1e-3).modules.values()) == 1
    assert table.PAPER.scaled(1) is table.PAPER


def test_unknown_variant_lists_those_that_exist() -> None:
    with pytest.raises(UsageError, match=r"variant must be one of paper, .*naive, got 'v2'"):
        table.variant("v2")


def test_lrn_constants_of_both_conventions() -> None:
    """inception5h: radius 5 is a size of 11, and its alpha of 1e-4 is not divided by it."""
    paper, tensorflow = table.variant("paper").norm, table.variant("inception5h").norm
    assert paper == table.LRN(size=5, alpha=1e-4, beta=0.75, k=1.0)
    assert isinstance(tensorflow, table.LRN)
    assert tensorflow.size == 2 * 5 + 1
    assert tensorflow.alpha / tensorflow.size == pytest.approx(1e-4)
    assert (tensorflow.beta, tensorflow.k) == (0.5, 2.0)


def own_table(**changes: object) -> dict[str, Any]:
    modules = table.TABLE_1 | {"4a": table.TABLE_1["4a"]._replace(c1=100)}
    return table.table_json("mine", "bn", modules) | changes


def test_a_table_of_widths_is_a_variant() -> None:
    found = table.variant(json.dumps(own_table(remark="ignored")))
    assert (found.name, found.norm) == ("mine", table.VARIANTS["bn"].norm)
    assert found.modules["4a"].c1 == 100
    assert found.modules["5b"] == table.TABLE_1["5b"]
    assert table.variant(found.key) == found
    assert "remark" not in found.key


def test_a_table_costs_what_the_network_built_from_it_has() -> None:
    key = table.variant(json.dumps(own_table())).key
    network = GoogLeNet(key, 10, width=0.25, with_aux_heads=False)
    cost = network_cost(key, classes=10, width=0.25)
    assert sum(p.numel() for p in network.parameters()) == cost.total.params
    assert network.name == key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "bn"}, "new name"),
        ({"variant": "a b"}, "new name"),
        ({"base": "naive"}, "with reductions"),
        ({"base": "alexnet"}, "with reductions"),
        ({"rows": own_table()["rows"][:8]}, "must have the rows 3a, 3b"),
        ({"rows": own_table()["rows"] * 2}, "must have the rows 3a, 3b"),
        ({"rows": [{"name": "3a"}]}, "a table of widths must be"),
        ({"rows": [{"name": "3a", "widths": {"1x1": 0}}]}, "a table of widths must be"),
        ({"rows": 7}, "a table of widths must be"),
    ],
)
def test_a_table_that_cannot_be_used(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        table.variant(json.dumps(own_table(**changes)))


@pytest.mark.parametrize("width", [0, -1, 2.5, "64", True, 1 << 20])
def test_widths_are_whole_numbers_in_their_range(width: object) -> None:
    rows = own_table()["rows"]
    rows[3]["widths"]["5x5"] = width
    with pytest.raises(UsageError, match="5x5 of row 4b must be a whole number from 1"):
        table.variant(json.dumps(own_table(rows=rows)))
