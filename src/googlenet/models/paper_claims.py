"""What the paper prints about the cost of its networks, and where that differs from the count.

Source: Szegedy et al. 2014, arXiv 1409.4842, Table 1's last two columns and the text.
"""

from __future__ import annotations

from typing import NamedTuple

from googlenet.models import table
from googlenet.models.cost import network_cost
from googlenet.models.cost_types import Cost, NetworkCost, Row

K, M = 1024, 10**6  # what Table 1 means by them, wherever it can be checked


class Printed(NamedTuple):
    """The "params" and "ops" of one row of Table 1, in K and M."""

    params: float
    ops: int

    @property
    def params_text(self) -> str:
        return f"{self.params:g}K"

    @property
    def ops_text(self) -> str:
        return f"{self.ops}M"

    def params_follow(self, cost: Cost) -> bool:
        """Whether the printed figure is the weights, without biases, to within 1K.

        No single rule of rounding fits: 3b and 4b are exactly one off.
        """
        return abs(cost.weights / K - self.params) <= 1

    def ops_follow(self, cost: Cost) -> bool:
        """Whether the printed figure is the multiply-adds, rounded."""
        return round(cost.macs / M) == self.ops


#                            params    ops      the row by the module that ends it
TABLE_1 = {
    "conv1":        Printed(    2.7,    34),
    "conv2":        Printed(  112.0,   360),
    "inception_3a": Printed(  159.0,   128),
    "inception_3b": Printed(  380.0,   304),
    "inception_4a": Printed(  364.0,    73),
    "inception_4b": Printed(  437.0,    88),
    "inception_4c": Printed(  463.0,   100),
    "inception_4d": Printed(  580.0,   119),
    "inception_4e": Printed(  840.0,   170),
    "inception_5a": Printed( 1072.0,    54),
    "inception_5b": Printed( 1388.0,    71),
    "classifier":   Printed( 1000.0,     1),
}  # fmt: skip

LAYERS, LAYERS_WITH_POOLS, BLOCKS = 22, 27, 100  # section 5; the blocks are "about 100"
OPS_BUDGET = 1.5e9  # section 1: "a computational budget of 1.5 billion multiply-adds"
FEWER_THAN_ALEXNET = 12  # section 1: "12× fewer parameters" than Krizhevsky et al. 2012


def printed(network: str, row: Row) -> Printed | None:
    """What Table 1 prints for a row of a variant; None where it prints nothing."""
    if network not in table.VARIANTS:
        return None
    return next((TABLE_1[module] for module in row.modules if module in TABLE_1), None)


def printed_total() -> Printed:
    """The sums of Table 1's two columns, which the paper does not print."""
    params, ops = zip(*TABLE_1.values(), strict=True)
    return Printed(round(sum(params), 1), sum(ops))


def unexplained() -> list[str]:
    """The modules whose printed parameters follow from neither form of the network."""
    pairs = zip(network_cost("paper").rows, network_cost("google2014").rows, strict=True)
    return [
        row.modules[-1].removeprefix("inception_")
        for row, released in pairs
        if (figures := printed("paper", row))
        and not (figures.params_follow(row.cost) or figures.params_follow(released.cost))
    ]


class Claim(NamedTuple):
    """A statement of the paper and what the count says of it."""

    claim: str
    computed: str


def claims() -> list[Claim]:
    """The paper's statements about cost, each beside the computed figure."""
    paper, released, naive, alexnet = map(network_cost, ("paper", "google2014", "naive", "alexnet"))
    return [
        Claim(
            f"{FEWER_THAN_ALEXNET}× fewer parameters than AlexNet",
            f"{alexnet.total.params / paper.total.params:.1f}×",
        ),
        Claim(
            f"{OPS_BUDGET / 1e9:.1f} billion multiply-adds at inference",
            f"{billions(paper)} ({billions(released)} for google2014)",
        ),
        Claim(f"{LAYERS} layers, {LAYERS_WITH_POOLS} with pools", counts(paper)),
        Claim(f"about {BLOCKS} building blocks", f"{paper.blocks.total()} in training"),
        Claim("the share of 3×3 and 5×5 grows with depth", f"{shares(paper)} %"),
        Claim(
            "reductions prevent a blow-up of the cost",
            f"naive: {naive.total.params / paper.total.params:.1f}× the parameters, "
            f"{naive.total.macs / paper.total.macs:.1f}× the multiply-adds",
        ),
    ]


def billions(network: NetworkCost) -> str:
    return f"{network.total.macs / 1e9:.2f}"


def counts(network: NetworkCost) -> str:
    return f"{network.layers}, {network.layers_with_pools}"


def shares(network: NetworkCost) -> str:
    """3×3 and 5×5 filters in percent, module by module."""
    return ", ".join(f"{100 * row.share:.3g}" for row in network.rows if row.share)
