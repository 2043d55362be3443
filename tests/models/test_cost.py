"""The costs against the paper's arithmetic and, independently, against the built module.

The figures come from ../shared/paper.md; multiply-adds of the module from PyTorch's own
FlopCounterMode, which counts two operations each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from googlenet import GoogLeNet
from googlenet.models import table
from googlenet.models.baseline_tables import BASELINES
from googlenet.models.baselines import Baseline
from googlenet.models.cost import NAMES, network_cost, variant_cost
from googlenet.models.cost_types import NetworkCost, Row, convolution
from googlenet.models.googlenet import HeadPool, Inception, MaxPool
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.registry import Network
from googlenet.runtime.errors import UsageError
from tests.fixtures import slow

SIZES = (96, 128, 160, 192, 224, 256, 288, 320)
POOLS = (MaxPool, nn.MaxPool2d, nn.AdaptiveAvgPool2d, HeadPool)

# name, output (height, width, channels), weights, weights + biases, multiply-adds
TABLE_1 = [
    ("convolution 7×7/2", (112, 112, 64), 9_408, 9_472, 118_013_952),
    ("max pool 3×3/2", (56, 56, 64), 0, 0, 0),
    ("convolution 3×3/1", (56, 56, 192), 114_688, 114_944, 359_661_568),
    ("max pool 3×3/2", (28, 28, 192), 0, 0, 0),
    ("inception (3a)", (28, 28, 256), 163_328, 163_696, 128_049_152),
    ("inception (3b)", (28, 28, 480), 388_096, 388_736, 304_267_264),
    ("max pool 3×3/2", (14, 14, 480), 0, 0, 0),
    ("inception (4a)", (14, 14, 512), 375_552, 376_176, 73_608_192),
    ("inception (4b)", (14, 14, 512), 448_512, 449_160, 87_908_352),
    ("inception (4c)", (14, 14, 512), 509_440, 510_104, 99_850_240),
    ("inception (4d)", (14, 14, 528), 604_672, 605_376, 118_515_712),
    ("inception (4e)", (14, 14, 832), 867_328, 868_352, 169_996_288),
    ("max pool 3×3/2", (7, 7, 832), 0, 0, 0),
    ("inception (5a)", (7, 7, 832), 1_042_432, 1_043_456, 51_079_168),
    ("inception (5b)", (7, 7, 1024), 1_442_816, 1_444_080, 70_697_984),
    ("avg pool 7×7/1", (1, 1, 1024), 0, 0, 0),
    ("dropout (40%)", (1, 1, 1024), 0, 0, 0),
    ("linear", (1, 1, 1000), 1_024_000, 1_025_000, 1_024_000),
    ("softmax", (1, 1, 1000), 0, 0, 0),
]

# parameters and multiply-adds as published
TOTALS = {
    "paper": (6_998_552, 1_582_671_872),
    "naive": (97_526_008, 12_568_061_056),
    "bn": (7_005_832, 1_582_671_872),
    "google2014": (7_051_484, 1_500_878_720),
    "inception5h": (7_066_380, 1_584_881_536),
    "torchvision": (6_624_904, 1_498_376_192),
    "alexnet": (60_965_224, 724_406_816),
    "vgg16": (138_357_544, 15_470_264_320),
    "nin": (7_595_176, 1_100_188_800),
}


def built(name: str, size: int | None = None, **options: float) -> Network:
    """A network without storage: only its shapes are of interest here."""
    return baseline(name, size, **options) if name in BASELINES else variant(name, **options)


@cache
def variant(name: str, **options: float) -> GoogLeNet:
    with torch.device("meta"):
        return GoogLeNet(name, **options).eval()  # type: ignore[arg-type]


@cache
def baseline(name: str, size: int | None, **options: float) -> Baseline:
    with torch.device("meta"):
        return Baseline(name, size=size, **options).eval()  # type: ignore[arg-type]


def photo(network: Network, size: int) -> Tensor:
    return torch.empty(1, network.in_channels, size, size, device="meta")


def module_sum(network: Network, row: Row, values: dict[str, int]) -> int:
    """Sum over the values whose name lies in one of the row's modules."""
    within = tuple(f"{module}." for module in row.modules)
    return sum(value for name, value in values.items() if f"{name}.".startswith(within))


