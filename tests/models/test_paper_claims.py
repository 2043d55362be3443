"""Which of Table 1's printed figures follow from its columns: the marks of ../shared/paper.md."""

from __future__ import annotations

import pytest

from googlenet.models.cost import network_cost
from googlenet.models.cost_types import Row
from googlenet.models.paper_claims import claims, printed, printed_total, unexplained

# params, ops; "!" where ../shared/paper.md says that the figure does not follow
MARKED = {
    "conv1": "2.7K! 34M!",
    "conv2": "112K 360M",
    "inception_3a": "159K 128M",
    "inception_3b": "380K 304M",
    "inception_4a": "364K! 73M!",
    "inception_4b": "437K 88M",
    "inception_4c": "463K! 100M",
    "inception_4d": "580K! 119M",
    "inception_4e": "840K! 170M",
    "inception_5a": "1072K! 54M!",
    "inception_5b": "1388K! 71M",
    "classifier": "1000K 1M",
}


def marked(network: str, row: Row) -> str | None:
    figures = printed(network, row)
    if figures is None:
        return None
    params = "" if figures.params_follow(row.cost) else "!"
    ops = "" if figures.ops_follow(row.cost) else "!"
    return f"{figures.params_text}{params} {figures.ops_text}{ops}"


def rows_of(network: str) -> dict[str, Row]:
    rows = {module: row for row in network_cost(network).rows for module in row.modules}
    return {module: rows[module] for module in MARKED}


def test_marks_are_those_of_the_paper_checked() -> None:
    assert {m: marked("paper", row) for m, row in rows_of("paper").items()} == MARKED


def test_rows_without_printed_figures() -> None:
    silent = {row.name for row in network_cost("paper").rows if not printed("paper", row)}
    assert silent == {
        "max pool 3×3/2", "avg pool 7×7/1", "dropout (40%)", "softmax",
    }  # fmt: skip


def test_printed_columns_sum_to_the_totals() -> None:
    assert printed_total() == (6797.7, 1502)


def test_every_printed_ops_figure_is_that_of_the_released_network() -> None:
    rows = rows_of("google2014")
    assert not [m for m, row in rows.items() if "M!" in (marked("google2014", row) or "")]
    assert network_cost("google2014").total.macs == 1_500_878_720
    assert rows["conv1"].cost.weights == 2_712


def test_printed_params_that_nothing_explains() -> None:
    assert unexplained() == ["4c", "4d", "4e", "5a", "5b"]


def test_compared_networks_have_no_printed_figures() -> None:
    rows = network_cost("nin").rows
    assert not any(printed("nin", row) for row in rows)


@pytest.mark.parametrize(
    ("claim", "computed"),
    [
        ("12× fewer parameters than AlexNet", "8.7×"),
        ("1.5 billion multiply-adds at inference", "1.58 (1.50 for google2014)"),
        ("22 layers, 27 with pools", "22, 27"),
        ("about 100 building blocks", "97 in training"),
        (
            "the share of 3×3 and 5×5 grows with depth",
            "62.5, 60, 50, 56.2, 62.5, 66.7, 53.8, 53.8, 50 %",
        ),
        (
            "reductions prevent a blow-up of the cost",
            "naive: 13.9× the parameters, 7.9× the multiply-adds",
        ),
    ],
)
def test_claims_beside_the_count(claim: str, computed: str) -> None:
    assert (claim, computed) in claims()
