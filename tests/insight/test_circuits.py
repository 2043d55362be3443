"""Expanded weights: one convolution that computes what the linearized modules compute."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from googlenet import GoogLeNet
from googlenet.insight.circuits import (
    circuit,
    expanded_weights,
    linear_map,
    sources_of,
    strongest,
)
from googlenet.insight.objectives import unit_count
from googlenet.models.registry import build_network
from googlenet.models.table import VARIANTS
from googlenet.runtime.errors import UsageError
from tests.insight.networks import each_of, linearized, lively

SIDE = 48  # of the map that goes in: even, so that SAME pads as it does images


PAIRS = (
    ("inception_3a", "inception_3b"),
    ("inception_3b", "inception_4a"),  # a 3×3 max pool between
    ("inception_4e", "inception_5a"),  # 3×3 or 2×2
    ("conv2", "inception_3a"),  # normalization and a pool
    ("conv1", "conv2"),  # a reduction too
    ("image", "conv1"),
    ("conv1", "conv2_reduce"),
    ("inception_4a", "inception_4b.5x5"),
    ("inception_4a", "inception_4b.pool"),
    ("inception_4a.3x3", "inception_4b"),
    ("inception_4b", "inception_4c.3x3_reduce"),
)


@pytest.mark.parametrize("variant", each_of(VARIANTS))
def test_it_is_the_convolution_of_the_linearized_pair(variant: str) -> None:
    network = lively(variant, width=0.03 if variant == "naive" else 0.05)
    plain = linearized(network)
    assert isinstance(plain, GoogLeNet)
    for source, target in PAIRS:
        if variant == "naive" and target.endswith("c.3x3_reduce"):
            continue  # it has none
        found = linear_map(network, source, target)
        x = torch.randn(1, found.weight.shape[1], SIDE, SIDE)
        expected = run_between(plain, source, target, x)
        margin = found.weight.shape[-1]
        whole = F.conv2d(F.pad(x, [margin] * 4), found.weight)
        begin = margin + found.offset
        side = expected.shape[-1]
        ours = whole[:, :, begin :: found.stride, begin :: found.stride][:, :, :side, :side]
        between = target.startswith("inception") and source[:11] == target[:11]
        inner = slice(None) if between or source == "image" else slice(4, 8)
        difference = (ours - expected)[:, :, inner, inner].abs().max()
        assert 0 < expected.abs().max() < torch.inf
        assert difference <= 1e-5 * expected.abs().max(), (source, target)


@torch.no_grad()
def run_between(network: GoogLeNet, source: str, target: str, x: torch.Tensor) -> torch.Tensor:
    """What the target makes of the source's output x; other branches of its module are silent."""
    first, _, branch = source.partition(".")
    stage = target.partition(".")[0]
    begin = 0 if first == "image" else network.trunk.index(first) + 1
    if branch:
        assert branch == "3x3"
        module = getattr(network, first)
        channels = network.get_submodule(f"{stage}.1x1.conv").in_channels
        full = torch.zeros(1, int(channels), SIDE, SIDE)  # type: ignore[arg-type]
        at = module["1x1"].conv.out_channels
        full[:, at : at + x.shape[1]] = x
        x = full
    with network.tap(target) as activations:
        for name in network.trunk[begin : network.trunk.index(stage) + 1]:
            x = getattr(network, name)(x)
    return activations[target]


def test_a_branch_is_a_part_of_its_module() -> None:
    network = lively("bn")
    whole = expanded_weights(network, "3a", "3b")
    units = network.get_submodule("inception_3a.1x1.conv").out_channels
    assert isinstance(units, int)
    part = expanded_weights(network, "3a.1x1", "3b")
    np.testing.assert_array_equal(part, whole[:, :units])
    into = expanded_weights(network, "3a", "3b.1x1")
    np.testing.assert_allclose(into[:, :, 0, 0], whole[: len(into), :, 2, 2], rtol=1e-6)


def test_the_classifier_s_rows_and_the_nearest_sources() -> None:
    network = lively("paper", in_channels=1)
    votes = expanded_weights(network, "5b", "classifier")
    np.testing.assert_array_equal(votes[:, :, 0, 0], network.classifier.weight.detach().numpy())
    assert sources_of(network, "conv2") == ("conv2_reduce", "conv1")
    assert sources_of(network, "conv1") == ("image",)
    assert expanded_weights(network, "image", "conv1").shape[1] == 1


def test_the_strongest_have_the_signs_of_their_sums() -> None:
    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[1, 0] = [[1, 0], [0, 0]]
    weights[1, 2] = [[-3, 0], [-4, 0]]
    assert strongest(weights, 1, 2) == [(2, -5.0), (0, 1.0)]
    assert strongest(weights, 2, 1, of="targets") == [(1, -5.0)]


def test_a_circuit_leads_to_the_image() -> None:
    network = lively("paper")
    levels = circuit(network, "inception_4b", 3, 4)
    assert [(level.target, level.source) for level in levels] == [
        ("inception_4b", "inception_4a"), ("inception_4a", "inception_3b"),
        ("inception_3b", "inception_3a"), ("inception_3a", "conv2"), ("conv2", "conv1"),
        ("conv1", "image"),
    ]  # fmt: skip
    for level, below in pairwise(levels):
        whole = expanded_weights(network, level.source, level.target)
        shown = [each.unit for each in level.connections]
        np.testing.assert_allclose(level.kernels, whole[level.unit, shown], rtol=1e-5, atol=1e-6)
        assert dict(level.connections)[below.unit] > 0  # what excites is followed
    assert [each.unit for each in levels[-1].connections] == [0, 1, 2]
    assert unit_count(network, "inception_4b") == len(expanded_weights(network, "4a", "4b"))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [("inception_3a", "inception_4b", "source must be inception_4a"),
     ("inception_4a", "inception_4z", "inception_4"),
     ("4a.3x3_reduce", "4b", "source must be a module or one of 1x1, 3x3, 5x5, pool_proj"),
     ("4a", "aux_4a", "must be a layer of the trunk"),
     ("conv2", "pool2", "must have weights")],
)  # fmt: skip
def test_layers_that_do_not_follow_each_other(source: str, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expanded_weights(lively("bn"), source, target)


def test_a_network_without_inception_modules() -> None:
    with pytest.raises(UsageError, match="of Inception networks, got one of variant lenet5"):
        expanded_weights(build_network("lenet5", 3, size=32, in_channels=1), "conv1", "conv2")