def assert_parameters_agree(network: Network, cost: NetworkCost) -> None:
    values = {name: p.numel() for name, p in network.named_parameters()}
    for row in cost.rows + cost.heads:
        assert module_sum(network, row, values) == row.cost.params, row.name
    assert sum(values.values()) == cost.training_params


def test_table_1_row_by_row() -> None:
    rows = network_cost("paper").rows
    counted = [
        (row.name, row.output, row.cost.weights, row.cost.params, row.cost.macs) for row in rows
    ]
    assert counted == TABLE_1


def test_table_1_totals() -> None:
    total = network_cost("paper").total
    assert (total.weights, total.params, total.macs) == (6_990_272, 6_998_552, 1_582_671_872)
    assert network_cost("paper").training_params == 13_378_280


@pytest.mark.parametrize("name", TOTALS)
def test_totals(name: str) -> None:
    total = network_cost(name).total
    assert (total.params, total.macs) == TOTALS[name]


def test_lenet5_has_the_parameters_of_its_modern_form() -> None:
    assert network_cost("lenet5").total.params == 61_706


def test_auxiliary_heads_are_apart_from_the_totals() -> None:
    heads = {row.name: (row.cost.params, row.cost.macs) for row in network_cost("paper").heads}
    assert heads == {
        "auxiliary head (4a)": (3_188_840, 4_169_728),
        "auxiliary head (4d)": (3_190_888, 4_202_496),
    }
    assert network_cost("slim").heads == ()


def test_worked_reduction() -> None:
    """5×5 from 128 to 256 channels, directly and after a 1×1 reduction to 32."""
    direct = convolution(128, 256, 5, side=1, biases=0)
    reduced = convolution(128, 32, 1, side=1, biases=0) + convolution(32, 256, 5, side=1, biases=0)
    assert (direct.params, reduced.params) == (819_200, 208_896)
    assert round(direct.macs / reduced.macs, 2) == 3.92


def test_without_reductions_modules_blow_up() -> None:
    naive, paper = network_cost("naive"), network_cost("paper")
    channels = [row.output[2] for row in naive.rows if row.widths]
    assert (channels[0], channels[-1]) == (416, 4_944)
    assert channels == sorted(channels)
    assert naive.total.macs > 7.9 * paper.total.macs
    assert naive.total.params > 13.9 * paper.total.params


def test_layer_counts() -> None:
    paper = network_cost("paper")
    assert (paper.layers, paper.layers_with_pools) == (22, 27)
    assert paper.blocks.total() == 97
    assert (paper.blocks["convolutions"], paper.blocks["linear layers"]) == (59, 5)
    main = Counter[str]()
    for row in paper.rows:
        main += row.cost.blocks
    assert (main["convolutions"], main["linear layers"]) == (57, 1)


@pytest.mark.parametrize(
    ("name", "layers"), [("lenet5", 5), ("alexnet", 8), ("nin", 12), ("vgg16", 16)]
)
def test_layer_counts_of_compared_networks(name: str, layers: int) -> None:
    assert network_cost(name).layers == layers


def test_share_of_large_filters_does_not_grow_with_depth() -> None:
    shares = [100 * row.share for row in network_cost("paper").rows if row.share]
    assert [shares[i] for i in (0, 1, 2, 4, 8)] == [62.5, 60, 50, 62.5, 50]
    assert [round(share) for share in shares] == [62, 60, 50, 56, 62, 67, 54, 54, 50]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_agree_with_the_built_network(name: str) -> None:
    cost = network_cost(name)
    assert_parameters_agree(built(name, cost.size), cost)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_agree_at_other_widths_classes_and_channels(name: str) -> None:
    size = 96
    cost = network_cost(name, size, classes=7, in_channels=5, width=0.375)
    network = built(name, size, classes=7, in_channels=5, width=0.375)
    assert_parameters_agree(network, cost)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [None, 96, 161])
