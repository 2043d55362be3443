"""Rows from shares: within the budget, counted as they are built."""

from __future__ import annotations

import json

import numpy as np
import pytest

from googlenet.models import table
from googlenet.models.cost import network_cost, variant_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import UsageError
from googlenet.topology.construct import named
from googlenet.topology.widths import (
    MULTIPLE,
    Shares,
    budgets,
    components,
    fit_row,
    partial,
    projection,
)

PAPER = variant_cost(table.PAPER).total.macs


def constructed(total: int, windows: tuple[float, float, float]) -> table.Variant:
    variant = partial({})
    for row, macs in budgets(total).items():
        variant = fit_row(variant, row, Shares(windows, 0.14, (0.4, 0.2), False), macs)
    return named(variant)


@pytest.mark.parametrize("total", [PAPER, 800_000_000, 4_000_000_000])
@pytest.mark.parametrize("windows", [(0.3, 0.5, 0.2), (0.9, 0.05, 0.05), (0.05, 0.05, 0.9)])
def test_the_whole_network_has_the_budget(total: int, windows: tuple[float, float, float]) -> None:
    variant = constructed(total, windows)
    assert variant_cost(variant).total.macs == pytest.approx(total, rel=0.01)
    assert all(width % MULTIPLE == 0 for row in variant.modules.values() for width in row)


def test_the_cost_of_the_table_is_that_of_the_network() -> None:
    variant = constructed(PAPER, (0.5, 0.3, 0.2))
    network = GoogLeNet(variant.key, 10, with_aux_heads=False, initialization=None)
    counted = network_cost(variant.key, classes=10).total.params
    assert sum(p.numel() for p in network.parameters()) == counted
    assert json.loads(variant.key)["variant"] == "constructed"


def test_a_budget_that_leaves_nothing() -> None:
    with pytest.raises(UsageError, match="--budget must be above the stem"):
        budgets(400_000_000)


def test_components_hold_most_of_the_variance() -> None:
    assert components(np.diag([8.0, 1.0, 1.0])) == 1
    assert components(np.diag([1.0] * 10)) == 8
    assert components(np.zeros((0, 0))) == 0


def test_projection_is_what_pooling_adds() -> None:
    assert projection(0.5 * np.eye(10)) == pytest.approx(0.5 * 0.8)
    assert projection(np.zeros((4, 4))) == 0.05