def test_multiply_adds_agree_with_the_built_network(name: str, size: int | None) -> None:
    cost = network_cost(name, size)
    network = built(name, cost.size)
    with FlopCounterMode(display=False) as counter:
        network(photo(network, cost.size))
    operations = Counter[str]()
    for path, by_operator in counter.get_flop_counts().items():
        operations[path.partition(".")[2]] = sum(by_operator.values())
    norms = {"norm1", "norm2"}  # the sum of LRN is a convolution, which nobody counts
    for row in cost.rows:
        counted = sum(operations[module] for module in row.modules if module not in norms)
        assert counted == 2 * row.cost.macs, row.name
    everything = counter.get_total_flops() - sum(operations[norm] for norm in norms)
    assert everything == 2 * cost.total.macs


@pytest.mark.parametrize("name", table.VARIANTS)
def test_multiply_adds_of_the_heads_agree(name: str) -> None:
    network = built(name)
    for row in network_cost(name).heads:
        key = row.modules[0].removeprefix("aux_")
        with network.tap(f"inception_{key}") as activations:
            network(photo(network, 224))
        with FlopCounterMode(display=False) as counter:
            network.get_submodule(f"aux_{key}")(activations[f"inception_{key}"])
        assert counter.get_total_flops() == 2 * row.cost.macs, row.name


@pytest.mark.parametrize("name", NAMES)
def test_activations_agree_with_the_built_network(name: str) -> None:
    cost = network_cost(name)
    network = built(name, cost.size)
    paths = {module: path for path, module in network.named_modules()}
    counted: dict[str, int] = {}

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear, LocalResponseNorm, *POOLS)):
            counted[paths[module]] = output.numel()

    with register_module_forward_hook(count):
        network.forward_heads(photo(network, cost.size))
    for row in cost.rows + cost.heads:
        assert module_sum(network, row, counted) == row.cost.activations, row.name
    assert cost.total.activation_bytes == 4 * cost.total.activations


@pytest.mark.parametrize("name", NAMES)
def test_blocks_agree_with_the_built_network(name: str) -> None:
    cost = network_cost(name)
    kinds = {
        "convolutions": (nn.Conv2d,),
        "linear layers": (nn.Linear,),
        "pools": POOLS,
        "LRN": (LocalResponseNorm,),
        "concatenations": (Inception,),
        "dropouts": (nn.Dropout,),
    }
    modules = list(built(name, cost.size).modules())
    counted = {k: sum(isinstance(m, kind) for m in modules) for k, kind in kinds.items()}
    if name == "lenet5":
        counted["dropouts"] = 0  # its rate is 0, as published
    assert counted | {"losses": 1 + len(cost.heads)} == {k: cost.blocks[k] for k in cost.blocks} | {
        k: 0 for k in counted if k not in cost.blocks
    }


@pytest.mark.parametrize("size", [96, 224, *(slow(n) for n in SIZES if n not in (96, 224))])
@pytest.mark.parametrize("name", NAMES)
def test_every_shape_agrees_with_the_built_network(name: str, size: int) -> None:
    cost = network_cost(name, size)
    network = built(name, size)
    ends = {row.modules[-1]: row.output for row in cost.rows if row.modules}
    with network.tap(*ends) as activations:
        network(photo(network, size))
    for name, (height, width, channels) in ends.items():
        flat = activations[name].ndim == 2
        expected = (channels,) if flat else (channels, height, width)
        assert activations[name].shape[1:] == expected, name


def test_a_value_of_ones_own_can_be_counted() -> None:
    no_heads = replace(table.PAPER, name="mine", aux_pool=None, classes=3)
    cost = variant_cost(no_heads)
    assert cost.heads == ()
    assert cost.total.params == 6_998_552 - 1_025_000 + 3 * 1025


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "inception"}, "variant must be one of paper, .*vgg16, got 'inception'"),
        ({"name": "bn", "size": 8}, "size must leave at least one pixel after .*, got 8"),
        ({"name": "vgg16", "size": 0}, "size must be at least 1 for vgg16, got 0"),
        ({"name": "bn", "classes": 0}, "classes must be at least 1, got 0"),
        ({"name": "nin", "in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"name": "bn", "width": 0.0}, "width must be above 0 and at most 16, got 0.0"),
        ({"name": "nin", "width": float("nan")}, "width must be above 0 .* got nan"),
    ],
)
def test_what_cannot_be_counted_is_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network_cost(**options)  # type: ignore[arg-type]
